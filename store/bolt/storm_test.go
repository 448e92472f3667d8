package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// Whatever is done at once to a few sessions, some of it in one transaction, the indexes
// say in the end what the records say.
func TestStorm_indexesFollowTheRecords(t *testing.T) {
	for seed := range uint64(3) {
		clk := clock.NewFake(t0)
		s := open(t, newPath(t), bolt.Clock(clk), bolt.MaxTransactions(3))
		errs := make([]error, 16)
		together(len(errs), func(i int) {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 60 {
				if err := anything(t.Context(), s, random); err != nil {
					errs[i] = err
					return
				}
				if random.IntN(8) == 0 {
					clk.Advance(time.Duration(random.IntN(90)) * time.Second)
				}
			}
		})
		must(t, errors.Join(errs...))
		if err := s.Verify(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// anything makes one call, which may be refused.
func anything(ctx context.Context, s *bolt.Store, random *rand.Rand) error {
	k := key(random.IntN(5))
	ttl := time.Duration(random.IntN(4)) * time.Minute
	r := store.Record{Version: version(random.IntN(3)), Ceiling: session.Ceiling(random.IntN(4)), TTL: ttl, Sealed: make([]byte, random.IntN(5000))}
	for range random.IntN(4) {
		r.Index = append(r.Index, store.IndexValue{byte(random.IntN(4))}) // some twice
	}
	if random.IntN(20) == 0 { // its caller gives up at some moment
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go cancel()
	}
	var err error
	switch random.IntN(12) {
	case 0, 1:
		err = s.Replace(ctx, k, r, opt)
	case 2, 3, 4:
		err = s.Update(ctx, k, version(random.IntN(3)), r, opt)
	case 5:
		err = s.End(ctx, k, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt)
	case 6:
		err = s.Touch(ctx, k, ttl, opt)
	case 7:
		err = intend(ctx, s, k, store.Intent{At: int64(random.IntN(3))})
	case 8:
		err = s.ClearIntent(ctx, k, store.Intent{At: int64(random.IntN(3))}, opt)
	case 9:
		err = s.Transactions().Put(ctx, fmt.Sprint(random.IntN(6)), nil, ttl, opt)
	case 10:
		_, err = s.Transactions().Take(ctx, fmt.Sprint(random.IntN(6)), opt)
	case 11:
		_, err = s.ClaimDue(ctx, 3, 2, ttl, opt)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// One transaction can hold the whole life of a session.
func TestStorm_aLifeInOneTransaction(t *testing.T) {
	r := newRig(t)
	held, release := r.hold(bolt.StageApplied)
	blocker := make(chan error, 1)
	go func() { blocker <- r.replace(1) }()
	<-held
	rec := store.Record{Version: version(1), Ceiling: 5, Index: []store.IndexValue{{1}}, TTL: time.Hour}
	begin := func(v session.Version) error {
		_, err := r.Begin(t.Context(), key(0), store.Beginning{Version: v, Intent: store.Intent{Token: [32]byte{1}}}, opt)
		return err
	}
	var waits []func() []error
	for _, f := range []func(int) error{
		func(int) error { return r.Replace(t.Context(), key(0), rec, opt) },
		func(int) error { return begin(version(1)) },
		func(int) error { return r.Touch(t.Context(), key(0), time.Minute, opt) },
		func(int) error {
			return r.Update(t.Context(), key(0), version(1), store.Record{Ceiling: 6, Index: []store.IndexValue{{2}}}, opt)
		},
		func(int) error { return begin(session.Version{}) },
		func(int) error {
			return r.End(t.Context(), key(0), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt)
		},
		func(int) error { return r.Transactions().Put(t.Context(), "state", nil, time.Hour, opt) },
		func(int) error { _, err := r.Transactions().Take(t.Context(), "state", opt); return err },
	} {
		waits = append(waits, r.start(1, f))
	}
	before := r.Commits()
	release()
	must(t, <-blocker)
	for _, wait := range waits {
		must(t, wait()[0])
	}
	if n := r.Commits() - before; n != 2 {
		t.Errorf("%d transactions, want 2", n)
	}
	must(t, r.Verify())
	if n := r.Keys(bolt.ValueIndex) + r.Keys(bolt.CeilingIndex) + r.Keys(bolt.IntentBucket); n != 0 {
		t.Errorf("the indexes and intents have %d entries, want none", n)
	}
}

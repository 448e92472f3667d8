package test_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

var windowSessions = flag.Int("window.sessions", 20_000, "how many sessions are in the store on which a client starts")

// A client that starts on a store with a great many sessions reads from its index the sessions past their ceiling,
// in batches, and those due in the next minutes; of the others nothing, and of all of them no
// record. With -window.sessions 1000000 -timeout 0 there are a million.
func TestWindow_aClientThatStartsReadsWhatIsDue(t *testing.T) {
	const past, soon = 2100, 300
	r := newRig(t)
	r.close()
	durable := newDurable(r.clock)
	now := r.clock.Now().Add(session.CeilingLeeway)
	plantAll(t, durable, *windowSessions, func(i int) session.Ceiling {
		switch {
		case i < past:
			return session.Ceiling(now.Unix() - int64(i%3600))
		case i < past+soon:
			return session.Ceiling(now.Unix() + 1 + int64(i%299))
		}
		return session.Ceiling(now.Unix() + 3600 + int64(i%1_000_000))
	})

	seen := &watchedIndex{Faulty: storetest.NewFaulty(durable)}
	index, _ := store.As[store.Index](durable)
	seen.index = index
	c := r.newClient(tokenward.WithStateStore(seen))
	settle := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	settle()
	r.want("records loaded", seen.Loads(), 0)
	r.want("sessions deleted", seen.Ends(), past)
	r.want("sessions claimed", seen.claimed, past)
	r.want("sessions listed: one that is past, and what comes soon", seen.listed, 1+soon)
	r.want("most of them in one answer", seen.most, 500)
	if resident := c.Stats().Resident; resident != 0 {
		t.Errorf("sessions in memory = %d, want 0", resident)
	}
	for range 300 {
		r.clock.Advance(time.Second)
		settle()
	}
	r.want("records loaded after five minutes", seen.Loads(), 0)
	r.want("sessions deleted after five minutes", seen.Ends(), past+soon)
	// Of windows of five minutes, asked for every two: some are listed twice or three times.
	if seen.claimed != past+soon || seen.listed > 1+3*soon {
		t.Errorf("claimed %d, listed %d, want %d, and %d at most", seen.claimed, seen.listed, past+soon, 1+3*soon)
	}
}

// plantAll puts so many sessions into s, many at once: they share its writes.
func plantAll(t *testing.T, s store.StateStore, n int, ceiling func(i int) session.Ceiling) {
	t.Helper()
	const savers = 2000
	errs := make([]error, savers)
	together(savers, func(saver int) {
		for i := saver; i < n && errs[saver] == nil; i += savers {
			errs[saver] = s.Replace(t.Context(), key(fmt.Sprint("session ", i)), store.Record{
				Version: session.NewVersion(randomness{}), Incarnation: session.NewIncarnation(randomness{}),
				Ceiling: ceiling(i), Sealed: []byte("never opened"),
			}, store.Options{})
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// watchedIndex counts what its index answers.
type watchedIndex struct {
	*storetest.Faulty
	index store.Index

	mu      sync.Mutex
	listed  int // by Due
	claimed int
	most    int // in one answer
}

// Ability shows the index of the store inside, watched, and its other abilities.
func (w *watchedIndex) Ability(target any) bool {
	if t, ok := target.(*store.Index); ok {
		*t = w
		return true
	}
	return w.Faulty.Ability(target)
}

func (w *watchedIndex) Find(ctx context.Context, values []store.IndexValue, o store.Options) ([]store.Ref, error) {
	return w.index.Find(ctx, values, o)
}

func (w *watchedIndex) Due(ctx context.Context, from, until session.Ceiling, after store.Ref, limit int, o store.Options) ([]store.Ref, error) {
	refs, err := w.index.Due(ctx, from, until, after, limit, o)
	w.count(&w.listed, refs)
	return refs, err
}

func (w *watchedIndex) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, o store.Options) ([]store.Ref, error) {
	refs, err := w.index.ClaimDue(ctx, until, limit, hold, o)
	w.count(&w.claimed, refs)
	return refs, err
}

func (w *watchedIndex) count(sum *int, refs []store.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*sum += len(refs)
	w.most = max(w.most, len(refs))
}

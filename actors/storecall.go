package actors

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// storeCall is what a store operation asks the store with.
//
// It runs on a goroutine of the Runner, beside the turns of the actor. So it has copies of what it needs. It changes its opDone, which the
// core sees once it has come back, and the encoder, which the one operation that is out has to itself.
type storeCall struct {
	env     *Env
	key     session.Key
	encoder *store.Encoder
	version session.Version // for what is written, should it need one
	call    *directory.Call // that lends a context, nil: none does
	options store.Options
	stale   bool // what the session shows may be older than another process's logout
}

// opRun is a store operation that is out.
type opRun struct {
	op       op
	with     storeCall
	done     opDone            // comes back
	observed *telemetry.Flight // of the flight that it is for; nil: for none
	over     atomic.Bool       // it has come back, or the session waits for it no longer
	after    error             // then, what the call is told once it comes back
}

// run has a store operation done elsewhere. A version for what it may write is drawn here.
//
// The version is drawn in the turn, so that a notice of the write which comes before the answer is recognised (knows). It is drawn
// before the operation counts as out: if the source of randomness panics, nothing is waited for that never began.
func (a *Session) run(o op) {
	v := session.NewVersion(a.env.Rand)
	if s, ok := o.(stamped); ok {
		s.stamp(v)
	}
	w := o.waiting()
	r := &opRun{op: o, with: storeCall{env: a.env, key: a.entry.Key, encoder: &a.encoder, version: v, options: store.Options{Background: true}}}
	r.done.op = o
	if d, ok := o.(*deleteOp); ok && d.remains != nil {
		r.with.stale = !a.env.Fresh.MayShow(a.entry, a.env.Clock)
	}
	if _, read := o.(*readOp); !read { // whose failure would be the session's, not the caller's
		r.with.call = lender(w.calls)
	}
	if _, saves := o.(*saveOp); saves && w.completion == nil && len(a.core.updates.waiting) > 0 {
		r.with.options = store.Options{Values: a.core.updates.waiting[0].Values()}
	}
	if w.completion != nil {
		r.with.options, r.observed = w.completion.flight.Options, a.observed(w.completion.flight)
	}
	if b, ok := o.(*beginOp); ok {
		r.observed = a.observed(b.request.flight)
	}
	a.running = r
	a.do(StoreWork, r.perform, func(m any) {
		a.send(m)
		if r.over.Swap(true) {
			r.with.call.End(r.after)
		}
	})
}

// release tells those who wait for o that nothing more comes of it. What a caller has lent to an
// operation stays in use until that comes back.
//
// Example: a login is being written with the caller's own request as context, and the session is torn down. The caller may not
// return before the store has let go of that request, or the server would reuse it under the store's hands.
func (a *Session) release(o op, err error) {
	w := o.waiting()
	for _, call := range w.calls {
		if r := a.running; r != nil && call == r.with.call {
			r.after = err
			if !call.Abandon() && !r.over.Swap(true) {
				continue
			}
		}
		call.End(err)
	}
	w.calls = nil
}

// perform asks the store, outside the turns of the actor, and returns the opDone.
//
// The reading is taken before the store is asked: a gap in the feed in between must make the answer old, and not new.
func (r *opRun) perform(base context.Context) any {
	m, s, ctx := &r.done, &r.with, base
	if s.call != nil {
		var detach func()
		ctx, s.options, detach = lent(base, s.call)
		defer detach()
	}
	ctx, cancel := clock.WithTimeout(r.observed.Context(ctx), s.env.Clock, s.env.Rules.StoreTimeout)
	defer cancel()
	m.reading, m.at = s.env.Fresh.Reading(s.env.Clock.Mono()), s.env.Clock.Now()
	m.err = Contain(func() error { return r.op.askStore(ctx, s, m) })
	s.env.Answered(m.err)
	return m
}

func (s *storeCall) readRecord(ctx context.Context) (r record, err error) {
	r.state, r.version, r.incarnation, err = s.env.load(ctx, s.key, s.options)
	return r, err
}

func (s *storeCall) decode(r store.Record) (record, error) {
	state, err := s.env.Codec.Decode(s.key, r)
	return record{r.Version, r.Incarnation, state}, err
}

// encode returns r as the store keeps it.
func (s *storeCall) encode(r record) (store.Record, error) {
	out, err := s.encoder.Encode(s.env.Codec, s.key, r.state, r.version, r.incarnation)
	if err != nil {
		return out, err
	}
	now := s.env.Clock.Now()
	out.TTL = store.TTL(now, out.Ceiling, s.env.Rules.RememberEnded, s.env.Life(r.state, now))
	return out, nil
}

// lease takes the session's lease for a save of the record with that version, and notes that in m. Example: a refresh took longer than
// the lease, which could not be renewed. Where no other process has written since, the save goes on under a new lease. Where one has,
// that is a conflict like any other.
func (s *storeCall) lease(ctx context.Context, version session.Version, m *opDone) (epoch int64, err error) {
	b, err := s.env.Leaser.Begin(ctx, s.key, store.Beginning{Version: version, Owner: s.env.Owner, TTL: s.env.Rules.Lease}, s.options)
	if err == nil && b.Moved != nil {
		err = store.ErrConflict
	}
	m.epoch, m.lapses = b.Epoch, m.at.Add(s.env.Rules.Lease)
	return m.epoch, err
}

// begin takes the lease, checks the version and writes the intent. Where the record has another
// version it brings that record instead.
//
// The grace period is read after the answer: an outage that ended while Begin was under way has begun one.
func (s *storeCall) begin(ctx context.Context, o *beginOp, m *opDone) error {
	b := store.Beginning{Version: o.version, TTL: s.env.Rules.Lease}
	var abled store.Beginner = s.env.Intents
	if o.owned {
		b.Owner, abled = s.env.Owner, s.env.Leaser
	}
	if o.intent != nil {
		b.Intent = *o.intent
		m.intent = o.intent // perhaps, if the store does not answer
	}
	got, err := abled.Begin(ctx, s.key, b, s.options)
	m.grace = s.env.Fresh.MayRecover(s.env.Clock.Mono())
	switch {
	case err != nil:
		return err
	case got.Moved != nil:
		m.intent = nil
		m.found, err = s.decode(*got.Moved)
		return err
	case o.intent != nil:
		m.intent = &got.Intent
	}
	m.epoch, m.lapses, m.prior = got.Epoch, m.at.Add(s.env.Rules.Lease), got.Prior
	return nil
}

// endAttempts is how often an end is made anew from what another process has written in between. Each further attempt means that one more
// write came in the time of one round trip. After the last the deletion has failed, and is tried again with back-off.
const endAttempts = 4

// endRecord puts the tombstone of o in the place of the record. At a ceiling the store holds what it has against what the end
// was made from: where that is something else, the connection tokens of both remain.
//
// Example: at the ceiling this process has a token of Google in hand, and another process has just saved one of GitHub. The store refuses the
// end that was made from the record before, the record is read, and the tombstone gets both tokens.
func (s *storeCall) endRecord(ctx context.Context, o *deleteOp, m *opDone) (err error) {
	e := store.Ending{Reason: o.why, Prev: o.made}
	if o.why == session.ReasonCeiling {
		e.Stands = s.env.Rules.RememberEnded
	}
	remains := o.remains
	if remains != nil && s.stale {
		if m.before = s.endedThere(ctx, o.only); m.before != "" {
			return nil
		}
	}
	for range endAttempts {
		e.Remainder = nil
		if remains != nil {
			if e.Remainder, err = s.env.Codec.EncodeRemainder(s.key, remains, s.version, s.env.Clock.Now()); err != nil {
				return err
			}
		}
		if err = s.env.Store.End(ctx, s.key, o.only, e, s.options); !errors.Is(err, store.ErrConflict) {
			if err == nil && e.Remainder != nil {
				m.remainder = e.Remainder.Version
			}
			return err
		}
		inStore, prev, err := s.remainsThere(ctx, o.only)
		switch {
		case errors.Is(err, store.ErrNotFound): // or another session by now
			return nil
		case err != nil:
			return err
		case remains == nil:
			remains = inStore
		case inStore != nil:
			remains = inStore.JoinRemainder(remains)
		}
		e.Prev = prev
	}
	return err
}

// endedThere returns for what another process has ended that incarnation (zero: any), "" where it has not, or at the ceiling, or the store does
// not say.
//
// Example: the user signed out in another process, and no notice came. At the ceiling this process would put the connection tokens that
// it shows back into the tombstone. They do not outlive a logout.
func (s *storeCall) endedThere(ctx context.Context, only session.Incarnation) session.Reason {
	_, err := s.env.Store.Load(ctx, s.key, s.options)
	var gone *store.GoneError
	if !errors.As(err, &gone) || gone.Reason == session.ReasonCeiling || !only.IsZero() && gone.Incarnation != only {
		return ""
	}
	return gone.Reason
}

// remainsThere returns the connection tokens of the incarnation (zero: any) that the store has, in a record or in a
// tombstone, and the version of that; none and zero of a tombstone without any.
func (s *storeCall) remainsThere(ctx context.Context, only session.Incarnation) (*session.State, session.Version, error) {
	r, err := s.env.Store.Load(ctx, s.key, s.options)
	var gone *store.GoneError
	switch {
	case errors.As(err, &gone):
		if !only.IsZero() && gone.Incarnation != only {
			return nil, session.Version{}, store.ErrNotFound
		}
		if gone.Remainder == nil {
			return nil, session.Version{}, nil
		}
		there, _ := s.env.Codec.DecodeRemainder(s.key, gone.Remainder) // nil where this process cannot read it
		return there, gone.Remainder.Version, nil
	case err != nil:
		return nil, session.Version{}, err
	case !only.IsZero() && r.Incarnation != only:
		return nil, session.Version{}, store.ErrNotFound
	}
	there, err := s.env.Codec.Decode(s.key, r)
	if err != nil { // this process cannot read it, and it is over all the same
		return nil, r.Version, nil //nolint:nilerr // see above
	}
	named := there.Named()
	named.ConnectionTokenSets = there.ConnectionTokenSets
	return named, r.Version, nil
}

// lender returns the first caller who still waits.
func lender(calls []*directory.Call) *directory.Call {
	for _, c := range calls {
		if !c.Abandoned() {
			return c
		}
	}
	return nil
}

// lent returns what the caller lends, ended too when the client stops.
//
// The client's own end counts too: Close must not wait for a context that has no deadline.
func lent(base context.Context, call *directory.Call) (context.Context, store.Options, func()) {
	ctx, o := call.Begin()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(base, func() { cancel(context.Cause(base)) })
	return ctx, o, func() {
		stop()
		cancel(nil)
	}
}

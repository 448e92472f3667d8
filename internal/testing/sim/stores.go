package sim

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var errStore = errors.New("the store is down")

// processStore is the store as one process reaches it: each call is sent, acts, and is
// answered, in three steps, and may fail at each of them.
type processStore struct{ p *process }

var _ store.StateStore = processStore{}

var (
	_ store.Index   = processStore{}
	_ store.Leaser  = processStore{}
	_ store.Intents = processStore{}
)

// Ability says what the store can do in this run. See store.As.
func (s processStore) Ability(target any) bool {
	w := s.p.w
	switch t := target.(type) {
	case *store.Exclusive:
		return set[store.Exclusive](t, s, true)
	case *store.Index:
		return set[store.Index](t, s, w.config.index)
	case *store.Leaser:
		return set[store.Leaser](t, s, w.kind == Several)
	case *store.Intents:
		return set[store.Intents](t, s, w.config.intents)
	}
	return false
}

func set[T any](target *T, ability T, has bool) bool {
	if has {
		*target = ability
	}
	return has
}

// Exclusive implements the ability of that name.
func (s processStore) Exclusive() bool { return s.p.w.config.exclusive }

type storeFault int

const (
	storeFine storeFault = iota
	storeFailsBefore
	storeFailsAfter
	storePanicsBefore
	storePanicsAfter
	storeFaultKinds
)

// storeCall is one call of the store.
type storeCall struct {
	name string
	of   *subject
	late bool                            // it may arrive long after its caller has given up
	act  func(ctx context.Context) error // what it does, at once
	tear func()                          // what it does when the process dies in the middle
}

func (s processStore) call(ctx context.Context, c storeCall) error {
	w, j := s.p.w, s.p.w.job
	if j.killed {
		return errKilled
	}
	if j.what = c.name; c.of != nil {
		j.what = c.name + " of " + c.of.id
	}
	j.call, j.about, j.late, j.tear = c.name, c.of, c.late, nil
	if c.tear != nil {
		j.tear = func() {
			w.saw[torn]++
			w.note("  %s arrives in part", j.what)
			c.tear()
			w.opened.state = nil // it is not what it was when it was whole
			w.observe(c.of)
		}
	}
	fault := w.storeFault(c.name)
	j.quick = fault == storeFailsBefore || fault == storePanicsBefore
	w.note("%s%s is sent to the store", s.p.prefix(), j.what)
	j.pending = func() {
		w.note("  %s arrives all the same", j.what)
		_ = c.act(context.Background())
		w.observe(c.of)
	}
	if err := j.park(ctx, sent); err != nil {
		w.sawTimeout(ctx, storeTimedOut)
		if !j.killed && c.late && w.strands() {
			w.strand(j)
		}
		return err
	}
	j.pending, j.tear = nil, nil
	if w.storeDown && !w.draining {
		fault = storeFailsBefore
	}
	w.saw[storeFaults+coverage(fault)]++
	switch fault {
	case storeFailsBefore:
		w.note("  the store fails at %s", j.what)
		w.storeTrouble++
		return errStore
	case storePanicsBefore:
		w.storePanics++
		w.storeTrouble++
		panic("planted")
	default:
	}
	err := c.act(ctx)
	w.note("  the store does %s: %v", j.what, err)
	w.observe(c.of)
	w.sawStore(err)
	if err := j.park(ctx, acted); err != nil {
		w.sawTimeout(ctx, storeTimedOut)
		return err
	}
	switch fault {
	case storeFailsAfter:
		w.note("  but the answer of %s is lost", j.what)
		w.storeTrouble++
		return errStore
	case storePanicsAfter:
		w.storePanics++
		w.storeTrouble++
		panic("planted")
	default:
	}
	return err
}

func (w *World) storeFault(call string) storeFault {
	if w.story != nil {
		return w.story.storeFault(call)
	}
	if w.draining || !w.choose.odds(w.config.storeFaults) {
		return storeFine
	}
	return storeFault(1 + w.choose.weighted([]int{6, 6, 1, 1}))
}

// Load implements store.StateStore.
func (s processStore) Load(ctx context.Context, key session.Key, o store.Options) (r store.Record, err error) {
	w := s.p.w
	panics := true
	defer func() {
		if panics {
			s.p.couldNotRead(w.byKey[key], errStore)
		}
	}()
	err = s.call(ctx, storeCall{name: "Load", of: w.byKey[key], act: func(ctx context.Context) (err error) {
		r, err = w.store.Load(ctx, key, o)
		return err
	}})
	panics = false
	if err != nil {
		s.p.couldNotRead(w.byKey[key], err)
		return store.Record{}, err
	}
	if f := w.byIncarnation[r.Incarnation]; f != nil && !w.job.killed {
		w.taken(s.p, f, r)
	}
	return r, nil
}

// Replace implements store.StateStore.
func (s processStore) Replace(ctx context.Context, key session.Key, r store.Record, o store.Options) (err error) {
	w := s.p.w
	asked := w.contents(key, r)
	w.checkWrite(s.p, r, asked)
	err = errStore
	defer func() { w.answered(s.p, r, asked, err) }() // also after a panic
	err = s.call(ctx, storeCall{
		name: "Replace", of: w.byKey[key],
		act: func(ctx context.Context) error {
			err := w.store.Replace(ctx, key, r, o)
			if err == nil {
				w.tell(w.byKey[key], r.Version)
			}
			if f := w.byIncarnation[r.Incarnation]; f != nil && f.login.end != 0 {
				f.subject.afterAll()
			}
			return err
		},
		tear: func() {
			_ = w.store.Replace(context.Background(), key, half(r), o)
			w.tell(w.byKey[key], r.Version)
		},
	})
	return err
}

// Update implements store.StateStore.
func (s processStore) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, o store.Options) (err error) {
	w := s.p.w
	asked := w.contents(key, r)
	w.checkWrite(s.p, r, asked)
	w.checkIntentKept(s.p, key, r, asked)
	f := w.byIncarnation[r.Incarnation]
	err = errStore
	defer func() { w.answered(s.p, r, asked, err) }()
	err = s.call(ctx, storeCall{
		name: "Update", of: w.byKey[key], late: true,
		act: func(ctx context.Context) error {
			err := w.store.Update(ctx, key, prev, r, o)
			if err == nil && f != nil {
				w.updated(f)
			}
			w.fenced(s.p, w.byKey[key], r, err)
			if l := w.byKey[key].leaseOf(s.p); err == nil && r.Release != "" && l.epoch == r.Epoch {
				l.released = true
			}
			return err
		},
		tear: func() { w.fenced(s.p, w.byKey[key], r, w.store.Update(context.Background(), key, prev, half(r), o)) },
	})
	return err
}

// End implements store.StateStore.
func (s processStore) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	w, sub := s.p.w, s.p.w.byKey[key]
	for _, f := range sub.families {
		f.endTried = f.endTried || only.IsZero() || f.incarnation == only
	}
	return s.call(ctx, storeCall{name: "End", of: sub, late: !only.IsZero(), act: func(ctx context.Context) error {
		_, had := w.store.Load(context.Background(), key, store.Options{})
		err := w.store.End(ctx, key, only, e, o)
		if _, has := w.store.Load(context.Background(), key, store.Options{}); had == nil && has != nil {
			w.tell(sub, session.Version{})
		}
		if err == nil && only.IsZero() && sub.owing[s.p] { // also where the process dies before it hears so
			sub.afterAll()
		}
		return err
	}})
}

// Find implements store.Index.
func (s processStore) Find(ctx context.Context, values []store.IndexValue, o store.Options) (refs []store.Ref, err error) {
	err = s.call(ctx, storeCall{name: "Find", act: func(ctx context.Context) (err error) {
		refs, err = s.p.w.store.Find(ctx, values, o)
		return err
	}})
	return refs, err
}

// Due implements store.Index.
func (s processStore) Due(ctx context.Context, from, until session.Ceiling, after store.Ref, limit int, o store.Options) (refs []store.Ref, err error) {
	err = s.call(ctx, storeCall{name: "Due", act: func(ctx context.Context) (err error) {
		refs, err = s.p.w.store.Due(ctx, from, until, after, limit, o)
		return err
	}})
	return refs, err
}

// ClaimDue implements store.Index.
func (s processStore) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, o store.Options) (refs []store.Ref, err error) {
	err = s.call(ctx, storeCall{name: "ClaimDue", act: func(ctx context.Context) (err error) {
		refs, err = s.p.w.store.ClaimDue(ctx, until, limit, hold, o)
		return err
	}})
	return refs, err
}

// half is a record that was written in part.
func half(r store.Record) store.Record {
	r.Sealed = r.Sealed[:len(r.Sealed)/2]
	return r
}

// strand leaves the operation of j on its way, though no caller waits for the answer. One that may
// not come late comes now or never; a write may be torn, but not by a store that several
// processes share: that is a server, which takes a write or does not.
func (w *World) strand(j *job) {
	act := j.pending
	j.pending = nil
	switch {
	case j.tear != nil && j.killed && w.kind == Alone && w.choose.odds(30):
		j.tear()
	case j.late && (w.story != nil || w.choose.odds(60)):
		w.saw[lateArrivals]++
		w.note("  %s is still on its way", j.what)
		w.late = append(w.late, stranded{act: act, what: j.what, sent: w.fake.Now()})
	case w.choose.odds(50):
		act()
	}
	j.tear = nil
}

// strands reports whether an operation stays on its way though no caller waits for it any more.
func (w *World) strands() bool { return w.story != nil || w.choose.odds(50) }

type stranded struct {
	act  func()
	what string
	sent time.Time
}

// arrive has something happen that was sent long ago.
func (w *World) arrive(i int) {
	s := w.late[i]
	w.late = append(w.late[:i], w.late[i+1:]...)
	if w.fake.Now().Sub(s.sent) > latest {
		return
	}
	w.saw[arrivedLate]++
	w.note("%s arrives after all", s.what)
	s.act()
}

// latest is how late something may arrive: tombstones stand for twice as long.
const latest = store.DefaultTombstoneLife / 2

// stored is what the store holds of a session.
type stored struct {
	version    session.Version
	family     *family // nil: nothing
	unreadable bool
	refresh    int   // the number of its refresh token
	values     []int // the updates of the application in it
}

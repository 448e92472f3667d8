package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const (
	leaseTTL    = 5 * time.Second
	snapshotAge = 30 * time.Second
	outage      = 5 * time.Minute
)

// lease is what a process has of the lease of a session, as the store knows it.
type lease struct {
	epoch    int64
	taken    time.Time // anew, not renewed
	until    time.Time
	released bool
	known    int64     // the epoch that the process knows
	asked    time.Time // when the process learnt what its last request for it came to
	lost     bool      // that another process has it
	intent   [32]byte  // the refresh token that was written down last, and not spent since
}

func (s *subject) leaseOf(p *process) *lease {
	l := s.leases[p]
	if l == nil {
		l = &lease{released: true}
		s.leases[p] = l
	}
	return l
}

// standing reports whether l is the newest lease of s and has not lapsed.
func (l *lease) standing(w *World, s *subject) bool {
	return !l.released && l.epoch == s.epoch && w.fake.Now().Before(l.until)
}

// Begin implements store.Leaser and store.Intents.
func (s processStore) Begin(ctx context.Context, key session.Key, b store.Beginning, o store.Options) (got store.Begun, err error) {
	w, sub := s.p.w, s.p.w.byKey[key]
	w.job.leaseOf, w.job.leaseErr = sub, errStore // should the store panic
	panics := true
	defer func() {
		if panics {
			s.p.couldNotRead(sub, errStore)
		}
	}()
	err = s.call(ctx, storeCall{name: "Begin", of: sub, late: true, act: func(ctx context.Context) (err error) {
		got, err = w.store.Begin(ctx, key, b, o)
		if got.Moved != nil {
			w.saw[beginMoved]++
			return err
		}
		w.leased(s.p, sub, got.Epoch, b.TTL, err)
		if b.Intent.Token == ([32]byte{}) {
			return err
		}
		in := b.Intent
		w.checkBackoff(sub, in, got.Prior != nil, err)
		if err == nil {
			sub.leaseOf(s.p).intent = in.Token
			if got.Prior != nil {
				w.saw[intentStood]++
			}
		}
		return err
	}})
	panics = false
	switch {
	case err != nil:
		w.job.leaseErr = err
		s.p.couldNotRead(sub, err)
		return store.Begun{}, err
	case got.Moved != nil: // nothing was asked of the lease
		w.job.leaseOf, w.job.leaseErr = nil, nil
		if f := w.byIncarnation[got.Moved.Incarnation]; f != nil && !w.job.killed {
			w.taken(s.p, f, *got.Moved)
		}
	default:
		w.job.leaseErr, w.job.leaseEpoch = nil, got.Epoch
	}
	return got, nil
}

// Renew implements store.Leaser.
func (s processStore) Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, o store.Options) error {
	w, sub := s.p.w, s.p.w.byKey[key]
	w.job.leaseOf, w.job.leaseErr = sub, errStore // should the store panic
	err := s.call(ctx, storeCall{name: "Renew", of: sub, late: true, act: func(ctx context.Context) error {
		err := w.store.Renew(ctx, key, owner, epoch, ttl, o)
		w.leased(s.p, sub, epoch, ttl, err)
		return err
	}})
	w.job.leaseErr, w.job.leaseEpoch = err, epoch
	return err
}

// leased notes what the store said to a process that wants a lease.
func (w *World) leased(p *process, s *subject, epoch int64, ttl time.Duration, err error) {
	l, now := s.leaseOf(p), w.fake.Now()
	switch {
	case errors.Is(err, store.ErrLeased):
		w.saw[leaseDenied]++
		return
	case err != nil:
		return
	case l.released || l.epoch != epoch:
		if l.epoch != 0 && !l.released {
			w.saw[leaseTakenAnew]++
		}
		for _, q := range w.processes {
			if other := s.leases[q]; q != p && other != nil && !other.released && other.epoch == s.epoch {
				w.saw[leaseLapsed]++
			}
		}
		l.epoch, l.taken, l.released = epoch, now, false
	case s.onWire[p] > 0:
		w.saw[leaseRenewed]++
	}
	l.until = now.Add(ttl)
	s.epoch = max(s.epoch, epoch)
}

// askedLease notes that p has learnt what a request for a lease came to.
func (p *process) askedLease(j *job) {
	if j.leaseOf != nil {
		l := j.leaseOf.leaseOf(p)
		l.asked = p.w.fake.Now()
		l.lost = errors.Is(j.leaseErr, store.ErrLeased) || errors.Is(j.leaseErr, store.ErrConflict)
		if j.leaseErr == nil {
			l.known = j.leaseEpoch
		} else {
			p.tried(j.leaseOf)
		}
	}
}

// tried notes that what p has of s may be shown: it was to be saved, and the lease for that
// could not be had.
func (p *process) tried(s *subject) {
	for _, f := range s.families {
		if n, ok := p.held[f]; ok {
			f.askedTo(p, n)
		}
	}
	for _, is := range p.w.issued {
		if r := is.request; r != nil && r.p == p && r.family.subject == s && r.answeredIn != 0 {
			is.asked = true
		}
	}
}

// Release implements store.Leaser.
func (s processStore) Release(ctx context.Context, key session.Key, owner string, epoch int64, o store.Options) error {
	w, sub := s.p.w, s.p.w.byKey[key]
	return s.call(ctx, storeCall{name: "Release", of: sub, late: true, act: func(ctx context.Context) error {
		err := w.store.Release(ctx, key, owner, epoch, o)
		if l := sub.leaseOf(s.p); err == nil && l.epoch == epoch {
			l.released = true
		}
		return err
	}})
}

// presented is how often a refresh token was presented again, and when.
type presented struct {
	token [32]byte
	at    []int64
}

// checkBackoff holds the tries to find out the outcome of one request to their promise: the
// waits double from 5 s on, and no hour has more than eight. Where clocks differ only the number
// is held.
func (w *World) checkBackoff(s *subject, in store.Intent, again bool, err error) {
	if err == nil && (s.presented.token != in.Token || !again) {
		s.presented = presented{token: in.Token}
	}
	if err != nil || in.Tries == 0 {
		return
	}
	p := &s.presented
	if n := len(p.at); n >= in.Tries {
		w.fail("P3", "a token of %s is presented again for the %dth time, and the %dth was before", s.id, in.Tries, n)
	} else if n > 0 && !w.config.skew {
		wait := int64(5) << min(n-1, 8)
		switch {
		case n == 8:
			wait = 3600
		case wait > 900:
			wait = 900
		}
		if in.At < p.at[n-1]+wait {
			w.fail("P3", "a token of %s is presented again after %d s, and its turn comes after %d", s.id, in.At-p.at[n-1], wait)
		}
		w.saw[presentedAgain]++
	}
	for len(p.at) < in.Tries {
		p.at = append(p.at, in.At)
	}
}

// checkIntentKept holds that a save which has just been sent leaves the intent of a request on the wire, unless it gives the
// refresh token up: should the process die now, what has come of the request is found out by that intent alone.
func (w *World) checkIntentKept(p *process, key session.Key, r store.Record, state *session.State) {
	s := w.byKey[key]
	if w.config.intents && !r.KeepIntent && s.onWire[p] > 0 && state != nil && state.RefreshToken != "" {
		w.fail("P3", "a save of %s clears the intent of the request on the wire", s.id)
	}
}

// ClearIntent implements store.Intents.
func (s processStore) ClearIntent(ctx context.Context, key session.Key, in store.Intent, o store.Options) error {
	w := s.p.w
	return s.call(ctx, storeCall{name: "ClearIntent", of: w.byKey[key], late: true, act: func(ctx context.Context) error {
		return w.store.ClearIntent(ctx, key, in, o)
	}})
}

// StaleIntents implements store.Intents.
func (s processStore) StaleIntents(ctx context.Context, limit int, o store.Options) (found []store.StaleIntent, err error) {
	w := s.p.w
	err = s.call(ctx, storeCall{name: "StaleIntents", act: func(ctx context.Context) (err error) {
		found, err = w.store.StaleIntents(ctx, limit, o)
		w.saw[staleIntentFound] += int64(len(found))
		return err
	}})
	return found, err
}

// checkLease holds a request that has just been sent against P1 over all processes: its
// process has taken the session's lease and has not given it back, and of every other
// process that has one on the wire the lease had lapsed by the store's clock before. The
// exception is a process that was paused, or as good as that, so that its own lease has
// lapsed between its decision and the sending. While its own stands that it knew of when it decided on the request, it spends what the store has, and has said so there,
// unless the session has ended: then its record is about to go.
func (w *World) checkLease(j *job, r *request) {
	if w.kind == Alone {
		return
	}
	p, f, s := j.p, r.family, r.family.subject
	l := s.leaseOf(p)
	if l.released {
		w.fail("P1", "a request of %s without its lease", s.id)
	}
	if !w.config.skew && !w.fake.Now().Before(l.until) { // it asks its clock before it sends
		w.fail("P1", "a request of %s after its lease has lapsed", s.id)
	}
	for _, q := range w.processes {
		if q == p || s.onWire[q] == 0 {
			continue
		}
		other := s.leaseOf(q)
		if l.standing(w, s) && (other.released || other.until.After(l.taken)) {
			w.fail("P1", "process %d sends a request of %s while process %d has one on the wire, and had its lease", p.n, s.id, q.n)
		}
		w.saw[twoOnTheWire]++
	}
	if l.standing(w, s) && j.epoch == l.epoch && s.stored.family == f && !s.stored.unreadable && s.stored.refresh != r.spent {
		w.fail("P3", "%s is spent under the lease while the store has %s", f.token(r.spent), f.token(s.stored.refresh))
	}
	if w.config.intents {
		ended := j.snapshot != nil && j.snapshot.Phase == directory.Ended
		if !ended && l.intent != sha256.Sum256([]byte(f.token(r.spent))) {
			w.fail("P3", "%s is spent, and the store was not told", f.token(r.spent))
		}
		l.intent = [32]byte{}
	}
}

// checkRenewals holds, before time passes, that each process that has a request on the wire and had
// time for it has renewed the lease.
func (w *World) checkRenewals() {
	if w.kind == Alone {
		return
	}
	for _, p := range w.processes {
		if p.paused || p.defects > 0 || p.cut || w.fake.Now().Sub(p.back) <= leaseTTL/3 {
			continue
		}
		for _, j := range p.jobs {
			if j.request == nil || j.over || j.stage == atRest {
				continue
			}
			s := j.request.family.subject
			l := s.leaseOf(p)
			if l.lost || l.released || w.fake.Now().Sub(l.asked) <= leaseTTL/3 || !p.idleBut(j) || j.snapshot.Incarnation != s.showing(p) {
				continue
			}
			w.fail("P1", "process %d has a request of %s on the wire, and does not renew the lease", p.n, s.id)
		}
	}
}

// showing is the login that p shows of s.
func (s *subject) showing(p *process) (in session.Incarnation) {
	if e := p.lookup.Directory.Lookup(s.id); e != nil && e.Snapshot().Phase == directory.Ready {
		in = e.Snapshot().Incarnation
	}
	return in
}

// idleBut reports whether nothing of p can go on by itself but j.
func (p *process) idleBut(j *job) bool {
	for _, m := range p.mailboxes {
		if m.runnable() {
			return false
		}
	}
	for _, other := range p.jobs {
		if other != j && (other.worker == nil || other.over || other.about == j.about) {
			return false
		}
	}
	return true
}

// fenced holds the outcome of an update against the leases: once another process has the
// lease, a write under an older one is refused.
func (w *World) fenced(p *process, s *subject, r store.Record, err error) {
	if err == nil {
		w.tell(s, r.Version)
	}
	if w.kind == Alone {
		return
	}
	switch {
	case err == nil && r.Epoch < s.epoch:
		w.fail("P3", "the store takes a write of %s under a lease that another process has taken since", s.id)
	case err == nil && r.Epoch > s.leaseOf(p).epoch:
		w.fail("P3", "process %d writes %s under a lease that it never had", p.n, s.id)
	case errors.Is(err, store.ErrConflict) && r.Epoch < s.epoch:
		w.saw[writeFenced]++
	}
}

// recoveringFor reports whether p was told to recover an intent, for which r may have been
// sent: no caller asked for its token.
func (w *World) recoveringFor(p *process, r *request) bool {
	return p.recovering[r.family.subject] && r.key == w.queries[0].Key
}

// mayKeep reports whether the store may be asked to keep s: no refresh token is kept only
// once the provider has refused one for good.
func (w *World) mayKeep(f *family, s *session.State) bool {
	n := f.number(s.RefreshToken)
	if n != noToken {
		return n <= f.current
	}
	f.unusable = true
	return f.refused
}

// checkLeft holds that no process holds a lease for ever, and no intent is left behind.
func (w *World) checkLeft() {
	if w.kind == Alone {
		return
	}
	for _, s := range w.subjects {
		for _, p := range w.processes {
			if l := s.leaseOf(p); l.standing(w, s) {
				w.fail("P5", "process %d keeps the lease of %s for ever", p.n, s.id)
			}
		}
	}
	found, err := w.store.StaleIntents(context.Background(), 100, store.Options{})
	if err != nil {
		panic(err)
	}
	for _, o := range found {
		if o.Next > w.fake.Now().Unix() {
			continue // its turn has not come
		}
		if s := w.byKey[o.Key]; s.stored.family != nil && !s.stored.unreadable {
			w.fail("P3", "what was about to be spent for %s is never recovered", s.id)
		}
	}
}

// Package browser keeps which session a browser has: it reads the session cookies of a request,
// chooses among several, and writes, renews and removes them.
package browser

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

// Carrier is an ability of stores that keep sessions in the browser. Every call with
// HTTP begins with ReadRequest and ends with WriteResponse or Drop. See cookie.States.
type Carrier interface {
	ReadRequest(w http.ResponseWriter, r *http.Request) []cookie.Incoming
	WriteResponse(w http.ResponseWriter, r *http.Request, id string, in cookie.Incoming, life time.Duration, always bool, while func() bool) error
	Drop(w http.ResponseWriter, r *http.Request, while func() bool)
	StateCapacity() int
}

var _ Carrier = (*cookie.States)(nil)

// Rules say how browsers keep their sessions, and for how long: see tokenward.Cookies.
type Rules struct {
	Attributes cookie.Attributes
	Name       string // of the session cookie, without a prefix
	Inactivity time.Duration
	Absolute   time.Duration
	Fixed      bool
}

// noted is after how long the use of a session is noted again.
func (r Rules) noted() time.Duration {
	return min(max(r.Inactivity/20, time.Minute), r.Inactivity/2)
}

// left is how long a browser has to keep the cookie of s if it is used now. A ceiling ends it only where the session
// itself is in the cookie: without the id the server could not tell that the session has expired, nor serve
// the connection tokens that outlive it.
func (r Rules) left(s *session.State, now time.Time, stateless bool) time.Duration {
	ends := s.Internal.EndsAt
	if ends == 0 {
		ends = s.Internal.CreatedAt + int64(r.Absolute/time.Second)
	}
	if c := s.Internal.Ceiling; stateless && c.Legal() {
		ends = min(ends, int64(c))
	}
	left := time.Duration(min(max(0, ends-now.Unix()), int64(r.Absolute/time.Second))) * time.Second
	if !r.Fixed {
		left = min(left, r.Inactivity)
	}
	return left
}

// Sessions are the sessions of browsers.
type Sessions struct {
	Rules   Rules
	Carrier Carrier // nil where sessions are kept on the server
	Sealer  *store.Sealer
	Env     *actors.Env
	Lookup  *lookup.Lookup
	Ended   Ended
}

// Incoming describes the session cookies that a browser sent. The zero value is of a browser
// that sent none.
type Incoming struct {
	Opened bool     // one of them is ours
	Lapsed string   // the id of a session that was unused for too long: only an end may name it
	Others []string // ids of sessions whose cookies came besides: an end names them too
	Unread error    // why it is not known which of Others counts
	Cookie cookie.Incoming
}

// sessionCookie is what the cookie holds, sealed.
type sessionCookie struct {
	ID   string `json:"id"`
	Seen int64  `json:"seen"`
}

func (b *Sessions) cookieName() string { return b.Rules.Attributes.Name(b.Rules.Name) }

// Read returns the id of the browser's session, "" when it has none.
func (b *Sessions) Read(ctx context.Context, o store.Options) (id string, in Incoming) {
	found := b.open(o.Response, o.Request)
	if len(found) == 0 {
		return "", Incoming{}
	}
	chosen := 0
	if len(found) > 1 {
		var err error
		if chosen, err = b.choose(ctx, found, o); err != nil {
			in = Incoming{Opened: true, Unread: err}
			for _, f := range found {
				in.Others = append(in.Others, f.ID)
			}
			return "", in
		}
	}
	in = Incoming{Opened: true, Cookie: found[chosen]}
	for i, other := range found {
		if i != chosen {
			in.Others = append(in.Others, other.ID)
		}
	}
	if id = in.Cookie.ID; b.lapsed(in.Cookie) {
		id, in.Lapsed = "", id
	}
	return id, in
}

// lapsed reports whether a session was unused for too long.
func (b *Sessions) lapsed(in cookie.Incoming) bool {
	return !b.Rules.Fixed && b.Env.Clock.Now().Unix()-in.Seen.Unix() >= int64(b.Rules.Inactivity/time.Second)
}

// open returns what the session cookies hold that open here: one for each session, and at most cookie.MaxValues.
func (b *Sessions) open(w http.ResponseWriter, r *http.Request) (found []cookie.Incoming) {
	if b.Carrier != nil {
		return b.Carrier.ReadRequest(w, r)
	}
	name := b.cookieName()
	for _, value := range b.Rules.Attributes.Values(w, r, name) {
		plain, err := cookie.Open(b.Sealer, name, value)
		var s sessionCookie
		if err != nil || json.Unmarshal(plain, &s) != nil || s.ID == "" {
			continue
		}
		in := cookie.Incoming{ID: s.ID, Seen: time.Unix(s.Seen, 0)}
		if i := slices.IndexFunc(found, func(o cookie.Incoming) bool { return o.ID == in.ID }); i < 0 {
			found = append(found, in)
		} else if in.Seen.After(found[i].Seen) {
			found[i] = in
		}
		if len(found) == cookie.MaxValues {
			break
		}
	}
	return found
}

// choose returns which of several session cookies counts. A browser has several after a change of their Domain, and
// sends the older one first. That of a living session counts, of several the latest login; else one whose end is
// remembered; else the first. It fails where none is known to live and the store did not answer for one.
func (b *Sessions) choose(ctx context.Context, found []cookie.Incoming, o store.Options) (int, error) {
	const none, remembered, living = 0, 1, 2
	var unread error
	best, rank, created := 0, -1, int64(0)
	for i, in := range found {
		now, began := none, int64(0)
		if !b.lapsed(in) {
			s, err := b.Lookup.Look(ctx, in.ID, o)
			switch {
			case err != nil:
				unread = cmp.Or(unread, err)
			case s.Phase == directory.Ready && !s.Ceiling.Reached(b.Env.Clock.Now()):
				now, began = living, s.State().Internal.CreatedAt
			case s.Phase == directory.Ready, s.Phase == directory.Ended && s.Reason == session.ReasonCeiling:
				now = remembered
			}
		}
		if now > rank || now == rank && began > created {
			best, rank, created = i, now, began
		}
	}
	if rank < living && unread != nil {
		return 0, unread
	}
	return best, nil
}

// Write gives the browser the session with that id, if while, which may be nil, says so in the end.
func (b *Sessions) Write(w http.ResponseWriter, r *http.Request, id string, s *session.State, while func() bool) {
	if b.Carrier != nil {
		b.carry(w, r, id, cookie.Incoming{}, s, true, while)
		return
	}
	now := b.Env.Clock.Now()
	plain, err := json.Marshal(sessionCookie{ID: id, Seen: now.Unix()})
	if err != nil {
		return // there is nothing in it that JSON cannot say
	}
	name := b.cookieName()
	b.Rules.Attributes.Set(w, r, name, cookie.Seal(b.Sealer, name, plain), b.Rules.left(s, now, false), while)
}

// Fit returns the state of a login as far as its cookies hold it, where that is where sessions are kept.
func (b *Sessions) Fit(s *session.State) (*session.State, error) {
	if b.Carrier == nil {
		return s, nil
	}
	limit := b.Carrier.StateCapacity()
	s, fits := s.FitLogin(limit)
	if !fits {
		return nil, &session.ConfigurationError{Message: fmt.Sprintf("WithCookies: a session with this user's claims is more than the %d bytes that %d Chunks hold; "+
			"allow more, ask for fewer claims, or keep sessions in a state store", limit, b.Rules.Attributes.Chunks)}
	}
	return s, nil
}

// carry gives the browser what it lacks of s.
func (b *Sessions) carry(w http.ResponseWriter, r *http.Request, id string, in cookie.Incoming, s *session.State, always bool, while func() bool) {
	if err := b.Carrier.WriteResponse(w, r, id, in, b.Rules.left(s, b.Env.Clock.Now(), true), always, while); err != nil {
		b.Env.Log.Error("a session is too large for cookies; this process alone has its newest state",
			zap.Stringer("session", b.Lookup.Key(id)), zap.Error(err))
	}
}

// Remove is for the answer to a logout of that session, which may be "". A login since has given the browser
// another one: that stays.
func (b *Sessions) Remove(w http.ResponseWriter, r *http.Request, id string) {
	key := b.Lookup.Key(id)
	while := func() bool {
		if _, replaced := b.Ended.Has(key); replaced {
			return false
		}
		e := b.Lookup.Directory.Lookup(id) // another process may have said so
		return e == nil || e.Snapshot().Phase != directory.Ended || e.Snapshot().Reason != session.ReasonReplaced
	}
	if b.Carrier != nil {
		b.Carrier.Drop(w, r, while)
		return
	}
	b.Rules.Attributes.Remove(w, r, b.cookieName(), while)
}

// Renew ends a call about a browser's session: the use of the session is noted where that was long ago. It takes no
// cookie away: when the answer arrives the browser may have another one by that name. Nor does it renew that of
// a session which has ended by the time the answer is written.
func (b *Sessions) Renew(ctx context.Context, id string, in Incoming, o store.Options) {
	r, w := o.Request, o.Response
	if r == nil || w == nil || !in.Opened || id == "" {
		return
	}
	now := b.Env.Clock.Now()
	due := !b.Rules.Fixed && now.Unix()-in.Cookie.Seen.Unix() >= int64(b.Rules.noted()/time.Second)
	e := b.Lookup.Directory.Lookup(id)
	if due && (e == nil || e.Snapshot().Phase == directory.Moved) {
		_, _ = b.Lookup.Look(ctx, id, o) // it has just gone to sleep: without a renewal it might lapse, used as it is
		e = b.Lookup.Directory.Lookup(id)
	}
	if e == nil {
		return
	}
	s := e.Snapshot()
	if s.Phase != directory.Ready || s.Ceiling.Reached(now) || s.State().Internal.Over(now) {
		return
	}
	lives := func() bool { return b.lives(id, e.Key, s.Incarnation) }
	switch {
	case b.Carrier != nil:
		b.carry(w, r, id, in.Cookie, s.State(), due, lives)
	case due:
		b.Write(w, r, id, s.State(), lives)
		b.touch(e.Key, s.State(), o)
	}
}

// lives reports whether that very session has not ended, as far as this process knows.
func (b *Sessions) lives(id string, key session.Key, of session.Incarnation) bool {
	if e := b.Lookup.Directory.Lookup(id); e != nil {
		switch now := e.Snapshot(); now.Phase {
		case directory.Ready:
			return now.Incarnation == of
		case directory.Ended, directory.Missing:
			return false
		case directory.Opening, directory.Failed, directory.Moved:
		}
	}
	ended, _ := b.Ended.Has(key) // out of memory, it may live
	return !ended
}

// touch has the store keep the record for as long as its session may now be unused. No caller waits
// for that: should it fail, the next one comes long before that time is over.
func (b *Sessions) touch(key session.Key, s *session.State, o store.Options) {
	toucher, ok := store.As[store.Toucher](b.Env.Store)
	if !ok || b.Lookup.Closed() {
		return
	}
	o = store.Options{Values: o.Values, Background: true}
	b.Env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, b.Env.Clock, b.Env.Rules.StoreTimeout)
		defer cancel()
		now := b.Env.Clock.Now()
		return toucher.Touch(ctx, key, store.TTL(now, s.Internal.Ceiling, b.Env.Rules.RememberEnded, b.Env.Life(s, now)), o)
	}, func(any) {})
}

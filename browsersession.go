package tokenward

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
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

// statelessSessions stands for the store that New makes.
type statelessSessions struct{ store.StateStore }

// WithStatelessSessions keeps sessions in the browser, in sealed cookies, in place of a
// state store. Read what cookie.States cannot promise, and prefer a store on the
// server where refresh tokens rotate or there are several processes. There is no
// back-channel logout.
func WithStatelessSessions() Option {
	return func(o *options) { o.states = statelessSessions{} }
}

// carrier is an ability of stores that keep sessions in the browser. Every call with
// HTTP begins with Bring and ends with Carry or Drop. See cookie.States.
type carrier interface {
	Bring(w http.ResponseWriter, r *http.Request) []cookie.Brought
	Carry(w http.ResponseWriter, r *http.Request, id string, b cookie.Brought, life time.Duration, always bool, while func() bool) error
	Drop(w http.ResponseWriter, r *http.Request, while func() bool)
	StateCapacity() int
}

var _ carrier = (*cookie.States)(nil)

// brought is what is known of the session cookie that a browser brought.
type brought struct {
	opened bool     // it is ours
	lapsed string   // the id of a session that was unused for too long: only an end may name it
	others []string // ids of sessions whose cookies came besides: an end names them too
	unread error    // why it is not known which of others counts
	seen   int64    // when the use of the session was noted last, seconds since the Unix epoch

	carried cookie.Brought // where there is a carrier
}

// ended returns the sessions that a login or a logout ends, that of the call first.
func (o StoreOptions) ended() []string {
	ids := o.brought().others
	if id := cmp.Or(o.id, o.brought().lapsed); id != "" {
		ids = slices.Insert(slices.Clone(ids), 0, id)
	}
	return ids
}

// sessionCookie is what the cookie holds, sealed.
type sessionCookie struct {
	ID   string `json:"id"`
	Seen int64  `json:"seen"`
}

func (c *Client) cookieName() string { return c.opts.cookies.attributes().Name(c.opts.sessionName) }

// readCookie returns the id of the browser's session, "" when it has none.
func (c *Client) readCookie(ctx context.Context, o store.Options) (id string, b brought) {
	found := c.openCookies(o.Response, o.Request)
	if len(found) == 0 {
		return "", brought{}
	}
	k, now := c.opts.cookies, c.clock.Now().Unix()
	lapsed := func(b cookie.Brought) bool {
		return !k.Fixed && now-b.Seen.Unix() >= int64(k.Inactivity/time.Second)
	}
	chosen := 0
	if len(found) > 1 {
		var err error
		if chosen, err = c.choose(ctx, found, lapsed, o); err != nil {
			b = brought{opened: true, unread: err}
			for _, f := range found {
				b.others = append(b.others, f.ID)
			}
			return "", b
		}
	}
	b = brought{opened: true, carried: found[chosen], seen: found[chosen].Seen.Unix()}
	for i, other := range found {
		if i != chosen {
			b.others = append(b.others, other.ID)
		}
	}
	if id = b.carried.ID; lapsed(b.carried) {
		id, b.lapsed = "", id
	}
	return id, b
}

// openCookies returns what the session cookies hold that open here: one for each session, and at most cookie.MaxValues.
func (c *Client) openCookies(w http.ResponseWriter, r *http.Request) (found []cookie.Brought) {
	if c.carrier != nil {
		return c.carrier.Bring(w, r)
	}
	name := c.cookieName()
	for _, value := range c.opts.cookies.attributes().Values(w, r, name) {
		plain, err := cookie.Open(c.sealer, name, value)
		var s sessionCookie
		if err != nil || json.Unmarshal(plain, &s) != nil || s.ID == "" {
			continue
		}
		b := cookie.Brought{ID: s.ID, Seen: time.Unix(s.Seen, 0)}
		if i := slices.IndexFunc(found, func(o cookie.Brought) bool { return o.ID == b.ID }); i < 0 {
			found = append(found, b)
		} else if b.Seen.After(found[i].Seen) {
			found[i] = b
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
func (c *Client) choose(ctx context.Context, found []cookie.Brought, lapsed func(cookie.Brought) bool, o store.Options) (int, error) {
	const none, remembered, living = 0, 1, 2
	var unread error
	best, rank, created := 0, -1, int64(0)
	for i, b := range found {
		now, began := none, int64(0)
		if !lapsed(b) {
			s, err := c.look(ctx, b.ID, o)
			switch {
			case err != nil:
				unread = cmp.Or(unread, err)
			case s.Phase == directory.Ready && !s.Ceiling.Reached(c.clock.Now()):
				now, began = living, s.State.Internal.CreatedAt
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

// reread has a session that is awake take in what the browser brought.
func (c *Client) reread(ctx context.Context, o StoreOptions) {
	if o.id == "" || c.callers.Dir.Lookup(o.id) == nil {
		return
	}
	call := directory.NewCall(ctx, o.options())
	_ = c.order(ctx, &messages.Reread{Key: c.key(o.id), Call: call}, call) // ctx has ended: so says whoever looks at it next
}

// writeCookie gives the browser the session with that id, if while, which may be nil, says so in the end.
func (c *Client) writeCookie(w http.ResponseWriter, r *http.Request, id string, s *session.State, while func() bool) {
	if c.carrier != nil {
		c.carry(w, r, id, cookie.Brought{}, s, true, while)
		return
	}
	now := c.clock.Now()
	plain, err := json.Marshal(sessionCookie{ID: id, Seen: now.Unix()})
	if err != nil {
		return // there is nothing in it that JSON cannot say
	}
	k, name := c.opts.cookies, c.cookieName()
	k.attributes().Set(w, r, name, cookie.Seal(c.sealer, name, plain), k.left(s, now, false), while)
}

// fitted returns the state of a login as far as its cookies hold it, where that is where sessions are kept.
func (c *Client) fitted(s *session.State) (*session.State, error) {
	if c.carrier == nil {
		return s, nil
	}
	limit := c.carrier.StateCapacity()
	s, fits := s.FitLogin(limit)
	if !fits {
		return nil, &ConfigurationError{Message: fmt.Sprintf("WithCookies: a session with this user's claims is more than the %d bytes that %d Chunks hold; "+
			"allow more, ask for fewer claims, or keep sessions in a state store", limit, c.opts.cookies.Chunks)}
	}
	return s, nil
}

// carry gives the browser what it lacks of s.
func (c *Client) carry(w http.ResponseWriter, r *http.Request, id string, b cookie.Brought, s *session.State, always bool, while func() bool) {
	if err := c.carrier.Carry(w, r, id, b, c.opts.cookies.left(s, c.clock.Now(), true), always, while); err != nil {
		c.log.Error("a session is too large for cookies; this process alone has its newest state",
			zap.Stringer("session", c.key(id)), zap.Error(err))
	}
}

// removeCookie is for the answer to a logout of that session, which may be "". A login since has given the browser
// another one: that stays.
func (c *Client) removeCookie(w http.ResponseWriter, r *http.Request, id string) {
	key := c.key(id)
	while := func() bool {
		if _, replaced := c.ended.has(key); replaced {
			return false
		}
		e := c.callers.Dir.Lookup(id) // another process may have said so
		return e == nil || e.Snapshot().Phase != directory.Ended || e.Snapshot().Reason != session.ReasonReplaced
	}
	if c.carrier != nil {
		c.carrier.Drop(w, r, while)
		return
	}
	c.opts.cookies.attributes().Remove(w, r, c.cookieName(), while)
}

// leave ends a call about a browser's session: the use of the session is noted where that was long ago. It takes no
// cookie away: when the answer arrives the browser may have another one by that name. Nor does it renew that of
// a session which has ended by the time the answer is written.
func (c *Client) leave(ctx context.Context, o StoreOptions) {
	r, w, b := o.options().Request, o.options().Response, o.brought()
	if r == nil || w == nil || !b.opened || o.id == "" {
		return
	}
	k, now := c.opts.cookies, c.clock.Now()
	due := !k.Fixed && now.Unix()-b.seen >= int64(k.noted()/time.Second)
	e := c.callers.Dir.Lookup(o.id)
	if due && (e == nil || e.Snapshot().Phase == directory.Moved) {
		_, _ = c.look(ctx, o.id, o.options()) // it has just gone to sleep: without a renewal it might lapse, used as it is
		e = c.callers.Dir.Lookup(o.id)
	}
	if e == nil {
		return
	}
	s, key := e.Snapshot(), e.Key
	if s.Phase != directory.Ready || s.Ceiling.Reached(now) || s.State.Internal.Over(now) {
		return
	}
	lives := func() bool {
		if e := c.callers.Dir.Lookup(o.id); e != nil {
			switch now := e.Snapshot(); now.Phase {
			case directory.Ready:
				return now.Incarnation == s.Incarnation
			case directory.Ended, directory.Missing:
				return false
			case directory.Opening, directory.Failed, directory.Moved:
			}
		}
		ended, _ := c.ended.has(key) // out of memory, it may live
		return !ended
	}
	switch {
	case c.carrier != nil:
		c.carry(w, r, o.id, b.carried, s.State, due, lives)
	case due:
		c.writeCookie(w, r, o.id, s.State, lives)
		c.touch(e.Key, s.State, o.options())
	}
}

// touch has the store keep the record for as long as its session may now be unused.
// Nobody waits for that: should it fail, the next one comes long before that time is over.
func (c *Client) touch(key session.Key, s *session.State, o store.Options) {
	toucher, ok := store.As[store.Toucher](c.opts.states)
	if !ok || c.callers.Closed() {
		return
	}
	o = store.Options{Values: o.Values, Background: true}
	c.runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, c.clock, c.opts.limits.StoreTimeout)
		defer cancel()
		now := c.clock.Now()
		return toucher.Touch(ctx, key, store.TTL(now, s.Internal.Ceiling, c.env.Life(s, now)), o)
	}, func(any) {})
}

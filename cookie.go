package tokenward

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

// Cookies say how browsers keep their sessions, and for how long. Fields that are
// zero have their defaults.
type Cookies struct {
	// Secure sends cookies over https only, and puts __Host- before their names (with a
	// Domain: __Secure-). Set it wherever browsers reach the server over https, also
	// where a proxy ends the TLS. Without it cookies are Secure only where the request
	// came over TLS.
	Secure bool

	// Domain shares the session with all hosts under it. The default is with none.
	Domain string

	// Inactivity is after how long unused a browser's session is over: 24 hours. The
	// use is noted about every twentieth of it.
	Inactivity time.Duration

	// Absolute is how long a browser's session lasts at most, counted from the login: 72
	// hours. It stands in the session: a change is for logins to come.
	Absolute time.Duration

	// Fixed gives sessions their absolute lifetime whether used or not.
	Fixed bool
}

// WithCookies says how browsers keep their sessions, and for how long. The
// defaults are those of the fields. The lifetimes are those of sessions that begin with
// HTTP, and are judged here, not by the browser. A ceiling that is earlier comes first.
func WithCookies(k Cookies) Option { return func(o *options) { o.cookies = k } }

func (k Cookies) orDefaults() Cookies {
	or(&k.Inactivity, 24*time.Hour)
	or(&k.Absolute, 72*time.Hour)
	return k
}

func (k Cookies) check() error {
	switch {
	case k.Inactivity < time.Second || k.Absolute < time.Second:
		return &ConfigurationError{Message: "WithCookies: Inactivity and Absolute must be a second or more"}
	case k.Domain != "" && (&http.Cookie{Name: "n", Domain: k.Domain}).Valid() != nil:
		return &ConfigurationError{Message: "WithCookies: Domain must be a domain name"}
	}
	return nil
}

func (k Cookies) attributes() cookie.Attributes {
	return cookie.Attributes{Secure: k.Secure, Domain: k.Domain}
}

// inactivity is after how long unused a session is over; 0 is never.
func (k Cookies) inactivity() time.Duration {
	if k.Fixed {
		return 0
	}
	return k.Inactivity
}

// noted is after how long the use of a session is noted again.
func (k Cookies) noted() time.Duration {
	return min(max(k.Inactivity/20, time.Minute), k.Inactivity/2)
}

// left is how long a browser has to keep the cookie of s if it is used now.
func (k Cookies) left(s *session.State, now time.Time) time.Duration {
	ends := s.Internal.EndsAt
	if ends == 0 {
		ends = s.Internal.CreatedAt + int64(k.Absolute/time.Second)
	}
	if c := s.Internal.Ceiling; c.Legal() {
		ends = min(ends, int64(c))
	}
	left := time.Duration(min(max(0, ends-now.Unix()), int64(k.Absolute/time.Second))) * time.Second
	if !k.Fixed {
		left = min(left, k.Inactivity)
	}
	return left
}

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
	Bring(w http.ResponseWriter, r *http.Request) cookie.Brought
	Carry(w http.ResponseWriter, r *http.Request, id string, b cookie.Brought, life time.Duration, always bool) error
	Drop(w http.ResponseWriter, r *http.Request)
}

var _ carrier = (*cookie.States)(nil)

// brought is what is known of the session cookie that a browser brought.
type brought struct {
	opened bool   // it is ours
	lapsed string // the id of a session that was unused for too long: only an end may name it
	seen   int64  // when the use of the session was noted last, seconds since the Unix epoch

	carried cookie.Brought // where there is a carrier
}

// sessionCookie is what the cookie holds, sealed.
type sessionCookie struct {
	ID   string `json:"id"`
	Seen int64  `json:"seen"`
}

func (c *Client) cookieName() string { return c.opts.cookies.attributes().Name(c.opts.sessionName) }

// readCookie returns the id of the browser's session, "" when it has none: the first that
// opens, should there be several cookies of the name.
func (c *Client) readCookie(w http.ResponseWriter, r *http.Request) (id string, b brought) {
	k := c.opts.cookies
	if c.carrier != nil {
		b.carried = c.carrier.Bring(w, r)
		id, b.seen = b.carried.ID, b.carried.Seen.Unix()
	} else {
		id, b.seen = c.openCookie(w, r)
	}
	b.opened = id != ""
	if idle := c.clock.Now().Unix() - b.seen; b.opened && !k.Fixed && idle >= int64(k.Inactivity/time.Second) {
		b.lapsed = id
		return "", b
	}
	return id, b
}

func (c *Client) openCookie(w http.ResponseWriter, r *http.Request) (id string, seen int64) {
	name := c.cookieName()
	for _, value := range c.opts.cookies.attributes().Values(w, r, name) {
		plain, err := cookie.Open(c.sealer, name, value)
		var s sessionCookie
		if err == nil && json.Unmarshal(plain, &s) == nil && s.ID != "" {
			return s.ID, s.Seen
		}
	}
	return "", 0
}

// reread has a session that is awake take in what the browser brought.
func (c *Client) reread(ctx context.Context, o StoreOptions) {
	if o.id == "" || c.callers.Dir.Lookup(o.id) == nil {
		return
	}
	call := messages.NewCall(ctx, o.options())
	_ = c.order(ctx, &messages.Reread{Key: c.key(o.id), Call: call}, call) // ctx has ended: so says whoever looks at it next
}

// writeCookie gives the browser the session with that id.
func (c *Client) writeCookie(w http.ResponseWriter, r *http.Request, id string, s *session.State) {
	if c.carrier != nil {
		c.carry(w, r, id, cookie.Brought{}, s, true)
		return
	}
	now := c.clock.Now()
	plain, err := json.Marshal(sessionCookie{ID: id, Seen: now.Unix()})
	if err != nil {
		return // there is nothing in it that JSON cannot say
	}
	k, name := c.opts.cookies, c.cookieName()
	k.attributes().Set(w, r, name, cookie.Seal(c.sealer, name, plain), k.left(s, now))
}

// carry gives the browser what it lacks of s.
func (c *Client) carry(w http.ResponseWriter, r *http.Request, id string, b cookie.Brought, s *session.State, always bool) {
	if err := c.carrier.Carry(w, r, id, b, c.opts.cookies.left(s, c.clock.Now()), always); err != nil {
		c.log.Error("a session is too large for cookies; this process alone has its newest state",
			zap.Stringer("session", c.key(id)), zap.Error(err))
	}
}

func (c *Client) removeCookie(w http.ResponseWriter, r *http.Request) {
	if c.carrier != nil {
		c.carrier.Drop(w, r)
		return
	}
	c.opts.cookies.attributes().Remove(w, r, c.cookieName())
}

// leave ends a call about a browser's session: a cookie with nothing behind it is taken
// away, and the use of the session is noted where that was long ago. A cookie that
// this process cannot read, or whose record it cannot read, stays as it is; and so it does
// while an expired session is remembered, for its connection tokens are.
func (c *Client) leave(o StoreOptions) {
	r, w, b := o.options().Request, o.options().Response, o.brought()
	if r == nil || w == nil || !b.opened {
		return
	}
	if b.lapsed != "" {
		c.removeCookie(w, r)
		return
	}
	e := c.callers.Dir.Lookup(o.id)
	if e == nil {
		return
	}
	now := c.clock.Now()
	switch s := e.Snapshot(); s.Phase {
	case messages.Ready:
		k := c.opts.cookies
		due := !k.Fixed && now.Unix()-b.seen >= int64(k.noted()/time.Second)
		switch {
		case s.Ceiling.Reached(now), s.State.Internal.Over(now):
		case c.carrier != nil:
			c.carry(w, r, o.id, b.carried, s.State, due)
		case due:
			c.writeCookie(w, r, o.id, s.State)
			c.touch(e.Key, s.State, o.options())
		}
	case messages.Missing:
		if s.Err == nil {
			c.removeCookie(w, r)
		}
	case messages.Ended:
		if s.Reason != session.ReasonCeiling {
			c.removeCookie(w, r)
		}
	case messages.Opening, messages.Failed, messages.Moved:
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
	c.runner.Run(messages.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, c.clock, c.opts.limits.StoreTimeout)
		defer cancel()
		now := c.clock.Now()
		return toucher.Touch(ctx, key, store.TTL(now, s.Internal.Ceiling, c.env.Life(s, now)), o)
	}, func(any) {})
}

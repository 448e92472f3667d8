package tokenward

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/tokenward/tokenward/internal/browser"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// StoreOptions name the session that a call is about, and travel to the stores. Make
// them with HTTP or SessionID; the zero value means the session that ContextWith
// put into the call's context. (A Handle is a session to call APIs with, a Session the data of one.)
type StoreOptions struct {
	id   string
	more *more // nil: none; never changed. A pointer, for hits pass this by value.
}

type more struct {
	options  store.Options
	incoming browser.Incoming // by the request, once it was read
	nameless bool             // no session, not even the context's
}

// HTTP is the session of a browser: r is read for it, and cookies are set on w when it
// begins or ends, and now and then while it is used. What a call has set on w counts
// for the next. w may be nil where nothing is to be set.
//
// It is for one goroutine, before the answer begins: a header is no place for several. Behind
// httpauth's Attach, Require and handlers, and wherever w is from store/cookie.Wrap (or leads to one by Unwrap), w may be
// used from any goroutine and at any time, for cookies are kept aside there until the answer begins. Zero
// StoreOptions, behind Attach or Require, may be used with a context that outlives the request.
func HTTP(w http.ResponseWriter, r *http.Request) StoreOptions {
	return StoreOptions{more: &more{options: store.Options{Request: r, Response: w}}}
}

// SessionID is the session with that id. A login with it makes exactly this id, and
// replaces an earlier session of it. An empty id names no session: calls that need one fail.
func SessionID(id string) StoreOptions {
	if id == "" {
		return StoreOptions{more: nameless}
	}
	return StoreOptions{id: id}
}

var nameless = &more{nameless: true}

// With returns o with values of the host's own, for its stores. They are read only.
func (o StoreOptions) With(values map[string]any) StoreOptions {
	m := more{options: o.options(), incoming: o.incoming(), nameless: o.more != nil && o.more.nameless}
	m.options.Values = values
	o.more = &m
	return o
}

// Format prints o without the session's id and what the host put in.
func (o StoreOptions) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tokenward.StoreOptions") }

func (o StoreOptions) options() store.Options {
	if o.more == nil {
		return store.Options{}
	}
	return o.more.options
}

func (o StoreOptions) values() map[string]any {
	if o.more == nil {
		return nil
	}
	return o.more.options.Values
}

func (o StoreOptions) incoming() browser.Incoming {
	if o.more == nil {
		return browser.Incoming{}
	}
	return o.more.incoming
}

// ended returns the sessions that a login or a logout ends, that of the call first.
func (o StoreOptions) ended() []string {
	ids := o.incoming().Others
	if id := cmp.Or(o.id, o.incoming().Lapsed); id != "" {
		ids = slices.Insert(slices.Clone(ids), 0, id)
	}
	return ids
}

type contextKey struct{}

// ContextWith returns a context for calls with zero StoreOptions.
func ContextWith(ctx context.Context, o StoreOptions) context.Context {
	return context.WithValue(ctx, contextKey{}, o)
}

// resolve returns o, or what the context has where o is zero, with the session id, which is
// empty when there is none.
func (c *Client) resolve(ctx context.Context, o StoreOptions) StoreOptions {
	if o.id != "" {
		return o // apart from the rest, which needs more stack than a new goroutine has
	}
	return c.find(ctx, o)
}

func (c *Client) find(ctx context.Context, o StoreOptions) StoreOptions {
	if o.options().Request == nil && (o.more == nil || !o.more.nameless) {
		if from, ok := ctx.Value(contextKey{}).(StoreOptions); ok {
			if values := o.options().Values; values != nil {
				from = from.With(values)
			}
			o = from
		}
	}
	if r := o.options().Request; o.id == "" && r != nil {
		m := more{options: o.options()}
		o.id, m.incoming = c.browser.Read(ctx, m.options)
		o.more = &m
		if m.incoming.Cookie.Newer {
			c.takeCookie(ctx, o)
		}
	}
	return o
}

// takeCookie has an active session read the state that the browser sent, which is newer.
func (c *Client) takeCookie(ctx context.Context, o StoreOptions) {
	if o.id == "" || c.lookup.Directory.Lookup(o.id) == nil {
		return
	}
	call := directory.NewCall(ctx, o.options())
	_ = c.lookup.Order(ctx, &messages.ReadRecord{Key: c.key(o.id), Call: call}, call) // ctx has ended: the next look at it says so
}

// renew ends a call about a session: the use of a browser's session is noted.
func (c *Client) renew(ctx context.Context, o StoreOptions) {
	if o.more != nil {
		c.browser.Renew(ctx, o.id, o.more.incoming, o.more.options)
	}
}

// currentFor returns the registration that a call about a session is for, where a resolver names it. The session comes first: where
// there is none, or it is of no domain, a resolver that fails does not matter. That it cannot be read
// is returned as as makes it.
func (c *Client) currentFor(ctx context.Context, o StoreOptions, as func(error) error) (session.RegistrationID, error) {
	if !c.lookup.Resolving {
		return session.RegistrationID{}, nil // every session is of the one there is
	}
	return c.resolved(ctx, o, as)
}

// resolved is currentFor where there is a resolver.
func (c *Client) resolved(ctx context.Context, o StoreOptions, as func(error) error) (session.RegistrationID, error) {
	t, err := c.tenant(ctx, o.options())
	if err == nil {
		return t.of, nil
	}
	s, unread := c.lookup.Look(ctx, o.id, o.options())
	switch {
	case unread != nil:
		return t.of, as(unread)
	case c.lookup.Foreign(s, t.of) == session.CodeMissingSessionDomain:
		return t.of, nil
	}
	return t.of, err
}

// noSession returns the error of a call without a session: missing, as kind makes it, where the browser has none, or why that is unknown; an
// InvalidArgumentError where the call names none.
func (c *Client) noSession(o StoreOptions, kind func(error) error, missing error) error {
	switch {
	case c.lookup.Closed():
		return kind(session.ErrClosed)
	case o.options().Request == nil:
		return &InvalidArgumentError{Argument: "session", Message: "the call names no session: give HTTP or SessionID, or a context of ContextWith, " +
			"which requests have behind httpauth's Attach and Require, and RPCs behind grpcauth's interceptors"}
	case o.incoming().Unread != nil:
		return kind(o.incoming().Unread)
	case missing == nil:
		return nil
	}
	return kind(missing)
}

// bounded refuses a value that is longer than users may make a session keep, and one that is not UTF-8, which a session cannot keep as
// it is. One that the Config has is never too long.
func (c *Client) bounded(name, value, other, otherValue string) error {
	for range 2 {
		if !utf8.ValidString(value) {
			return &InvalidArgumentError{Argument: name, Message: "is not UTF-8"}
		}
		if len(value) > c.opts.limits.ArgumentBytes && !c.configured(value) {
			return &InvalidArgumentError{Argument: name, Message: fmt.Sprintf("has %d bytes; WithLimits allows %d (ArgumentBytes)",
				len(value), c.opts.limits.ArgumentBytes)}
		}
		name, value = other, otherValue
	}
	return nil
}

// checkLogin refuses arguments of a login that the provider or the session could not take as they are.
func (c *Client) checkLogin(r LoginRequest) error {
	params := r.AuthorizationParams
	for name, value := range params {
		if !utf8.ValidString(name) {
			return &InvalidArgumentError{Argument: "parameter", Message: "a name among AuthorizationParams is not UTF-8"}
		}
		if !utf8.ValidString(value) {
			return &InvalidArgumentError{Argument: name, Message: "is not UTF-8"}
		}
	}
	if !utf8.ValidString(r.Organization) {
		return &InvalidArgumentError{Argument: "organization", Message: "is not UTF-8"}
	}
	if !utf8.ValidString(r.Invitation) {
		return &InvalidArgumentError{Argument: "invitation", Message: "is not UTF-8"}
	}
	return cmp.Or(c.bounded("audience", params["audience"], "scope", params["scope"]),
		c.bounded("connection", params["connection"], "login_hint", params["login_hint"]))
}

func (c *Client) configured(audience string) bool {
	_, listed := c.policy.ScopeFor[audience]
	return listed || audience == c.policy.Audience
}

func asItIs(err error) error { return err }

func (c *Client) key(id string) session.Key { return c.lookup.Key(id) }

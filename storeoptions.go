package tokenward

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// StoreOptions say whose session a call is about, and travel to the stores. Make
// them with HTTP or SessionID; the zero value means the session that ContextWith
// put into the call's context.
type StoreOptions struct {
	id   string
	more *more // nil: none; never changed. A pointer, for hits pass this by value.
}

type more struct {
	options store.Options
	brought brought // by the request, once it was read
}

// HTTP is the session of a browser: r is read for it, and w is written to when it
// begins or ends, and now and then while it is used. What a call has written to w counts
// for the next. So call before the header is sent; w may be nil where nothing is to be
// written. Neither is kept past the call.
func HTTP(w http.ResponseWriter, r *http.Request) StoreOptions {
	return StoreOptions{more: &more{options: store.Options{Request: r, Response: w}}}
}

// SessionID is the session with that id. A login with it makes exactly this id, and
// replaces what was there.
func SessionID(id string) StoreOptions { return StoreOptions{id: id} }

// With returns o with values of the host's own, for its stores. They are read only.
func (o StoreOptions) With(values map[string]any) StoreOptions {
	m := more{options: o.options(), brought: o.brought()}
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

func (o StoreOptions) brought() brought {
	if o.more == nil {
		return brought{}
	}
	return o.more.brought
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
	if o.options().Request == nil {
		if from, ok := ctx.Value(contextKey{}).(StoreOptions); ok {
			if values := o.options().Values; values != nil {
				from = from.With(values)
			}
			o = from
		}
	}
	if r := o.options().Request; o.id == "" && r != nil {
		m := more{options: o.options()}
		o.id, m.brought = c.readCookie(m.options.Response, r)
		o.more = &m
		if m.brought.carried.Newer {
			c.reread(ctx, o)
		}
	}
	return o
}

func (c *Client) key(id string) session.Key { return c.callers.Key(id) }

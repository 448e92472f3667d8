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
	more *store.Options // nil: none; never changed. A pointer, for hits pass this by value.
}

// HTTP is the session of a browser: r is read for it, and w is written to when it
// begins or ends. Neither is kept past the call.
func HTTP(w http.ResponseWriter, r *http.Request) StoreOptions {
	return StoreOptions{more: &store.Options{Request: r, Response: w}}
}

// SessionID is the session with that id. A login with it makes exactly this id, and
// replaces what was there.
func SessionID(id string) StoreOptions { return StoreOptions{id: id} }

// With returns o with values of the host's own, for its stores. They are read only.
func (o StoreOptions) With(values map[string]any) StoreOptions {
	more := o.options()
	more.Values = values
	o.more = &more
	return o
}

// Format prints o without the session's id and what the host put in.
func (o StoreOptions) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tokenward.StoreOptions") }

func (o StoreOptions) options() store.Options {
	if o.more == nil {
		return store.Options{}
	}
	return *o.more
}

type contextKey struct{}

// ContextWith returns a context for calls with zero StoreOptions.
func ContextWith(ctx context.Context, o StoreOptions) context.Context {
	return context.WithValue(ctx, contextKey{}, o)
}

// resolve returns o, or what the context has where o is zero, with the session id, which is
// empty when there is none.
func (c *Client) resolve(ctx context.Context, o StoreOptions) StoreOptions {
	if o.id == "" && o.options().Request == nil {
		if from, ok := ctx.Value(contextKey{}).(StoreOptions); ok {
			if values := o.options().Values; values != nil {
				from = from.With(values)
			}
			o = from
		}
	}
	if r := o.options().Request; o.id == "" && r != nil {
		o.id = c.readCookie(r)
	}
	return o
}

func (c *Client) key(id string) session.Key { return session.KeyOf(c.opts.sessionName, id) }

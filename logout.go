package tokenward

import (
	"context"
	"net/url"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// LogoutRequest says where a logout leads.
type LogoutRequest struct {
	ReturnTo string            // where the provider sends the browser afterwards; empty: it stays there
	Params   map[string]string // added to the logout URL, such as federated
}

// Logout ends the session, if there is one, and returns the URL that ends the
// user's session at the provider.
//
// When the store fails, the session has ended in this process all the same and its
// deletion is tried again; the error is returned, and no URL.
func (c *Client) Logout(ctx context.Context, r LogoutRequest, o StoreOptions) (string, error) {
	if c.closed.Load() {
		return "", session.ErrClosed
	}
	o = c.resolve(ctx, o)
	hint := ""
	if o.id != "" {
		hint = c.idTokenHint(ctx, o)
		call := messages.NewCall(ctx, o.options())
		c.send(&messages.EndSession{ID: o.id, Key: c.key(o.id), Why: session.ReasonLogout, Call: call})
		if err := c.finish(call); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", storeError(err)
		}
	}
	if req, w := o.options().Request, o.options().Response; req != nil && w != nil {
		c.removeCookie(w, req)
	}
	params := url.Values{}
	for k, v := range r.Params {
		params.Set(k, v)
	}
	return c.idp.LogoutURL(ctx, c.issuer, r.ReturnTo, idp.LogoutOptions{
		EndSession: c.opts.endSession, IDTokenHint: hint, Params: params,
	})
}

// idTokenHint reads the session's ID token while there is one, for a provider whose
// end_session_endpoint wants to know whose session to end.
func (c *Client) idTokenHint(ctx context.Context, o StoreOptions) string {
	if !c.opts.endSession {
		return ""
	}
	_, s, err := c.look(ctx, o.id, o.options(), nil)
	if err != nil || s.Phase != messages.Ready {
		return ""
	}
	return s.State.IDToken
}

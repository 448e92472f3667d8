package tokenward

import (
	"cmp"
	"context"
	"net/url"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/supervisor"
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
	if c.callers.Closed() {
		return "", session.ErrClosed
	}
	o = c.resolve(ctx, o)
	o.id = cmp.Or(o.id, o.brought().lapsed) // others may know its id
	issuer, err := c.current(ctx, o.options())
	if err != nil {
		return "", err
	}
	hint, ours, err := c.beforeLogout(ctx, o, issuer)
	if err != nil {
		return "", err
	}
	if o.id != "" && ours {
		call := messages.NewCall(ctx, o.options())
		end := &messages.EndSession{ID: o.id, Key: c.key(o.id), Why: session.ReasonLogout, Call: call}
		if err := c.order(ctx, end, call); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", supervisor.StoreError(err)
		}
	}
	if req, w := o.options().Request, o.options().Response; req != nil && w != nil && ours {
		c.removeCookie(w, req)
	}
	params := url.Values{}
	for k, v := range r.Params {
		params.Set(k, v)
	}
	return c.idp.LogoutURL(ctx, issuer, r.ReturnTo, idp.LogoutOptions{
		EndSession: c.opts.endSession, IDTokenHint: hint, Params: params,
	})
}

// beforeLogout reads of the session what is gone afterwards: the ID token for a
// provider whose end_session_endpoint wants to know whose session to end, and whether it
// is one of the current issuer. Where neither matters nothing is read.
func (c *Client) beforeLogout(ctx context.Context, o StoreOptions, issuer string) (hint string, ours bool, err error) {
	if o.id == "" || !c.opts.endSession && !c.opts.revoke && !c.resolving() {
		return "", true, nil
	}
	s, err := c.look(ctx, o.id, o.options())
	switch {
	case err != nil && c.resolving():
		return "", false, ofCaller(ctx, err)
	case err != nil || s.Phase != messages.Ready:
		return "", true, nil
	case c.callers.Foreign(s, issuer) != "":
		return "", false, nil
	}
	return s.State.IDToken, true, nil
}

package tokenward

import (
	"cmp"
	"context"
	"math"
	"net/url"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/logging"
	"github.com/tokenward/tokenward/internal/logins"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// LogoutRequest says where a logout leads.
type LogoutRequest struct {
	ReturnTo string            // where the provider sends the browser afterwards; empty: it stays there
	Params   map[string]string // added to the provider's logout URL, such as federated, or Cognito's logout_uri
}

// Logout ends the session, if the browser has one, and returns the URL that ends the
// user's session at the provider. At a provider that has none (an issuer URL whose metadata
// has no end_session_endpoint) that is r.ReturnTo itself, "" where it is empty: send the
// browser there, or anywhere. It fails with an *InvalidArgumentError where the call names no session.
//
// When the store fails, the session has ended in this process all the same and its
// deletion is tried again; the error is returned, and no URL. When the provider's metadata cannot be
// had, the session has ended: r.ReturnTo is returned, beside an *APIError of the code
// metadata_error. Send the browser there all the same.
func (c *Client) Logout(ctx context.Context, r LogoutRequest, o StoreOptions) (string, error) {
	return during(ctx, c, observe.Logout, func(ctx context.Context) (string, error) { return c.logOut(ctx, r, o) })
}

func (c *Client) logOut(ctx context.Context, r LogoutRequest, o StoreOptions) (string, error) {
	if c.lookup.Closed() {
		return "", session.ErrClosed
	}
	o = c.resolve(ctx, o)
	ids := o.ended() // of those that lapsed others may know the id
	if len(ids) == 0 {
		if err := c.noSession(o, asItIs, nil); err != nil {
			return "", err
		}
		ids = []string{""}
	}
	t, err := c.tenant(ctx, o.options())
	if err != nil {
		return "", err
	}
	endSession := c.usesEndSession(t)
	client, err := c.unauthenticated(t.of)
	if err != nil {
		return "", err
	}
	hint, issuer, err := c.logout(ctx, ids, t.of, endSession && !c.opts.provider.NoIDTokenHint, o.options())
	if err != nil {
		return "", err
	}
	params := url.Values{}
	for k, v := range r.Params {
		params.Set(k, v)
	}
	to, err := client.LogoutURL(ctx, issuer, r.ReturnTo, idp.LogoutOptions{
		EndSession: endSession, NoFallback: !t.domain, IDTokenHint: hint, Params: params,
	})
	if err != nil {
		c.log.Warn("a session has ended, but not at the provider, whose metadata cannot be had", logging.Of(ctx), zap.Error(err))
		return r.ReturnTo, err
	}
	return to, nil
}

// usesEndSession reports whether a logout leads to the end_session_endpoint where there is one.
func (c *Client) usesEndSession(t tenant) bool {
	return c.opts.provider.EndSession.or(!t.domain)
}

// logout ends sessions and takes the cookie of the first away, unless it is one of another registration. It returns the ID
// token of the first, and the issuer that it is of.
func (c *Client) logout(ctx context.Context, ids []string, current session.RegistrationID, hinted bool, o store.Options) (hint, issuer string, err error) {
	issuer = current.Issuer
	for i, id := range ids {
		idToken, of, ours, failed := c.beforeLogout(ctx, id, o, current, hinted)
		if failed == nil && ours && id != "" {
			c.browser.Ended.Add(c.key(id), session.ReasonLogout)
			call := directory.NewCall(ctx, o)
			end := &messages.EndSession{ID: id, Key: c.key(id), Why: session.ReasonLogout, Call: call}
			if failed = c.lookup.Order(ctx, end, call); failed != nil {
				failed = ofCaller(ctx, lookup.StoreError(failed))
			}
		}
		if err = cmp.Or(err, failed); i == 0 && failed == nil && ours {
			hint, issuer = idToken, of
			if o.Request != nil && o.Response != nil {
				c.browser.Remove(o.Response, o.Request, id)
			}
		}
	}
	return hint, issuer, err
}

// beforeLogout reads the parts of the session that are gone afterwards: the ID token for a
// provider whose end_session_endpoint wants to know whose session to end, its own issuer where the
// configured one is a template, whether it is one of the current registration, and whose it is, for the hook. Where none of them
// matters nothing is read.
func (c *Client) beforeLogout(ctx context.Context, id string, o store.Options, current session.RegistrationID, hinted bool) (hint, issuer string, ours bool, err error) {
	if id == "" || !hinted && !c.opts.revoke && !c.resolving() && c.opts.provider.Tenants == nil && c.opts.hooks.SessionEnded == nil {
		return "", current.Issuer, true, nil
	}
	s, err := c.lookup.Look(ctx, id, o)
	switch {
	case err != nil && c.resolving():
		return "", current.Issuer, false, ofCaller(ctx, err)
	case err != nil || s.Phase != directory.Ready:
		return "", current.Issuer, true, nil
	case c.lookup.Foreign(s, current) != "":
		return "", current.Issuer, false, nil
	}
	if hinted {
		hint = s.State().IDToken
	}
	if issuer = current.Issuer; c.opts.provider.Tenants != nil {
		issuer = c.ownerOf(s.State()).Issuer
	}
	return hint, issuer, true, nil
}

// HandleFrontchannelLogout ends the sessions of one session at the provider, sid, as a logout token with that sid does (OpenID
// Connect Front-Channel Logout 1.0): in all processes, those that are not in memory too, and a login of it that is under
// way in this process. Logins under way in others are not told: a stranger could leave any number of sids in the store. issuer and sid are the parameters iss and sid of the provider's request; both are required. That
// there are none is success. Nothing authenticates such a request but that it knows the sid. Nothing is asked of the
// provider.
//
// It fails with an *InvalidArgumentError where one is missing or longer than Limits.ArgumentBytes, or the issuer is not that
// of the call, with a *ConfigurationError when the state store cannot find sessions, with a *DomainResolverError, or the
// store's error.
func (c *Client) HandleFrontchannelLogout(ctx context.Context, issuer, sid string, o StoreOptions) error {
	_, err := during(ctx, c, observe.FrontchannelLogout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.frontchannelLogout(ctx, issuer, sid, o)
	})
	return err
}

func (c *Client) frontchannelLogout(ctx context.Context, issuer, sid string, o StoreOptions) error {
	switch {
	case c.lookup.Closed():
		return session.ErrClosed
	case issuer == "":
		return &InvalidArgumentError{Argument: "iss", Message: "a front-channel logout names the issuer"}
	case sid == "":
		return &InvalidArgumentError{Argument: "sid", Message: "a front-channel logout names the session; have the provider send it (frontchannel_logout_session_required)"}
	case max(len(issuer), len(sid)) > c.opts.limits.ArgumentBytes:
		return &InvalidArgumentError{Argument: "sid", Message: "iss or sid is longer than WithLimits allows (ArgumentBytes)"}
	}
	t, err := c.tenant(ctx, o.options())
	if err != nil {
		return err
	}
	if c.opts.provider.Tenants == nil && !session.SameIssuer(issuer, t.of.Issuer) { // else a session names the issuer of its tenant
		return &InvalidArgumentError{Argument: "iss", Message: "the front-channel logout is from another issuer"}
	}
	of, e := session.RegistrationID{Issuer: issuer}, ending{why: session.ReasonBackchannelLogout, issuer: issuer, sid: sid, until: math.MaxInt64}
	if c.registering() {
		of.ClientID, e.clientIDs = t.of.ClientID, []string{t.of.ClientID}
	}
	if _, err := c.index(); err != nil {
		return err
	}
	c.logins.Framed.Remember(c.clock.Now(), []session.RegistrationID{of}, logins.Ended{SID: sid, Until: math.MaxInt64})
	if _, err = c.endFound(ctx, e, o); err != nil {
		return err
	}
	c.removeEnded(c.resolve(ctx, o))
	return nil
}

// removeEnded takes away the cookie of a session that has ended, of a browser that has sent it.
func (c *Client) removeEnded(o StoreOptions) {
	if o.options().Request == nil || o.options().Response == nil {
		return
	}
	for _, id := range o.ended() {
		if known, replaced := c.browser.Ended.Has(c.key(id)); known && !replaced {
			c.browser.Remove(o.options().Response, o.options().Request, id)
			return
		}
	}
}

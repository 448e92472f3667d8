package tokenward

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// HandleBackchannelLogout ends the sessions that a logout token names (OpenID
// Connect Back-Channel Logout 1.0): those of its sid, and of its sub where it has
// both; of its sub alone, all of that user's that began before it. That there are none is
// success.
//
// It fails with a *BackchannelLogoutError when the token is refused, a
// *ConfigurationError when the state store cannot find sessions by what the token names, or
// the store's error: then the provider should send the token again. A token that was
// dealt with here within the last hour is success and ends nothing.
func (c *Client) HandleBackchannelLogout(ctx context.Context, logoutToken string, o StoreOptions) error {
	_, err := during(ctx, c, observe.BackchannelLogout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.backchannelLogout(ctx, logoutToken, o)
	})
	return err
}

func (c *Client) backchannelLogout(ctx context.Context, logoutToken string, o StoreOptions) error {
	if c.lookup.Closed() {
		return session.ErrClosed
	}
	index, ok := store.As[store.Index](c.opts.states)
	if !ok {
		return &ConfigurationError{Message: "WithStateStore: the state store has no index, so back-channel logout cannot find sessions; use one that implements store.Index"}
	}
	if blank(logoutToken) {
		return &BackchannelLogoutError{Message: "the logout token is missing"}
	}
	t, err := c.verifyLogout(ctx, logoutToken, o.options())
	if err != nil {
		return err
	}
	if c.logins.Logouts.Repeated(c.clock.Now(), t.owners(), t.LogoutToken) {
		return nil
	}
	c.logins.Logouts.Remember(c.clock.Now(), t.owners(), t.LogoutToken)
	values := c.sealer.LookupSub(t.issuer, t.Subject)
	if t.SID != "" {
		values = c.sealer.LookupSID(t.issuer, t.SID)
	}
	var refs []store.Ref
	if err := lookup.Attempt(ctx, c.env, func(ctx context.Context) (err error) {
		refs, err = index.Find(ctx, values, o.options())
		return err
	}); err != nil {
		return lookup.StoreError(err)
	}
	if err := inParallel(refs, func(r store.Ref) error { return c.endNamed(ctx, r.Key, t, o) }); err != nil {
		return err
	}
	c.logins.Logouts.Done(c.clock.Now(), t.owners(), t.LogoutToken)
	return nil
}

// logout is what a logout token says.
type logout struct {
	idp.LogoutToken
	issuer    string   // of the sessions that it ends: that of the tenant, where there are several
	clientIDs []string // of their applications
}

// verifyLogout checks a logout token. It is for applications of the current issuer: the current one, or any that the host
// has credentials for.
func (c *Client) verifyLogout(ctx context.Context, raw string, o store.Options) (logout, error) {
	t, err := c.tenant(ctx, o)
	if err != nil {
		return logout{}, err
	}
	client, err := c.unauthenticated(t.of)
	if err != nil {
		return logout{}, err
	}
	var known func(clientID string) error
	if c.registering() {
		known = func(clientID string) error {
			_, err := c.credentials(ctx, session.RegistrationID{Issuer: t.of.Issuer, ClientID: clientID})
			return err
		}
	}
	l := logout{issuer: t.of.Issuer}
	if l.LogoutToken, l.clientIDs, err = client.VerifyLogoutTokenFor(ctx, l.issuer, raw, known); err != nil {
		return logout{}, err
	}
	if c.opts.tenants != nil {
		l.issuer = l.Issuer
	}
	return l, nil
}

// inParallel does end for all of refs, and returns the first error.
func inParallel(refs []store.Ref, end func(store.Ref) error) error {
	var ends errgroup.Group
	ends.SetLimit(16)
	for _, r := range refs {
		ends.Go(func() error { return end(r) })
	}
	return ends.Wait()
}

// endNamed ends the session under key if it is one that t names: an index may
// be wrong. Of one that has reached its ceiling it ends the connection tokens that remain.
func (c *Client) endNamed(ctx context.Context, key session.Key, t logout, o StoreOptions) error {
	var s *session.State
	var incarnation session.Incarnation
	err := lookup.Attempt(ctx, c.env, func(ctx context.Context) (err error) {
		s, incarnation, err = c.env.LoadAny(ctx, key, o.options())
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnreadable):
		return nil
	case err != nil:
		return err
	case !session.SameIssuer(c.ownerOf(s).Issuer, t.issuer),
		!slices.Contains(t.clientIDs, c.ownerOf(s).ClientID),
		t.SID != "" && s.Internal.SID != t.SID,
		t.Subject != "" && s.User.Sub() != t.Subject,
		s.LoggedInAt() > endsUntil(t):
		return nil
	}
	return c.endRef(ctx, key, incarnation, o)
}

// endsUntil returns the last second at which the user may have signed in to a session that t
// ends. A token that names a user and no session ends the sessions that existed when it was made, by
// the provider's clock or almost: however often and wherever it is sent again, it ends
// nothing newer.
func endsUntil(t logout) int64 {
	if t.SID != "" {
		return math.MaxInt64
	}
	return t.IssuedAt + int64(session.CeilingLeeway/time.Second)
}

func (c *Client) endRef(ctx context.Context, key session.Key, incarnation session.Incarnation, o StoreOptions) error {
	call := directory.NewCall(ctx, o.options())
	c.browser.Ended.Add(key, session.ReasonBackchannelLogout)
	end := &messages.EndSession{Key: key, Only: incarnation, Why: session.ReasonBackchannelLogout, Call: call}
	if err := c.lookup.Order(ctx, end, call); err != nil {
		return lookup.StoreError(err)
	}
	return nil
}

// owners are the registrations that t is for.
func (t *logout) owners() []session.RegistrationID {
	owners := make([]session.RegistrationID, len(t.clientIDs))
	for i, id := range t.clientIDs {
		owners[i] = session.RegistrationID{Issuer: t.issuer, ClientID: id}
	}
	return owners
}

// issuedAt returns the iat of verified claims, in seconds.
func issuedAt(claims User) int64 {
	n, _ := claims["iat"].(json.Number)
	f, err := n.Float64()
	if err != nil || math.IsNaN(f) || f < 0 || f > 9_999_999_999 {
		return 0
	}
	return int64(f)
}

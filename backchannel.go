package tokenward

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/logins"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// HandleBackchannelLogout ends the sessions that a logout token names (OpenID
// Connect Back-Channel Logout 1.0): those of its sid, and of its sub where it has
// both; of its sub alone, all of that user's that began before it. That there are none is
// success. A login of them that is under way at that moment, in whichever process that shares the state store, is refused with a
// *SessionExpiredError; so is one that comes within two minutes and whose ID token is not younger.
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
	if _, err := c.index(); err != nil {
		return err
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
	if err := c.logins.End(ctx, t.owners(), logins.EndedBy(t.LogoutToken), o.options()); err != nil {
		return err
	}
	e := ending{why: session.ReasonBackchannelLogout, issuer: t.issuer, sid: t.SID, sub: t.Subject, until: endsUntil(t), clientIDs: t.clientIDs}
	if _, err := c.endFound(ctx, e, o); err != nil {
		return err
	}
	c.logins.Logouts.Done(c.clock.Now(), t.owners(), t.LogoutToken)
	return nil
}

// EndRequest names sessions that are to end.
type EndRequest struct {
	// Issuer is whose users are meant: an issuer URL, or a domain (see Config). Empty means the configured one, where all sessions are of one
	// issuer: not with a resolver, nor with ProviderConfig.Tenants.
	Issuer  string
	Subject string // sub of the user
	SID     string // sid of a session at the provider; empty: all sessions of the user

	// Email is an address of the user that the issuer has verified (email_verified), in any letter case. It finds the sessions
	// that were saved since this is indexed, and then whatever is found by the subs of their users. The remainder of a
	// session that has reached its ceiling (connection tokens) names no email, and is found by those subs alone. Beside SID it keeps out a
	// session in which the issuer has verified another address; one in which it has verified none ends.
	Email string

	// BeganBy is when the sessions have begun at the latest, by the issuer's clock: a session that began
	// more than 30 seconds later goes on, however often and late the request comes. The zero time is now.
	BeganBy time.Time
}

// EndSessions ends the sessions that r names (at least one of Subject, SID and Email; those of which all that is set is so), as a
// logout token does: in all processes, and those that are not in memory too. A login that r names and that is under way at that moment,
// in whichever process that shares the state store, is refused with a *SessionExpiredError if its ID token is of the second of r.BeganBy
// or before: ID tokens tell whole seconds, so this meets a login too that begins later in that second. EndSessions returns how many sessions
// there were; that there are none is success. It is for what says from outside that a user must not go on, such as package signals.
//
// The provider is not told: the user's session there goes on, and refresh tokens are not revoked, also with WithRevocation. So a
// browser that signs in again may be let in without a question; see [Client.AskStepUp] and StepUp for a sign-in that must be fresh.
//
// It fails with an *InvalidArgumentError where r names no user and no sid, or lacks an issuer that it needs, a *ConfigurationError where the
// state store cannot find sessions, or the store's error: then some of the sessions may have ended, and the call should come again.
func (c *Client) EndSessions(ctx context.Context, r EndRequest, o StoreOptions) (ended int, err error) {
	return during(ctx, c, observe.EndSessions, func(ctx context.Context) (int, error) { return c.endSessions(ctx, r, o) })
}

// endSessions ends what r names, and refuses logins under way whose ID token is not younger than that.
func (c *Client) endSessions(ctx context.Context, r EndRequest, o StoreOptions) (int, error) {
	e, by, err := c.named(r)
	if err != nil {
		return 0, err
	}
	return e.ofUsers(func(e ending) (int, error) {
		if err := c.endLogins(ctx, e, by, o); err != nil {
			return 0, err
		}
		return c.endFound(ctx, e, o)
	})
}

// named returns the sessions that r names, and the second by which they have begun.
func (c *Client) named(r EndRequest) (e ending, by int64, err error) {
	switch {
	case c.lookup.Closed():
		return e, 0, session.ErrClosed
	case r.Subject == "" && r.SID == "" && blank(r.Email):
		return e, 0, &InvalidArgumentError{Argument: "subject", Message: "name the user by sub or verified email, or the session by sid"}
	}
	issuer := strings.TrimSpace(r.Issuer)
	if issuer == "" && c.opts.provider.Tenants == nil {
		issuer = c.issuer
	}
	if issuer, err = issuerNamed(issuer); err != nil {
		return e, 0, err
	}
	if r.BeganBy.IsZero() {
		r.BeganBy = c.clock.Now()
	}
	by = r.BeganBy.Unix()
	return ending{
		why: session.ReasonAdministration, issuer: issuer, sid: r.SID, sub: r.Subject, email: session.NormalEmail(r.Email), until: by + leewayOfEnds,
		unsaid: r.SID != "",
	}, by, nil
}

// issuerNamed returns the issuer URL of what a call names as an issuer: such a URL, or a domain.
func issuerNamed(name string) (string, error) {
	if name == "" {
		return "", &InvalidArgumentError{Argument: "issuer", Message: "name the issuer whose users' sessions are meant"}
	}
	issuer := session.IssuerOf(name)
	if err := session.CheckIssuer(issuer); err != nil {
		return "", &InvalidArgumentError{Argument: "issuer", Message: "is no issuer URL and no domain"}
	}
	return issuer, nil
}

// ofUsers has do deal with the sessions that e names. Where it names an email address alone, their users' other sessions follow.
func (e ending) ofUsers(do func(e ending) (int, error)) (int, error) {
	if e.email == "" || e.sid != "" || e.sub != "" {
		return do(e)
	}
	var users sync.Map
	e.user = func(sub string) { users.Store(sub, true) }
	n, err := do(e)
	if err != nil {
		return n, err
	}
	users.Range(func(sub, _ any) bool {
		var more int
		more, err = do(ending{why: e.why, issuer: e.issuer, sub: sub.(string), until: e.until})
		n += more
		return err == nil
	})
	return n, err
}

// endLogins refuses logins under way that e names and whose ID token is not younger than by.
func (c *Client) endLogins(ctx context.Context, e ending, by int64, o StoreOptions) error {
	return c.logins.End(ctx, []session.RegistrationID{{Issuer: e.issuer}}, e.named(by), o.options())
}

// ending names sessions that are to end: those of which all is so that is not empty.
type ending struct {
	why             session.Reason
	issuer          string
	sid, sub, email string
	unsaid          bool             // email is that of a session that names no verified one, too
	until           int64            // the last second at which the user may have signed in
	clientIDs       []string         // of the applications whose sessions end; nil: of all
	user            func(sub string) // is told whose sessions ended, by several goroutines at once; nil: no need
}

// names reports whether s is one of them.
func (e *ending) names(c *Client, s *session.State) bool {
	of := c.ownerOf(s)
	return session.SameIssuer(of.Issuer, e.issuer) &&
		(e.clientIDs == nil || slices.Contains(e.clientIDs, of.ClientID)) &&
		(e.sid == "" || s.Internal.SID == e.sid) &&
		(e.sub == "" || s.User.Sub() == e.sub) &&
		(e.email == "" || e.hasEmail(session.NormalEmail(s.User.VerifiedEmail()))) &&
		s.LoggedInAt() <= e.until
}

// hasEmail reports whether e names a session in which that address was verified, or none.
func (e *ending) hasEmail(verified string) bool {
	return verified == e.email || e.unsaid && verified == ""
}

// named returns e for logins under way, of which ID tokens of until by are meant.
func (e *ending) named(by int64) logins.Ended {
	return logins.Ended{SID: e.sid, Subject: e.sub, Email: e.email, Until: by}
}

// values returns the index values that find the fewest of which e may name some.
func (e *ending) values(s *store.Sealer) []store.IndexValue { return e.named(0).Values(s, e.issuer) }

const leewayOfEnds = int64(session.CeilingLeeway / time.Second)

// indexed returns the sessions that the store's index has for e. It may be wrong.
func (c *Client) indexed(ctx context.Context, e ending, o StoreOptions) (refs []store.Ref, err error) {
	index, err := c.index()
	if err != nil {
		return nil, err
	}
	if err := lookup.Attempt(ctx, c.env, func(ctx context.Context) (err error) {
		refs, err = index.Find(ctx, e.values(c.sealer), o.options())
		return err
	}); err != nil {
		return nil, lookup.StoreError(err)
	}
	return refs, nil
}

// endFound ends the sessions that the store's index finds for e, and returns how many.
func (c *Client) endFound(ctx context.Context, e ending, o StoreOptions) (int, error) {
	refs, err := c.indexed(ctx, e, o)
	if err != nil {
		return 0, err
	}
	if lister, ok := store.As[store.Lister](c.opts.states); ok && len(refs) > endPage {
		w := &walk{c: c, lister: lister, who: e, values: e.values(c.sealer)}
		return w.end(ctx, o)
	}
	return inParallel(refs, func(r store.Ref) (bool, error) { return c.endNamed(ctx, r.Key, e, o) })
}

// index returns the state store's index.
func (c *Client) index() (store.Index, error) {
	index, ok := store.As[store.Index](c.opts.states)
	if !ok {
		return nil, &ConfigurationError{Message: "WithStateStore: the state store has no index, so sessions cannot be found to be ended from outside, " +
			"as by a back-channel logout; use one that implements store.Index"}
	}
	return index, nil
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
	if c.opts.provider.Tenants != nil {
		l.issuer = l.Issuer
	}
	return l, nil
}

// inParallel does end for all of them, also after an error, of which it returns the first. It returns how many ended.
func inParallel[T any](all []T, end func(T) (bool, error)) (int, error) {
	var ends errgroup.Group
	ends.SetLimit(16)
	var ended atomic.Int64
	for _, one := range all {
		ends.Go(func() error {
			was, err := end(one)
			if was && err == nil {
				ended.Add(1)
			}
			return err
		})
	}
	err := ends.Wait()
	return int(ended.Load()), err
}

// endNamed ends the session under key if it is one that e names: an index may be wrong. It reports whether it is. Of one that
// has reached its ceiling it ends the connection tokens that remain.
func (c *Client) endNamed(ctx context.Context, key session.Key, e ending, o StoreOptions) (named bool, err error) {
	s, incarnation, err := c.readNamed(ctx, key, e, c.env.LoadAny, o)
	if s == nil || err != nil {
		return false, err
	}
	if err := c.endInStore(ctx, store.Ref{Key: key, Incarnation: incarnation}, e.why, false, c.namedAtEnd(s), o); err != nil {
		return true, err
	}
	if e.user != nil {
		e.user(s.User.Sub())
	}
	return true, nil
}

// readNamed returns the session under key as load reads it, nil where it is none that e names, or cannot be read.
func (c *Client) readNamed(ctx context.Context, key session.Key, e ending,
	load func(context.Context, session.Key, store.Options) (*session.State, session.Incarnation, error), o StoreOptions,
) (s *session.State, in session.Incarnation, err error) {
	err = lookup.Attempt(ctx, c.env, func(ctx context.Context) (err error) {
		s, in, err = load(ctx, key, o.options())
		return err
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnreadable) || err == nil && !e.names(c, s) {
		return nil, in, nil
	}
	return s, in, err
}

// endsUntil returns the last second at which the user may have signed in to a session that t
// ends. A token that names a user and no session ends the sessions that existed when it was made, by
// the provider's clock or almost: however often and wherever it is sent again, it ends
// nothing newer.
func endsUntil(t logout) int64 {
	if t.SID != "" {
		return math.MaxInt64
	}
	return t.IssuedAt + leewayOfEnds
}

// namedAtEnd returns whose session s is, for the hook that is told of its end; nil where there is none, and where s is what
// remains of a session that has ended before.
func (c *Client) namedAtEnd(s *session.State) *session.State {
	if c.opts.hooks.SessionEnded == nil || s.IDToken == "" && s.RefreshToken == "" && len(s.TokenSets) == 0 {
		return nil
	}
	return s.Named()
}

// endInStore ends one incarnation of a session, or any where that is zero, in every process. With written, the store has the end already.
// Whose session it is may be nil.
func (c *Client) endInStore(ctx context.Context, r store.Ref, why session.Reason, written bool, named *session.State, o StoreOptions) error {
	call := directory.NewCall(ctx, o.options())
	c.browser.Ended.Add(r.Key, why)
	end := &messages.EndSession{Key: r.Key, Only: r.Incarnation, Why: why, InStore: written, Named: named, Call: call}
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

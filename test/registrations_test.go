package test_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// Applications of the estate: red and blue at one issuer, green at another that spells its issuer without a slash,
// where it happens to have the client id of red.
const (
	red   = "red"
	blue  = "blue"
	green = "green"

	panics = "panics" // at this one the resolver does
)

// estate is one server for the tenants red, blue and green.
type estate struct {
	t         *testing.T
	clock     *clock.Fake
	providers map[string]*idptest.Tenant // by the host of the issuer
	apps      map[string]tokenward.Registration
	secrets   map[string]tokenward.Credentials // by issuer and client id
	asked     atomic.Int64                     // for credentials
	noRequest atomic.Bool                      // the resolver has nothing to tell by
	store     durable
	client    *tokenward.Client
}

// RoundTrip implements http.RoundTripper.
func (e *estate) RoundTrip(r *http.Request) (*http.Response, error) {
	return e.providers[r.URL.Hostname()].Transport().RoundTrip(r)
}

func (e *estate) resolve(_ context.Context, o store.Options) (tokenward.Registration, error) {
	if o.Values["app"] == panics {
		panic("canary")
	}
	app, ok := e.apps[fmt.Sprint(o.Values["app"])]
	if !ok || e.noRequest.Load() {
		return tokenward.Registration{}, errors.New("no application")
	}
	return app, nil
}

func (e *estate) credentials(_ context.Context, issuer, clientID string) (tokenward.Credentials, error) {
	e.asked.Add(1)
	c, ok := e.secrets[issuer+" "+clientID]
	if !ok {
		return c, errors.New("unknown application")
	}
	return c, nil
}

func newEstate(t *testing.T, opts ...tokenward.Option) *estate {
	t.Helper()
	e := &estate{t: t, clock: clock.NewFake(t0), providers: map[string]*idptest.Tenant{}}
	e.store = newDurable(e.clock)
	for host, o := range map[string][]idptest.Option{
		"one.example": {idptest.WithIssuer("https://one.example/"), idptest.WithClient("red-id", "red secret"), idptest.WithClient("blue-id", "blue secret")},
		"two.example": {idptest.WithIssuer("https://two.example"), idptest.WithClient("red-id", "green secret")},
	} {
		e.providers[host] = idptest.NewTenant(t, append(o, idptest.InProcess(), idptest.WithClock(e.clock), idptest.WithConnectionTokenLife(10*time.Hour))...)
	}
	e.apps = map[string]tokenward.Registration{
		red:   {Issuer: "https://one.example/", ClientID: "red-id", RedirectURI: "http://127.0.0.1/red/callback"},
		blue:  {Issuer: "https://one.example/", ClientID: "blue-id", RedirectURI: "http://127.0.0.1/blue/callback"},
		green: {Issuer: "https://two.example", ClientID: "red-id", RedirectURI: "http://127.0.0.1/green/callback"},
	}
	e.secrets = map[string]tokenward.Credentials{
		"https://one.example/ red-id":  {ClientSecret: "red secret"},
		"https://one.example/ blue-id": {ClientSecret: "blue secret"},
		"https://two.example red-id":   {ClientSecret: "green secret", Auth: tokenward.ClientSecretPost},
	}
	e.start(opts...)
	t.Cleanup(e.stop)
	return e
}

func (e *estate) config() tokenward.Config {
	return tokenward.Config{RegistrationResolver: e.resolve, Credentials: e.credentials, Secrets: []string{secret}}
}

// start begins a process. What stop left in the store is there.
func (e *estate) start(opts ...tokenward.Option) {
	e.t.Helper()
	e.startWith(e.config(), opts...)
}

func (e *estate) startWith(cfg tokenward.Config, opts ...tokenward.Option) {
	e.t.Helper()
	var err error
	if e.client, err = tokenward.New(cfg, append([]tokenward.Option{
		tokenward.WithClock(e.clock), tokenward.WithHTTPClient(&http.Client{Transport: e}), tokenward.WithStateStore(e.store),
		tokenward.WithLogger(zap.NewNop()),
	}, opts...)...); err != nil {
		e.t.Fatal(err)
	}
}

func (e *estate) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.client.Close(ctx); err != nil {
		e.t.Errorf("Close: %v", err)
	}
}

// crash ends the process as it is.
func (e *estate) crash() {
	e.t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.client.Close(now); err == nil {
		e.t.Error("nothing was cut off")
	}
}

func (e *estate) settle() {
	e.t.Helper()
	if err := e.client.Settle(e.t.Context()); err != nil {
		e.t.Fatalf("settle: %v", err)
	}
}

func (e *estate) provider(app string) *idptest.Tenant {
	u, _ := url.Parse(e.apps[app].Issuer)
	return e.providers[u.Host]
}

// of makes o a call for an application.
func of(app string, o tokenward.StoreOptions) tokenward.StoreOptions {
	return o.With(map[string]any{"app": app})
}

func sessionOf(app, id string) tokenward.StoreOptions { return of(app, tokenward.SessionID(id)) }

// begin begins a login and returns where the browser is sent, and what comes back.
func (e *estate) begin(app string, claims ...idptest.Claims) (to *url.URL, back string) {
	e.t.Helper()
	at, err := e.client.StartInteractiveLogin(e.t.Context(), tokenward.LoginRequest{}, of(app, tokenward.StoreOptions{}))
	if err != nil {
		e.t.Fatalf("%s: start: %v", app, err)
	}
	if to, err = url.Parse(at); err != nil {
		e.t.Fatal(err)
	}
	if back, err = e.provider(app).Authorize(at, claims...); err != nil {
		e.t.Fatal(err)
	}
	return to, back
}

func (e *estate) signIn(app string, claims ...idptest.Claims) *tokenward.LoginResult {
	e.t.Helper()
	_, back := e.begin(app, claims...)
	res, err := e.client.CompleteInteractiveLogin(e.t.Context(), back, of(app, tokenward.StoreOptions{}))
	if err != nil {
		e.t.Fatalf("%s: login: %v", app, err)
	}
	return res
}

// wantRequest fails unless the last request of a kind was authenticated as the application's.
func (e *estate) wantRequest(app string, k idptest.Kind) {
	e.t.Helper()
	p, r := e.provider(app), e.apps[app]
	method := idptest.AuthBasic
	if app == green {
		method = idptest.AuthPost
	}
	if got := p.LastForm(k).Get("client_id"); got != r.ClientID || p.LastAuth(k) != method {
		e.t.Errorf("%s: the last %s was of client %q by %s, want %q by %s", app, k, got, p.LastAuth(k), r.ClientID, method)
	}
}

func (e *estate) user(app, id string) tokenward.User {
	e.t.Helper()
	u, err := e.client.GetUser(e.t.Context(), sessionOf(app, id))
	if err != nil {
		e.t.Errorf("%s: GetUser: %v", app, err)
	}
	return u
}

// One server, three registrations: each login, refresh and connection exchange is of its own application.
func TestRegistrations_eachAsItsOwnApplication(t *testing.T) {
	e := newEstate(t)
	ids := map[string]string{}
	for app, r := range e.apps {
		to, back := e.begin(app)
		if q := to.Query(); q.Get("client_id") != r.ClientID || q.Get("redirect_uri") != r.RedirectURI || !strings.HasPrefix(to.String(), r.Issuer) {
			t.Errorf("%s: login at %s", app, to)
		}
		res, err := e.client.CompleteInteractiveLogin(t.Context(), back, of(app, tokenward.StoreOptions{}))
		if err != nil {
			t.Fatalf("%s: %v", app, err)
		}
		e.wantRequest(app, idptest.CodeExchange)
		if got := e.provider(app).LastForm(idptest.CodeExchange).Get("redirect_uri"); got != r.RedirectURI {
			t.Errorf("%s: the code was sent with redirect_uri %q", app, got)
		}
		ids[app] = res.SessionID
	}
	for host, p := range e.providers {
		if n, keys := p.Requests(idptest.Discovery), p.Requests(idptest.JWKS); n != 1 || keys != 1 {
			t.Errorf("requests for metadata and keys at %s = %d, %d, want one for all applications", host, n, keys)
		}
	}
	e.clock.Advance(idptest.TokenLife)
	for app, id := range ids {
		first, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(app, id))
		if err != nil {
			t.Errorf("%s: %v", app, err)
		}
		e.wantRequest(app, idptest.Refresh)
		if again, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(app, id)); err != nil || again != first {
			t.Errorf("%s: asked again: %v, %v", app, again, err)
		}
		if _, err := e.client.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: google}, sessionOf(app, id)); err != nil {
			t.Errorf("%s: connection: %v", app, err)
		}
		e.wantRequest(app, idptest.ConnectionExchange)
	}
}

// A session is of its issuer and its client id: for another registration there is none, at the same issuer too.
func TestRegistrations_aSessionBelongsToItsRegistration(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	id := e.signIn(red).SessionID
	e.clock.Advance(idptest.TokenLife)
	for _, app := range []string{blue, green} {
		o := sessionOf(app, id)
		if u, err := e.client.GetUser(ctx, o); u != nil || err != nil {
			t.Errorf("%s: GetUser = %v, %v, want none", app, u, err)
		}
		if s, err := e.client.GetSession(ctx, o); s != nil || err != nil {
			t.Errorf("%s: GetSession = %v, %v, want none", app, s, err)
		}
		_, err := e.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o)
		wantError[*tokenward.AccessTokenError](t, app, err, "domain_mismatch")
		_, err = e.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: google}, o)
		wantError[*tokenward.AccessTokenForConnectionError](t, app, err, "domain_mismatch")
		to, err := e.client.Logout(ctx, tokenward.LogoutRequest{ReturnTo: goodbye}, o)
		u, _ := url.Parse(to)
		if err != nil || u.Query().Get("client_id") != e.apps[app].ClientID || u.Query().Has("id_token_hint") || !strings.HasPrefix(to, e.apps[app].Issuer) {
			t.Errorf("%s: Logout = %s, %v, want that application's URL, without a hint", app, to, err)
		}
	}
	if u := e.user(red, id); u.Sub() != idptest.Subject {
		t.Errorf("afterwards its own user is %v", u)
	}
	s, err := e.client.GetSession(ctx, sessionOf(red, id))
	if err != nil {
		t.Fatal(err)
	}
	to, err := e.client.Logout(ctx, tokenward.LogoutRequest{ReturnTo: goodbye}, sessionOf(red, id))
	u, _ := url.Parse(to)
	if err != nil || u.Query().Get("client_id") != "red-id" || u.Query().Get("id_token_hint") != s.IDToken {
		t.Errorf("its own logout: %s, %v", to, err)
	}
	if u := e.user(red, id); u != nil {
		t.Errorf("after the logout: %v", u)
	}
}

// Without any request: what a crash cut off is presented by the application whose session it is, after a restart too.
func TestRegistrations_crashIsRecoveredWithoutARequest(t *testing.T) {
	for _, app := range []string{red, blue, green} {
		t.Run(app, func(t *testing.T) {
			e := newEstate(t)
			p := e.provider(app)
			p.Set(idptest.WithOverlap(time.Hour))
			id := e.signIn(app).SessionID
			e.clock.Advance(idptest.TokenLife)
			hold := p.Hold(idptest.Refresh, idptest.AfterGrant)
			asked := make(chan error, 1)
			client := e.client
			go func() {
				_, err := client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, sessionOf(app, id))
				asked <- err
			}()
			if err := hold.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			e.crash()
			if err := <-asked; err == nil {
				t.Error("the caller of a process that has ended got a token")
			}
			hold.Release()

			p.Reset()
			e.noRequest.Store(true)
			e.start()
			if err := p.WaitRequests(t.Context(), idptest.Refresh, 1); err != nil {
				t.Fatal(err)
			}
			e.settle()
			e.wantRequest(app, idptest.Refresh)
			e.noRequest.Store(false)
			if _, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(app, id)); err != nil {
				t.Errorf("after the recovery: %v", err)
			}
			if n := p.Refreshes(); n != 1 {
				t.Errorf("refreshes = %d, want the one of the recovery", n)
			}
		})
	}
}

// A logout's revocation goes on without its request, by the credentials of the session's application.
func TestRegistrations_revocation(t *testing.T) {
	for _, app := range []string{red, blue, green} {
		e := newEstate(t, tokenward.WithRevocation())
		id := e.signIn(app).SessionID
		if _, err := e.client.Logout(t.Context(), tokenward.LogoutRequest{}, sessionOf(app, id)); err != nil {
			t.Fatal(err)
		}
		if err := e.provider(app).WaitRequests(t.Context(), idptest.Revocation, 1); err != nil {
			t.Fatal(err)
		}
		e.stop() // the provider has answered
		e.wantRequest(app, idptest.Revocation)
		if e.provider(app).FamilyAlive(idptest.Subject) {
			t.Errorf("%s: the refresh token was not revoked", app)
		}
	}
}

// logoutToken is one for the user of an application.
func (e *estate) logoutToken(app, sub, sid string) string {
	return e.provider(app).LogoutToken(sub, sid, func(d *idptest.Draft) { d.Claims["aud"] = e.apps[app].ClientID })
}

// A logout token ends sessions of the applications of its aud, whichever registration its request is for.
func TestRegistrations_backchannelLogout(t *testing.T) {
	e := newEstate(t)
	ids := map[string]string{}
	for app := range e.apps {
		ids[app] = e.signIn(app).SessionID
	}
	e.stop()
	e.start()
	if err := e.client.HandleBackchannelLogout(t.Context(), e.logoutToken(blue, idptest.Subject, ""), of(red, tokenward.StoreOptions{})); err != nil {
		t.Fatal(err)
	}
	for app, id := range ids {
		if u := e.user(app, id); (u == nil) != (app == blue) {
			t.Errorf("%s: the user is %v after blue's logout", app, u)
		}
	}
	e.signIn(red) // the user of that sub may still sign in to another application

	stranger := e.provider(red).LogoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["aud"] = "of another host" })
	err := e.client.HandleBackchannelLogout(t.Context(), stranger, of(red, tokenward.StoreOptions{}))
	wantError[*tokenward.BackchannelLogoutError](t, "an application that is none of ours", err, "backchannel_logout_error")
	err = e.client.HandleBackchannelLogout(t.Context(), e.logoutToken(green, idptest.Subject, ""), of(red, tokenward.StoreOptions{}))
	wantError[*tokenward.BackchannelLogoutError](t, "the client id at another issuer", err, "backchannel_logout_error")

	e.clock.Advance(time.Second)
	several := e.provider(red).LogoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["aud"] = []string{"x", "blue-id", "red-id"} })
	again := e.signIn(blue).SessionID
	if err := e.client.HandleBackchannelLogout(t.Context(), several, of(blue, tokenward.StoreOptions{})); err != nil {
		t.Fatal(err)
	}
	if u, v := e.user(red, ids[red]), e.user(blue, again); u != nil || v != nil {
		t.Errorf("after a token for both: %v, %v", u, v)
	}
	if u := e.user(green, ids[green]); u == nil {
		t.Error("green's session has ended too")
	}
}

// A logout token that comes while a login is on its way refuses the login of its application only.
func TestRegistrations_backchannelLogoutBeforeTheLogin(t *testing.T) {
	e := newEstate(t)
	sid := idptest.Claims{"sid": "shared"}
	_, backRed := e.begin(red, sid)
	_, backBlue := e.begin(blue, sid)
	for _, token := range []string{e.logoutToken(blue, "", "shared"), e.logoutToken(blue, idptest.Subject, "")} {
		if err := e.client.HandleBackchannelLogout(t.Context(), token, of(blue, tokenward.StoreOptions{})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.client.CompleteInteractiveLogin(t.Context(), backRed, of(red, tokenward.StoreOptions{})); err != nil {
		t.Errorf("red: %v", err)
	}
	_, err := e.client.CompleteInteractiveLogin(t.Context(), backBlue, of(blue, tokenward.StoreOptions{}))
	wantError[*tokenward.SessionExpiredError](t, "blue", err, "session_expired")
}

// What a ceiling leaves is of the session's application too.
func TestRegistrations_whatACeilingLeft(t *testing.T) {
	e := newEstate(t)
	ids := map[string]string{}
	q := tokenward.ConnectionRequest{Connection: google}
	for _, app := range []string{red, blue} {
		ids[app] = e.signIn(app, until(time.Hour), idptest.Claims{"sid": "shared"}).SessionID
		if _, err := e.client.GetAccessTokenForConnection(t.Context(), q, sessionOf(app, ids[app])); err != nil {
			t.Fatal(err)
		}
	}
	for range 3600 { // a second at a time, or the deletions may be too late for their deadline
		e.clock.Advance(time.Second)
		e.settle()
	}
	_, err := e.client.GetAccessTokenForConnection(t.Context(), q, sessionOf(blue, ids[red]))
	wantError[*tokenward.AccessTokenForConnectionError](t, "red's for blue", err, "domain_mismatch")
	if err := e.client.HandleBackchannelLogout(t.Context(), e.logoutToken(blue, "", "shared"), of(blue, tokenward.StoreOptions{})); err != nil {
		t.Fatal(err)
	}
	if _, err := e.client.GetAccessTokenForConnection(t.Context(), q, sessionOf(red, ids[red])); err != nil {
		t.Errorf("red's after blue's logout: %v", err)
	}
	if _, err := e.client.GetAccessTokenForConnection(t.Context(), q, sessionOf(blue, ids[blue])); tokenward.CodeOf(err) != "missing_session_domain" {
		t.Errorf("blue's after blue's logout: %v, want none", err)
	}
}

// A callback must be for the registration of its login. Nothing is sent otherwise, and the login is over.
func TestRegistrations_callbackForAnotherRegistration(t *testing.T) {
	e := newEstate(t)
	e.provider(red).Set(idptest.WithResponseIssuer())
	for _, app := range []string{blue, green} {
		_, back := e.begin(red)
		_, err := e.client.CompleteInteractiveLogin(t.Context(), back, of(app, tokenward.StoreOptions{}))
		if refused := asError[*tokenward.IssuerValidationError](t, app, err, "issuer_validation_error"); refused != nil && !refused.Callback {
			t.Errorf("%s: not of the callback: %v", app, err)
		}
		_, err = e.client.CompleteInteractiveLogin(t.Context(), back, of(red, tokenward.StoreOptions{}))
		wantError[*tokenward.MissingTransactionError](t, app, err, "missing_transaction_error")
	}
	if n := e.provider(red).Requests(idptest.CodeExchange) + e.provider(green).Requests(idptest.CodeExchange); n != 0 {
		t.Errorf("codes sent = %d, want 0", n)
	}
	// A resolver that cannot tell by the callback says so; iss and a redirect URI of one's own say the issuer.
	_, back := e.begin(red)
	if _, err := e.client.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{}); err != nil {
		t.Errorf("iss: %v", err)
	}
	e.wantRequest(red, idptest.CodeExchange)
	_, back = e.begin(green)
	if _, err := e.client.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{}); err != nil {
		t.Errorf("a redirect URI of its own: %v", err)
	}
}

// Where the resolver fails or panics, and nothing else says whose callback it is, the error is the resolver's, no code is sent, and the
// callback is good once the resolver answers again.
func TestRegistrations_theResolverFailsAtACallback(t *testing.T) {
	e := newEstate(t)
	shared := e.apps[green]
	shared.RedirectURI = e.apps[blue].RedirectURI
	e.apps[green] = shared
	e.begin(blue)
	_, back := e.begin(green)
	e.provider(green).Reset()
	for _, callback := range []string{back, with(back, "code", "", "error", "access_denied")} {
		for _, app := range []string{"none", panics} {
			_, err := e.client.CompleteInteractiveLogin(t.Context(), callback, of(app, tokenward.StoreOptions{}))
			wantError[*tokenward.DomainResolverError](t, app+", "+callback, err, "domain_resolver_error")
		}
	}
	if n := e.provider(green).Requests(idptest.CodeExchange); n != 0 {
		t.Errorf("codes sent = %d, want 0", n)
	}
	if _, err := e.client.CompleteInteractiveLogin(t.Context(), back, of(green, tokenward.StoreOptions{})); err != nil {
		t.Errorf("once the resolver answers: %v", err)
	}
}

// Calls that the cache answers ask the resolver which registration they are for, and nothing for credentials.
func TestRegistrations_hitsAskForNoCredentials(t *testing.T) {
	e := newEstate(t)
	id := e.signIn(red).SessionID
	asked := e.asked.Load()
	for range 3 {
		if _, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(red, id)); err != nil {
			t.Fatal(err)
		}
		e.user(red, id)
	}
	if n := e.asked.Load() - asked; n != 0 {
		t.Errorf("credentials asked for %d times, want 0", n)
	}
}

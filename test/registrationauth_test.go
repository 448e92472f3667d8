package test_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
	"github.com/tokenward/tokenward/store"
)

// Each application authenticates in its own way, and by what it is at that moment.
func TestRegistrations_waysToAuthenticate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := newEstate(t)
	e.provider(red).Set(idptest.WithClientKey("red-id", &key.PublicKey))
	e.secrets["https://one.example/ red-id"] = tokenward.Credentials{SigningKey: key, SigningKeyID: "1"}
	redID, blueID := e.signIn(red).SessionID, e.signIn(blue).SessionID
	ask := func(app, id string, want idptest.AuthMethod) {
		t.Helper()
		e.clock.Advance(idptest.TokenLife)
		_, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(app, id))
		if p := e.provider(app); err != nil || p.LastAuth(idptest.Refresh) != want || p.LastForm(idptest.Refresh).Get("client_id") != e.apps[app].ClientID {
			t.Errorf("%s: %v, by %s, want %s", app, err, p.LastAuth(idptest.Refresh), want)
		}
	}
	ask(red, redID, idptest.AuthPrivateKey)
	ask(blue, blueID, idptest.AuthBasic)

	// A secret that was changed is used from the next request on.
	e.provider(blue).Set(idptest.WithClient("blue-id", "new secret"))
	e.secrets["https://one.example/ blue-id"] = tokenward.Credentials{ClientSecret: "new secret", Auth: tokenward.ClientSecretPost}
	ask(blue, blueID, idptest.AuthPost)

	// The HTTP client of an application, whose transport has its certificate.
	var own atomic.Int64
	e.secrets["https://one.example/ blue-id"] = tokenward.Credentials{ClientSecret: "new secret", HTTPClient: &http.Client{
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				own.Add(1)
			}
			return e.RoundTrip(r)
		}),
	}}
	ask(blue, blueID, idptest.AuthBasic)
	ask(red, redID, idptest.AuthPrivateKey)
	if n := own.Load(); n != 1 {
		t.Errorf("requests by the application's own HTTP client = %d, want 1", n)
	}
}

// What the resolver brings along serves for the call's own requests: a pushed login, and the code.
func TestRegistrations_credentialsOfTheResolver(t *testing.T) {
	e := newEstate(t, tokenward.WithProvider(tokenward.ProviderConfig{PushedAuthorization: true}))
	app := e.apps[blue]
	app.Credentials = tokenward.Credentials{ClientSecret: "blue secret", Auth: tokenward.ClientSecretPost}
	e.apps[blue] = app
	id := e.signIn(blue).SessionID
	for _, k := range []idptest.Kind{idptest.PAR, idptest.CodeExchange} {
		if got := e.provider(blue).LastAuth(k); got != idptest.AuthPost {
			t.Errorf("%s: by %s, want what the resolver said", k, got)
		}
	}
	if n := e.asked.Load(); n != 0 {
		t.Errorf("credentials asked for %d times, want 0", n)
	}
	e.clock.Advance(idptest.TokenLife)
	if _, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(blue, id)); err != nil {
		t.Error(err)
	}
	e.wantRequest(blue, idptest.Refresh)
	e.signIn(red)
	e.wantRequest(red, idptest.PAR)
}

// Organizations are those of the login's application.
func TestRegistrations_organization(t *testing.T) {
	e := newEstate(t)
	for org, want := range map[string]tokenward.Code{"org_1": "", "org_2": "organization_token_validation_error"} {
		to, err := e.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{Organization: "org_1"}, of(blue, tokenward.StoreOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		back, err := e.provider(blue).Authorize(to, idptest.Claims{"org_id": org})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.client.CompleteInteractiveLogin(t.Context(), back, of(blue, tokenward.StoreOptions{})); tokenward.CodeOf(err) != want {
			t.Errorf("%s: %v, want %q", org, err, want)
		}
	}
}

// Credentials that cannot be had fail the request before anything is sent, and cost nothing.
func TestRegistrations_credentialsThatCannotBeHad(t *testing.T) {
	const canary = "a secret that no error shows"
	e := newEstate(t)
	var answer func() (tokenward.Credentials, error)
	cfg := e.config()
	cfg.Credentials = func(ctx context.Context, issuer, clientID string) (tokenward.Credentials, error) {
		if answer != nil {
			return answer()
		}
		return e.credentials(ctx, issuer, clientID)
	}
	e.stop()
	e.startWith(cfg)
	id := e.signIn(red).SessionID
	e.clock.Advance(idptest.TokenLife)
	_, back := e.begin(red)
	e.provider(red).Reset()
	for name, f := range map[string]func() (tokenward.Credentials, error){
		"an error": func() (tokenward.Credentials, error) { return tokenward.Credentials{}, errors.New("down") },
		"a panic":  func() (tokenward.Credentials, error) { panic(canary) },
		"none":     func() (tokenward.Credentials, error) { return tokenward.Credentials{}, nil },
		"no use": func() (tokenward.Credentials, error) {
			return tokenward.Credentials{ClientSecret: canary, Auth: "smoke"}, nil
		},
	} {
		answer = f
		_, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(red, id))
		var config *tokenward.ConfigurationError
		if refused := asError[*tokenward.AccessTokenError](t, name, err, "refresh_token_error"); refused != nil && !errors.As(err, &config) {
			t.Errorf("%s: %v, want a ConfigurationError as the cause", name, err)
		}
		_, connection := e.client.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: google}, sessionOf(red, id))
		_, start := e.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, of(red, tokenward.StoreOptions{}))
		_, complete := e.client.CompleteInteractiveLogin(t.Context(), back, of(red, tokenward.StoreOptions{}))
		for call, err := range map[string]error{"connection": connection, "start": start, "complete": complete} {
			wantError[*tokenward.ConfigurationError](t, name+", "+call, err, "configuration_error")
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("%s, %s: %v", name, call, err)
			}
		}
		if u := e.user(red, id); u == nil {
			t.Errorf("%s: the session has ended", name)
		}
	}
	if n := e.provider(red).Requests(idptest.Token); n != 0 {
		t.Errorf("token requests = %d, want 0", n)
	}
	answer = nil
	if _, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(red, id)); err != nil {
		t.Errorf("with credentials again: %v", err)
	}
	if _, err := e.client.CompleteInteractiveLogin(t.Context(), back, of(red, tokenward.StoreOptions{})); err != nil {
		t.Errorf("the login with credentials again: %v", err)
	}
}

func TestRegistrations_aResolverThatNamesNone(t *testing.T) {
	e := newEstate(t)
	for name, r := range map[string]tokenward.Registration{
		"neither":       {},
		"no client id":  {Issuer: "https://one.example/", ClientID: " "},
		"no issuer":     {ClientID: "red-id"},
		"two issuers":   {Issuer: "https://one.example/", Domain: "one.example", ClientID: "red-id"},
		"http":          {Issuer: "http://one.example/", ClientID: "red-id"},
		"no bare host":  {Domain: "https://one.example/", ClientID: "red-id"},
		"not an issuer": {Issuer: "one.example", ClientID: "red-id"},
		"not UTF-8":     {Issuer: "https://one.example/", ClientID: "red-id\xff"},
	} {
		e.apps["wrong"] = r
		_, err := e.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, of("wrong", tokenward.StoreOptions{}))
		wantError[*tokenward.DomainResolverError](t, name, err, "domain_resolver_error")
	}
}

func TestRegistrations_configuration(t *testing.T) {
	e := newEstate(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := e.config()
	for name, tt := range map[string]struct {
		change func(*tokenward.Config)
		opts   []tokenward.Option
		ok     bool
	}{
		"as it should be":  {ok: true},
		"client id before": {change: func(c *tokenward.Config) { c.ClientID = "red-id" }, ok: true},
		"no credentials":   {change: func(c *tokenward.Config) { c.Credentials = nil }},
		"no resolver":      {change: func(c *tokenward.Config) { c.RegistrationResolver, c.Domain, c.ClientID = nil, "one.example", "red-id" }, ok: true},
		"an issuer":        {change: func(c *tokenward.Config) { c.Issuer = "https://one.example/" }},
		"a domain":         {change: func(c *tokenward.Config) { c.Domain = "one.example" }},
		"two resolvers": {change: func(c *tokenward.Config) {
			c.DomainResolver = func(context.Context, store.Options) (string, error) { return "", nil }
		}},
		"a secret":    {change: func(c *tokenward.Config) { c.ClientSecret = "s" }},
		"a method":    {change: func(c *tokenward.Config) { c.ClientAuth = tokenward.PublicClient }},
		"a key":       {opts: []tokenward.Option{tokenward.WithCredentials(tokenward.Credentials{SigningKey: key})}},
		"nothing":     {opts: []tokenward.Option{tokenward.WithCredentials(tokenward.Credentials{})}},
		"an audience": {opts: []tokenward.Option{tokenward.WithCredentials(tokenward.Credentials{AssertTokenEndpoint: true})}},
		"tenants":     {opts: []tokenward.Option{among("x")}},
	} {
		cfg := good
		if tt.change != nil {
			tt.change(&cfg)
		}
		c, err := tokenward.New(cfg, tt.opts...)
		if c != nil {
			_ = c.Close(context.Background())
		}
		if tt.ok != (err == nil) || err != nil && tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("%s: %v, works: %v", name, err, tt.ok)
		}
	}
}

// A session that was stored before there were registrations is of the configured client id, and of none without.
func TestRegistrations_sessionsOfBefore(t *testing.T) {
	e := newEstate(t)
	e.stop()
	e.startWith(tokenward.Config{
		Issuer: "https://one.example/", ClientID: "blue-id", ClientSecret: "blue secret", Secrets: []string{secret}, RedirectURI: e.apps[blue].RedirectURI,
	})
	id := e.signIn(blue).SessionID
	e.stop()

	cfg := e.config()
	cfg.ClientID = "blue-id"
	e.startWith(cfg)
	e.clock.Advance(idptest.TokenLife)
	if _, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(blue, id)); err != nil {
		t.Error(err)
	}
	e.wantRequest(blue, idptest.Refresh)
	if u := e.user(red, id); u != nil {
		t.Errorf("red: %v", u)
	}
	e.stop()
	e.start()
	_, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, sessionOf(blue, id))
	wantError[*tokenward.AccessTokenError](t, "no configured client id", err, "missing_session_domain")
}

// Sessions that browsers keep themselves are told apart as well.
func TestRegistrations_stateless(t *testing.T) {
	e := newEstate(t, tokenward.WithStatelessSessions())
	request := func(cookies []*http.Cookie) (tokenward.StoreOptions, *httptest.ResponseRecorder) {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		for _, c := range cookies {
			r.AddCookie(c)
		}
		return tokenward.HTTP(w, r), w
	}
	o, w := request(nil)
	to, err := e.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, of(red, o))
	if err != nil {
		t.Fatal(err)
	}
	back, err := e.provider(red).Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	o, w = request(w.Result().Cookies())
	if _, err := e.client.CompleteInteractiveLogin(t.Context(), back, of(red, o)); err != nil {
		t.Fatal(err)
	}
	cookies := w.Result().Cookies()
	e.stop()
	e.start(tokenward.WithStatelessSessions())
	for app, want := range map[string]bool{red: true, blue: false, green: false} {
		o, _ := request(cookies)
		if u, err := e.client.GetUser(t.Context(), of(app, o)); err != nil || (u != nil) != want {
			t.Errorf("%s: %v, %v", app, u, err)
		}
	}
	e.clock.Advance(idptest.TokenLife)
	o, _ = request(cookies)
	if _, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, of(red, o)); err != nil {
		t.Error(err)
	}
	e.wantRequest(red, idptest.Refresh)
}

// A secret that changes comes from the source, without any resolver of registrations: it is asked for each request.
func TestCredentials_ofOneApplication(t *testing.T) {
	secret, failing := "demo-secret", error(nil)
	var asked []string
	r := newRig(t, withConfig(func(c *tokenward.Config) {
		c.ClientSecret, c.Credentials = "", func(_ context.Context, issuer, clientID string) (tokenward.Credentials, error) {
			asked = append(asked, issuer+" "+clientID)
			if secret == "a panic" {
				panic(secret)
			}
			return tokenward.Credentials{ClientSecret: secret, Auth: tokenward.ClientSecretPost}, failing
		}
	}))
	id := r.login()
	for _, next := range []string{"second", "third"} {
		secret = next
		r.tenant.Set(idptest.WithClient("demo", next))
		r.expire()
		r.token(id, tokenward.TokenRequest{})
		if got := r.tenant.LastForm(idptest.Refresh).Get("client_secret"); got != next {
			t.Errorf("the secret %q was sent, want %q", got, next)
		}
	}
	want := slices.Repeat([]string{r.tenant.Issuer() + " demo"}, 4) // a login begins, its code, two refreshes
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	r.expire()
	r.tenant.Reset()
	for name, set := range map[string]func(){
		"an error":  func() { failing = errors.New("the vault is sealed") },
		"no secret": func() { secret = "" },
		"a panic":   func() { secret = "a panic" },
	} {
		secret, failing = "third", nil
		set()
		err := r.tokenErr(id, tokenward.TokenRequest{})
		r.wantCode(name, err, "refresh_token_error")
		var config *tokenward.ConfigurationError
		if !errors.As(err, &config) || strings.Contains(err.Error(), "a panic") {
			t.Errorf("%s: %v, want a ConfigurationError as the cause, without the secret", name, err)
		}
	}
	r.want("token requests", r.tenant.Requests(idptest.Token), 0)
	secret, failing = "third", nil
	r.token(id, tokenward.TokenRequest{})
}

// The source is given the issuer of Config, also for sessions of a tenant behind it; with a resolver it is given that of the session.
func TestCredentials_issuerAsConfigured(t *testing.T) {
	p, _ := idptest.ProfileNamed("entra-organizations")
	var asked []string
	var configured string
	v := newVisitor(t, p, func(p idptest.Profile, tenant *idptest.Tenant) providers.Setup {
		s := providers.For(p, tenant)
		configured = s.Config.Issuer + " " + s.Config.ClientID
		a := tokenward.Credentials{ClientSecret: s.Config.ClientSecret}
		s.Config.ClientSecret, s.Config.Credentials = "", func(_ context.Context, issuer, clientID string) (tokenward.Credentials, error) {
			asked = append(asked, issuer+" "+clientID)
			return a, nil
		}
		return s
	})
	if err := v.visit(); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(asked, func(of string) bool { return of != configured }) || len(asked) < 4 {
		t.Errorf("asked for %q, want %q each time", asked, configured)
	}
	d := newDomains(t)
	asked = nil
	d.cfg.ClientSecret, d.cfg.Credentials = "", func(_ context.Context, issuer, _ string) (tokenward.Credentials, error) {
		asked = append(asked, issuer)
		return tokenward.Credentials{ClientSecret: "demo-secret"}, nil
	}
	d.client = d.newClient(tokenward.WithHTTPClient(http.DefaultClient))
	d.signIn(d.other)
	if want := slices.Repeat([]string{d.other.Issuer()}, 2); !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// Credentials that stay may bring an HTTP client of their own, and a second option takes the place of the first.
func TestWithCredentials_theirHTTPClient(t *testing.T) {
	r := newRig(t, withConfig(func(c *tokenward.Config) { c.ClientSecret = "" }),
		withClient(tokenward.WithCredentials(tokenward.Credentials{Auth: tokenward.PublicClient}), withSecretOf("demo-secret", nil)))
	var own atomic.Int64
	web := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		own.Add(1)
		return r.tenant.Client().Do(req)
	})}
	r.restart(withSecretOf("demo-secret", web), tokenward.WithHTTPClient(&http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("not this one")
	})}))
	r.login()
	if own.Load() == 0 {
		t.Error("no request by the application's own HTTP client")
	}
	_, err := tokenward.New(r.cfg, withSecretOf("demo-secret", web), limit(func(l *tokenward.Limits) { l.IdleConnTimeout = time.Second }))
	wantError[*tokenward.ConfigurationError](t, "an idle time beside it", err, "configuration_error")
}

func withSecretOf(secret string, web *http.Client) tokenward.Option {
	return tokenward.WithCredentials(tokenward.Credentials{ClientSecret: secret, HTTPClient: web})
}

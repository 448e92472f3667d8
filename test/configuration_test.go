package test_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// wellConfigured is a Config with which New succeeds.
func wellConfigured() tokenward.Config {
	return tokenward.Config{
		Domain: "tenant.eu.auth0.com", ClientID: "demo", ClientSecret: "demo-secret", Secrets: []string{secret},
		RedirectURI: "https://app.example/callback",
	}
}

// wantError fails unless err is a T with the code.
func wantError[T error](t testing.TB, what string, err error, code tokenward.Code) {
	t.Helper()
	asError[T](t, what, err, code)
}

// asError is wantError for a test that looks at the T as well. It is nil when there is none.
func asError[T error](t testing.TB, what string, err error, code tokenward.Code) T {
	t.Helper()
	var typed T
	if !errors.As(err, &typed) {
		t.Errorf("%s: err = %v (%T), want a %T", what, err, err, typed)
		return typed
	}
	if got := tokenward.CodeOf(err); got != code {
		t.Errorf("%s: code = %q, want %q (%v)", what, got, code, err)
	}
	return typed
}

func TestNew_namesWhatIsWrong(t *testing.T) {
	const (
		missing   = "missing_required_argument_error"
		wrongWith = "configuration_error"
	)
	tests := []struct {
		name   string
		change func(*tokenward.Config)
		option tokenward.Option
		code   tokenward.Code
		field  string
	}{
		{"no secret", func(c *tokenward.Config) { c.Secrets = nil }, nil, missing, "secret"},
		{"an empty list of secrets", func(c *tokenward.Config) { c.Secrets = []string{} }, nil, missing, "secret"},
		{"an empty secret", func(c *tokenward.Config) { c.Secrets = []string{""} }, nil, missing, "secret"},
		{"a short secret", func(c *tokenward.Config) { c.Secrets = []string{"short and canary"} }, nil, wrongWith, "secret"},
		{"a short second secret", func(c *tokenward.Config) { c.Secrets = []string{secret, "short and canary"} }, nil, wrongWith, "secret"},
		{"no domain", func(c *tokenward.Config) { c.Domain = "" }, nil, wrongWith, "Domain"},
		{"a blank domain", func(c *tokenward.Config) { c.Domain = " \t" }, nil, wrongWith, "Domain"},
		{"a domain that is a URL", func(c *tokenward.Config) { c.Domain = "https://tenant.eu.auth0.com/" }, nil, wrongWith, "Domain"},
		{"a domain with a path", func(c *tokenward.Config) { c.Domain = "tenant.eu.auth0.com/x" }, nil, wrongWith, "Domain"},
		{"a domain with a user", func(c *tokenward.Config) { c.Domain = "me@tenant.eu.auth0.com" }, nil, wrongWith, "Domain"},
		{"domain and issuer", func(c *tokenward.Config) { c.Issuer = "https://tenant.eu.auth0.com/" }, nil, wrongWith, "Issuer"},
		{"http", issuer("http://login.example/"), nil, wrongWith, "issuer"},
		{"another scheme", issuer("ftp://login.example/"), nil, wrongWith, "issuer"},
		{"an issuer without a scheme", issuer("login.example"), nil, wrongWith, "issuer"},
		{"an issuer with a query", issuer("https://login.example/?a=b"), nil, wrongWith, "issuer"},
		{"an issuer with a fragment", issuer("https://login.example/#a"), nil, wrongWith, "issuer"},
		{"an issuer with a user", issuer("https://me:canary@login.example/"), nil, wrongWith, "issuer"},
		{"an issuer that is no URL", issuer("https://login.example:port/"), nil, wrongWith, "issuer"},
		{"no client id", func(c *tokenward.Config) { c.ClientID = "" }, nil, wrongWith, "ClientID"},
		{"a blank client id", func(c *tokenward.Config) { c.ClientID = "  " }, nil, wrongWith, "ClientID"},
		{"nothing to authenticate with", func(c *tokenward.Config) { c.ClientSecret = "" }, nil, wrongWith, "ClientSecret"},
		{"post without a secret", func(c *tokenward.Config) { c.ClientSecret, c.ClientAuth = "", tokenward.ClientSecretPost }, nil, wrongWith, "ClientSecret"},
		{"a public client with a secret", func(c *tokenward.Config) { c.ClientAuth = tokenward.PublicClient }, nil, wrongWith, "ClientSecret"},
		{"an unknown client authentication", func(c *tokenward.Config) { c.ClientAuth = "telepathy" }, nil, wrongWith, "ClientAuth"},
		{"a key is wanted and there is none", func(c *tokenward.Config) { c.ClientAuth = "private_key_jwt" }, nil, wrongWith, "SigningKey"},
		{"scopes twice", func(c *tokenward.Config) {
			c.Scopes, c.ScopesFor = "openid", map[string]string{"https://api.example": "read"}
		}, nil, wrongWith, "ScopesFor"},
		{"a map of scopes, and scopes among the parameters", func(c *tokenward.Config) {
			c.ScopesFor, c.AuthorizationParams = map[string]string{}, map[string]string{"scope": "openid"}
		}, nil, wrongWith, "ScopesFor"},
		{"two audiences", func(c *tokenward.Config) {
			c.Audience, c.AuthorizationParams = "https://a.example", map[string]string{"audience": "https://b.example"}
		}, nil, wrongWith, "Audience"},
		{"a client id that is not UTF-8", func(c *tokenward.Config) { c.ClientID = "id\xff" }, nil, wrongWith, "ClientID"},
		{"a redirect URI that is not UTF-8", func(c *tokenward.Config) { c.RedirectURI = "https://app.example/\xff" }, nil, wrongWith, "RedirectURI"},
		{"an audience that is not UTF-8", func(c *tokenward.Config) { c.Audience = "https://api.example/\xff" }, nil, wrongWith, "Audience"},
		{"scopes that are not UTF-8", func(c *tokenward.Config) { c.Scopes = "openid read\xff" }, nil, wrongWith, "Scopes"},
		{"an audience of scopes that is not UTF-8", scopesFor("https://api.example/\xff", "read"), nil, wrongWith, "ScopesFor"},
		{"scopes of an audience that are not UTF-8", scopesFor("https://api.example/", "read\xff"), nil, wrongWith, "ScopesFor"},
		{"a parameter that is not UTF-8", params("ui_locales", "\xff"), nil, wrongWith, "AuthorizationParams"},
		{"a parameter's name that is not UTF-8", params("x_\xff", "1"), nil, wrongWith, "AuthorizationParams"},
		{"an organization that is not UTF-8", func(c *tokenward.Config) { c.Organization = "org\xff" }, nil, wrongWith, "Organization"},
		{"an issuer that is not UTF-8", issuer("https://login.example/\xff"), nil, wrongWith, "issuer"},
		{"a signing key that is nil", nil, tokenward.WithCredentials(tokenward.Credentials{}), wrongWith, "WithCredentials"},
		{"a signing key that is none", nil, tokenward.WithCredentials(tokenward.Credentials{SigningKey: "canary"}), wrongWith, "SigningKey"},
		{"a signing key of another kind", nil, tokenward.WithCredentials(tokenward.Credentials{SigningKey: ed25519.NewKeyFromSeed(make([]byte, 32)), SigningAlg: "RS256"}), wrongWith, "SigningKey"},
		{"a signing algorithm that is none", nil, tokenward.WithCredentials(tokenward.Credentials{SigningKey: ed25519.NewKeyFromSeed(make([]byte, 32)), SigningAlg: "none"}), wrongWith, "SigningAlg"},
		{"no clock", nil, tokenward.WithClock(nil), wrongWith, "WithClock"},
		{"no logger", nil, tokenward.WithLogger(nil), wrongWith, "WithLogger"},
		{"a second secret", nil, tokenward.WithCredentials(tokenward.Credentials{ClientSecret: "canary"}), wrongWith, "ClientSecret"},
		{"another client authentication", func(c *tokenward.Config) {
			c.ClientSecret, c.ClientAuth = "", tokenward.ClientSecretPost
		}, tokenward.WithCredentials(tokenward.Credentials{ClientSecret: "canary", Auth: tokenward.ClientSecretBasic}), wrongWith, "Auth"},
		{"a choice that is none", nil, tokenward.WithProvider(tokenward.ProviderConfig{Nonce: 3}), wrongWith, "Nonce"},
		{"a metadata address at a domain", nil, tokenward.WithProvider(tokenward.ProviderConfig{MetadataURL: "https://cdn.example/"}), wrongWith, "MetadataURL needs Config.Issuer"},
		{"a negative buffer", nil, tokenward.WithRefreshBuffer(-time.Second), wrongWith, "WithRefreshBuffer"},
		{"no session name", nil, tokenward.WithIdentifiers("", "tx"), wrongWith, "WithIdentifiers"},
		{"no transaction name", nil, tokenward.WithIdentifiers("s", ""), wrongWith, "WithIdentifiers"},
		{"a name that no cookie can have", nil, tokenward.WithIdentifiers("my session", "tx"), wrongWith, "WithIdentifiers"},
		{"algorithm none", nil, tokenward.WithProvider(tokenward.ProviderConfig{Algorithms: []string{"none"}}), wrongWith, "Algorithms"},
		{"algorithm HS256", nil, tokenward.WithProvider(tokenward.ProviderConfig{Algorithms: []string{"RS256", "HS256"}}), wrongWith, "Algorithms"},
		{"an unknown algorithm", nil, tokenward.WithProvider(tokenward.ProviderConfig{Algorithms: []string{"RS1024"}}), wrongWith, "Algorithms"},
		{"negative FlightTimeout", nil, limit(func(l *tokenward.Limits) { l.FlightTimeout = -1 }), wrongWith, "FlightTimeout"},
		{"negative StoreTimeout", nil, limit(func(l *tokenward.Limits) { l.StoreTimeout = -1 }), wrongWith, "StoreTimeout"},
		{"negative ProviderRequests", nil, limit(func(l *tokenward.Limits) { l.ProviderRequests = -1 }), wrongWith, "ProviderRequests"},
		{"negative QueuedFlights", nil, limit(func(l *tokenward.Limits) { l.QueuedFlights = -1 }), wrongWith, "QueuedFlights"},
		{"negative QueuedQueries", nil, limit(func(l *tokenward.Limits) { l.QueuedQueries = -1 }), wrongWith, "QueuedQueries"},
		{"negative Resident", nil, limit(func(l *tokenward.Limits) { l.Resident = -1 }), wrongWith, "Resident"},
		{"negative PassivateAfter", nil, limit(func(l *tokenward.Limits) { l.PassivateAfter = -1 }), wrongWith, "PassivateAfter"},
		{"too short PassivateAfter", nil, limit(func(l *tokenward.Limits) { l.PassivateAfter = time.Millisecond }), wrongWith, "PassivateAfter"},
		{"negative RememberEnded", nil, limit(func(l *tokenward.Limits) { l.RememberEnded = -1 }), wrongWith, "RememberEnded"},
		{"negative RememberMissing", nil, limit(func(l *tokenward.Limits) { l.RememberMissing = -1 }), wrongWith, "RememberMissing"},
		{"negative TokenSets", nil, limit(func(l *tokenward.Limits) { l.TokenSets = -1 }), wrongWith, "TokenSets"},
		{"negative RetryFirst", nil, limit(func(l *tokenward.Limits) { l.RetryFirst = -1 }), wrongWith, "RetryFirst"},
		{"negative IdleConnTimeout", nil, limit(func(l *tokenward.Limits) { l.IdleConnTimeout = -1 }), wrongWith, "IdleConnTimeout"},
		{"negative RetryMost", nil, limit(func(l *tokenward.Limits) { l.RetryMost = -1 }), wrongWith, "RetryMost"},
	}
	for _, tt := range tests {
		cfg, opts := wellConfigured(), []tokenward.Option{}
		if tt.change != nil {
			tt.change(&cfg)
		}
		if tt.option != nil {
			opts = append(opts, tt.option)
		}
		c, err := tokenward.New(cfg, opts...)
		if c != nil || err == nil {
			t.Errorf("%s: New succeeded", tt.name)
			closeClient(t, c)
			continue
		}
		if tt.code == missing {
			wantError[*tokenward.MissingRequiredArgumentError](t, tt.name, err, tt.code)
		} else {
			wantError[*tokenward.ConfigurationError](t, tt.name, err, tt.code)
		}
		if !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%s: %q does not name %s", tt.name, err, tt.field)
		}
		if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %q shows a secret", tt.name, err)
		}
	}
}

func issuer(to string) func(*tokenward.Config) {
	return func(c *tokenward.Config) { c.Domain, c.Issuer = "", to }
}

func scopesFor(audience, scopes string) func(*tokenward.Config) {
	return func(c *tokenward.Config) { c.ScopesFor = map[string]string{audience: scopes} }
}

func params(name, value string) func(*tokenward.Config) {
	return func(c *tokenward.Config) { c.AuthorizationParams = map[string]string{name: value} }
}

// What would change nothing is refused: the host's client is left as it is.
func TestNew_idleTimeOfTheHostsClient(t *testing.T) {
	_, err := tokenward.New(tokenward.Config{Domain: "tenant.eu.auth0.com", ClientID: "id", ClientSecret: "s", Secrets: []string{secret}},
		limit(func(l *tokenward.Limits) { l.IdleConnTimeout = time.Second }), tokenward.WithHTTPClient(http.DefaultClient))
	var wrong *tokenward.ConfigurationError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "Limits.IdleConnTimeout") {
		t.Errorf("err = %v, want a ConfigurationError about Limits.IdleConnTimeout", err)
	}
}

func limit(set func(*tokenward.Limits)) tokenward.Option {
	var l tokenward.Limits
	set(&l)
	return tokenward.WithLimits(l)
}

func closeClient(t testing.TB, c *tokenward.Client) {
	t.Helper()
	if c == nil {
		return
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestNew_acceptsWhatIsRight(t *testing.T) {
	tests := []struct {
		name   string
		change func(*tokenward.Config)
	}{
		{"the usual", func(*tokenward.Config) {}},
		{"a domain in capitals", func(c *tokenward.Config) { c.Domain = "Tenant.EU.Auth0.com" }},
		{"an issuer with a path", issuer("https://login.example/realms/one")},
		{"http on the loopback address", issuer("http://127.0.0.1:8080/")},
		{"http on localhost", issuer("http://localhost:8080/")},
		{"http on IPv6 loopback", issuer("http://[::1]:8080/")},
		{"several secrets", func(c *tokenward.Config) { c.Secrets = []string{secret, "another one of at least thirty-two bytes"} }},
		{"a secret of exactly 32 bytes", func(c *tokenward.Config) { c.Secrets = []string{strings.Repeat("x", 32)} }},
		{"no redirect URI, which a login may name", func(c *tokenward.Config) { c.RedirectURI = "" }},
		{"a public client", func(c *tokenward.Config) { c.ClientSecret, c.ClientAuth = "", tokenward.PublicClient }},
		{"a client with a certificate", func(c *tokenward.Config) { c.ClientSecret, c.ClientAuth = "", tokenward.TLSClientAuth }},
		{"the secret in the form", func(c *tokenward.Config) { c.ClientAuth = tokenward.ClientSecretPost }},
	}
	for _, tt := range tests {
		cfg := wellConfigured()
		tt.change(&cfg)
		c, err := tokenward.New(cfg)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		closeClient(t, c)
	}
}

// New neither calls the provider nor asks the store for a session.
func TestNew_asksNobody(t *testing.T) {
	r := newRig(t)
	r.settle()
	if n := r.tenant.Requests(idptest.Any); n != 0 {
		t.Errorf("requests = %d, want 0", n)
	}
	if n := r.store.Loads(); n != 0 {
		t.Errorf("loads = %d, want 0", n)
	}
}

// What New was given is the caller's to change afterwards.
func TestNew_keepsNoReference(t *testing.T) {
	scopes := map[string]string{"https://api.example": "openid read"}
	params := map[string]string{"prompt": "login"}
	secrets := []string{secret}
	r := newRig(t, withConfig(func(c *tokenward.Config) {
		c.Audience, c.ScopesFor, c.AuthorizationParams, c.Secrets = "https://api.example", scopes, params, secrets
	}))
	scopes["https://api.example"], params["prompt"], secrets[0] = "other", "none", "x"
	q := r.begin(tokenward.LoginRequest{})
	if q.Get("scope") != "openid read" || q.Get("prompt") != "login" {
		t.Errorf("scope %q, prompt %q: New kept a reference to its caller's maps", q.Get("scope"), q.Get("prompt"))
	}
	r.login()
}

// printed is v as everything prints it that a host may print it with.
func printed(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&b, verb+"\n", v)
		fmt.Fprintf(&b, verb+"\n", []any{v})
		fmt.Fprintf(&b, verb+"\n", struct{ V any }{v})
	}
	j, err := json.Marshal(v)
	fmt.Fprintln(&b, string(j), err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	return b.String()
}

// Nothing that a host holds in its hands prints a secret.
func TestSecrets_areNeverPrinted(t *testing.T) {
	r := newRig(t)
	res, err := r.tryLogin(tokenward.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := res.SessionID
	h := r.client.Session(id)
	tok, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ct, err := h.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: "google-oauth2"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.GetSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	source := h.TokenSource(tokenward.ContextWith(t.Context(), tokenward.SessionID(id)), tokenward.TokenRequest{})
	r.tenant.Script(idptest.Refresh, idptest.MFARequired("mfa-canary-token", nil))
	_, mfa := h.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://other.example"})
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	secrets := []string{
		secret, "demo-secret", id, tok.AccessToken, ct.AccessToken, s.RefreshToken, s.IDToken, "mfa-canary-token",
		fmt.Sprintf("%x", secret), fmt.Sprintf("%x", "demo-secret"), fmt.Sprintf("%x", id),
	}
	values := map[string]any{
		"Config": r.cfg, "*Config": &r.cfg, "Client": r.client, "Handle": h, "LoginResult": *res, "*LoginResult": res,
		"StoreOptions": tokenward.SessionID(id), "StoreOptions with values": tokenward.SessionID(id).With(map[string]any{"k": 1}),
		"StoreOptions of a browser": tokenward.HTTP(httptest.NewRecorder(), req),
		"Token":                     tok, "ConnectionToken": ct, "Session": s, "TokenSource": source, "MFARequiredError": mfa,
	}
	for name, v := range values {
		text := printed(v)
		if text == "" {
			t.Errorf("%s prints nothing", name)
		}
		for i, s := range secrets {
			if s == "" {
				t.Fatalf("secret %d is empty", i)
			}
			if strings.Contains(text, s) {
				t.Errorf("%s prints secret %d", name, i)
			}
		}
		if found := r.tenant.SecretsIn(text); len(found) > 0 && name != "Client" {
			t.Errorf("%s prints %v", name, found)
		}
	}
}

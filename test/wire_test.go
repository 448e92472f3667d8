package test_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// wire sees every request to the provider as it leaves.
type wire struct {
	inner http.RoundTripper
	mu    sync.Mutex
	sent  []sent
}

type sent struct {
	method, url string
	header      http.Header
	body        string
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	s := sent{method: req.Method, url: req.URL.String(), header: req.Header.Clone()}
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		s.body = string(b)
	}
	w.mu.Lock()
	w.sent = append(w.sent, s)
	w.mu.Unlock()
	return w.inner.RoundTrip(req)
}

// posts returns the requests with a body since the last time.
func (w *wire) posts() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	var posts []sent
	for _, s := range w.sent {
		if s.method == http.MethodPost {
			posts = append(posts, s)
		}
	}
	w.sent = nil
	return posts
}

// watch gives the rig a client whose requests a test can read.
func (r *rig) watch(opts ...tokenward.Option) *wire {
	w := &wire{inner: r.tenant.Transport()}
	r.restart(append([]tokenward.Option{tokenward.WithHTTPClient(&http.Client{Transport: w})}, opts...)...)
	return w
}

// The three requests that a session makes, parameter by parameter, for each way in which
// a client authenticates.
func TestWire_forms(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const odd = "p+ä/: %&=secret"
	tests := []struct {
		name   string
		tenant idptest.Option
		config func(*tokenward.Config)
		option tokenward.Option
		header string            // Authorization
		more   map[string]string // parameters; "*" stands for anything
	}{
		{
			name: "basic", header: basicOf("demo", "demo-secret"),
			config: func(*tokenward.Config) {},
		},
		{
			name: "basic, odd characters", tenant: idptest.WithClient("de mo:1", odd), header: basicOf("de+mo%3A1", "p%2B%C3%A4%2F%3A+%25%26%3Dsecret"),
			config: func(c *tokenward.Config) { c.ClientID, c.ClientSecret = "de mo:1", odd },
		},
		{
			name: "post", config: func(c *tokenward.Config) { c.ClientAuth = tokenward.ClientSecretPost },
			more: map[string]string{"client_secret": "demo-secret"},
		},
		{
			name: "post, odd characters", tenant: idptest.WithClient("de mo:1", odd),
			config: func(c *tokenward.Config) {
				c.ClientID, c.ClientSecret, c.ClientAuth = "de mo:1", odd, tokenward.ClientSecretPost
			},
			more: map[string]string{"client_secret": odd},
		},
		{
			name: "a signing key wins over the secret", tenant: idptest.WithClientKey("demo", &private.PublicKey),
			config: func(*tokenward.Config) {}, option: tokenward.WithCredentials(tokenward.Credentials{SigningKey: private, SigningKeyID: "key-1"}),
			more: map[string]string{"client_assertion": "*", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := []rigOption{withConfig(tt.config)}
			if tt.tenant != nil {
				o = append(o, withTenant(tt.tenant))
			}
			r := newRig(t, o...)
			var opts []tokenward.Option
			if tt.option != nil {
				opts = append(opts, tt.option)
			}
			w := r.watch(opts...)
			check := func(what string, want url.Values) {
				t.Helper()
				posts := w.posts()
				if len(posts) != 1 {
					t.Fatalf("%s: requests = %d, want 1", what, len(posts))
				}
				p := posts[0]
				if p.url != r.tenant.URL("/oauth/token") {
					t.Errorf("%s: to %s", what, p.url)
				}
				if got := p.header.Get("Authorization"); got != tt.header {
					t.Errorf("%s: Authorization = %q, want %q", what, got, tt.header)
				}
				if got := p.header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
					t.Errorf("%s: Content-Type = %q", what, got)
				}
				form, err := url.ParseQuery(p.body)
				if err != nil {
					t.Fatal(err)
				}
				want.Set("client_id", r.cfg.ClientID)
				for k, v := range tt.more {
					if v == "*" {
						v = form.Get(k)
					}
					want.Set(k, v)
				}
				wantForm(t, what, form, want)
			}

			back := r.callback(tokenward.LoginRequest{AuthorizationParams: map[string]string{"redirect_uri": "http://127.0.0.1/elsewhere?a=b"}})
			res, err := r.complete(back)
			if err != nil {
				t.Fatal(err)
			}
			u, _ := url.Parse(back)
			exchange := r.tenant.LastForm(idptest.CodeExchange)
			check("code exchange", url.Values{
				"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")},
				"redirect_uri": {"http://127.0.0.1/elsewhere?a=b"}, "code_verifier": exchange["code_verifier"],
			})

			id := res.SessionID
			before := r.state(id).RefreshToken
			r.token(id, tokenward.TokenRequest{Audience: apiB, Scope: "write:x  read:x write:x"})
			check("refresh", url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {before}, "audience": {apiB}, "scope": {"write:x read:x"},
			})

			before = r.state(id).RefreshToken
			r.token(id, tokenward.TokenRequest{Audience: apiC})
			check("refresh without scopes", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {before}, "audience": {apiC}})

			before = r.state(id).RefreshToken
			r.token(id, tokenward.TokenRequest{Scope: "more"})
			check("refresh without audience", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {before}, "scope": {"more"}})

			before = r.state(id).RefreshToken
			r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: "ada+1@example.com"})
			connection := url.Values{
				"grant_type":           {"urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"},
				"subject_token":        {before},
				"subject_token_type":   {"urn:ietf:params:oauth:token-type:refresh_token"},
				"requested_token_type": {"http://auth0.com/oauth/token-type/federated-connection-access-token"},
				"connection":           {google}, "login_hint": {"ada+1@example.com"},
			}
			check("connection exchange", connection)

			r.connection(id, tokenward.ConnectionRequest{Connection: "github"})
			connection.Set("connection", "github")
			connection.Del("login_hint")
			check("connection exchange without a hint", connection)
		})
	}
}

func basicOf(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// 9.2: an assertion is for one request, and says who, to whom and for how long.
func TestWire_assertion(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, withTenant(idptest.WithClientKey("demo", &private.PublicKey)))
	w := r.watch(tokenward.WithCredentials(tokenward.Credentials{SigningKey: private, SigningAlg: "PS256", SigningKeyID: "key-1"}))
	id := r.login()
	r.token(id, tokenward.TokenRequest{Audience: apiB})
	seen := map[any]bool{}
	for _, p := range w.posts() {
		form, _ := url.ParseQuery(p.body)
		claims := jwt.MapClaims{}
		token, err := jwt.NewParser(jwt.WithoutClaimsValidation()).ParseWithClaims(form.Get("client_assertion"), claims, func(*jwt.Token) (any, error) { return &private.PublicKey, nil })
		if err != nil {
			t.Fatal(err)
		}
		if token.Method.Alg() != "PS256" || token.Header["kid"] != "key-1" {
			t.Errorf("header = %v", token.Header)
		}
		now := float64(t0.Unix())
		if claims["iss"] != "demo" || claims["sub"] != "demo" || claims["aud"] != r.tenant.Issuer() ||
			claims["iat"] != now || claims["nbf"] != now || claims["exp"] != now+60 {
			t.Errorf("claims = %v", claims)
		}
		if claims["jti"] == nil || seen[claims["jti"]] {
			t.Errorf("jti = %v, which is no new one", claims["jti"])
		}
		seen[claims["jti"]] = true
	}
	r.want("assertions", len(seen), 2)
}

// noVault is a source that cannot be reached.
func noVault(context.Context, string, string) (tokenward.Credentials, error) {
	return tokenward.Credentials{}, errors.New("no vault")
}

// A secret that cannot be had: a ConfigurationError, before any token request.
func TestWire_noClientAuthentication(t *testing.T) {
	source := func(context.Context, string, string) (tokenward.Credentials, error) {
		return tokenward.Credentials{ClientSecret: "demo-secret"}, nil
	}
	r := newRig(t, withConfig(func(c *tokenward.Config) {
		c.ClientSecret, c.Credentials = "", func(ctx context.Context, issuer, clientID string) (tokenward.Credentials, error) {
			return source(ctx, issuer, clientID)
		}
	}))
	id := r.login()
	back := r.callback(tokenward.LoginRequest{})
	source = noVault
	r.tenant.Reset()
	_, err := r.complete(back)
	wantError[*tokenward.ConfigurationError](t, "login", err, "configuration_error")
	err = r.tokenErr(id, tokenward.TokenRequest{Audience: apiB})
	e := asError[*tokenward.AccessTokenError](t, "GetAccessToken", err, "refresh_token_error")
	if e != nil {
		wantError[*tokenward.ConfigurationError](t, "its cause", e.Err, "configuration_error")
	}
	r.want("token requests", r.tenant.Requests(idptest.Token), 0)
}

// A request that fails is not sent again, in another style or otherwise.
func TestWire_oneRequestOnly(t *testing.T) {
	r := newRig(t)
	id := r.login()
	w := r.watch()
	r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_client", "Who?"))
	err := r.tokenErr(id, tokenward.TokenRequest{Audience: apiB})
	wantError[*tokenward.AccessTokenError](t, "GetAccessToken", err, "refresh_token_error")
	r.want("requests", len(w.posts()), 1)
}

// The refresh token is the newest at the moment of sending.
func TestWire_newestRefreshToken(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		one := r.ask(t.Context(), id, tokenward.TokenRequest{Audience: apiA})
		two := r.ask(t.Context(), id, tokenward.TokenRequest{Audience: apiB})
		r.rest()
		hold.Release()
		for _, c := range []*caller{one, two} {
			if _, err := c.wait(); err != nil {
				t.Error(err)
			}
		}
		r.want("reuses", r.tenant.Reuses(), 0)
		r.want("requests at once", r.tenant.PeakPerFamily(), 1)
	})
}

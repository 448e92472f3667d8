package idp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
)

// Secrets that no error may show.
const (
	clientSecret = "s3cr3t/of the+client"
	refreshToken = "refresh-token-canary"
	codeCanary   = "authorization-code-canary"
	verifier     = "code-verifier-canary-0123456789-0123456789-0123456789-0123456789"
	newToken     = "rotated-token-canary"
	subjectToken = "subject-token-canary"
	actorToken   = "actor-token-canary"
)

const (
	issuer   = "https://tenant.example/"
	clientID = "client id"
	metadata = "/.well-known/openid-configuration"
	jwks     = "/jwks"
	token    = "/token"
)

var t0 = time.Unix(1_800_000_000, 0)

// The provider's keys, made once.
var (
	rsaKey     = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	anotherKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey      = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Key    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey      = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// rig is a client and the provider that it talks to, without a socket between
// them. Each path can be answered by a handler of the test's own.
type rig struct {
	t      *testing.T
	clock  *clock.Fake
	client *idp.Client

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
	requests map[string]int // by URL
	form     url.Values     // of the last POST
	header   http.Header    // of the last POST
}

func newRig(t *testing.T, edit ...func(*idp.Config)) *rig {
	t.Helper()
	r := &rig{t: t, clock: clock.NewFake(t0), handlers: make(map[string]http.HandlerFunc), requests: make(map[string]int)}
	cfg := idp.Config{
		ClientID:     clientID,
		ClientSecret: clientSecret,
		HTTPClient:   &http.Client{Transport: r},
		Clock:        r.clock,
		Leeway:       30 * time.Second,
	}
	for _, e := range edit {
		e(&cfg)
	}
	client, err := idp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.client = client
	t.Cleanup(client.Close)
	r.answerJSON(metadata, defaultMetadata())
	r.publish(rsaJWK("1", rsaKey()))
	r.answer(token, 200, `{"access_token":"at","expires_in":3600,"token_type":"Bearer"}`)
	return r
}

func defaultMetadata() map[string]any {
	return map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                "https://tenant.example/authorize",
		"token_endpoint":                        "https://tenant.example/token",
		"jwks_uri":                              "https://tenant.example/jwks",
		"end_session_endpoint":                  "https://tenant.example/end",
		"pushed_authorization_request_endpoint": "https://tenant.example/par",
	}
}

// handle answers a path, or a whole URL, by h.
func (r *rig) handle(path string, h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers[path] = h
}

func (r *rig) answer(path string, status int, body string) {
	r.handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

func (r *rig) answerJSON(path string, v any) { r.answer(path, 200, string(must(json.Marshal(v)))) }

// hang answers a path never. It returns what counts the requests that came.
func (r *rig) hang(path string) {
	r.handle(path, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
}

// fail fails every request to a path as a broken network does.
func (r *rig) fail(path string, err error) {
	r.handle(path, func(http.ResponseWriter, *http.Request) { panic(err) })
}

func (r *rig) publish(keys ...map[string]any) { r.answerJSON(jwks, map[string]any{"keys": keys}) }

func (r *rig) count(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[path]
}

func (r *rig) wantCount(path string, want int) {
	r.t.Helper()
	if got := r.count(path); got != want {
		r.t.Errorf("requests of %s = %d, want %d", path, got, want)
	}
}

// RoundTrip implements http.RoundTripper.
func (r *rig) RoundTrip(req *http.Request) (_ *http.Response, err error) {
	r.mu.Lock()
	r.requests[req.URL.Path]++
	h := r.handlers[req.URL.String()]
	if h == nil {
		h = r.handlers[req.URL.Path]
	}
	if req.Method == http.MethodPost {
		if err := req.ParseForm(); err != nil {
			r.t.Error(err)
		}
		r.form, r.header = req.PostForm, req.Header
	}
	r.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			err = v.(error)
		}
	}()
	w := httptest.NewRecorder()
	if h == nil {
		w.WriteHeader(http.StatusNotFound)
	} else {
		h(w, req)
	}
	if req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	return w.Result(), nil
}

func rsaJWK(kid string, key *rsa.PrivateKey) map[string]any {
	return map[string]any{
		"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
		"n": b64(key.N.Bytes()), "e": "AQAB",
	}
}

func ecJWK(kid string, key *ecdsa.PrivateKey) map[string]any {
	point := must(key.PublicKey.Bytes())
	return map[string]any{"kty": "EC", "kid": kid, "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

func edJWK(kid string, key ed25519.PrivateKey) map[string]any {
	return map[string]any{"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": b64(key.Public().(ed25519.PublicKey))}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// raw is a JSON text inside claims.
func raw(s string) json.RawMessage { return json.RawMessage(s) }

// absent takes a member out.
var absent any = struct{ int }{}

// with returns base with changes; absent ones are taken out.
func with(base, changes map[string]any) map[string]any {
	m := maps.Clone(base)
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == absent })
	return m
}

// sign returns a token with this header and these claims.
func sign(header, claims map[string]any, key crypto.PrivateKey) string {
	return signText(string(must(json.Marshal(header))), string(must(json.Marshal(claims))), header["alg"], key)
}

func signText(header, payload string, alg any, key crypto.PrivateKey) string {
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	name, _ := alg.(string)
	method := jwt.GetSigningMethod(name)
	if method == nil {
		return signed + "."
	}
	return signed + "." + b64(must(method.Sign(signed, key)))
}

func rs256(changes ...map[string]any) map[string]any {
	h := map[string]any{"alg": "RS256", "kid": "1", "typ": "JWT"}
	for _, c := range changes {
		h = with(h, c)
	}
	return h
}

func idClaims(changes ...map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuer, "sub": "auth0|ada", "aud": clientID,
		"iat": t0.Unix(), "exp": t0.Add(time.Hour).Unix(), "sid": "sid-1",
	}
	for _, change := range changes {
		c = with(c, change)
	}
	return c
}

// tampered returns a token whose signature does not fit any more.
func tampered(tok string) string {
	i := strings.LastIndex(tok, ".") + 10
	c := byte('A')
	if tok[i] == c {
		c = 'B'
	}
	return tok[:i] + string(c) + tok[i+1:]
}

package idptest_test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

const (
	playerCallback = "http://127.0.0.1:9/callback"
	playerNonce    = "a-nonce-of-more-than-thirty-two-characters"
	playerReturn   = "http://127.0.0.1:9/goodbye"
)

// player is a provider's own client: it is configured as the profile says.
type player struct {
	*app
	profile idptest.Profile
	clk     *clock.Fake
	config  idptest.Application
	meta    map[string]any
	ids     int
}

// play starts a tenant of profile p and reads its metadata.
func play(t *testing.T, p idptest.Profile, opts ...idptest.Option) *player {
	t.Helper()
	clk := clock.NewFake(t0)
	a := inProcess(t, append([]idptest.Option{idptest.WithProfile(p), idptest.WithClock(clk)}, opts...)...)
	return newPlayer(t, p, a, clk)
}

func newPlayer(t *testing.T, p idptest.Profile, a *app, clk *clock.Fake) *player {
	t.Helper()
	c := &player{app: a, profile: p, clk: clk, config: a.tenant.Application()}
	at := cmp.Or(c.config.MetadataURL, strings.TrimRight(c.config.Issuer, "/")+"/.well-known/openid-configuration")
	r := c.get(at)
	if r.status != 200 || r.body["issuer"] != c.config.Issuer {
		t.Fatalf("metadata at %s = %d %s, want issuer %s", at, r.status, r.raw, c.config.Issuer)
	}
	c.meta = r.body
	return c
}

// endpoint returns what the metadata names, or "".
func (c *player) endpoint(name string) string { s, _ := c.meta[name].(string); return s }

// request returns the parameters of the authorization request; changes are name, value
// pairs.
func (c *player) request(changes ...string) url.Values {
	cfg := c.profile.Config
	q := url.Values{
		"client_id": {c.config.ClientID}, "redirect_uri": {playerCallback}, "response_type": {"code"},
		"state": {"the-state-of-at-least-thirty-two-characters"}, "scope": {cmp.Or(cfg.Scopes, idptest.DefaultScopes)},
	}
	for name, value := range cfg.Params {
		q.Set(name, value)
	}
	if cfg.ResponseMode != "" {
		q.Set("response_mode", cfg.ResponseMode)
	}
	if !cfg.NoPKCE {
		sum := sha256.Sum256([]byte(verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	if cfg.Nonce {
		q.Set("nonce", playerNonce)
	}
	change(q, changes)
	return q
}

// authorize signs in and returns what the browser brings back.
func (c *player) authorize(changes ...string) (url.Values, error) {
	c.Helper()
	q := c.request(changes...)
	if c.profile.Config.PAR {
		r := c.authenticated(c.endpoint("pushed_authorization_request_endpoint"), q)
		if r.status != 201 {
			c.Fatalf("PAR = %d %s", r.status, r.raw)
		}
		q = url.Values{"client_id": {c.config.ClientID}, "request_uri": {r.str("request_uri")}}
	}
	back, err := c.tenant.Callback(c.endpoint("authorization_endpoint") + "?" + q.Encode())
	if err != nil {
		return nil, err
	}
	if err := back.ParseForm(); err != nil {
		c.Fatal(err)
	}
	if post := c.profile.Config.ResponseMode == "form_post"; post != (back.Method == http.MethodPost) {
		c.Errorf("callback by %s", back.Method)
	}
	return back.Form, nil
}

// authenticated posts a form as the client.
func (c *player) authenticated(at string, form url.Values) answer {
	c.Helper()
	f := url.Values{}
	for k, v := range form {
		f[k] = v
	}
	f.Set("client_id", c.config.ClientID)
	auth := cmp.Or(c.profile.Config.Auth, idptest.AuthBasic)
	switch auth {
	case idptest.AuthPost:
		f.Set("client_secret", c.tenant.Application().ClientSecret)
	case idptest.AuthPrivateKey:
		f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		f.Set("client_assertion", c.assertion(at))
	}
	req, err := http.NewRequest(http.MethodPost, at, strings.NewReader(f.Encode()))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if auth == idptest.AuthBasic {
		req.SetBasicAuth(url.QueryEscape(c.config.ClientID), url.QueryEscape(c.config.ClientSecret))
	}
	return c.do(req)
}

// assertion returns a client assertion for the endpoint at.
func (c *player) assertion(at string) string {
	aud := at
	if c.profile.Config.AssertionAudience == idptest.AudienceIssuer {
		aud = c.config.Issuer
	}
	now := c.clk.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": c.config.ClientID, "sub": c.config.ClientID, "aud": aud, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": c.unique(),
	})
	if c.profile.Config.Thumbprint {
		sum := sha256.Sum256(c.config.Certificate.Raw)
		token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	signed, err := token.SignedString(c.config.Key)
	if err != nil {
		c.Fatal(err)
	}
	return signed
}

// token asks the token endpoint.
func (c *player) token(pairs ...string) answer {
	c.Helper()
	f := url.Values{}
	change(f, pairs)
	return c.authenticated(c.endpoint("token_endpoint"), f)
}

// signIn signs in and exchanges the code.
func (c *player) signIn(changes ...string) (callback url.Values, tokens answer) {
	c.Helper()
	callback, err := c.authorize(changes...)
	if err != nil {
		c.Fatal(err)
	}
	proof := verifier
	if c.profile.Config.NoPKCE {
		proof = ""
	}
	tokens = c.token("grant_type", "authorization_code", "code", callback.Get("code"), "redirect_uri", playerCallback, "code_verifier", proof)
	if tokens.status != 200 || tokens.str("access_token") == "" {
		c.Fatalf("code exchange = %d %s", tokens.status, tokens.raw)
	}
	return callback, tokens
}

// spend presents a refresh token.
func (c *player) spend(token string, changes ...string) answer {
	c.Helper()
	return c.token(append([]string{"grant_type", "refresh_token", "refresh_token", token}, changes...)...)
}

// claimsOf verifies a token with the key set. One that the client's secret signs is
// allowed where the profile says that such a client has to refuse it.
func (c *player) claimsOf(token string) jwt.MapClaims {
	c.Helper()
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithJSONNumber(), jwt.WithTimeFunc(c.clk.Now)).ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if strings.HasPrefix(t.Method.Alg(), "HS") && c.profile.Refused != "" {
			return []byte(c.config.ClientSecret), nil
		}
		return jwt.VerificationKeySet{Keys: c.keys(t)}, nil
	})
	if err != nil {
		c.Fatalf("token %s: %v", token, err)
	}
	return claims
}

// keys returns the keys of the set that may have signed t.
func (c *player) keys(t *jwt.Token) []jwt.VerificationKey {
	var found []jwt.VerificationKey
	for _, one := range c.keySet() {
		kid, named := one["kid"]
		alg, says := one["alg"]
		if one["use"] == "enc" || named && t.Header["kid"] != nil && kid != t.Header["kid"] || says && alg != t.Method.Alg() {
			continue
		}
		if k := parseJWK(one); k != nil {
			found = append(found, k)
		}
	}
	return found
}

func (c *player) keySet() []map[string]any {
	r := c.get(c.endpoint("jwks_uri"))
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(r.raw), &set); err != nil || r.status != 200 {
		c.Fatalf("key set = %d %s", r.status, r.raw)
	}
	return set.Keys
}

func parseJWK(k map[string]any) crypto.PublicKey {
	octets := func(name string) []byte {
		s, _ := k[name].(string)
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return b
	}
	num := func(name string) *big.Int { return new(big.Int).SetBytes(octets(name)) }
	switch k["kty"] {
	case "RSA":
		return &rsa.PublicKey{N: num("n"), E: int(num("e").Int64())}
	case "EC":
		curves := map[any]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
		return &ecdsa.PublicKey{Curve: curves[k["crv"]], X: num("x"), Y: num("y")}
	case "OKP":
		return ed25519.PublicKey(octets("x")) // its leading zero octets count
	}
	return nil
}

// userinfo asks userinfo and returns its claims.
func (c *player) userinfo(accessToken string) map[string]any {
	c.Helper()
	req, err := http.NewRequest(http.MethodGet, c.endpoint("userinfo_endpoint"), nil)
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := c.http.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		c.Fatalf("userinfo = %d %s, %v", resp.StatusCode, b, err)
	}
	if c.profile.UserInfo.Signed {
		if got := resp.Header.Get("Content-Type"); got != "application/jwt" {
			c.Errorf("userinfo has Content-Type %s", got)
		}
		return c.claimsOf(string(b))
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		c.Fatal(err)
	}
	return claims
}

// logout returns the URL to which the user goes to sign out.
func (c *player) logout(idToken string, changes ...string) string {
	q := url.Values{"client_id": {c.config.ClientID}, "post_logout_redirect_uri": {playerReturn}, "id_token_hint": {idToken}}
	if c.profile.Config.NoLogoutHint {
		q.Del("id_token_hint")
	}
	for name, value := range c.profile.Config.LogoutParams {
		q.Set(name, strings.ReplaceAll(value, idptest.ReturnTo, playerReturn))
	}
	change(q, changes)
	return c.endpoint("end_session_endpoint") + "?" + q.Encode()
}

// unique returns a text that it never returned before.
func (c *player) unique() string {
	c.ids++
	return strconv.Itoa(c.ids)
}

package idp

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

const (
	fuzzIssuer = "https://tenant.example/"
	fuzzSecret = "refresh-token-canary"
)

func FuzzTokenResponse(f *testing.F) {
	for _, s := range []string{
		`{"access_token":"at","refresh_token":"rt","expires_in":3600,"scope":"a b"}`,
		`{"access_token":"at","expires_in":"3600.5"}`,
		`{"access_token":1,"refresh_token":"rt","refresh_token":null,"expires_in":1e400}`,
		`{"error":"mfa_required","error_description":"x\u0000refresh-token-canary","mfa_token":"m","mfa_requirements":{"a":[1]}}`,
		`{"id_token":"` + unsigned(`{"iss":"i","sub":"s","aud":["a"]}`) + `","access_token":"` + unsigned(`{"aud":[1]}`) + `"}`,
		`{"expires_in":-9223372036854775809}`, `{"authorization_details":[[]]}`, `{`, `[]`, `null`, "\xef\xbb\xbf{}",
	} {
		f.Add([]byte(s), 200)
		f.Add([]byte(s), 403)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		r, err := readAnswer(reply{status: status, body: body}, scrubber{}.and(fuzzSecret))
		if err == nil && (status != 200 || r.AccessToken == "") {
			t.Errorf("status %d, access token %q without an error", status, r.AccessToken)
		}
		if r.ExpiresIn < 0 || r.ExpiresIn > maxExpiresIn || !r.HasExpiresIn && r.ExpiresIn != 0 {
			t.Errorf("expires in %d", r.ExpiresIn)
		}
		// What a plain reader finds in a well-formed answer must not be lost.
		var plain map[string]any
		if json.Unmarshal(body, &plain) == nil && status >= 200 && status < 300 {
			if s, ok := plain["refresh_token"].(string); ok && s != "" && r.RefreshToken != s {
				t.Errorf("refresh token = %q, want %q", r.RefreshToken, s)
			}
		}
		var api *session.APIError
		if err != nil && !errors.As(err, &api) {
			t.Fatalf("error of type %T", err)
		}
		if api != nil {
			text := string(api.Code) + " " + api.Description
			if api.Code == "" || strings.Contains(text, fuzzSecret) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("error = %q", text)
			}
		}
	})
}

func FuzzCallback(f *testing.F) {
	clients := map[bool]*Client{}
	for _, promised := range []bool{false, true} {
		c, _ := newFuzzClient(f)
		c.cache.put("https://tenant.example", Metadata{Issuer: fuzzIssuer, AuthorizationResponseIssParameterSupported: promised}, c.clock.Now())
		clients[promised] = c
	}
	for _, s := range []string{
		"code=c&state=s&iss=https%3A%2F%2Ftenant.example%2F", "error=access_denied&error_description=no&state=s",
		"iss=https://evil.example/&code=c", "iss=https://tenant.example&iss=x", "iss=&code=c", "iss=HTTPS://TENANT.EXAMPLE//",
		"error=%00%0d%0a%1b[1m&error_description=%e2%80%ae%ff", "iss=https://tenant.example/%2e%2e", "%zz", "",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, query string, promised bool) {
		q, _ := url.ParseQuery(query)
		err := clients[promised].CheckCallbackIssuer(context.Background(), fuzzIssuer, q)
		var wrong *session.IssuerValidationError
		switch {
		case err != nil && !errors.As(err, &wrong):
			t.Errorf("error of type %T", err)
		case err == nil && promised && !q.Has("iss"):
			t.Error("a missing iss was let through")
		case err == nil:
			for _, iss := range q["iss"] {
				if iss != "" && !strings.EqualFold(strings.TrimRight(iss, "/"), "https://tenant.example") {
					t.Errorf("iss %q was let through", iss)
				}
			}
		}
		var api *session.APIError
		if !errors.As(CallbackError(q.Get("error"), q.Get("error_description")), &api) || api.Code == "" {
			t.Fatalf("error = %v", api)
		}
		text := string(api.Code) + " " + api.Description
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || utf8.RuneCountInString(text) > maxErrorCode+maxDescription {
			t.Errorf("error = %q", text)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		`{"issuer":"https://tenant.example/","token_endpoint":"https://tenant.example/token","jwks_uri":"http://127.0.0.1/x"}`,
		`{"token_endpoint":"http://tenant.example/token"}`, `{"jwks_uri":"https://u:p@x/"}`, `{"jwks_uri":"//x"}`,
		`{"jwks_uri":"https://[::1%25eth0]:1/"}`, `{"jwks_uri":1}`, `{"issuer":null}`, `{"revocation_endpoint":"https://x/#y","authorization_response_iss_parameter_supported":"true"}`, `[]`, `{`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		secure := len(body)%3 > 0
		m, err := parseMetadata(body, len(body)%2 == 1, secure)
		if err != nil {
			return
		}
		for _, u := range []string{m.RevocationEndpoint, m.TokenEndpoint, m.JWKSURI, m.AuthorizationEndpoint, m.EndSessionEndpoint, m.PushedAuthorizationRequestEndpoint, m.UserInfoEndpoint} {
			if u == "" {
				continue
			}
			req, err := http.NewRequest(http.MethodGet, u, nil)
			if err != nil {
				t.Errorf("endpoint %q: %v", u, err)
				continue
			}
			if req.URL.User != nil || req.URL.Host == "" || req.URL.Scheme != "https" && (secure || req.URL.Scheme != "http") {
				t.Errorf("endpoint %q was let in", u)
			}
		}
	})
}

func FuzzJWKS(f *testing.F) {
	for _, s := range []string{
		`{"keys":[{"kty":"RSA","kid":"1","n":"` + strings.Repeat("_", 342) + `","e":"AQAB"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA","use":"sig"}]}`,
		`{"keys":[{"kty":"oct","k":"AQAB"},1,null,[]]}`, `{"keys":null}`, `{"keys":{}}`, `{`,
	} {
		f.Add([]byte(s), "1", "RS256")
		f.Add([]byte(s), "", "EdDSA")
	}
	f.Fuzz(func(t *testing.T, body []byte, kid, alg string) {
		set, err := parseKeySet(body)
		if err != nil {
			return
		}
		for _, k := range set.keys {
			checkKey(t, k)
		}
		for _, h := range []header{{alg: alg}, {alg: alg, kid: kid, hasKID: true}} {
			if fit, known := set.find(h); len(fit) > 0 && !known || !h.hasKID && len(fit) > 1 {
				t.Errorf("%d keys for %+v, known %t", len(fit), h, known)
			}
		}
	})
}

// fuzzProvider answers discovery and keys; its key is known to the fuzzer.
type fuzzProvider struct{ key *rsa.PrivateKey }

func (p fuzzProvider) RoundTrip(req *http.Request) (*http.Response, error) {
	body := `{"issuer":"https://tenant.example/","jwks_uri":"https://tenant.example/jwks"}`
	if req.URL.Path == "/jwks" {
		body = `{"keys":[{"kty":"RSA","kid":"1","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()) + `"}]}`
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func (p fuzzProvider) sign(header, payload string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func newFuzzClient(f *testing.F) (*Client, fuzzProvider) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	p := fuzzProvider{key}
	c, err := New(Config{
		ClientID: "client", HTTPClient: &http.Client{Transport: p}, Clock: clock.NewFake(time.Unix(1_800_000_000, 0)),
	})
	if err != nil {
		f.Fatal(err)
	}
	return c, p
}

// seedClaims are payloads of interest, good ones first.
var seedClaims = []string{
	`{"iss":"https://tenant.example/","sub":"s","aud":"client","iat":1800000000,"exp":1800003600}`,
	`{"iss":"https://tenant.example/","sub":"s","aud":"client","iat":1800000000,"sid":"x","events":{"` + logoutEvent + `":{}}}`,
	`{"iss":"https://tenant.example/","sub":"s","aud":["client","x"],"azp":"client","exp":1e400}`,
	`{"iss":"https://tenant.example/","aud":"client","exp":-1,"iat":"x"}`,
	`{"iss":"x","iss":"https://tenant.example/"}`, `{"events":[]}`, `null`, `[`, ``,
}

func FuzzIDToken(f *testing.F) {
	c, p := newFuzzClient(f)
	for _, s := range seedClaims {
		f.Add(`{"alg":"RS256","kid":"1"}`, s, false)
		f.Add(`{"alg":"none"}`, s, true)
	}
	f.Add(`{"alg":"RS256","crit":["x"]}`, seedClaims[0], false)
	f.Add(`{"alg":"none","alg":"RS256","kid":"1"}`, seedClaims[0], false)
	f.Add(`{"alg":"RS256","kid":"1","typ":"at+jwt","jku":"https://tenant.example/jwks"}`, seedClaims[0], false)
	f.Add("a.b.c", "...", true)
	f.Fuzz(func(t *testing.T, header, payload string, plain bool) {
		token := header + "." + payload
		if !plain {
			token = p.sign(header, payload)
		}
		user, err := c.VerifyIDToken(context.Background(), fuzzIssuer, token, Expect{})
		if err != nil {
			if user != nil {
				t.Error("claims beside an error")
			}
			return
		}
		if plain {
			t.Fatalf("an unsigned token was accepted: %q", token)
		}
		iss, _ := user["iss"].(string)
		sub, _ := user["sub"].(string)
		exp, _ := user["exp"].(json.Number).Float64()
		if !session.SameIssuer(iss, fuzzIssuer) || sub == "" || exp <= 1_800_000_000 {
			t.Errorf("accepted %v", user)
		}
	})
}

func FuzzLogoutToken(f *testing.F) {
	c, p := newFuzzClient(f)
	for _, s := range seedClaims {
		f.Add(`{"alg":"RS256","kid":"1","typ":"logout+jwt"}`, s, false)
		f.Add(`{"alg":"none"}`, s, true)
	}
	f.Fuzz(func(t *testing.T, header, payload string, plain bool) {
		token := header + "." + payload
		if !plain {
			token = p.sign(header, payload)
		}
		got, err := c.VerifyLogoutToken(context.Background(), fuzzIssuer, token)
		var refused *session.BackchannelLogoutError
		switch {
		case err != nil && (!errors.As(err, &refused) || got != LogoutToken{}):
			t.Errorf("%+v, %T", got, err)
		case err == nil && (plain || got.SID == "" && got.Subject == "" || !session.SameIssuer(got.Issuer, fuzzIssuer)):
			t.Errorf("accepted %+v", got)
		}
	})
}

package idp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

var canaries = []string{clientSecret, url.QueryEscape(clientSecret), basic[6:], refreshToken, codeCanary, verifier, newToken, subjectToken, actorToken}

// wantNoSecret fails when err, or anything that it wraps, prints a secret.
func wantNoSecret(t *testing.T, where string, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", where)
		return
	}
	for ; err != nil; err = errors.Unwrap(err) {
		texts := []string{err.Error(), fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err), fmt.Sprintf("%s", err), fmt.Sprintf("%q", err)}
		if j, e := json.Marshal(err); e == nil {
			texts = append(texts, string(j))
		}
		for _, text := range texts {
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("%s: %T shows %q: %s", where, err, s, text)
				}
			}
			if strings.ContainsAny(text, "\x00\x1b\r\n\u2028\u202e") {
				t.Errorf("%s: %T has control characters: %q", where, err, text)
			}
			if len(text) > 4000 {
				t.Errorf("%s: %T has a text of %d bytes", where, err, len(text))
			}
		}
	}
}

// sent returns all that a request carried.
func sent(req *http.Request) string {
	return strings.Join([]string{
		req.Header.Get("Authorization"), req.PostForm.Encode(), req.PostForm.Get("client_secret"),
		req.PostForm.Get("refresh_token"), req.PostForm.Get("subject_token"), req.PostForm.Get("code"),
		req.PostForm.Get("code_verifier"), strings.Repeat(req.PostForm.Get("refresh_token")+" ", 100),
	}, "\n")
}

// echo returns that and a new token, as their worst enemy would quote them.
func echo(req *http.Request) string {
	return "\x1b[31mwhat you said\r\n\u202e\u2028" + newToken + sent(req) + newToken
}

func TestErrorsShowNoSecrets(t *testing.T) {
	quote := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", "https://evil.example/?"+req.PostForm.Encode())
			w.WriteHeader(status)
			fmt.Fprint(w, string(must(json.Marshal(map[string]any{
				"error": echo(req), "error_description": echo(req), "refresh_token": newToken,
				"mfa_token": newToken, "request_uri": 1,
			}))))
		}
	}
	failures := map[string]http.HandlerFunc{
		"quoted in a refusal":  quote(400),
		"quoted with 200":      quote(200),
		"quoted in a redirect": quote(307),
		"quoted in plain text": func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, echo(req)) },
		"quoted by transport": func(_ http.ResponseWriter, req *http.Request) {
			panic(fmt.Errorf("malformed response %q to %s: %q", echo(req), sent(req), echo(req)))
		},
		"URL error of transport": func(_ http.ResponseWriter, req *http.Request) {
			panic(&url.Error{Op: "Post", URL: "https://proxy/?" + req.PostForm.Encode(), Err: transportError{sent(req)}})
		},
		"error value of transport": func(_ http.ResponseWriter, req *http.Request) { panic(transportError{sent(req)}) },
		"no access token":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"refresh_token":%q}`, newToken) },
		"huge":                     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(refreshToken, 1<<20/10)) },
	}
	for _, auth := range []idp.AuthMethod{idp.ClientSecretBasic, idp.ClientSecretPost} {
		for name, h := range failures {
			r := newRig(t, func(cfg *idp.Config) { cfg.Auth = auth })
			r.handle(token, h)
			r.handle("/par", h)
			for _, tt := range tokenRequests {
				_, err := tt.send(t.Context(), r.client)
				wantNoSecret(t, tt.name+", "+name, err, canaries...)
				r.wantCount("/", 0)
			}
			_, err := r.client.PushAuthorization(t.Context(), issuer, url.Values{})
			wantNoSecret(t, "PAR, "+name, err, canaries...)
		}
	}
}

type transportError struct{ Quote string }

func (e transportError) Error() string { return "failed: " + e.Quote }

func TestErrorsShowNoTokens(t *testing.T) {
	r := newRig(t)
	canary := claimsOf{"canary": "claim-canary", "aud": "claim-canary", "iss": "https://claim-canary/", "sub": "claim-canary"}
	id := sign(rs256(), idClaims(canary), rsaKey())
	tokens := []string{
		id, tampered(id), id + ".x", strings.Replace(id, ".", "!.", 1), strings.Replace(id, ".", "..", 1),
		sign(rs256(claimsOf{"kid": "kid-canary"}), idClaims(canary), rsaKey()),
		sign(rs256(claimsOf{"alg": "alg-canary"}), idClaims(canary), rsaKey()),
		signText("{canary", "{canary", "RS256", rsaKey()),
	}
	for i, tok := range tokens {
		secrets := []string{"canary"}
		for part := range strings.SplitSeq(tok, ".") {
			if len(part) > 8 {
				secrets = append(secrets, part)
			}
		}
		_, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{Nonce: "nonce-canary", Organization: "org-canary"})
		wantNoSecret(t, fmt.Sprintf("ID token %d", i), err, secrets...)
		_, err = r.client.VerifyLogoutToken(t.Context(), issuer, tok)
		wantNoSecret(t, fmt.Sprintf("logout token %d", i), err, secrets...)
	}
}

func TestValuesPrintWithoutSecrets(t *testing.T) {
	r := newRig(t)
	values := []any{
		idp.Config{ClientID: clientID, ClientSecret: clientSecret},
		r.client,
		idp.CodeExchange{Issuer: issuer, Code: codeCanary, CodeVerifier: verifier},
		idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken},
		idp.ConnectionExchange{Issuer: issuer, RefreshToken: refreshToken, Connection: "x"},
		idp.TokenExchange{Issuer: issuer, SubjectToken: subjectToken, ActorToken: actorToken, Params: map[string]string{"x": codeCanary}},
		idp.LogoutOptions{IDTokenHint: refreshToken, Params: url.Values{"x": {codeCanary}}},
	}
	for _, v := range values {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			for _, wrapped := range []any{v, []any{v}, struct{ V any }{v}} {
				text := fmt.Sprintf(format, wrapped)
				for _, s := range canaries {
					if strings.Contains(text, s) || strings.Contains(text, fmt.Sprintf("%x", s)) {
						t.Errorf("%T by %s: %s", v, format, text)
					}
				}
			}
		}
	}
}

func TestErrorTextsFromOutsideAreBounded(t *testing.T) {
	r := newRig(t)
	r.answerJSON(token, nil)
	r.answer(token, 400, fmt.Sprintf(`{"error":%q,"error_description":%q}`, strings.Repeat("é", 100), strings.Repeat("ü", 1000)))
	_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	var api *session.APIError
	if !errors.As(err, &api) {
		t.Fatal(err)
	}
	if got := len([]rune(string(api.Code))); got != 64 {
		t.Errorf("code has %d characters, want 64", got)
	}
	if got := len([]rune(api.Description)); got != 500 {
		t.Errorf("description has %d characters, want 500", got)
	}
}

func TestCallbackError(t *testing.T) {
	tests := []struct{ code, description, wantCode, wantDescription string }{
		{"access_denied", "User did not authorize", "access_denied", "User did not authorize"},
		{" a\x00b\r\n", "\u202ex\x1b[1m", "a b", "x [1m"},
		{"\x00", "", "invalid_response", ""},
		{
			"server_error", "trace 3f2504e0-4f89-11d3-9a0c-0305e82c3301, token 3f2504e04f8911d39a0c0305e82c3301ab",
			"server_error", "trace 3f2504e0-4f89-11d3-9a0c-0305e82c3301, token [redacted]",
		},
		{strings.Repeat("c", 1000), strings.Repeat("d", 1000), strings.Repeat("c", 64), strings.Repeat("d", 500)},
	}
	for _, tt := range tests {
		var api *session.APIError
		if err := idp.CallbackError(tt.code, tt.description); !errors.As(err, &api) ||
			string(api.Code) != tt.wantCode || api.Description != tt.wantDescription || api.Status != 0 {
			t.Errorf("%.20q, %.20q: %#v", tt.code, tt.description, err)
		}
	}
}

// net/http quotes what it cannot parse, and that may be the body with new tokens.
func TestErrorsShowNothingOfAMalformedAnswer(t *testing.T) {
	var answer string
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == metadata {
			fmt.Fprint(w, string(must(json.Marshal(map[string]string{"issuer": server.URL, "token_endpoint": server.URL + "/token"}))))
			return
		}
		conn, rw := must2(w.(http.Hijacker).Hijack())
		fmt.Fprint(rw, answer)
		if err := errors.Join(rw.Flush(), conn.Close()); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	client := must(idp.New(idp.Config{ClientID: clientID, ClientSecret: clientSecret}))
	defer client.Close()

	const secret = "new-token-canary"
	for _, answer = range []string{
		`{"refresh_token":"` + secret + `"}` + "\r\n\r\n",
		"HTTP/1.1 " + secret + " x\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + `{"refresh_token":"` + secret + `"}` + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret + "\r\n",
		"HTTP/1.1 302 Found\r\nLocation: %" + secret + "\r\nContent-Length: 0\r\n\r\n",
	} {
		_, err := client.Refresh(t.Context(), idp.RefreshRequest{Issuer: server.URL, RefreshToken: refreshToken})
		wantNoSecret(t, answer, err, secret, refreshToken)
	}
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

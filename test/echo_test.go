package test_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

// quotes are the ways in which a provider may write a token into a text.
var quotes = []func(string) string{
	func(s string) string { return s },
	func(s string) string { return "the token " + s + ". It was refused" },
	func(s string) string { return "refresh_token=" + url.QueryEscape(s) + "&x=1" },
	func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), ".", "%2E") },
	func(s string) string { b, _ := json.Marshal(map[string]string{"token": s}); return string(b) },
	func(s string) string { return `"` + strings.ReplaceAll(s, ".", `"."`) + `"` },
	func(s string) string { return s[:len(s)-len(s)/4] }, // cut short
}

// echoing is a request that can meet a provider who quotes what he knows.
type echoing struct {
	name  string
	kind  idptest.Kind
	fault func(text string) idptest.Fault
	// prepare does what comes before the request, and returns what makes it.
	prepare func(t *testing.T, r *rig) func() error
}

// refusals is how the endpoints refuse; the code can quote as well.
var refusals = []func(text string) idptest.Fault{
	func(text string) idptest.Fault { return idptest.OAuthError("temporarily_unavailable", text) },
	func(text string) idptest.Fault { return idptest.OAuthError(text, "no") },
	func(text string) idptest.Fault { return idptest.Respond(503, "text/plain", text) },
	func(text string) idptest.Fault {
		return idptest.Edit(func(b map[string]any) {
			for name := range b {
				delete(b, name)
			}
			b["error"], b["error_description"] = "temporarily_unavailable", text
		})
	},
}

// document is how metadata and keys can be spoilt.
var document = []func(text string) idptest.Fault{
	func(text string) idptest.Fault {
		return idptest.Respond(500, "application/json", `{"error_description":`+fmt.Sprintf("%q", text)+`}`)
	},
	func(text string) idptest.Fault {
		return idptest.Edit(func(b map[string]any) {
			b["issuer"], b["jwks_uri"] = "https://issuer.example/"+url.PathEscape(text), "https://127.0.0.1:1/"+url.PathEscape(text)
			b["keys"] = []any{map[string]any{"kid": text, "kty": text, "n": text, "e": text}}
		})
	},
	func(text string) idptest.Fault { return idptest.Respond(200, "text/html", text) },
}

// after is what asks for a token of a session that has spent a refresh token before.
func after(ask func(r *rig, id string) error) func(*testing.T, *rig) func() error {
	return func(_ *testing.T, r *rig) func() error {
		id := r.login()
		r.expire()
		r.token(id, tokenward.TokenRequest{})
		r.connection(id, tokenward.ConnectionRequest{Connection: "github"})
		r.expire()
		return func() error { return ask(r, id) }
	}
}

// fresh asks by a client that knows nothing of the provider.
func fresh(ask func(t *testing.T, r *rig) error) func(*testing.T, *rig) func() error {
	return func(t *testing.T, r *rig) func() error {
		r.client = r.newClient()
		return func() error { return ask(t, r) }
	}
}

func beginOnce(t *testing.T, r *rig, pushed bool) error {
	_, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{Pushed: &pushed}, tokenward.StoreOptions{})
	return err
}

func signInOnce(_ *testing.T, r *rig) error {
	_, err := r.tryLogin(tokenward.StoreOptions{})
	return err
}

func echoRequests() []echoing {
	callback := func(_ *testing.T, r *rig) func() error {
		return func() error {
			_, err := r.complete(r.callback(tokenward.LoginRequest{}))
			return err
		}
	}
	token := func(q tokenward.TokenRequest) func(*testing.T, *rig) func() error {
		return after(func(r *rig, id string) error { return r.tokenErr(id, q) })
	}
	return []echoing{
		{"discovery", idptest.Discovery, nil, fresh(func(t *testing.T, r *rig) error { return beginOnce(t, r, false) })},
		{"keys", idptest.JWKS, nil, fresh(signInOnce)},
		{"keys for a logout token", idptest.JWKS, nil, fresh(func(_ *testing.T, r *rig) error {
			return r.backchannel(r.tenant.LogoutToken(idptest.Subject, ""))
		})},
		{"pushed authorization", idptest.PAR, nil, func(t *testing.T, r *rig) func() error {
			return func() error { return beginOnce(t, r, true) }
		}},
		{"code exchange", idptest.CodeExchange, nil, func(t *testing.T, r *rig) func() error {
			return func() error { return signInOnce(t, r) }
		}},
		{"refresh", idptest.Refresh, nil, token(tokenward.TokenRequest{})},
		{"refresh for another audience", idptest.Refresh, nil, token(tokenward.TokenRequest{Audience: apiB})},
		{"second factor", idptest.Refresh, func(text string) idptest.Fault {
			return idptest.MFARequired("the provider's mfa token", map[string]any{text: []any{text}})
		}, token(tokenward.TokenRequest{})},
		{"connection exchange", idptest.ConnectionExchange, nil, after(func(r *rig, id string) error {
			return r.connectionErr(id, tokenward.ConnectionRequest{Connection: google})
		})},
		{"client credentials", idptest.ClientCredentials, nil, after(func(r *rig, _ string) error {
			_, err := r.client.MachineToken(r.t.Context(), tokenward.MachineRequest{})
			return err
		})},
		{"token exchange", idptest.TokenExchange, nil, after(func(r *rig, id string) error {
			_, err := r.client.ExchangeToken(r.t.Context(), tokenward.ExchangeRequest{Audience: apiB}, tokenward.SessionID(id))
			return err
		})},
		{"revocation", idptest.Revocation, nil, after(func(r *rig, id string) error {
			_, err := r.client.Logout(r.t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id))
			return err // the revocation follows
		})},
		{"callback", idptest.Authorize, func(text string) idptest.Fault { return idptest.OAuthError("access_denied", text) }, callback},
		{"callback's code", idptest.Authorize, func(text string) idptest.Fault { return idptest.OAuthError(text, "") }, callback},
	}
}

// faults returns the ways in which the provider says a text in the answer to q.
func (q *echoing) faults() []func(string) idptest.Fault {
	switch {
	case q.fault != nil:
		return []func(string) idptest.Fault{q.fault}
	case q.kind == idptest.Discovery || q.kind == idptest.JWKS:
		return document
	}
	return refusals
}

// P10: a provider that quotes, in the answer to each kind of request, what it was sent and what
// it issued before: nothing of it is in an error, an answer over HTTP, the log or a metric.
func TestEcho_noTokenIsShown(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		for _, q := range echoRequests() {
			t.Run(fmt.Sprintf("%s, opaque %v", q.name, opaque), func(t *testing.T) { echo(t, q, opaque) })
		}
	}
}

func echo(t *testing.T, q echoing, opaque bool) {
	var kind []idptest.Option
	if opaque {
		kind = append(kind, idptest.WithOpaqueTokens())
	}
	r := newRig(t, withTenant(kind...), withClient(tokenward.WithRevocation()))
	r.login()
	r.connection(r.login(), tokenward.ConnectionRequest{Connection: google})
	known := &canaries{}
	faults := q.faults()
	var met atomic.Int64
	meets := make(chan struct{}, 1)
	for i := range len(quotes) * len(faults) {
		quote, fault := quotes[i%len(quotes)], faults[i/len(quotes)%len(faults)]
		ask := q.prepare(t, r)
		r.tenant.Script(q.kind, idptest.Echo(func(secrets []string) idptest.Fault {
			met.Add(1)
			select {
			case meets <- struct{}{}:
			default:
			}
			known.add("token", secrets...)
			for _, s := range secrets {
				known.add("three quarters of a token", quotes[len(quotes)-1](s))
			}
			return fault(quote(secrets[(i*5+i/7)%min(len(secrets), 9)]))
		}))
		err := ask()
		switch {
		case q.kind == idptest.Revocation && err == nil:
			<-meets // Logout does not wait for it, and Heal would take the fault away
		case err == nil:
			t.Errorf("%d: no error", i)
			continue
		}
		known.check(t, q.name, err)
		if err != nil {
			answer := httptest.NewRecorder()
			httpauth.WriteError(answer, httptest.NewRequest("GET", "/", nil), err)
			if found := known.in(answer.Body.String() + fmt.Sprint(answer.Header())); len(found) > 0 {
				t.Errorf("the answer shows %v: %s", found, answer.Body)
			}
		}
		if found := known.in(fmt.Sprintf("%+v", r.client.Stats())); len(found) > 0 {
			t.Errorf("the metrics show %v", found)
		}
		r.tenant.Heal()
	}
	r.close() // what is logged late is logged now
	if found := known.in(r.log.text.String()); len(found) > 0 {
		t.Errorf("the log shows %v", found)
	}
	if n := int(met.Load()); n < len(quotes)*len(faults) {
		t.Errorf("only %d requests met the fault", n)
	}
}

// Tokens that look like words are known by what the session has, or had since it is in memory.
func TestEcho_whatTheSessionHad(t *testing.T) {
	r := newRig(t)
	answer := func(n string) idptest.Fault {
		return idptest.Respond(200, "application/json", fmt.Sprintf(
			`{"access_token":"access %s","refresh_token":"refresh %s","token_type":"Bearer","expires_in":60}`, n, n))
	}
	says := []string{"refresh first", "refresh second", "refresh third", "access first", "access second", "access third", "access of github"}
	r.tenant.Script(idptest.CodeExchange, idptest.Edit(func(b map[string]any) {
		b["access_token"], b["refresh_token"], b["expires_in"] = "access first", "refresh first", 60
	}))
	id := r.login()
	r.tenant.Script(idptest.ConnectionExchange, idptest.Respond(200, "application/json", `{"access_token":"access of github"}`))
	r.connection(id, tokenward.ConnectionRequest{Connection: "github"})
	for _, n := range []string{"second", "third"} {
		r.clock.Advance(time.Minute)
		r.tenant.Script(idptest.Refresh, answer(n))
		r.token(id, tokenward.TokenRequest{})
	}
	r.clock.Advance(time.Minute)
	quote := idptest.OAuthError("temporarily_unavailable", strings.Join(says, ", "))
	r.tenant.Script(idptest.Refresh, quote)
	r.tenant.Script(idptest.ConnectionExchange, quote)
	r.tenant.Script(idptest.Revocation, quote)
	for _, err := range []error{r.tokenErr(id, tokenward.TokenRequest{}), r.connectionErr(id, tokenward.ConnectionRequest{Connection: google})} {
		answer := httptest.NewRecorder()
		httpauth.WriteError(answer, httptest.NewRequest("GET", "/", nil), err)
		shown := everyPrint(err) + answer.Body.String()
		if !strings.Contains(shown, "[redacted], [redacted]") {
			t.Errorf("it does not say what the provider said: %v", err)
		}
		for _, s := range says {
			if strings.Contains(shown, s) {
				t.Errorf("%q is shown: %s", s, shown)
			}
		}
	}
	r.client = r.newClient(tokenward.WithRevocation())
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	if err := r.tenant.WaitRequests(t.Context(), idptest.Revocation, 1); err != nil {
		t.Fatal(err)
	}
	r.close()
	if log := r.log.text.String(); strings.Contains(log, "refresh third") || strings.Contains(log, "access third") {
		t.Errorf("the log shows tokens: %s", log)
	}
}

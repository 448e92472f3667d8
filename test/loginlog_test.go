package test_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A login that the provider refuses for what the application is, or how it is configured, is logged once: its operator alone can mend it.
func TestLogin_refusedApplicationIsLogged(t *testing.T) {
	foreign := idptest.WithIDToken(func(d *idptest.Draft) { d.Claims["iss"] = "https://other.example/" })
	const noIDToken = `{"access_token":"a","token_type":"Bearer","id_token":"x"}`
	yes := true
	tests := []struct {
		name     string
		kind     idptest.Kind
		fault    idptest.Fault
		tenant   idptest.Option
		callback url.Values // in place of the code
		logged   string     // the provider's code; empty: there is no line
	}{
		{name: "invalid_client", kind: idptest.CodeExchange, fault: idptest.OAuthError("invalid_client", "Who? Not demo-secret."), logged: "invalid_client"},
		{name: "unauthorized_client", kind: idptest.CodeExchange, fault: idptest.OAuthError("unauthorized_client", "Not this grant."), logged: "unauthorized_client"},
		{name: "PKCE", kind: idptest.CodeExchange, fault: idptest.OAuthError("invalid_grant", "code_verifier is wrong."), logged: "invalid_grant"},
		{name: "an error in a success", kind: idptest.CodeExchange, fault: idptest.Respond(200, "application/json", `{"error":"invalid_client"}`), logged: "invalid_client"},
		{name: "the ID token is none", kind: idptest.CodeExchange, fault: idptest.Respond(200, "application/json", noIDToken), logged: "invalid_token"},
		{name: "pushed", kind: idptest.PAR, fault: idptest.OAuthError("invalid_client", "Who? Not demo-secret."), logged: "invalid_client"},
		{name: "pushed, redirect URI", kind: idptest.PAR, fault: idptest.OAuthError("invalid_request", "redirect_uri"), logged: "invalid_request"},
		{name: "the ID token is of another issuer", tenant: foreign, logged: "issuer_validation_error"},
		{name: "the callback is of another issuer", callback: url.Values{"code": {"x"}, "iss": {"https://other.example/"}}, logged: "issuer_validation_error"},
		{name: "at the callback", callback: url.Values{"error": {"unauthorized_client"}, "error_description": {"Not this grant."}}, logged: "unauthorized_client"},

		{name: "the user said no", callback: url.Values{"error": {"access_denied"}}},
		{name: "the user must sign in", callback: url.Values{"error": {"login_required"}}},
		{name: "the user is refused at the token endpoint", kind: idptest.CodeExchange, fault: idptest.OAuthError("access_denied", "Not this user.")},
		{name: "another factor", kind: idptest.CodeExchange, fault: idptest.OAuthError("mfa_required", "Another factor.")},
		{name: "500", kind: idptest.CodeExchange, fault: idptest.Status(500)},
		{name: "429", kind: idptest.CodeExchange, fault: idptest.Status(429)},
		{name: "no answer", kind: idptest.CodeExchange, fault: idptest.ResetConn()},
		{name: "pushed, 503", kind: idptest.PAR, fault: idptest.Status(503)},
		{name: "no metadata", kind: idptest.Discovery, fault: idptest.Status(404), logged: "metadata_error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			r := newRig(t, withClient(tokenward.WithLogger(zap.New(core))))
			logs.TakeAll() // of New
			if tt.tenant != nil {
				r.tenant.Set(tt.tenant)
			}
			if tt.kind != "" {
				r.tenant.Script(tt.kind, tt.fault)
			}
			to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{Pushed: when(tt.kind == idptest.PAR, &yes)}, tokenward.StoreOptions{})
			back := ""
			if err == nil {
				if back, err = r.tenant.Authorize(to); err != nil {
					t.Fatal(err)
				}
				if tt.callback != nil {
					back = withoutCode(t, back, tt.callback)
				}
				_, err = r.complete(back)
			}
			if err == nil {
				t.Fatal("the login succeeds")
			}
			if back != "" { // a second callback is unknown, and no line
				if _, err := r.complete(back); tokenward.CodeOf(err) != "missing_transaction_error" {
					t.Errorf("the callback once more: %v", err)
				}
			}
			checkRefusalLine(t, logs, tt.logged)
		})
	}
}

// checkRefusalLine checks that there is one line about a refused login, with that code, or none where it is empty.
func checkRefusalLine(t *testing.T, logs *observer.ObservedLogs, code string) {
	t.Helper()
	lines := logs.All()
	if code == "" {
		if len(lines) != 0 {
			t.Errorf("logged: %v", lines)
		}
		return
	}
	if len(lines) != 1 || lines[0].Level != zap.WarnLevel {
		t.Fatalf("logged: %v, want one warning", lines)
	}
	fields := lines[0].ContextMap()
	text, _ := fields["error"].(string)
	if fields["code"] != code || !strings.Contains(text, code) {
		t.Errorf("logged: %v, want code %s, and it in the error", fields, code)
	}
	if strings.Contains(text, "demo-secret") {
		t.Errorf("the line has the client's secret: %s", text)
	}
}

// What fails each login at its start costs a stranger nothing: there is one line a minute.
func TestLogin_failuresAtTheStartAreLoggedOnceAMinute(t *testing.T) {
	tests := []struct {
		name  string
		kind  idptest.Kind
		fault idptest.Fault
		code  tokenward.Code
	}{
		{"a wrong issuer", idptest.Discovery, idptest.Status(404), "metadata_error"},
		{"a wrong secret, pushed", idptest.PAR, idptest.OAuthError("invalid_client", "Who?"), "invalid_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			r := newRig(t, withClient(tokenward.WithLogger(zap.New(core)), tokenward.WithProvider(tokenward.ProviderConfig{PushedAuthorization: true})))
			logs.TakeAll()
			r.tenant.Script(tt.kind, tt.fault.Always())
			for minute, want := range []int{1, 2, 3} {
				for range 5 {
					if _, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{}); tokenward.CodeOf(err) != tt.code {
						t.Fatalf("a login: %v", err)
					}
				}
				if n := logs.Len(); n != want {
					t.Errorf("minute %d: %d lines so far, want %d", minute, n, want)
				}
				r.clock.Advance(time.Minute)
			}
		})
	}
}

// A stranger who begins logins can make up what their callbacks say. That is one line a minute, and takes no line from what the provider says.
func TestLogin_whatBrowsersSayIsLoggedOnceAMinute(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	r := newRig(t, withClient(tokenward.WithLogger(zap.New(core))))
	logs.TakeAll()
	back := func(params url.Values) {
		t.Helper()
		to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		callback, err := r.tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		if params != nil {
			callback = withoutCode(t, callback, params)
		}
		if _, err := r.complete(callback); err == nil {
			t.Fatal("the login succeeds")
		}
	}
	back(url.Values{"error": {"metadata_error"}}) // the client's own code, in a browser's mouth
	if lines := logs.TakeAll(); len(lines) != 0 {
		t.Errorf("logged: %v", lines)
	}
	for range 5 {
		back(url.Values{"error": {"unauthorized_client"}})
		back(url.Values{"error": {"invalid_token"}})
		back(url.Values{"code": {"made up"}})
		back(url.Values{"code": {"x"}, "iss": {"https://other.example/"}})
	}
	if n := len(logs.TakeAll()); n != 1 {
		t.Errorf("%d lines of what browsers said, want 1", n)
	}
	for range 2 {
		r.tenant.Script(idptest.CodeExchange, idptest.OAuthError("invalid_client", "Who?"))
		back(nil)
	}
	if n := len(logs.TakeAll()); n != 2 {
		t.Errorf("%d lines of two logins that the provider refused, want 2", n)
	}
}

// A start of a login whose browser goes away is not logged, and does not use up the one line of that minute.
func TestLogin_aCallerWhoGivesUpIsNotLogged(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	r := newRig(t, withClient(tokenward.WithLogger(zap.New(core))))
	logs.TakeAll()
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := r.client.StartInteractiveLogin(gone, tokenward.LoginRequest{}, tokenward.StoreOptions{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a login: %v", err)
	}
	if lines := logs.All(); len(lines) != 0 {
		t.Errorf("logged: %v", lines)
	}
}

// Callbacks of no login, as a stranger makes them up, are not logged.
func TestLogin_forgedCallbacksAreNotLogged(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	r := newRig(t, withClient(tokenward.WithLogger(zap.New(core))))
	logs.TakeAll()
	for _, query := range []string{"state=x&error=unauthorized_client", "state=x&code=y", "error=invalid_client", "state=x", ""} {
		if _, err := r.complete("http://127.0.0.1/callback?" + query); err == nil {
			t.Errorf("%q succeeds", query)
		}
	}
	if lines := logs.All(); len(lines) != 0 {
		t.Errorf("logged: %v", lines)
	}
}

// withoutCode returns the callback with other parameters in place of its code.
func withoutCode(t *testing.T, back string, params url.Values) string {
	t.Helper()
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Del("code")
	for name := range params {
		query.Set(name, params.Get(name))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func when[T any](so bool, v *T) *T {
	if so {
		return v
	}
	return nil
}

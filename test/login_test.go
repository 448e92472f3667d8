package test_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestComplete_orderOfChecks(t *testing.T) {
	t.Run("1: no state", func(t *testing.T) {
		r := newRig(t)
		tx := r.withTransactions()
		back := r.callback(tokenward.LoginRequest{})
		for _, u := range []string{with(back, "state", ""), with(back, "state", "", "error", "access_denied"), strings.Replace(back, "?", "#", 1)} {
			_, err := r.complete(u)
			e := asError[*tokenward.MissingRequiredArgumentError](t, u, err, "missing_required_argument_error")
			if e != nil && e.Argument != "state" {
				t.Errorf("argument = %q", e.Argument)
			}
		}
		if n := tx.Count(storetest.OpGet) + tx.Count(storetest.OpTake); n != 0 {
			t.Errorf("the transaction store was asked %d times, want 0", n)
		}
		if _, err := r.complete(back); err != nil {
			t.Errorf("the login afterwards: %v", err)
		}
	})
	t.Run("2: unknown state, before an error is looked at", func(t *testing.T) {
		r := newRig(t)
		for _, u := range []string{"http://127.0.0.1/callback?state=made-up&code=c", "http://127.0.0.1/callback?state=made-up&error=access_denied", "http://127.0.0.1/callback?state=made-up"} {
			_, err := r.complete(u)
			wantError[*tokenward.MissingTransactionError](t, u, err, "missing_transaction_error")
		}
		if n := r.tenant.Requests(idptest.Any); n != 0 {
			t.Errorf("requests = %d, want 0", n)
		}
	})
	t.Run("3: the provider's error", func(t *testing.T) {
		r := newRig(t)
		back := with(r.callback(tokenward.LoginRequest{}), "error", "access_denied", "error_description", "No thanks.")
		_, err := r.complete(back)
		e := asError[*tokenward.APIError](t, "callback", err, "access_denied")
		if e != nil && e.Description != "No thanks." {
			t.Errorf("description = %q", e.Description)
		}
		r.wantSpent("callback", back)
		if n := r.tenant.Requests(idptest.CodeExchange); n != 0 {
			t.Errorf("code exchanges = %d, want 0", n)
		}
	})
	t.Run("4: no code", func(t *testing.T) {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{})
		for range 2 {
			_, err := r.complete(with(back, "code", ""))
			e := asError[*tokenward.MissingRequiredArgumentError](t, "callback", err, "missing_required_argument_error")
			if e != nil && e.Argument != "code" {
				t.Errorf("argument = %q", e.Argument)
			}
		}
		if _, err := r.complete(back); err != nil {
			t.Errorf("the transaction did not stay: %v", err)
		}
	})
	t.Run("9: the store fails", func(t *testing.T) {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{})
		r.store.Fail(storetest.OpReplace, 1)
		res, err := r.complete(back)
		if res != nil || !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
			t.Errorf("result %v, err %v, want the store's error", res, err)
		}
		r.wantNothingStored("callback")
		r.wantSpent("callback", back)
	})
	t.Run("10: success", func(t *testing.T) {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{})
		if _, err := r.complete(back); err != nil {
			t.Fatal(err)
		}
		r.wantSpent("callback", back)
		if n := r.tenant.Requests(idptest.CodeExchange); n != 1 {
			t.Errorf("code exchanges = %d, want 1", n)
		}
	})
	t.Run("a URL that is none", func(t *testing.T) {
		r := newRig(t)
		_, err := r.complete("http://127.0.0.1/\x7f?state=canary")
		wantError[*tokenward.InvalidArgumentError](t, "callback", err, "invalid_argument")
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%v quotes the URL", err)
		}
	})
}

// 5: whatever the token endpoint does, the code is spent and nothing stored.
func TestComplete_tokenEndpointFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  idptest.Fault
		status int
		cause  string // an OAuth error code in what the error says
	}{
		{"refused", idptest.OAuthError("invalid_grant", "Expired."), 403, "invalid_grant"},
		{"the client is refused", idptest.OAuthError("invalid_client", "Who?"), 401, "invalid_client"},
		{"500", idptest.Status(500), 500, ""},
		{"503 with JSON that is no object", idptest.Respond(503, "application/json", `"busy"`), 503, ""},
		{"reset", idptest.ResetConn(), 0, ""},
		{"cut", idptest.Cut(), 200, ""},
		{"truncated", idptest.Truncated(), 200, ""},
		{"a web page", idptest.Garbage(), 200, ""},
		{"no object", idptest.Respond(200, "application/json", "[]"), 200, ""},
		{"no access token", idptest.Respond(200, "application/json", `{"id_token":"x"}`), 200, ""},
		{"an access token that is a number", idptest.Respond(200, "application/json", `{"access_token":5}`), 200, ""},
		{"more than 1 MiB", idptest.HugeBody(1<<20 + 4096), 200, ""},
		{"a redirect", idptest.Redirect(http.StatusTemporaryRedirect, ""), 307, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			back := r.callback(tokenward.LoginRequest{})
			r.tenant.Script(idptest.CodeExchange, tt.fault)
			_, err := r.complete(back)
			e := asError[*tokenward.APIError](t, "callback", err, "token_error")
			if e != nil && e.Status != tt.status && tt.name != "cut" {
				t.Errorf("status = %d, want %d", e.Status, tt.status)
			}
			if err != nil && !strings.Contains(err.Error(), tt.cause) {
				t.Errorf("%v does not say %s", err, tt.cause)
			}
			var cause *tokenward.APIError
			if e != nil && tt.cause != "" && (!errors.As(e.Err, &cause) || string(cause.Code) != tt.cause) {
				t.Errorf("cause = %v, want the OAuth error %s", e.Err, tt.cause)
			}
			r.wantNothingStored("callback")
			r.wantSpent("callback", back)
			if n := r.tenant.Requests(idptest.CodeExchange); n != 1 {
				t.Errorf("code exchanges = %d, want 1", n)
			}
			if s := r.tenant.Spilled(); len(s) > 0 {
				t.Errorf("a redirect took along %v", s)
			}
		})
	}
}

// A transaction is single use: of any number of callbacks at once one succeeds.
func TestComplete_callbacksAtOnce(t *testing.T) {
	for _, n := range []int{2, 100} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t)
			back := r.callback(tokenward.LoginRequest{})
			errs := make([]error, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { _, errs[i] = r.complete(back) })
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
					continue
				}
				wantError[*tokenward.MissingTransactionError](t, "callback", err, "missing_transaction_error")
			}
			if won != 1 {
				t.Errorf("successes = %d, want 1", won)
			}
			if got := r.tenant.Requests(idptest.CodeExchange); got != 1 {
				t.Errorf("code exchanges = %d, want 1", got)
			}
			if got := r.memory.Len(); got != 1 {
				t.Errorf("sessions = %d, want 1", got)
			}
		})
	}
}

func TestComplete_oneHour(t *testing.T) {
	r := newRig(t)
	young, old := r.start(tokenward.LoginRequest{}, tokenward.StoreOptions{}), r.start(tokenward.LoginRequest{}, tokenward.StoreOptions{})
	r.clock.Advance(time.Hour - time.Second)
	back, err := r.tenant.Authorize(young)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.complete(back); err != nil {
		t.Errorf("a login of 59:59: %v", err)
	}
	if back, err = r.tenant.Authorize(old); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(2 * time.Second)
	_, err = r.complete(back)
	wantError[*tokenward.MissingTransactionError](t, "a login of 60:01", err, "missing_transaction_error")
}

// A store that drops nothing by itself does not make logins live longer.
func TestComplete_oneHourWithAStoreThatForgetsNothing(t *testing.T) {
	r := newRig(t)
	r.client = r.newClient(tokenward.WithTransactionStore(&recordingTransactions{TransactionStore: store.NewTransactions(r.clock), forever: true}))
	to := r.start(tokenward.LoginRequest{}, tokenward.StoreOptions{})
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Hour + time.Second)
	_, err = r.complete(back)
	wantError[*tokenward.MissingTransactionError](t, "a login of 60:01", err, "missing_transaction_error")
}

// Two tabs: each login has a transaction of its own.
func TestComplete_twoLoginsAtOnce(t *testing.T) {
	r := newRig(t)
	one, two := r.callback(tokenward.LoginRequest{AppState: 1}), r.callback(tokenward.LoginRequest{AppState: 2})
	for i, back := range []string{two, one} {
		res, err := r.complete(back)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(2 - i); string(res.AppState) != want {
			t.Errorf("app state = %s, want %s", res.AppState, want)
		}
	}
}

// The challenge in the URL is that of the verifier that the code exchange shows.
func TestComplete_PKCE(t *testing.T) {
	r := newRig(t)
	q := r.begin(tokenward.LoginRequest{})
	to := r.tenant.URL("/authorize") + "?" + q.Encode()
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.complete(back); err != nil {
		t.Fatal(err)
	}
	verifier := r.tenant.LastForm(idptest.CodeExchange).Get("code_verifier")
	if !alphanumeric(64).MatchString(verifier) || idp.Challenge(verifier) != q.Get("code_challenge") {
		t.Errorf("verifier %q does not fit the challenge %q", verifier, q.Get("code_challenge"))
	}
}

package test_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

const typeAccess = "urn:ietf:params:oauth:token-type:access_token"

// askExchange has a caller exchange in the background.
func (r *rig) askExchange(ctx context.Context, id string, q tokenward.ExchangeRequest) *caller {
	return asking(func() (tokenward.Token, error) {
		t, err := r.client.ExchangeToken(ctx, q, tokenward.SessionID(id))
		return t.Token, err
	})
}

func (r *rig) exchanged(id string, q tokenward.ExchangeRequest) tokenward.ExchangedToken {
	r.t.Helper()
	t, err := r.client.ExchangeToken(context.Background(), q, tokenward.SessionID(id))
	if err != nil {
		r.t.Fatalf("ExchangeToken(%v): %v", q, err)
	}
	return t
}

func (r *rig) exchangeErr(id string, q tokenward.ExchangeRequest) error {
	r.t.Helper()
	_, err := r.client.ExchangeToken(context.Background(), q, tokenward.SessionID(id))
	if err == nil {
		r.t.Fatalf("ExchangeToken(%v) succeeded, want an error", q)
	}
	return err
}

func (r *rig) wantTokenExchanges(n int) {
	r.t.Helper()
	r.want("exchanges", r.tenant.Requests(idptest.TokenExchange), n)
}

// wantExchangeCode checks that err is a *CustomTokenExchangeError of that code.
func (r *rig) wantExchangeCode(what string, err error, code tokenward.Code) {
	r.t.Helper()
	var typed *tokenward.CustomTokenExchangeError
	if !errors.As(err, &typed) || tokenward.CodeOf(err) != code {
		r.t.Errorf("%s: err = %v (%T), want a CustomTokenExchangeError %s", what, err, err, code)
	}
}

var forB = tokenward.ExchangeRequest{Audience: apiB, Scope: "read write"}

// Ten thousand callers whose tokens have expired cost one refresh and one exchange. It presents the session's access token, and
// spends no refresh token.
func TestExchange_oneRequestForAnyNumberOfCallers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.TokenExchange, idptest.AfterGrant)
		var all []*caller
		for i := range 10_000 {
			scope := []string{"read write", " write  read read"}[i%2]
			all = append(all, r.askExchange(t.Context(), id, tokenward.ExchangeRequest{Audience: apiB, Scope: scope}))
		}
		r.rest()
		r.want("exchanges on the wire", hold.Held(), 1)
		hold.Release()
		for i, c := range all {
			if got, err := c.wait(); err != nil || got != all[0].token || got.AccessToken == "" {
				t.Fatalf("caller %d: %v, %v, want what the first got", i, got, err)
			}
		}
		r.wantTokenExchanges(1)
		r.want("refreshes", r.tenant.Refreshes(), 1)
		r.want("requests that spend a refresh token", r.tenant.Requests(idptest.Spend), 1)
		form := r.tenant.LastForm(idptest.TokenExchange)
		if form.Get("subject_token") != r.token(id, tokenward.TokenRequest{}).AccessToken || form.Get("subject_token_type") != typeAccess ||
			form.Get("audience") != apiB || form.Get("scope") != "read write" && form.Get("scope") != "write read" {
			t.Errorf("form = %v", form)
		}
		got := r.exchanged(id, forB)
		if got.Token != all[0].token || got.IssuedTokenType != typeAccess {
			t.Errorf("from the cache: %v, type %q", got, got.IssuedTokenType)
		}
		r.wantTokenExchanges(1)
		r.want("updates", r.store.Updates(), 1)
		r.wantLiving(id)
	})
}

// The exchanged token, and how, is part of the query; the wanted one follows the rules of the cache.
func TestExchange_cache(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		wide := r.exchanged(id, forB)
		if got := r.exchanged(id, tokenward.ExchangeRequest{Audience: apiB, Scope: "write"}); got != wide {
			t.Error("a token with more scopes was not the answer")
		}
		different := []tokenward.ExchangeRequest{
			{Audience: apiB, Scope: "admin"},
			{Audience: audience(2), Scope: "read"},
			{Scope: "read"},
			{Audience: apiB, Scope: "read", SubjectAudience: audience(1)},
			{Audience: apiB, Scope: "read", SubjectScope: "x"},
			{Audience: apiB, Scope: "read", SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt"},
			{Audience: apiB, Scope: "read", ActorToken: "an actor", ActorTokenType: "urn:acme:actor"},
			{Audience: apiB, Scope: "read", ActorToken: "another", ActorTokenType: "urn:acme:actor"},
			{Audience: apiB, Scope: "read", Params: map[string]string{"resource": "https://r.example"}},
			{Audience: apiB, Scope: "read", Params: map[string]string{"organization": "acme"}},
			{Audience: apiB, Scope: "read", SubjectToken: "a token of the host", SubjectTokenType: "urn:acme:legacy"},
			{Scope: "api://b/.default", OnBehalfOf: true},
		}
		tokens := map[string]bool{wide.AccessToken: true}
		for range 2 {
			for _, q := range different {
				tokens[r.exchanged(id, q).AccessToken] = true
			}
		}
		r.want("tokens", len(tokens), len(different)+1)
		r.wantTokenExchanges(len(different) + 1)
		if form := r.tenant.LastForm(idptest.TokenExchange); form.Get("requested_token_use") != "on_behalf_of" ||
			form.Get("assertion") != r.token(id, tokenward.TokenRequest{}).AccessToken || form.Has("subject_token") {
			t.Errorf("on behalf of: %v", form)
		}
		r.clock.Advance(idptest.TokenLife)
		if got := r.exchanged(id, forB); got == wide {
			t.Error("the token was handed out at its expiry")
		}
	})
}

// Neither a ceiling nor a logout lets an exchanged token out afterwards, and another user's login under the same session id
// gets none of the user before.
func TestExchange_endsWithItsSession(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ceiling := r.clock.Now().Add(10 * time.Minute).Unix()
		id := r.login(idptest.Claims{"session_expiry": ceiling})
		if got := r.exchanged(id, forB); got.ExpiresAt.Unix() != ceiling-30 {
			t.Errorf("it expires %v after the end of the session", got.ExpiresAt.Unix()-(ceiling-30))
		}
		r.clock.Advance(10*time.Minute - 30*time.Second - 1)
		r.exchanged(id, forB)
		r.wantTokenExchanges(1)
		r.clock.Advance(1)
		r.wantCode("at the ceiling", r.exchangeErr(id, forB), "session_expired")

		id = r.login()
		r.exchanged(id, forB)
		if err := <-r.logout(id); err != nil {
			t.Fatal(err)
		}
		r.wantCode("after the logout", r.exchangeErr(id, forB), "missing_refresh_token")

		r.tenant.SetUser("auth0|bob", nil)
		ada := r.exchanged(r.loginAs(tokenward.SessionID("one id")), forB)
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		bob := r.exchanged(r.loginAs(tokenward.SessionID("one id")), forB)
		if ada == bob {
			t.Error("another user's login got the token of the user before")
		}
		r.wantTokenExchanges(4)
	})
}

// A session that ends, or begins anew, while its token is exchanged: callers get no token, and nothing of it is kept.
func TestExchange_theSessionChangesUnderIt(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *rig, id string)
		code   tokenward.Code
	}{
		{"logout", func(r *rig, id string) {
			if err := <-r.logout(id); err != nil {
				r.t.Error(err)
			}
		}, "missing_session"},
		{"back-channel logout", func(r *rig, _ string) {
			if err := r.backchannel(r.tenant.LogoutToken(idptest.Subject, "")); err != nil {
				r.t.Error(err)
			}
		}, "missing_session"},
		{"ceiling", func(r *rig, _ string) { r.clock.Advance(10 * time.Minute); r.settle() }, "session_expired"},
		{"another login", func(r *rig, id string) { r.loginAs(tokenward.SessionID(id)) }, "missing_session"},
	}
	for _, tt := range tests {
		for _, fails := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, ", refused ", fails), func(t *testing.T) {
				inBubble(t, func(t *testing.T, r *rig) {
					id := r.login(idptest.Claims{"session_expiry": r.clock.Now().Add(10 * time.Minute).Unix()})
					if fails {
						r.tenant.Script(idptest.TokenExchange, idptest.OAuthError("invalid_target", ""))
					}
					hold := r.tenant.Hold(idptest.TokenExchange, idptest.AfterGrant)
					var all []*caller
					for range 10 {
						all = append(all, r.askExchange(t.Context(), id, forB))
					}
					r.rest()
					r.want("exchanges on the wire", hold.Held(), 1)
					tt.change(r, id)
					hold.Release()
					for _, c := range all {
						got, err := c.wait()
						r.wantCode("a caller", err, tt.code)
						if got.AccessToken != "" {
							t.Error("a token beside the error")
						}
					}
				}, withLimits(tokenward.Limits{FlightTimeout: time.Hour}))
			})
		}
	}
}

// The subject's token comes of another login than the exchange was begun for: it is not exchanged for the old one.
func TestExchange_aLoginWhileTheSubjectIsRefreshed(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.loginAs(tokenward.SessionID("one id"))
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		c := r.askExchange(t.Context(), id, forB)
		r.rest()
		r.loginAs(tokenward.SessionID(id))
		hold.Release()
		_, err := c.wait()
		r.wantCode("the caller of the old login", err, "missing_session")
		r.wantTokenExchanges(0)
		r.exchanged(id, forB)
		r.wantTokenExchanges(1)
	})
}

// A failure is the same error for all who wait, has the provider's words as its cause, and is not kept. The session is as it
// was, and no login is required.
func TestExchange_oneFailureForAllWhoJoined(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.tenant.Script(idptest.TokenExchange, idptest.OAuthError("invalid_grant", "the subject token is not accepted"))
		hold := r.tenant.Hold(idptest.TokenExchange, idptest.BeforeGrant)
		var all []*caller
		for range 100 {
			all = append(all, r.askExchange(t.Context(), id, forB))
		}
		r.rest()
		hold.Release()
		_, want := all[0].wait()
		r.wantExchangeCode("first", want, "token_exchange_failed")
		if !errors.Is(want, &tokenward.APIError{Code: "invalid_grant"}) || tokenward.LoginRequired(want) {
			t.Errorf("%v, want the provider's error as its cause, and no login required", want)
		}
		answer := httptest.NewRecorder()
		httpauth.WriteError(answer, httptest.NewRequest("GET", "/", nil), want)
		if answer.Code != 502 || !strings.Contains(answer.Body.String(), `"token_exchange_failed"`) {
			t.Errorf("over HTTP: %d %s", answer.Code, answer.Body)
		}
		for i, c := range all {
			if _, err := c.wait(); err != want { //nolint:errorlint // the very same
				t.Errorf("caller %d: %v", i, err)
			}
		}
		r.wantTokenExchanges(1)
		r.exchanged(id, forB)
		r.wantTokenExchanges(2)
		r.wantLiving(id)
	})
}

// The subject's token cannot be had: the errors are those of GetAccessToken, and nothing is exchanged.
func TestExchange_theSubjectCannotBeHad(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.wantCode("no session", r.exchangeErr("unknown", forB), "missing_refresh_token")
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", ""))
		err := r.exchangeErr(id, forB)
		r.wantCode("a refused refresh", err, "refresh_token_error")
		if !tokenward.LoginRequired(err) {
			t.Errorf("%v: no login is required", err)
		}
		_, err = r.client.ExchangeToken(t.Context(), forB, tokenward.StoreOptions{})
		if !errors.As(err, new(*tokenward.InvalidArgumentError)) {
			t.Errorf("no session named: %v, want an InvalidArgumentError", err)
		}
		_, err = r.client.ExchangeToken(t.Context(), tokenward.ExchangeRequest{SubjectToken: "x"}, tokenward.HTTP(nil, httptest.NewRequest("GET", "/", nil)))
		r.wantCode("a browser without a session", err, "missing_refresh_token")
		r.wantTokenExchanges(0)
	})
}

// A token that the host gives, without a session, is exchanged once for all who have it, in the permits of strangers.
func TestExchange_aTokenOfTheHost(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		q := tokenward.ExchangeRequest{Audience: apiB, SubjectToken: "a token of the host", SubjectTokenType: "urn:acme:legacy"}
		exchange := func(q tokenward.ExchangeRequest) *caller {
			return asking(func() (tokenward.Token, error) {
				got, err := r.client.ExchangeToken(t.Context(), q, tokenward.StoreOptions{})
				return got.Token, err
			})
		}
		hold := r.tenant.Hold(idptest.TokenExchange, idptest.BeforeGrant)
		var all []*caller
		for range 100 {
			all = append(all, exchange(q))
		}
		r.rest()
		other := q
		other.SubjectToken = "another token"
		second := exchange(other)
		r.rest()
		r.want("exchanges on the wire, of one permit for strangers", hold.Held(), 1)
		r.token(id, tokenward.TokenRequest{Audience: audience(1)}) // a refresh does not wait for them
		hold.Release()
		for i, c := range all {
			if got, err := c.wait(); err != nil || got != all[0].token {
				t.Fatalf("caller %d: %v", i, err)
			}
		}
		if got, err := second.wait(); err != nil || got == all[0].token {
			t.Errorf("another token got the same answer, or %v", err)
		}
		r.wantTokenExchanges(2)
	}, withLimits(tokenward.Limits{ProviderRequests: 4}))
}

// What cannot be a token is refused before anything is sent.
func TestExchange_arguments(t *testing.T) {
	r := newRig(t)
	id := r.login()
	for _, tt := range []struct {
		q    tokenward.ExchangeRequest
		code tokenward.Code
	}{
		{tokenward.ExchangeRequest{SubjectToken: "  "}, "invalid_token_format"},
		{tokenward.ExchangeRequest{SubjectToken: "Bearer abc"}, "invalid_token_format"},
		{tokenward.ExchangeRequest{SubjectToken: "bearer"}, "invalid_token_format"},
		{tokenward.ExchangeRequest{SubjectToken: "abc\n"}, "invalid_token_format"},
		{tokenward.ExchangeRequest{ActorToken: "\t", ActorTokenType: "x"}, "invalid_token_format"},
		{tokenward.ExchangeRequest{ActorToken: "BEARER abc", ActorTokenType: "x"}, "invalid_token_format"},
		{tokenward.ExchangeRequest{ActorToken: "abc"}, "missing_actor_token_type"},
		{tokenward.ExchangeRequest{ActorToken: "abc", ActorTokenType: " "}, "missing_actor_token_type"},
		{tokenward.ExchangeRequest{ActorTokenType: "x"}, "invalid_token_format"},
	} {
		err := r.exchangeErr(id, tt.q)
		r.wantExchangeCode(fmt.Sprintf("%q %q %q", tt.q.SubjectToken, tt.q.ActorToken, tt.q.ActorTokenType), err, tt.code)
		if httpauth.StatusOf(err) != 400 {
			t.Errorf("%v has the status %d", err, httpauth.StatusOf(err))
		}
	}
	long := strings.Repeat("x", 2049)
	for _, q := range []tokenward.ExchangeRequest{
		{Audience: long},
		{Scope: long},
		{SubjectAudience: long},
		{SubjectScope: long},
		{SubjectTokenType: long},
		{Params: map[string]string{"a": long}},
		{MinRemaining: -1},
		{SubjectToken: "x", SubjectAudience: "y"},
		{ActorToken: "x", ActorTokenType: long},
		{OnBehalfOf: true, ActorToken: "x", ActorTokenType: "y"},
	} {
		if err := r.exchangeErr(id, q); !errors.As(err, new(*tokenward.InvalidArgumentError)) {
			t.Errorf("%v, want an InvalidArgumentError", err)
		}
	}
	r.wantTokenExchanges(0)
	r.exchanged(id, tokenward.ExchangeRequest{
		Audience: apiB, Params: map[string]string{"audience": "x", "grant_type": "password", "client_id": "x", "subject_token": "x", "resource": "https://r.example"},
	})
	form := r.tenant.LastForm(idptest.TokenExchange)
	if form.Get("audience") != apiB || form.Get("client_id") != "demo" || form.Get("resource") != "https://r.example" {
		t.Errorf("form = %v", form)
	}
}

// A session's Retry-After holds up its exchanges, and no other session's.
func TestExchange_retryAfter(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id, other := r.login(), r.login()
		r.tenant.Script(idptest.TokenExchange, idptest.Status(429).With("Retry-After", "30"))
		want := r.exchangeErr(id, forB)
		if err := r.exchangeErr(id, forB); err != want { //nolint:errorlint // the very same
			t.Errorf("%v, want %v", err, want)
		}
		r.exchanged(other, forB)
		r.wantTokenExchanges(2)
		r.clock.Advance(30 * time.Second)
		r.exchanged(id, forB)
		r.wantTokenExchanges(3)
	})
}

// A caller who gives up harms neither the others nor the exchange; the deadline is the exchange's own.
func TestExchange_cancellationAndDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		hold := r.tenant.Hold(idptest.TokenExchange, idptest.BeforeGrant)
		ctx, cancel := context.WithCancel(t.Context())
		first := r.askExchange(ctx, id, forB)
		r.rest()
		second := r.askExchange(t.Context(), id, forB)
		r.rest()
		cancel()
		if _, err := first.wait(); err != context.Canceled { //nolint:errorlint // the very same
			t.Errorf("err = %v", err)
		}
		hold.Release()
		if _, err := second.wait(); err != nil {
			t.Error(err)
		}
		r.wantTokenExchanges(1)
		r.tenant.Script(idptest.TokenExchange, idptest.Hang())
		c := r.askExchange(t.Context(), id, tokenward.ExchangeRequest{Audience: audience(3)})
		r.rest()
		r.clock.Advance(10 * time.Second)
		_, err := c.wait()
		r.wantExchangeCode("the deadline", err, "token_exchange_failed")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A session that another process has signed out gets no exchanged token here.
func TestExchange_logoutElsewhere(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		get := func(p process) error {
			_, err := p.ExchangeToken(t.Context(), forB, tokenward.SessionID(id))
			return err
		}
		for _, p := range p {
			if err := get(p); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p[0].Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.rest()
		if err := get(p[1]); !errors.Is(err, session.ErrMissingRefreshToken) && !errors.Is(err, session.ErrMissingSession) {
			t.Errorf("after a logout elsewhere: %v", err)
		}
	})
}

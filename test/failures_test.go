package test_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// What the provider or the network did, and what the caller then sees. In all of them the
// session stays as it was, but for a refresh token that is dead.
func TestRefreshFailures(t *testing.T) {
	tests := []struct {
		name   string
		fault  idptest.Fault
		status int // of the APIError that is the cause; 0: it has none
		code   tokenward.Code
	}{
		{"an OAuth error", idptest.OAuthError("invalid_grant", "gone for good"), 403, "invalid_grant"},
		{"an OAuth error with a charset", idptest.Respond(400, "application/json; charset=utf-8", `{"error":"invalid_request","error_description":"x"}`), 400, "invalid_request"},
		{"an OAuth error as text", idptest.Respond(400, "text/plain", `{"error":"invalid_scope"}`), 400, "invalid_scope"},
		{"a status that is no JSON", idptest.Status(503), 503, "token_error"},
		{"a status with a JSON array", idptest.Respond(500, "application/json", `[1]`), 500, "token_error"},
		{"too many requests", idptest.Status(429).With("Retry-After", "2"), 429, "token_error"},
		{"a web page with status 200", idptest.Garbage(), 200, "invalid_response"},
		{"an empty body", idptest.Respond(200, "application/json", ""), 200, "invalid_response"},
		{"half of the JSON", idptest.Truncated(), 200, "invalid_response"},
		{"a cut connection", idptest.Cut(), 0, "token_error"},
		{"a reset connection", idptest.ResetConn(), 0, "token_error"},
		{"a redirect", idptest.Redirect(http.StatusTemporaryRedirect, ""), 307, "token_error"},
		{"more than a mebibyte", idptest.HugeBody(1<<20 + 1), 0, ""},
		{"more than a mebibyte with an error", idptest.Respond(500, "application/json", `{"error":"`+strings.Repeat("x", 1<<20)+`"}`), 0, ""},
		{"a second factor without a token", idptest.MFARequired("", nil), 403, "mfa_required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				r.expire()
				before, err := r.stored(id)
				if err != nil {
					t.Fatal(err)
				}
				r.tenant.Script(idptest.Refresh, tt.fault)
				hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
				callers := r.askAll(3, id, tokenward.TokenRequest{})
				r.rest()
				hold.Release()
				for _, c := range callers {
					_, err := c.wait()
					r.wantCode("caller", err, "refresh_token_error")
					var api *tokenward.APIError
					if !errors.As(err, &api) {
						t.Fatalf("err = %v, want an APIError as cause", err)
					}
					if tt.status != 0 && api.Status != tt.status || tt.code != "" && api.Code != tt.code {
						t.Errorf("cause: status %d, code %q; want %d, %q", api.Status, api.Code, tt.status, tt.code)
					}
					if leaks := r.tenant.SecretsIn(err.Error()); leaks != nil {
						t.Errorf("the error gives away %v: %v", leaks, err)
					}
				}
				r.rest()
				after, err := r.stored(id)
				if err != nil {
					t.Fatal(err)
				}
				if len(after.TokenSets) != len(before.TokenSets) || after.IDToken != before.IDToken {
					t.Error("the session has changed")
				}
				if spilled := r.tenant.Spilled(); spilled != nil {
					t.Errorf("what followed the redirect: %v", spilled)
				}
				r.want("requests", r.tenant.Refreshes(), 1)
				dropped := 0
				if session.TokenDead(&session.APIError{Code: tt.code, Status: tt.status}) {
					dropped = 1
				}
				r.want("updates", r.store.Updates(), dropped)
				if (after.RefreshToken == "") != (dropped == 1) {
					t.Errorf("the session has a refresh token: %v", after.RefreshToken != "")
				}
			})
		})
	}
}

// Failures before the grant hurt nothing: the next call succeeds.
func TestRefreshFailures_theNextCallAsksAgain(t *testing.T) {
	for name, fault := range map[string]idptest.Fault{
		"status": idptest.Status(500), "reset": idptest.ResetConn(), "redirect": idptest.Redirect(302, ""), "garbage": idptest.Garbage(),
		"error": idptest.OAuthError("temporarily_unavailable", ""),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, r *rig) {
				id := r.login()
				r.expire()
				r.tenant.Script(idptest.Refresh, fault)
				r.wantCode("first call", r.tokenErr(id, tokenward.TokenRequest{}), "refresh_token_error")
				r.want("requests", r.tenant.Refreshes(), 1)
				r.want("updates", r.store.Updates(), 0)
				r.token(id, tokenward.TokenRequest{})
				r.want("requests", r.tenant.Refreshes(), 2)
				r.wantLiving(id)
			})
		})
	}
}

// A provider that does not answer fails the flight at its deadline, by our clock.
func TestRefreshFailures_theFlightHasADeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Hang())
		callers := r.askAll(3, id, tokenward.TokenRequest{})
		r.rest()
		r.clock.Advance(10*time.Second - time.Nanosecond)
		r.rest()
		if callers[0].answered() {
			t.Fatal("answered before the deadline")
		}
		r.clock.Advance(time.Nanosecond)
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("caller", err, "refresh_token_error")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v, want %v in it", err, context.DeadlineExceeded)
			}
		}
		r.want("requests", r.tenant.Refreshes(), 1)
		r.token(id, tokenward.TokenRequest{})
		r.wantLiving(id)
	})
}

// The deadline counts from sending: waiting for a turn takes nothing from it.
func TestRefreshFailures_theDeadlineCountsFromSending(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		first := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
		r.rest()
		queued := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(2)})
		r.rest()
		r.clock.Advance(9 * time.Second)
		hold.Next()
		if _, err := first.wait(); err != nil {
			t.Fatal(err)
		}
		r.rest()
		r.clock.Advance(9 * time.Second)
		r.rest()
		hold.Release()
		if _, err := queued.wait(); err != nil {
			t.Errorf("the one that queued: %v", err)
		}
		r.wantLiving(id)
	})
}

// A provider whose metadata cannot be had fails refreshes in the same way.
func TestRefreshFailures_discovery(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		id := r.login()
		r.client = r.newClient() // knows no metadata yet
		r.expire()
		r.tenant.Script(idptest.Discovery, idptest.Status(500))
		r.wantCode("metadata", r.tokenErr(id, tokenward.TokenRequest{}), "refresh_token_error")
		r.tenant.Heal()
		r.tenant.Script(idptest.Discovery, idptest.Edit(func(b map[string]any) { delete(b, "token_endpoint") }))
		r.wantCode("no token endpoint", r.tokenErr(id, tokenward.TokenRequest{}), "refresh_token_error")
		r.want("refresh tokens spent", r.tenant.Requests(idptest.Spend), 0)
	})
}

func TestRefreshFailures_noClientAuthentication(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.cfg.ClientSecret, r.cfg.Credentials = "", noVault
		r.client = r.newClient()
		r.expire()
		err := r.tokenErr(id, tokenward.TokenRequest{})
		r.wantCode("access token", err, "refresh_token_error")
		var config *tokenward.ConfigurationError
		if !errors.As(err, &config) {
			t.Errorf("err = %v, want a ConfigurationError as cause", err)
		}
		r.want("refresh tokens spent", r.tenant.Requests(idptest.Spend), 0)
	})
}

// P3: a refresh token in an answer that is useless otherwise is kept, and stored
// before anyone is told.
func TestRefreshFailures_theRefreshTokenOfABrokenAnswerIsKept(t *testing.T) {
	change := func(f func(b map[string]any)) idptest.Fault { return idptest.Edit(f) }
	for name, fault := range map[string]idptest.Fault{
		"no access token":       change(func(b map[string]any) { delete(b, "access_token") }),
		"a null access token":   change(func(b map[string]any) { b["access_token"] = nil }),
		"an empty access token": change(func(b map[string]any) { b["access_token"] = "" }),
		"a number":              change(func(b map[string]any) { b["access_token"] = 7 }),
		"an ID token that cannot be read": change(func(b map[string]any) {
			b["id_token"] = "nonsense"
		}),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				r.expire()
				before := r.refreshToken(id)
				r.tenant.Script(idptest.Refresh, fault)
				r.wantCode("broken answer", r.tokenErr(id, tokenward.TokenRequest{}), "refresh_token_error")
				if r.refreshToken(id) == before {
					t.Error("the store still has the spent refresh token")
				}
				r.want("updates", r.store.Updates(), 1)
				s, err := r.stored(id)
				if err != nil {
					t.Fatal(err)
				}
				r.want("token sets", len(s.TokenSets), 1)
				r.token(id, tokenward.TokenRequest{})
				r.want("requests", r.tenant.Refreshes(), 2)
				r.wantLiving(id)
			})
		})
	}
}

// An ID token for another user refuses the answer, and keeps the refresh token only.
func TestRefreshFailures_anIDTokenForSomebodyElse(t *testing.T) {
	for name, edit := range map[string]func(*idptest.Draft){
		"sub": func(d *idptest.Draft) { d.Claims["sub"] = "auth0|mallory" },
		"iss": func(d *idptest.Draft) { d.Claims["iss"] = "https://evil.example/" },
		"aud": func(d *idptest.Draft) { d.Claims["aud"] = "another-client" },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				r.expire()
				before, err := r.stored(id)
				if err != nil {
					t.Fatal(err)
				}
				r.tenant.Set(idptest.WithIDToken(func(d *idptest.Draft) {
					if d.Kind == idptest.Refresh {
						edit(d)
					}
				}))
				r.wantCode("caller", r.tokenErr(id, tokenward.TokenRequest{}), "refresh_token_error")
				after, err := r.stored(id)
				if err != nil {
					t.Fatal(err)
				}
				if after.RefreshToken == before.RefreshToken || after.IDToken != before.IDToken || after.User.Sub() != idptest.Subject {
					t.Error("want a new refresh token and nothing else changed")
				}
				r.tenant.Set(idptest.WithIDToken(func(*idptest.Draft) {}))
				r.token(id, tokenward.TokenRequest{})
				r.wantLiving(id)
			})
		})
	}
}

// The forms of expires_in, and how long the token is then served from the cache.
func TestRefresh_expiresIn(t *testing.T) {
	tests := []struct {
		name  string
		value any
		lives time.Duration
	}{
		{"a number", 100, 100 * time.Second},
		{"a text", "100", 100 * time.Second},
		{"a fraction", json.RawMessage("100.9"), 100 * time.Second},
		{"an exponent", json.RawMessage("1e2"), 100 * time.Second},
		{"nothing, so as long as the token says", idptest.Absent, idptest.TokenLife},
		{"null", nil, idptest.TokenLife},
		{"zero", 0, 0},
		{"negative", -5, 0},
		{"a word", "soon", 0},
		{"a list", []int{1}, 0},
		{"infinite", json.RawMessage("1e400"), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				r.expire()
				r.tenant.Script(idptest.Refresh, idptest.ExpiresIn(tt.value))
				tok := r.token(id, tokenward.TokenRequest{})
				if got := tok.ExpiresAt.Sub(r.clock.Now().Truncate(time.Second)); got != tt.lives {
					t.Errorf("the token lives for %v, want %v", got, tt.lives)
				}
				if tt.lives > 0 {
					r.clock.Advance(tt.lives - time.Nanosecond)
					if got := r.token(id, tokenward.TokenRequest{}); got != tok {
						t.Error("just before its expiry the token was not served from the cache")
					}
					r.clock.Advance(time.Nanosecond)
				}
				if got := r.token(id, tokenward.TokenRequest{}); got.AccessToken == tok.AccessToken {
					t.Error("the token was served at its expiry")
				}
				r.want("requests", r.tenant.Refreshes(), 2)
				r.wantLiving(id)
			})
		})
	}
}

// An answer without a refresh token keeps the one there is.
func TestRefresh_withoutANewRefreshToken(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		before := r.refreshToken(id)
		r.expire()
		r.token(id, tokenward.TokenRequest{})
		if r.refreshToken(id) != before {
			t.Error("the refresh token has changed")
		}
		r.expire()
		r.token(id, tokenward.TokenRequest{})
	}, withTenant(idptest.WithoutRotation()))
}

// A second factor: a kind of AccessTokenError, with the token sealed.
func TestRefresh_secondFactor(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		requirements := map[string]any{"challenge": []any{map[string]any{"type": "otp"}}}
		r.tenant.Script(idptest.Refresh, idptest.MFARequired("the-mfa-token", requirements))
		err := r.tokenErr(id, tokenward.TokenRequest{Audience: audience(1)})
		r.wantCode("caller", err, "mfa_required")
		var mfa *tokenward.MFARequiredError
		if !errors.As(err, &mfa) {
			t.Fatalf("err = %v (%T), want an MFARequiredError", err, err)
		}
		sealed, decodeErr := base64.RawURLEncoding.DecodeString(mfa.MFAToken)
		if decodeErr != nil || len(sealed) == 0 || bytes.Contains(sealed, []byte("the-mfa-token")) {
			t.Errorf("MFAToken = %q, want it sealed", mfa.MFAToken)
		}
		if got, ok := mfa.Requirements.(map[string]any); !ok || got["challenge"] == nil {
			t.Errorf("Requirements = %v, want %v", mfa.Requirements, requirements)
		}
		if strings.Contains(err.Error(), "the-mfa-token") || strings.Contains(err.Error(), mfa.MFAToken) {
			t.Errorf("the error's text has the token: %v", err)
		}
		r.want("updates", r.store.Updates(), 0)
		r.token(id, tokenward.TokenRequest{})
		r.wantLiving(id)
	})
}

// Failures of an exchange, as its callers see them.
func TestExchangeFailures(t *testing.T) {
	tests := []struct {
		name  string
		fault idptest.Fault
		code  tokenward.Code
	}{
		{"an OAuth error", idptest.OAuthError("invalid_request", "no account"), "api_error"},
		{"a status", idptest.Status(503), "api_error"},
		{"created", idptest.Respond(201, "application/json", `{"access_token":"at"}`), "api_error"},
		{"no content", idptest.Status(204), "api_error"},
		{"garbage", idptest.Garbage(), "retrieval_error"},
		{"a reset connection", idptest.ResetConn(), "retrieval_error"},
		{"no access token", idptest.Edit(func(b map[string]any) { delete(b, "access_token") }), "retrieval_error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				r.tenant.Reset()
				r.tenant.Script(idptest.ConnectionExchange, tt.fault)
				_, err := r.exchange(context.Background(), id, "google-oauth2").wait()
				r.wantConnectionCode("caller", err, tt.code)
				if leaks := r.tenant.SecretsIn(err.Error()); leaks != nil {
					t.Errorf("the error gives away %v", leaks)
				}
				if _, err := r.exchange(context.Background(), id, "google-oauth2").wait(); err != nil {
					t.Errorf("next call: %v", err)
				}
				r.want("requests", r.tenant.Requests(idptest.ConnectionExchange), 2)
				r.wantLiving(id)
			})
		})
	}
}

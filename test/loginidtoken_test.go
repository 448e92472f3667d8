package test_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// 2.6: every check of the ID token, before anything is kept.
func TestComplete_IDTokenChecks(t *testing.T) {
	set := func(claim string, v any) func(*idptest.Draft) {
		return func(d *idptest.Draft) { d.Claims[claim] = v }
	}
	drop := func(claim string) func(*idptest.Draft) {
		return func(d *idptest.Draft) { delete(d.Claims, claim) }
	}
	header := func(name string, v any) func(*idptest.Draft) {
		return func(d *idptest.Draft) { d.Header[name] = v }
	}
	now := t0.Unix()
	const organization, issuer = "organization_token_validation_error", "issuer_validation_error"
	tests := []struct {
		name string
		org  string
		edit func(*idptest.Draft)
		want tokenward.Code // empty: the login succeeds
	}{
		{"as it is", "", func(*idptest.Draft) {}, ""},
		{"unknown kid", "", header("kid", "nobody"), "jwks_key_not_found"},
		{"alg none", "", header("alg", "none"), "invalid_token"},
		{"alg HS256", "", header("alg", "HS256"), "invalid_token"},
		{"alg that is not configured", "", header("alg", "RS512"), "invalid_token"},
		{"altered signature", "", func(d *idptest.Draft) { d.BrokenSignature = true }, "invalid_signature"},
		{"signed by another key", "", func(d *idptest.Draft) { d.WrongKey = true }, "invalid_signature"},
		{"no JWT", "", func(d *idptest.Draft) { d.Raw = "not a token" }, "invalid_token"},
		{"left out", "", func(d *idptest.Draft) { d.Omit = true }, "invalid_response"},
		{"left out, an organization was asked for", "org_1", func(d *idptest.Draft) { d.Omit = true }, organization},

		{"for another client", "", set("aud", "other"), "invalid_audience"},
		{"for other clients", "", set("aud", []string{"other", "another"}), "invalid_audience"},
		{"no aud", "", drop("aud"), "invalid_token"},
		{"aud in a list", "", set("aud", []string{"demo"}), ""},
		{"several aud, no azp", "", set("aud", []string{"demo", "other"}), "invalid_token"},
		{"several aud, another azp", "", func(d *idptest.Draft) {
			d.Claims["aud"], d.Claims["azp"] = []string{"demo", "other"}, "other"
		}, "invalid_token"},
		{"several aud, azp is this client", "", func(d *idptest.Draft) {
			d.Claims["aud"], d.Claims["azp"] = []string{"demo", "other"}, "demo"
		}, ""},

		{"no exp", "", drop("exp"), "token_expired"},
		{"exp past", "", set("exp", now-31), "token_expired"},
		{"exp past, within the leeway", "", set("exp", now-29), ""},
		{"iat in the future", "", set("iat", now+31), "invalid_token"},
		{"iat in the future, within the leeway", "", set("iat", now+30), ""},
		{"no iat", "", drop("iat"), ""},
		{"nbf in the future", "", set("nbf", now+31), "invalid_token"},
		{"nbf in the future, within the leeway", "", set("nbf", now+30), ""},

		{"another issuer", "", set("iss", "https://other.example/"), issuer},
		{"no issuer", "", drop("iss"), issuer},
		{"the issuer without its slash", "", func(d *idptest.Draft) {
			d.Claims["iss"] = strings.TrimRight(d.Claims["iss"].(string), "/")
		}, ""},
		{"the issuer's scheme in capitals", "", func(d *idptest.Draft) {
			d.Claims["iss"] = strings.Replace(d.Claims["iss"].(string), "http:", "HTTP:", 1)
		}, ""},

		{"the organization", "org_1", func(*idptest.Draft) {}, ""},
		{"another organization", "org_1", set("org_id", "org_2"), organization},
		{"the organization in capitals", "org_1", set("org_id", "ORG_1"), organization},
		{"no organization", "org_1", drop("org_id"), organization},
		{"an organization that is a number", "org_1", set("org_id", 1), organization},
		{"the organization under its name only", "org_1", func(d *idptest.Draft) {
			delete(d.Claims, "org_id")
			d.Claims["org_name"] = "org_1"
		}, organization},
		{"an organization's name", "Acme", set("org_name", "acme"), ""},
		{"an organization's name in capitals", "acme", set("org_name", "ACME"), ""},
		{"an organization's name, composed and decomposed", "caf\u00e9", set("org_name", "CAFE\u0301"), ""},
		{"another organization's name", "acme", set("org_name", "acme2"), organization},
		{"no organization's name", "acme", drop("org_name"), organization},
		{"an organization nobody asked for", "", set("org_id", "org_9"), ""},

		{"no sub", "", drop("sub"), "invalid_token"},
		{"an empty sub", "", set("sub", ""), "invalid_token"},
		{"a sub that is a number", "", set("sub", 5), "invalid_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withTenant(idptest.WithIDToken(tt.edit)))
			back := r.callback(tokenward.LoginRequest{Organization: tt.org})
			_, err := r.complete(back)
			switch tt.want {
			case "":
				if err != nil {
					t.Fatalf("err = %v", err)
				}
				return
			case organization:
				wantError[*tokenward.OrganizationTokenValidationError](t, "callback", err, tt.want)
			case issuer:
				wantError[*tokenward.IssuerValidationError](t, "callback", err, tt.want)
			default:
				wantError[*tokenward.APIError](t, "callback", err, tt.want)
			}
			r.wantNothingStored("callback")
			r.wantSpent("callback", back)
		})
	}
}

// An organization that only stands among the parameters is sent and not checked.
func TestComplete_checksNoOrganizationOfParameters(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithIDToken(func(d *idptest.Draft) { delete(d.Claims, "org_id") })))
	_, err := r.complete(r.callback(tokenward.LoginRequest{AuthorizationParams: map[string]string{"organization": "org_1"}}))
	if err != nil {
		t.Error(err)
	}
}

// The organization that the configuration names is checked like a typed one.
func TestComplete_checksTheConfiguredOrganization(t *testing.T) {
	r := newRig(t, withConfig(func(c *tokenward.Config) { c.Organization = "org_1" }),
		withTenant(idptest.WithIDToken(func(d *idptest.Draft) { d.Claims["org_id"] = "org_2" })))
	_, err := r.complete(r.callback(tokenward.LoginRequest{}))
	wantError[*tokenward.OrganizationTokenValidationError](t, "callback", err, "organization_token_validation_error")
}

// A new signing key is fetched once when a token names it, and no login fails.
func TestComplete_fetchesANewKey(t *testing.T) {
	r := newRig(t)
	r.login()
	r.tenant.RotateKeys()
	r.clock.Advance(time.Minute)
	r.login()
	r.login()
	if n := r.tenant.Requests(idptest.JWKS); n != 2 {
		t.Errorf("JWKS requests = %d, want 2", n)
	}
	if n := r.tenant.Requests(idptest.Discovery); n != 1 {
		t.Errorf("discovery requests = %d, want 1", n)
	}
}

func TestComplete_keysThatCannotBeHad(t *testing.T) {
	t.Run("no jwks_uri", func(t *testing.T) {
		r := newRig(t)
		r.tenant.Script(idptest.Discovery, idptest.Edit(func(b map[string]any) { delete(b, "jwks_uri") }))
		_, err := r.complete(r.callback(tokenward.LoginRequest{}))
		wantError[*tokenward.APIError](t, "callback", err, "missing_jwks_uri")
		r.wantNothingStored("callback")
	})
	t.Run("fetch fails", func(t *testing.T) {
		r := newRig(t)
		r.tenant.Script(idptest.JWKS, idptest.Status(500).Always())
		_, err := r.complete(r.callback(tokenward.LoginRequest{}))
		wantError[*tokenward.APIError](t, "callback", err, "jwks_fetch_error")
		r.wantNothingStored("callback")
	})
}

// A userinfo object in the token response is no ID token.
func TestComplete_takesNoUserinfo(t *testing.T) {
	r := newRig(t)
	r.tenant.Script(idptest.CodeExchange, idptest.Edit(func(b map[string]any) {
		delete(b, "id_token")
		b["userinfo"] = map[string]any{"sub": "mallory"}
	}))
	_, err := r.complete(r.callback(tokenward.LoginRequest{}))
	wantError[*tokenward.APIError](t, "callback", err, "invalid_response")
	r.wantNothingStored("callback")
}

// 8: a ceiling that is past refuses the login; an earlier session stays stored.
func TestComplete_ceilingPast(t *testing.T) {
	r := newRig(t)
	id := r.loginAs(tokenward.SessionID("mine"))
	before := r.store.Replaces()
	back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"session_expiry": t0.Unix() - 5})
	_, err := r.client.CompleteInteractiveLogin(t.Context(), back, tokenward.SessionID(id))
	e := asError[*tokenward.SessionExpiredError](t, "callback", err, "session_expired")
	if !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("%v is not ErrSessionExpired", err)
	}
	if e != nil && regexp.MustCompile(`[0-9]`).MatchString(e.Error()) {
		t.Errorf("%q tells a time", e)
	}
	r.wantSpent("callback", back)
	if n := r.store.Replaces(); n != before {
		t.Errorf("replaces = %d, want %d", n, before)
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("the session before: %v, %v", u, err)
	}
}

// A ceiling that is reached before the session can be stored refuses the login as well: what the host's hook, or UserInfo, takes
// of the time counts.
func TestComplete_ceilingReachedOnTheWay(t *testing.T) {
	for passed, refused := range map[time.Duration]bool{2*time.Second - 1: false, 2 * time.Second: true} {
		var r *rig
		r = newRig(t, withClient(tokenward.WithHooks(tokenward.Hooks{AfterLogin: func(context.Context, *tokenward.Login) error {
			r.clock.Advance(passed)
			return nil
		}})))
		back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"session_expiry": t0.Add(32 * time.Second).Unix()})
		_, err := r.complete(back)
		if !refused {
			if err != nil {
				t.Errorf("%v of 2 s taken: %v", passed, err)
			}
			continue
		}
		wantError[*tokenward.SessionExpiredError](t, "callback", err, "session_expired")
		r.wantNothingStored("callback")
		r.wantSpent("callback", back)
	}
}

// The upstream rule looks at iat alone; here the later of iat and now counts.
func TestComplete_ceilingAgainstTheLaterOfIssueAndNow(t *testing.T) {
	now := t0.Unix()
	tests := []struct {
		name    string
		iat     any
		ceiling int64
		refused bool
	}{
		{"30 s ahead", now, now + 30, true},
		{"31 s ahead", now, now + 31, false},
		{"issued long ago, ceiling between then and now", now - 300, now - 100, true},
		{"issued long ago, 31 s ahead", now - 300, now + 31, false},
		{"issued in the future, 30 s after that", now + 20, now + 50, true},
		{"issued in the future, 31 s after that", now + 20, now + 51, false},
		{"no iat, 30 s ahead", idptest.Absent, now + 30, true},
		{"no iat, 31 s ahead", idptest.Absent, now + 31, false},
		{"iat of zero counts for nothing", 0, now + 31, false},
		{"1", now, 1, true},
	}
	for _, tt := range tests {
		r := newRig(t)
		_, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"session_expiry": tt.ceiling, "iat": tt.iat})
		if refused := errors.Is(err, tokenward.ErrSessionExpired); refused != tt.refused || !refused && err != nil {
			t.Errorf("%s: err = %v, want refused: %v", tt.name, err, tt.refused)
		}
	}
}

package idp_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestCheckCallbackIssuer(t *testing.T) {
	const bad = "issuer_validation_error"
	tests := []struct {
		name     string
		iss      []string
		promised any
		want     string
	}{
		{"promised, right", []string{issuer}, true, "ok"},
		{"promised, host in capitals, no slash", []string{"https://TENANT.example"}, true, "ok"},
		{"promised, another", []string{"https://evil.example/"}, true, bad},
		{"promised, a bare domain", []string{"tenant.example"}, true, bad},
		{"promised, a path more", []string{issuer + "a"}, true, bad},
		{"promised, missing", nil, true, bad},
		{"promised, empty", []string{""}, true, bad},
		{"promised, twice", []string{issuer, issuer}, true, bad},
		{"promised, and another beside it", []string{issuer, "https://evil.example/"}, true, bad},
		{"not promised, missing", nil, absent, "ok"},
		{"not promised, empty", []string{""}, absent, "ok"},
		{"not promised, right", []string{issuer}, absent, "ok"},
		{"not promised, another", []string{"https://evil.example/"}, absent, bad},
		{"not promised, another in plain http", []string{"http://tenant.example/"}, absent, bad},
		{"not promised, twice", []string{"", "https://evil.example/"}, absent, bad},
		{"denied, missing", nil, false, "ok"},
		{"denied, another", []string{"x"}, false, bad},
		{"a promise that is text", nil, "true", "ok"},
		{"a promise that is a number", nil, 1, "ok"},
		{"a promise that is null", nil, nil, "ok"},
	}
	for _, tt := range tests {
		r := newRig(t)
		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"authorization_response_iss_parameter_supported": tt.promised}))
		query := url.Values{"code": {"c"}, "state": {"s"}}
		if tt.iss != nil {
			query["iss"] = tt.iss
		}
		for range 2 {
			err := r.client.CheckCallbackIssuer(t.Context(), issuer, query)
			if got := verdict(err); got != tt.want {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "evil") {
				t.Errorf("%s: the error quotes the browser: %v", tt.name, err)
			}
		}
		r.wantCount(metadata, 1)
	}
	r := newRig(t)
	r.answer(metadata, 500, "")
	if err := r.client.CheckCallbackIssuer(t.Context(), issuer, url.Values{}); verdict(err) != "metadata_error" {
		t.Errorf("no metadata: %v, want metadata_error", err)
	}
}

// A response of one tenant that a browser takes to a login at another.
func TestCheckCallbackIssuer_mixUp(t *testing.T) {
	here := newVisit(t, idptest.WithResponseIssuer())
	there := newVisit(t, idptest.WithResponseIssuer())
	silent := newVisit(t)
	params := url.Values{
		"redirect_uri": {"http://127.0.0.1:3000/callback"}, "scope": {"openid"}, "state": {"st"}, "code_challenge": {idp.Challenge(verifier)},
	}
	denied := url.Values{}
	for name, values := range params {
		denied[name] = values
	}
	denied.Set("scope", "profile")
	for _, params := range []url.Values{params, denied} { // a code, and an error
		back := must(url.Parse(must(here.tenant.Authorize(must(here.client.Authorize(t.Context(), here.tenant.Issuer(), params)))))).Query()
		if back.Get("iss") != here.tenant.Issuer() {
			t.Fatalf("callback = %v, want iss %s", back, here.tenant.Issuer())
		}
		for _, v := range []*visit{here, there, silent} {
			want := "issuer_validation_error"
			if v == here {
				want = "ok"
			}
			if err := v.client.CheckCallbackIssuer(t.Context(), v.tenant.Issuer(), back); verdict(err) != want {
				t.Errorf("at %s: %v, want %s", v.tenant.Issuer(), err, want)
			}
		}
	}
	back := must(url.Parse(must(silent.tenant.Authorize(must(silent.client.Authorize(t.Context(), silent.tenant.Issuer(), params)))))).Query()
	if back.Has("iss") {
		t.Errorf("callback = %v, want none of iss", back)
	}

	// A provider that begins to promise is believed when its metadata is read again.
	silent.tenant.Set(idptest.WithResponseIssuer())
	if err := silent.client.CheckCallbackIssuer(t.Context(), silent.tenant.Issuer(), back); err != nil {
		t.Errorf("before: %v", err)
	}
	silent.clock.Advance(24*time.Hour + 10*time.Minute) // no longer used while it is renewed
	if err := silent.client.CheckCallbackIssuer(t.Context(), silent.tenant.Issuer(), back); verdict(err) != "issuer_validation_error" {
		t.Errorf("after: %v, want issuer_validation_error", err)
	}
}

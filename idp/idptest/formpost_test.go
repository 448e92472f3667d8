package idptest_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	formField  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// posted returns where the form of an answer goes, and what it takes there.
func (a *app) posted(r answer) (to string, form url.Values) {
	a.Helper()
	action := formAction.FindStringSubmatch(r.raw)
	if r.status != 200 || action == nil || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		a.Fatalf("authorize = %d %s, want a form", r.status, r.raw)
	}
	form = url.Values{}
	for _, f := range formField.FindAllStringSubmatch(r.raw, -1) {
		form.Add(html.UnescapeString(f[1]), html.UnescapeString(f[2]))
	}
	return html.UnescapeString(action[1]), form
}

func TestFormPost_takesTheCodeBack(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		uri := "http://127.0.0.1:9/callback?a=1&b=%222%22"
		to, form := a.posted(a.get(a.authorizeURL("response_mode", "form_post", "redirect_uri", uri, "state", `<"&'>`)))
		if to != uri || form.Get("state") != `<"&'>` || len(form) != 2 {
			t.Errorf("form to %s with %v, want %s with code and state", to, form, uri)
		}
		if r := a.exchange(form.Get("code"), "redirect_uri", uri); r.status != 200 {
			t.Errorf("exchange = %d %s", r.status, r.raw)
		}
		_, form = a.posted(a.get(a.authorizeURL("response_mode", "form_post", "scope", "profile")))
		if form.Get("error") != "invalid_scope" || form.Get("state") != "the-state" {
			t.Errorf("form with %v, want the error", form)
		}
	})
}

// OpenID Connect Core section 3.2.2: an ID token at once, and nothing else.
func TestIDTokenResponse_isPosted(t *testing.T) {
	clk := clock.NewFake(t0)
	a := inProcess(t, idptest.WithClock(clk))
	ask := func(changes ...string) string {
		return a.authorizeURL(append([]string{
			"response_type", "id_token", "response_mode", "form_post", "nonce", "n-1", "code_challenge", "", "code_challenge_method", "",
		}, changes...)...)
	}
	_, form := a.posted(a.get(ask()))
	c, err := a.verify(form.Get("id_token"))
	if err != nil || c["nonce"] != "n-1" || c["sub"] != idptest.Subject || number(c["exp"]) != t0.Add(10*time.Hour).Unix() || len(form) != 2 {
		t.Errorf("form with %v: %v, %v", form, c, err)
	}
	for name, changes := range map[string][]string{
		"no nonce": {"nonce", ""}, "in the query": {"response_mode", "query"}, "in the fragment": {"response_mode", ""},
	} {
		r := a.get(ask(changes...))
		u, err := url.Parse(r.header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		form := u.Query()
		if len(form) == 0 {
			_, form = a.posted(r)
		}
		if form.Get("error") != "invalid_request" || form.Has("id_token") {
			t.Errorf("%s: %v, want invalid_request", name, form)
		}
	}
}

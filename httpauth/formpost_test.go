package httpauth_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

// form returns the callback that the provider leads to as the form that it would post.
func (s *signedIn) form() url.Values {
	s.t.Helper()
	at, err := url.Parse(s.start("?return_to=/me"))
	if err != nil {
		s.t.Fatal(err)
	}
	return at.Query()
}

// fromElsewhere posts a form as another site has a browser do it: without cookies that are SameSite=Lax.
func (s *signedIn) fromElsewhere(form url.Values) *httptest.ResponseRecorder {
	stranger := newVisitor(s.handler, s.base)
	return stranger.send(http.MethodPost, "/auth/callback", form, "Accept", "text/html", "Origin", s.tenant.Issuer(), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
}

var input = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// formIn returns the form of a page.
func formIn(page string) url.Values {
	form := make(url.Values)
	for _, m := range input.FindAllStringSubmatch(page, -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return form
}

func TestFormPost_isPostedOnceMoreFromThisSite(t *testing.T) {
	var user string
	var subjects []string
	s := newSignedIn(t, httpauth.OnLogin(func(w http.ResponseWriter, r *http.Request, login *tokenward.LoginResult) {
		user = r.PostForm.Get("user")
		subjects = append(subjects, login.Session.User.Sub())
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes"})
	}))
	const apple = `{"name":{"firstName":"Ada","lastName":"<\"'&>"},"email":"ada@example.com"}`
	form := s.form()
	form.Set("user", apple)
	form.Set("id_token", "not-ours")
	form.Set("\"><script>", "x")
	w := s.fromElsewhere(form)
	page := checkPage(t, "the provider's POST", w, http.StatusOK, `<form method="post">`, "<button>", "</script>")
	if len(w.Result().Cookies()) != 0 || strings.Contains(page, "<script>") {
		t.Errorf("Set-Cookie %q on %s", w.Header().Values("Set-Cookie"), page)
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "script-src 'nonce-") || strings.Contains(policy, "form-action") || w.Header().Get("Referrer-Policy") != "same-origin" {
		t.Errorf("policy %q, Referrer-Policy %q", policy, w.Header().Get("Referrer-Policy"))
	}
	again := formIn(page)
	if again.Get("code") != form.Get("code") || again.Get("state") != form.Get("state") || again.Get("user") != apple || again.Has("id_token") || len(again) != len(form)-1 {
		t.Errorf("the page posts %v, want what belongs to the response of %v", again, form)
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("code exchanges = %d, want 1, of the login before", n)
	}

	w = s.send(http.MethodPost, "/auth/callback", again, "Accept", "text/html", "Origin", s.base, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate")
	if to := w.Header().Get("Location"); w.Code != http.StatusFound || to != "/me" {
		t.Fatalf("posted again: %d to %q %s", w.Code, to, w.Body)
	}
	if len(subjects) != 2 || subjects[1] != idptest.Subject || user != apple || s.cookies["seen"] != "yes" {
		t.Errorf("OnLogin saw %v, user %q, cookies %v", subjects, user, s.cookies)
	}
	if w := s.get("/me"); w.Code != http.StatusOK {
		t.Errorf("signed in: %d", w.Code)
	}
}

// Where a browser sends the cookie all the same, no page is needed.
func TestFormPost_withTheCookieIsTakenAtOnce(t *testing.T) {
	s := newSignedIn(t)
	if w := s.send(http.MethodPost, "/auth/callback", s.form()); w.Code != http.StatusFound || w.Header().Get("Location") != "/me" {
		t.Errorf("%d to %q %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	form := s.form()
	form.Del("code")
	form.Set("error", "user_cancelled_authorize")
	if w := s.send(http.MethodPost, "/auth/callback", form); w.Code != 400 || codeIn(w.Body.String()) != "user_cancelled_authorize" {
		t.Errorf("the user said no: %d %s", w.Code, w.Body)
	}
}

// An attacker has the victim's browser post the attacker's code. The victim's browser did not begin that
// login, so it has no cookie for the state, and there is no session.
func TestFormPost_ofAnotherBrowsersLogin(t *testing.T) {
	s := newSignedIn(t)
	form := s.form() // the attacker's
	victim := newVisitor(s.handler, s.base)
	again := formIn(s.fromElsewhere(form).Body.String())
	for _, posted := range []url.Values{again, again} {
		w := victim.send(http.MethodPost, "/auth/callback", posted, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate")
		if w.Code != 400 || codeIn(w.Body.String()) != "missing_transaction_error" || len(victim.cookies) != 0 {
			t.Errorf("%d %s, cookies %v; want missing_transaction_error", w.Code, w.Body, victim.cookies)
		}
	}
	page := victim.send(http.MethodPost, "/auth/callback", again, "Accept", "text/html", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	checkPage(t, "marked from elsewhere", page, 400, "Sign in again")
	if n := s.tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("code exchanges = %d, want 1, of the login before", n)
	}
	if w := s.send(http.MethodPost, "/auth/callback", again); w.Code != http.StatusFound {
		t.Errorf("the browser that began it: %d %s", w.Code, w.Body)
	}
}

func TestFormPost_whatIsNoForm(t *testing.T) {
	s := newSignedIn(t)
	query := s.form().Encode()
	big := s.form()
	big.Set("user", strings.Repeat("a", 64<<10))
	for name, w := range map[string]*httptest.ResponseRecorder{
		"nothing":             s.send(http.MethodPost, "/auth/callback", url.Values{}),
		"a query":             s.send(http.MethodPost, "/auth/callback?"+query, url.Values{}),
		"too much":            s.send(http.MethodPost, "/auth/callback", big),
		"without a type":      s.send(http.MethodPost, "/auth/callback?"+query, nil),
		"no form that parses": s.send(http.MethodPost, "/auth/callback?%zz", big),
	} {
		if w.Code != 400 || codeIn(w.Body.String()) == "missing_transaction_error" || codeIn(w.Body.String()) == "" {
			t.Errorf("%s: %d %s, want 400", name, w.Code, w.Body)
		}
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("code exchanges = %d, want 1, of the login before", n)
	}
}

package httpauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// Browsers keep a Strict cookie to themselves in a navigation that another site began, in the redirects that follow it too. So the
// callback answers with a page, which begins a navigation of this site. Else Require would lead to the login for ever.
func TestStrict_theCallbackAnswersWithAPage(t *testing.T) {
	client, tenant := newClientWith(t, clock.NewFake(epoch), "https://app.example/auth/callback", nil,
		tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteStrictMode}))
	h, mux := newHandlers(t, client, "https://app.example"), http.NewServeMux()
	if err := h.Register(mux, "/auth"); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/me", h.Require(served))
	v := newVisitor(mux, "https://app.example")
	back, err := tenant.Authorize(v.get("/auth/login?return_to=/me%3Fa%3D%22%3E%3Cb%3E").Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	w := v.get(strings.TrimPrefix(back, v.base))
	if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, `href="/me?a=%22%3e%3cb%3e"`) || w.Header().Get("Location") != "" {
		t.Errorf("callback: %d %v\n%s", w.Code, w.Header(), body)
	}
	if got := w.Header().Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("Referrer-Policy = %q: the address of the callback has a code", got)
	}

	// A link from another site comes without the cookie. The page that answers asks again, from this site.
	elsewhere := newVisitor(mux, v.base)
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}
	if w := elsewhere.get("/me?a=b", link...); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="/me?a=b"`) {
		t.Errorf("a link from another site: %d %v", w.Code, w.Header())
	}
	if w := elsewhere.get("/me?a=b", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"); w.Code != http.StatusFound {
		t.Errorf("asked again without a session: %d, want 302 to the login", w.Code)
	}
	if w := elsewhere.get("/me", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); w.Code != http.StatusUnauthorized {
		t.Errorf("a picture of another site: %d, want 401", w.Code)
	}
	if w := v.get("/me", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"); w.Code != http.StatusOK {
		t.Errorf("signed in: %d", w.Code)
	}
}

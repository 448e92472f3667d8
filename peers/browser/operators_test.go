package browser

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/admin"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// plant signs n users in, past the client, and returns the ids of their sessions.
func (s *site) plant(n int) []string {
	s.t.Helper()
	sealer, err := store.NewSealer("_a0_session", rand.Reader, "a secret of the application, 32 bytes")
	if err != nil {
		s.t.Fatal(err)
	}
	codec, issuer := store.Codec{Sealer: sealer, Domain: s.tenant.Issuer()}, s.tenant.Issuer()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = session.RandomString(rand.Reader, 32)
		key := session.KeyOf("_a0_session", ids[i])
		r, err := codec.Encode(key, session.NewState(session.Login{
			Claims: map[string]any{"iss": issuer, "sub": fmt.Sprint("user-", i), "sid": "the-sid-" + ids[i], "name": "<b>Ada</b>", "email": fmt.Sprint("user-", i, "@example.com")},
			Response: session.TokenResponse{
				AccessToken: "the-access-token-" + ids[i], RefreshToken: "the-refresh-token-" + ids[i], IDToken: "the-id-token-" + ids[i], ExpiresIn: 3600, HasExpiresIn: true,
			},
			Domain: issuer, Now: s.clock.Now().Add(-time.Hour), Random: rand.Reader,
		}), session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
		if err == nil {
			err = s.states.Replace(s.t.Context(), key, r, store.Options{})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return ids
}

// The operators' page shows 100,000 sessions a page at a time, to operators alone and not to pages of other origins, and nothing by which
// a session could be used.
func TestOperators_hundredThousand(t *testing.T) {
	s := newSite(t, "app.example.test", nil)
	ids := s.plant(100_000)
	mux := http.NewServeMux()
	for path, authorise := range map[string]func(*http.Request) error{
		"/admin/": func(r *http.Request) error {
			if c, err := r.Cookie("operator"); err != nil || c.Value != "yes" {
				return errors.New("is no operator")
			}
			return nil
		},
		"/open/": func(*http.Request) error { return nil }, // as where the network decides
	} {
		operators, err := admin.New(s.client, authorise)
		if err != nil {
			t.Fatal(err)
		}
		mux.Handle(path, http.StripPrefix(strings.TrimSuffix(path, "/"), operators))
	}
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/become", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "operator", Value: "yes", Path: "/"})
		fmt.Fprint(w, `<!doctype html><p id=home>home`)
	})
	s.mu.Lock()
	s.handler = mux
	s.mu.Unlock()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><form method=post action="%s/open/end-issuer"><input name=issuer value=%q><button id=go>go</button></form>`, s.base, s.tenant.Issuer())
	}))
	t.Cleanup(evil.Close)
	ctx, heard := openBrowser(t)
	text := func() string { return get(t, ctx, chromedp.Evaluate[string](`document.body.innerText`)) }
	number := func(of string) int { return int(get(t, ctx, chromedp.Evaluate[float64](of))) }

	navigate(t, ctx, s.base+"/admin/", "body")
	if said := text(); !strings.Contains(said, "forbidden") || strings.Contains(said, "user-") {
		t.Errorf("who is no operator is shown %q", said)
	}
	if status := number(`performance.getEntriesByType("navigation")[0].responseStatus`); status != http.StatusForbidden {
		t.Errorf("who is no operator is answered %d, want 403", status)
	}

	navigate(t, ctx, s.base+"/become", "#home")
	seen := map[string]bool{}
	for page := range 2 {
		if page == 0 {
			navigate(t, ctx, s.base+"/admin/", "tbody tr")
		} else if err := chromedp.Do(ctx, chromedp.Click("a[rel=next]"), chromedp.WaitReady(`a[href="./"]`)); err != nil {
			t.Fatal(err)
		}
		if rows := number(`document.querySelectorAll("tbody tr").length`); rows != 50 {
			t.Errorf("page %d has %d rows, want 50", page, rows)
		}
		if said := text(); !strings.Contains(said, "1,000 or more") || !strings.Contains(said, "<b>Ada</b>") {
			t.Errorf("page %d says %.300q", page, said)
		}
		source := get(t, ctx, chromedp.Evaluate[string](`document.documentElement.outerHTML`))
		for _, secret := range append([]string{"the-access-token", "the-refresh-token", "the-id-token", "the-sid", "a secret of the application", "app-secret"}, ids[:1000]...) {
			if strings.Contains(source, secret) {
				t.Errorf("page %d has a secret on it: %s", page, secret)
			}
		}
		for key := range strings.SplitSeq(get(t, ctx, chromedp.Evaluate[string](`[...document.querySelectorAll("input[name=key]")].map(i => i.value).join(" ")`)), " ") {
			seen[key] = true
		}
	}
	if len(seen) != 100 {
		t.Errorf("two pages have %d sessions, want 100", len(seen))
	}
	if err := chromedp.Do(ctx, chromedp.Click("tbody tr:first-child form[action=end] button"), chromedp.WaitReady(`p[role="status"]`)); err != nil {
		t.Fatal(err)
	}
	if said := text(); !strings.Contains(said, "Sessions ended: 1.") {
		t.Errorf("after one was ended the page says %.300q", said)
	}
	heard.mu.Lock()
	for _, text := range heard.all {
		if !strings.Contains(text, "403") { // as it logs the first answer
			t.Errorf("the browser complained: %s", text)
		}
	}
	heard.mu.Unlock()

	count := func() int {
		n, err := s.client.CountSessions(t.Context(), tokenward.SessionQuery{}, 0, tokenward.StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 99_999 {
		t.Errorf("%d sessions live, want 99,999", n)
	}
	navigate(t, ctx, evil.URL, "#go")
	if err := chromedp.Do(ctx, chromedp.Click("#go"), chromedp.WaitNotPresent("#go")); err != nil {
		t.Fatal(err)
	}
	if status := number(`performance.getEntriesByType("navigation")[0].responseStatus`); status != http.StatusForbidden || count() != 99_999 {
		t.Errorf("a form of another origin is answered %s, and %d sessions live", strconv.Itoa(status), count())
	}
}

// The demo's operators' page shows who is signed in, in whichever browser.
func TestOperators_demo(t *testing.T) {
	ctx, heard := openBrowser(t)
	base := startDemo(t)
	for _, as := range []string{"bob@example.com", "grace@example.com"} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Jar: jar}).Get(base + "/auth/login?login_hint=" + as)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s signs in: %v, %v", as, resp, err)
		}
		_ = resp.Body.Close()
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 480), chromedp.Navigate(base), chromedp.WaitVisible("#welcome"), chromedp.Click("#sign-in button"),
		chromedp.WaitVisible("#name"), chromedp.Navigate(base+"/admin/"), chromedp.WaitVisible("tbody tr")); err != nil {
		t.Fatal(err)
	}
	if rows := get(t, ctx, chromedp.Evaluate[float64](`document.querySelectorAll("tbody tr").length`)); rows != 3 {
		t.Errorf("the page has %v rows, want 3", rows)
	}
	photograph(t, ctx, "admin.png", chromedp.CaptureScreenshot())
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for _, text := range heard.all {
		if !strings.Contains(text, "/api/user") && !strings.Contains(text, "favicon") {
			t.Errorf("the browser complained: %s", text)
		}
	}
}

package browser

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// site is an application that people reach at http://app.example.test, and its provider, which
// is of another site.
type site struct {
	t      *testing.T
	clock  *clock.Fake
	tenant *idptest.Tenant
	states store.StateStore
	base   string
	server *httptest.Server

	arrived, release chan struct{} // of /slow

	mu        sync.Mutex
	handler   http.Handler
	client    *tokenward.Client
	callbacks []string // request URIs at /auth/callback
}

// newSite starts the application on host, which the browser takes to be this machine.
func newSite(t *testing.T, host string, edit func(*tokenward.Config), opts ...tokenward.Option) *site {
	t.Helper()
	s := &site{t: t, clock: clock.NewFake(time.Now()), arrived: make(chan struct{}), release: make(chan struct{})}
	s.states = store.NewMemory(s.clock)
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	_, port, err := net.SplitHostPort(s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.base = "http://" + net.JoinHostPort(host, port)
	s.tenant = idptest.NewTenant(t, idptest.WithClock(s.clock), idptest.WithClient("app", "app-secret", s.base+"/auth/callback"))
	s.start(edit, opts...)
	t.Cleanup(func() { s.stop() })
	return s
}

// start puts an application in place, as a deployment does: the store and the browsers keep what
// they have.
func (s *site) start(edit func(*tokenward.Config), opts ...tokenward.Option) {
	s.t.Helper()
	cfg := tokenward.Config{
		Issuer: s.tenant.Issuer(), ClientID: "app", ClientSecret: "app-secret", RedirectURI: s.base + "/auth/callback",
		Secrets: []string{"a secret of the application, 32 bytes"},
	}
	if edit != nil {
		edit(&cfg)
	}
	client, err := tokenward.New(cfg, append([]tokenward.Option{tokenward.WithClock(s.clock), tokenward.WithStateStore(s.states)}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	web, err := httpauth.New(client, s.base, httpauth.ServeFrontchannelLogout())
	if err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	if err := web.Register(mux, "/auth"); err != nil {
		s.t.Fatal(err)
	}
	mux.Handle("/who", web.Attach(http.HandlerFunc(s.who)))
	mux.Handle("/slow", web.Attach(http.HandlerFunc(s.slow)))
	mux.Handle("/own", web.Require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>own</title><p id=own>own`)
	})))
	mux.HandleFunc("/bait", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>bait</title><link rel=prefetch href=/auth/logout><img src=/auth/logout?img>
			<iframe srcdoc="<img src=/auth/logout?frame>"></iframe><p id=bait>bait`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>home</title><p id=home>home`)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.handler = client, mux
}

func (s *site) stop() {
	s.t.Helper()
	if err := s.client.Close(context.Background()); err != nil {
		s.t.Error(err)
	}
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	handler := s.handler
	if r.URL.Path == "/auth/callback" {
		s.callbacks = append(s.callbacks, r.URL.RequestURI())
	}
	s.mu.Unlock()
	handler.ServeHTTP(w, r)
}

// who answers with the session's own id at the provider.
func (s *site) who(w http.ResponseWriter, r *http.Request) {
	user, err := s.client.GetUser(r.Context(), tokenward.StoreOptions{})
	if err != nil {
		httpauth.WriteError(w, r, err)
		return
	}
	fmt.Fprint(w, user["sid"])
}

// slow looks at the session, waits until the test lets it go on, and looks again.
func (s *site) slow(w http.ResponseWriter, r *http.Request) {
	if _, err := s.client.GetUser(r.Context(), tokenward.StoreOptions{}); err != nil {
		httpauth.WriteError(w, r, err)
		return
	}
	s.arrived <- struct{}{}
	select {
	case <-s.release:
	case <-r.Context().Done():
		return
	}
	s.who(w, r)
}

// await returns what c says, within the test's patience.
func await[T any](t *testing.T, ctx context.Context, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-ctx.Done():
		t.Fatalf("%s: %v", what, ctx.Err())
	}
	return v
}

func navigate(t *testing.T, ctx context.Context, url, selector string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url), chromedp.WaitReady(selector)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// fetched is the text that a script of the page gets from a path.
func fetched(t *testing.T, ctx context.Context, path string) string {
	t.Helper()
	return get(t, ctx, chromedp.Evaluate[string](fmt.Sprintf(`fetch(%q).then(r => r.text())`, path), chromedp.EvalAwaitPromise))
}

func (s *site) signIn(ctx context.Context) string {
	s.t.Helper()
	navigate(s.t, ctx, s.base+"/auth/login", "#home")
	who := fetched(s.t, ctx, "/who")
	if who == "" || who == "<nil>" {
		s.t.Fatalf("nobody is signed in after the login: %q", who)
	}
	return who
}

// A request leaves with the old session's cookie and is answered after a login in another tab:
// the answer, whose renewal is due, leaves the new session alone.
func TestEdge_aSlowRequestBesideALogin(t *testing.T) {
	for name, opts := range map[string][]tokenward.Option{"stateful": nil, "stateless": {tokenward.WithStatelessSessions()}} {
		t.Run(name, func(t *testing.T) {
			ctx, _ := openBrowser(t)
			s := newSite(t, "app.example.test", nil, opts...)
			old := s.signIn(ctx)
			s.clock.Advance(2 * time.Hour) // the cookie's use is to be noted again
			answered := make(chan string, 1)
			go func() {
				text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`fetch("/slow").then(r => r.text())`, chromedp.EvalAwaitPromise))
				answered <- text + fmt.Sprint(err)
			}()
			await(t, ctx, "the slow request", s.arrived)

			tab, closeTab := chromedp.NewContext(ctx)
			t.Cleanup(closeTab)
			navigate(t, tab, s.base+"/auth/logout?return_to=/", "#home")
			young := s.signIn(tab)
			s.release <- struct{}{}
			await(t, ctx, "the slow answer", answered)
			if who := fetched(t, tab, "/who"); who != young || who == old {
				t.Errorf("signed in after the slow answer: %q, want the new session %q (the old was %q)", who, young, old)
			}
		})
	}
}

// The Domain of the cookies was taken away: the browser sends the old cookie first, whose session
// has ended, then the new one. The living session counts.
func TestEdge_theDomainOfTheCookiesChanges(t *testing.T) {
	ctx, _ := openBrowser(t)
	s := newSite(t, "app.example.test", nil, tokenward.WithCookies(tokenward.Cookies{Domain: "example.test"}))
	s.signIn(ctx)
	s.stop()
	s.states = store.NewMemory(s.clock) // the old session is no more
	s.start(nil)
	who := s.signIn(ctx)
	for range 3 {
		if again := fetched(t, ctx, "/who"); again != who {
			t.Errorf("signed in: %q, want %q", again, who)
		}
	}
}

// What the browser fetches of itself or for a page that is no navigation ends nothing.
func TestEdge_prefetchAndImages(t *testing.T) {
	ctx, _ := openBrowser(t)
	s := newSite(t, "localhost", nil) // which browsers trust, so that they say why they ask
	who := s.signIn(ctx)
	navigate(t, ctx, s.base+"/bait", "#bait")
	if err := chromedp.Do(ctx, chromedp.WaitReady("iframe")); err != nil {
		t.Fatal(err)
	}
	fetched(t, ctx, "/auth/logout?script")
	if again := fetched(t, ctx, "/who"); again != who {
		t.Errorf("signed in: %q, want %q still", again, who)
	}
}

// The back button, and a callback that is loaded again, lead to where the login led.
func TestEdge_backAndReload(t *testing.T) {
	ctx, _ := openBrowser(t)
	s := newSite(t, "app.example.test", nil)
	who := s.signIn(ctx)
	navigate(t, ctx, s.base+"/later", "#home")
	get(t, ctx, chromedp.Evaluate[string](`history.back(), "back"`))
	if err := chromedp.Do(ctx, chromedp.WaitReady("#home")); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	callback := s.base + s.callbacks[0]
	s.mu.Unlock()
	navigate(t, ctx, callback, "#home")
	if at := get(t, ctx, chromedp.Location()); at != s.base+"/" {
		t.Errorf("the reloaded callback leads to %s, want %s/", at, s.base)
	}
	if again := fetched(t, ctx, "/who"); again != who {
		t.Errorf("signed in: %q, want %q still", again, who)
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("code exchanges = %d, want 1", n)
	}
}

// The provider posts the code, from another site, so that the browser keeps the Lax cookie back.
func TestEdge_formPost(t *testing.T) {
	ctx, _ := openBrowser(t)
	s := newSite(t, "app.example.test", func(c *tokenward.Config) {
		c.AuthorizationParams = map[string]string{"response_mode": "form_post"}
	})
	if who := s.signIn(ctx); who == "" {
		t.Error("nobody is signed in")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, uri := range s.callbacks {
		if strings.Contains(uri, "code=") {
			t.Errorf("the code is in the URL %s", uri)
		}
	}
}

// The provider's logout page, of another site, has the application's front-channel logout in a frame: it brings no Lax cookie,
// and ends the session of its sid.
func TestEdge_frontchannelLogout(t *testing.T) {
	ctx, _ := openBrowser(t)
	s := newSite(t, "localhost", nil) // which browsers trust, so that they say why they ask
	sid := s.signIn(ctx)
	page := ""
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, page)
	}))
	t.Cleanup(provider.Close)
	for _, tt := range []struct{ sent, left string }{{"another", sid}, {sid, "<nil>"}} {
		page = `<!doctype html><title>provider</title><body><script>
			const f = document.createElement("iframe")
			f.onload = () => document.body.insertAdjacentHTML("beforeend", "<p id=done>done")
			f.src = "` + s.tenant.FrontchannelLogoutURL(s.base+"/auth/frontchannel-logout", tt.sent) + `"
			document.body.append(f)</script>`
		navigate(t, ctx, provider.URL, "#done") // at 127.0.0.1, which is another site than localhost
		navigate(t, ctx, s.base+"/", "#home")
		if who := fetched(t, ctx, "/who"); who != tt.left {
			t.Errorf("after a frame for %q: %q is signed in, want %q", tt.sent, who, tt.left)
		}
	}
}

// A Strict cookie does not come with the navigation that the provider began, nor with a link from another site. A page
// of this site asks again, and the login is not begun a second time.
func TestEdge_strictCookies(t *testing.T) {
	ctx, _ := openBrowser(t)
	s := newSite(t, "localhost", nil, tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteStrictMode}))
	navigate(t, ctx, s.base+"/own", "#own")
	link := "<!doctype html><title>elsewhere</title><a id=link href=" + s.base + "/own>own</a>"
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, link)
	}))
	t.Cleanup(elsewhere.Close)
	navigate(t, ctx, elsewhere.URL, "#link") // at 127.0.0.1, which is another site than localhost
	if err := chromedp.Do(ctx, chromedp.Click("#link"), chromedp.WaitReady("#own")); err != nil {
		t.Fatal(err)
	}
	if at := get(t, ctx, chromedp.Location()); at != s.base+"/own" {
		t.Errorf("the link leads to %s", at)
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("code exchanges = %d, want 1", n)
	}
}

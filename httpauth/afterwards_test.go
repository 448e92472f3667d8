package httpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// overBoth runs f with a site whose pages are a handler of the test's, over HTTP/1.1 and over HTTP/2, with a browser that is signed in.
func overBoth(t *testing.T, page func(c *tokenward.Client) http.HandlerFunc, f func(t *testing.T, clk *clock.Fake, get func() *http.Response)) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) {
			var mux http.ServeMux
			server := httptest.NewUnstartedServer(&mux)
			server.EnableHTTP2 = http2
			scheme := "http://"
			if http2 {
				scheme = "https://"
			}
			base := scheme + server.Listener.Addr().String()
			clk := clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			client, tenant := newClientAt(t, clk, base+"/auth/callback")
			h := newHandlers(t, client, base)
			if err := h.Register(&mux, "/auth"); err != nil {
				t.Fatal(err)
			}
			mux.Handle("GET /page", h.Require(page(client)))
			if http2 {
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			browser := *server.Client()
			browser.Jar, _ = cookiejar.New(nil)
			browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			get := func(url string) *http.Response {
				t.Helper()
				resp, err := browser.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return resp
			}
			back, err := tenant.Authorize(get(base + "/auth/login").Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			if resp := get(back); resp.StatusCode != http.StatusFound {
				t.Fatalf("callback: %d", resp.StatusCode)
			}
			f(t, clk, func() *http.Response { return get(base + "/page") })
		})
	}
}

// A handler starts work and answers. The work asks for tokens afterwards, with a context that outlives the request: of the
// context's session, and with HTTP.
func TestAttach_callsAfterTheHandlerHasReturned(t *testing.T) {
	type result struct {
		token string
		err   error
	}
	results := make(chan []result, 1)
	returned := make(chan struct{})
	overBoth(t, func(c *tokenward.Client) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			ctx, o := context.WithoutCancel(r.Context()), tokenward.HTTP(w, r)
			go func() {
				<-returned
				var all []result
				for _, o := range []tokenward.StoreOptions{{}, o} {
					for range 3 {
						tok, err := c.GetAccessToken(ctx, tokenward.TokenRequest{}, o)
						all = append(all, result{tok.AccessToken, err})
					}
					if u, err := c.GetUser(ctx, o); u == nil || err != nil {
						all = append(all, result{"", fmt.Errorf("user %v: %w", u, err)})
					}
					w.Header().Set("X", "y") // by mistake
				}
				_, err := c.Logout(ctx, tokenward.LogoutRequest{}, tokenward.StoreOptions{})
				results <- append(all, result{"-", err})
			}()
			w.WriteHeader(http.StatusNoContent)
		}
	}, func(t *testing.T, clk *clock.Fake, get func() *http.Response) {
		clk.Advance(2 * time.Hour) // a refresh and a renewal are due
		get()
		returned <- struct{}{}
		all := <-results
		if len(all) != 7 {
			t.Errorf("%d results, want 7", len(all))
		}
		for _, r := range all {
			if r.token == "" || r.err != nil {
				t.Errorf("a token %t, %v", r.token != "", r.err)
			}
		}
	})
}

// Goroutines ask while the handler writes its header, and changes that of the request. The answer has the renewed cookie when they
// are in time.
func TestAttach_callsWhileTheHandlerWritesItsHeader(t *testing.T) {
	overBoth(t, func(c *tokenward.Client) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if _, err := c.GetAccessToken(r.Context(), tokenward.TokenRequest{}, tokenward.StoreOptions{}); err != nil {
						t.Error(err)
					}
				})
			}
			for i := range 200 {
				name := fmt.Sprint("X-", i)
				w.Header().Set(name, "v")
				r.Header.Set(name, "v")
				r.Header.Del("Cookie")
			}
			all.Wait()
			w.WriteHeader(http.StatusNoContent)
		}
	}, func(t *testing.T, clk *clock.Fake, get func() *http.Response) {
		for range 5 {
			clk.Advance(2 * time.Hour)
			resp := get()
			if len(resp.Header["Set-Cookie"]) != 1 || resp.Header.Get("X-199") != "v" {
				t.Errorf("%d: Set-Cookie %q", resp.StatusCode, resp.Header["Set-Cookie"])
			}
		}
	})
}

// What a handler of the host's says about caches gives way to a cookie, whenever it was said.
// A handler may change the header of its request: whose session it is about was known before.
func TestAttach_theHandlerChangesItsHeader(t *testing.T) {
	s := newSignedIn(t)
	var user tokenward.User
	var err error
	s.handler = s.handlers.Attach(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Header.Del("Cookie")
		user, err = s.client.GetUser(r.Context(), tokenward.StoreOptions{})
	}))
	if s.get("/me"); err != nil || user == nil {
		t.Errorf("GetUser: %v, %v", user, err)
	}
}

func TestAttach_aCookieIsNotForSharedCaches(t *testing.T) {
	overBoth(t, func(*tokenward.Client) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "public, s-maxage=600")
			w.Header().Set("CDN-Cache-Control", "max-age=600")
		}
	}, func(t *testing.T, clk *clock.Fake, get func() *http.Response) {
		if resp := get(); resp.Header.Get("Cache-Control") != "public, s-maxage=600" || resp.Header.Get("CDN-Cache-Control") == "" {
			t.Errorf("without a cookie: %v", resp.Header)
		}
		clk.Advance(2 * time.Hour)
		if resp := get(); len(resp.Header["Set-Cookie"]) != 1 || resp.Header.Get("Cache-Control") != "private, no-store" || resp.Header.Get("CDN-Cache-Control") != "" {
			t.Errorf("with a cookie: %v", resp.Header)
		}
	})
}

// An answer that says nothing of caches is kept by none. What a handler adds, as ReverseProxy does, is the only word.
func TestAttach_cacheControl(t *testing.T) {
	s := newSignedIn(t)
	for add, want := range map[string]string{"": "no-store", "private, max-age=60": "private, max-age=60"} {
		s.handler = s.handlers.Require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if add != "" {
				w.Header().Add("Cache-Control", add)
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		if got := s.get("/me").Header().Values("Cache-Control"); !slices.Equal(got, []string{want}) {
			t.Errorf("with %q: %q", add, got)
		}
	}
}

// A writer behind Attach can do what the server's can.
func TestAttach_theWriterCanDoWhatTheServersCan(t *testing.T) {
	overBoth(t, func(*tokenward.Client) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, hijacks := w.(http.Hijacker)
			_, pushes := w.(http.Pusher)
			if over2 := r.ProtoMajor == 2; hijacks == over2 || pushes != over2 {
				t.Errorf("%s: hijacks %t, pushes %t", r.Proto, hijacks, pushes)
			}
			c := http.NewResponseController(w)
			if err := c.SetWriteDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusEarlyHints)
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
		}
	}, func(t *testing.T, clk *clock.Fake, get func() *http.Response) {
		clk.Advance(2 * time.Hour)
		if resp := get(); resp.StatusCode != http.StatusOK || len(resp.Header["Set-Cookie"]) != 1 {
			t.Errorf("%d, %v", resp.StatusCode, resp.Header)
		}
	})
}

package cookie_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/store/cookie"
)

func TestAttributes_set(t *testing.T) {
	tests := []struct {
		a    cookie.Attributes
		tls  bool
		want string
	}{
		{cookie.Attributes{}, false, "n=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"},
		{cookie.Attributes{}, true, "n=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"},
		{cookie.Attributes{Secure: true}, false, "__Host-n=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"},
		{cookie.Attributes{Domain: "app.example"}, false, "n=v; Path=/; Domain=app.example; Max-Age=60; HttpOnly; SameSite=Lax"},
		{cookie.Attributes{Secure: true, Domain: "app.example"}, false, "__Secure-n=v; Path=/; Domain=app.example; Max-Age=60; HttpOnly; Secure; SameSite=Lax"},
	}
	for _, tt := range tests {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		if tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		name := tt.a.Name("n")
		tt.a.Set(w, r, name, "v", time.Minute+time.Second/2, nil)
		if got := w.Header().Get("Set-Cookie"); got != tt.want {
			t.Errorf("%+v: Set-Cookie = %q, want %q", tt.a, got, tt.want)
		}
		if got := w.Header().Get("Cache-Control"); got != "private, no-store" {
			t.Errorf("Cache-Control = %q", got)
		}
		tt.a.Remove(w, r, name, nil)
		gone := strings.Replace(strings.Replace(tt.want, "=v;", "=;", 1), "Max-Age=60", "Max-Age=0", 1)
		if got := w.Header()["Set-Cookie"]; !slices.Equal(got, []string{gone}) {
			t.Errorf("%+v: after Remove: %q, want %q", tt.a, got, gone)
		}
	}
}

func TestAttributes_leaveOthersAlone(t *testing.T) {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	w.Header().Add("Set-Cookie", "nn=1")
	w.Header().Add("Set-Cookie", "n=0")
	cookie.Attributes{}.Set(w, r, "n", "v", time.Minute, nil)
	if got := w.Header()["Set-Cookie"]; len(got) != 2 || got[0] != "nn=1" {
		t.Errorf("Set-Cookie = %q", got)
	}
}

func TestAttributes_values(t *testing.T) {
	var a cookie.Attributes
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "nn=x; n=1; n=2; n.0=y")
	if got := a.Values(w, r, "n"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("Values = %q", got)
	}
	a.Set(w, r, "n", "3", time.Minute, nil)
	if got := a.Values(w, r, "n"); !slices.Equal(got, []string{"3"}) {
		t.Errorf("Values after Set = %q", got)
	}
	if got := a.Values(nil, r, "n"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("Values without the answer = %q", got)
	}
	a.Remove(w, r, "n", nil)
	if got := a.Values(w, r, "n"); got != nil {
		t.Errorf("Values after Remove = %q", got)
	}
}

// goneWriter is a writer whose handler has returned.
type goneWriter struct{ http.ResponseWriter }

func (goneWriter) Header() http.Header { panic("Header called after Handler finished") }

// Over HTTP/2 a writer panics once its handler has returned. Then nothing is set.
func TestAttributes_ofAWriterThatPanics(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "n=1")
	var a cookie.Attributes
	a.Set(goneWriter{}, r, "n", "v", time.Minute, nil)
	if got := a.Values(goneWriter{}, r, "n"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("Values = %q, want the request's", got)
	}
}

// Middleware hands on another request and a writer of its own, with the same header; and the
// server may make that when it is first asked for.
func TestAttributes_fromManyGoroutines(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var a cookie.Attributes
			var all sync.WaitGroup
			for _, n := range names {
				r, w := r.WithContext(t.Context()), struct{ http.ResponseWriter }{w}
				all.Go(func() { a.Values(w, r, n); a.Set(w, r, n, "v", time.Minute, nil); a.Set(w, r, "m", "", 0, nil) })
			}
			all.Wait()
		}))
		if server.EnableHTTP2 = http2; http2 {
			server.StartTLS()
		} else {
			server.Start()
		}
		for range 50 {
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if n := len(resp.Header["Set-Cookie"]); n != len(names)+1 {
				t.Errorf("HTTP/2 %t: %d Set-Cookie lines, want %d", http2, n, len(names)+1)
			}
		}
		server.Close()
	}
}

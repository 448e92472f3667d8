package cookie_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/store/cookie"
)

// plain is a writer that can do no more than it must. It says in which order it was called.
type plain struct {
	header http.Header
	said   []string
}

func (p *plain) say(what string) { p.said = append(p.said, what+" "+p.header.Get("Set-Cookie")) }

func (p *plain) Header() http.Header         { return p.header }
func (p *plain) WriteHeader(status int)      { p.say(fmt.Sprint(status)) }
func (p *plain) Write(b []byte) (int, error) { p.say("write"); return len(b), nil }

type flushes struct{ *plain }

func (f flushes) Flush() { f.say("flush") }

type hijacks struct{ *plain }

func (h hijacks) Hijack() (net.Conn, *bufio.ReadWriter, error) { h.say("hijack"); return nil, nil, nil }

type pushes struct{ *plain }

func (p pushes) Push(string, *http.PushOptions) error { p.say("push"); return nil }

type readsFrom struct{ *plain }

func (r readsFrom) ReadFrom(io.Reader) (int64, error) { r.say("readFrom"); return 0, nil }

// writers returns a writer for each set of what one may be able to do besides, by the names of that.
func writers(p *plain) map[string]http.ResponseWriter {
	f, h, u, r := http.Flusher(flushes{p}), http.Hijacker(hijacks{p}), http.Pusher(pushes{p}), io.ReaderFrom(readsFrom{p})
	type (
		w  = http.ResponseWriter
		fl = http.Flusher
		hi = http.Hijacker
		pu = http.Pusher
		rf = io.ReaderFrom
	)
	return map[string]http.ResponseWriter{
		"": p,
		"f": struct {
			w
			fl
		}{p, f}, "h": struct {
			w
			hi
		}{p, h}, "p": struct {
			w
			pu
		}{p, u}, "r": struct {
			w
			rf
		}{p, r},
		"fh": struct {
			w
			fl
			hi
		}{p, f, h}, "fp": struct {
			w
			fl
			pu
		}{p, f, u}, "fr": struct {
			w
			fl
			rf
		}{p, f, r},
		"hp": struct {
			w
			hi
			pu
		}{p, h, u}, "hr": struct {
			w
			hi
			rf
		}{p, h, r}, "pr": struct {
			w
			pu
			rf
		}{p, u, r},
		"fhp": struct {
			w
			fl
			hi
			pu
		}{p, f, h, u}, "fhr": struct {
			w
			fl
			hi
			rf
		}{p, f, h, r},
		"fpr": struct {
			w
			fl
			pu
			rf
		}{p, f, u, r}, "hpr": struct {
			w
			hi
			pu
			rf
		}{p, h, u, r},
		"fhpr": struct {
			w
			fl
			hi
			pu
			rf
		}{p, f, h, u, r},
	}
}

// A wrapped writer can do what the writer in it can, and does not claim more.
func TestWrap_doesWhatTheWriterCan(t *testing.T) {
	all := writers(&plain{header: http.Header{}})
	if len(all) != 16 {
		t.Fatalf("%d kinds of writers, want 16", len(all))
	}
	for name := range all {
		p := &plain{header: http.Header{}}
		w, finish := cookie.Wrap(writers(p)[name])
		f, canFlush := w.(http.Flusher)
		h, canHijack := w.(http.Hijacker)
		u, canPush := w.(http.Pusher)
		r, canRead := w.(io.ReaderFrom)
		var can string
		if canFlush {
			can += "f"
			f.Flush()
		}
		if canHijack {
			can += "h"
			_, _, _ = h.Hijack()
		}
		if canPush {
			can += "p"
			_ = u.Push("/", nil)
		}
		if canRead {
			can += "r"
			_, _ = r.ReadFrom(nil)
		}
		if can != name || len(p.said) != len(name) {
			t.Errorf("%q: can %q and did %q", name, can, p.said)
		}
		err := http.NewResponseController(w).Flush()
		if strings.Contains(name, "f") != (err == nil) || err != nil && !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("%q: the controller's Flush: %v", name, err)
		}
		if again, _ := cookie.Wrap(unwraps{w}); again != (unwraps{w}) {
			t.Errorf("%q: wrapped twice", name)
		}
		finish()
	}
}

// unwraps is a middleware's writer.
type unwraps struct{ http.ResponseWriter }

func (u unwraps) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// Cookies are written with the first thing that sends the header, whatever that is, or in the end.
func TestWrap_writesWhenTheAnswerBegins(t *testing.T) {
	var a cookie.Attributes
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	set := func(w http.ResponseWriter, value string) { a.Set(w, r, "n", value, time.Minute, nil) }
	const line = "n=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
	for name, begin := range map[string]func(w http.ResponseWriter){
		"200":      func(w http.ResponseWriter) { w.WriteHeader(200) },
		"304":      func(w http.ResponseWriter) { w.WriteHeader(304) },
		"101":      func(w http.ResponseWriter) { w.WriteHeader(101) },
		"write":    func(w http.ResponseWriter) { _, _ = w.Write(nil) },
		"flush":    func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"hijack":   func(w http.ResponseWriter) { _, _, _ = w.(http.Hijacker).Hijack() },
		"readFrom": func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(nil) },
	} {
		p := &plain{header: http.Header{}}
		w, finish := cookie.Wrap(writers(p)["fhpr"])
		set(w, "0")
		set(unwraps{w}, "1")
		w.WriteHeader(103)
		if got := a.Values(w, r, "n"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%s: before, Values = %q", name, got)
		}
		w.Header().Set("Cache-Control", "public")
		begin(w)
		set(w, "2") // too late
		finish()
		set(w, "3")
		w.Header().Set("X", "y") // of nothing
		if want := []string{"103 ", name + " " + line}; !slices.Equal(p.said, want) {
			t.Errorf("said %q, want %q", p.said, want)
		}
		if got := p.header["Set-Cookie"]; !slices.Equal(got, []string{line}) {
			t.Errorf("%s: Set-Cookie %q", name, got)
		}
		if got := a.Values(w, r, "n"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%s: afterwards, Values = %q", name, got)
		}
		if p.header.Get("Cache-Control") != "private, no-store" || p.header.Get("X") != "" {
			t.Errorf("%s: header %v", name, p.header)
		}
	}
	p := &plain{header: http.Header{"Set-Cookie": {"n=earlier", "m=1"}}}
	w, finish := cookie.Wrap(p)
	if got := a.Values(w, r, "n"); !slices.Equal(got, []string{"earlier"}) {
		t.Errorf("Values = %q, want what was set before", got)
	}
	set(w, "1")
	finish()
	if got := p.header["Set-Cookie"]; !slices.Equal(got, []string{"m=1", line}) {
		t.Errorf("by finish: Set-Cookie %q", got)
	}
}

// Whether a cookie is still wanted is asked when it is written, once for those that belong together.
func TestWrap_asksAgainInTheEnd(t *testing.T) {
	var a cookie.Attributes
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, wanted := range []bool{true, false} {
		p := &plain{header: http.Header{}}
		w, finish := cookie.Wrap(p)
		now := true
		a.Set(w, r, "n", "1", time.Minute, func() bool { return now })
		a.Set(w, r, "m", "1", time.Minute, func() bool { return false })
		now = wanted
		finish()
		if got := len(p.header["Set-Cookie"]) == 1; got != wanted || (p.header.Get("Cache-Control") == "private, no-store") != wanted {
			t.Errorf("wanted %t: %v", wanted, p.header)
		}
	}
}

func TestWrap_fromManyGoroutines(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w, finish := cookie.Wrap(w)
			defer finish()
			var a cookie.Attributes
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					a.Values(w, r, "n")
					a.Set(w, r, fmt.Sprint("n", i), "v", time.Minute, nil)
					a.Remove(w, r, "n0", nil)
				})
				w.Header().Set(fmt.Sprint("X-", i), "v") // the handler goes on with its own
			}
			if r.URL.Path == "/early" {
				w.WriteHeader(http.StatusNoContent)
			}
			all.Wait()
		}))
		if server.EnableHTTP2 = http2; http2 {
			server.StartTLS()
		} else {
			server.Start()
		}
		for i := range 50 {
			resp, err := server.Client().Get(server.URL + []string{"/", "/early"}[i%2])
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if n := len(resp.Header["Set-Cookie"]); i%2 == 0 && n != 4 {
				t.Errorf("HTTP/2 %t: %d Set-Cookie lines, want 4", http2, n)
			}
		}
		server.Close()
	}
}

// What lets a cache that several people share keep an answer gives way to a cookie.
func TestSet_keepsSharedCachesOut(t *testing.T) {
	const private = "private, no-store"
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for had, want := range map[string]string{
		"":                              private,
		"public":                        private,
		"Public, max-age=60":            private,
		"s-maxage=60":                   private,
		"S-MaxAge = 60":                 private,
		"private, s-maxage=60":          private,
		"max-age=60":                    private,
		"max-age=31536000, immutable":   private,
		"no-cache":                      private,
		"must-revalidate":               private,
		"must-understand, no-store":     private,
		`private="X-Name"`:              private,
		"no-store, public":              private,
		"private":                       "private",
		"Private, max-age=60":           "Private, max-age=60",
		"no-store":                      "no-store",
		"no-cache, no-store, max-age=0": "no-cache, no-store, max-age=0",
	} {
		for _, wrap := range []bool{false, true} {
			w := httptest.NewRecorder()
			h := w.Header()
			if had != "" {
				h.Set("Cache-Control", had)
			}
			for _, name := range []string{"Expires", "CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires", "X-Other"} {
				h.Set(name, "max-age=60")
			}
			to, finish := http.ResponseWriter(w), func() {}
			if wrap {
				to, finish = cookie.Wrap(w)
			}
			cookie.Attributes{}.Set(to, r, "n", "v", time.Minute, nil)
			finish()
			if got := h.Get("Cache-Control"); got != want {
				t.Errorf("%q, wrapped %t: Cache-Control = %q, want %q", had, wrap, got, want)
			}
			left := 2 // Set-Cookie, X-Other
			if want != private {
				left++ // Expires, which means nothing beside no-store and harms nobody beside private
			}
			if n := len(h) - len(h["Cache-Control"]); n != left {
				t.Errorf("%q, wrapped %t: header %v", had, wrap, h)
			}
		}
	}
	w := httptest.NewRecorder()
	w.Header().Add("Cache-Control", "private")
	w.Header().Add("Cache-Control", "public")
	cookie.Attributes{}.Set(w, r, "n", "v", time.Minute, nil)
	if !slices.Equal(w.Header()["Cache-Control"], []string{private}) {
		t.Errorf("of two lines: %q", w.Header()["Cache-Control"])
	}
}

package cookie_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/store"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	secretA = "secret a, of at least thirty-two bytes"
	secretB = "secret b, of at least thirty-two bytes"
)

func sealer(t testing.TB, secrets ...string) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer("_a0_session", nil, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reproducible seals alike in every process, for the processes of a fuzz test.
func reproducible(t testing.TB) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer("_a0_session", zeros{}, secretA)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// browser keeps cookies from one request to the next. It forgets none by itself.
type browser struct {
	mu  sync.Mutex
	jar map[string]string
}

func newBrowser() *browser { return &browser{jar: map[string]string{}} }

// request returns a new request and where its answer goes.
func (b *browser) request() (*httptest.ResponseRecorder, *http.Request) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return httptest.NewRecorder(), r
}

// took does with the jar what the answer says.
func (b *browser) took(w *httptest.ResponseRecorder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
		} else {
			b.jar[c.Name] = c.Value
		}
	}
}

// call makes one request.
func (b *browser) call(f func(store.Options) error) error {
	w, r := b.request()
	err := f(store.Options{Request: r, Response: w})
	b.took(w)
	return err
}

// size returns the bytes of the Cookie header.
func (b *browser) size() int {
	_, r := b.request()
	return len("Cookie: ") + len(r.Header.Get("Cookie"))
}

func (b *browser) cookies() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.jar)
}

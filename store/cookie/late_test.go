package cookie_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/store/cookie"
)

// bareWriter can do nothing but what every http.ResponseWriter can.
type bareWriter struct{ header http.Header }

func (b *bareWriter) Header() http.Header         { return b.header }
func (b *bareWriter) WriteHeader(int)             {}
func (b *bareWriter) Write(p []byte) (int, error) { return len(p), nil }

// A renewal that is dropped in the end does not take a login's cookie with it.
func TestWrap_aDroppedRenewalLeavesTheLogin(t *testing.T) {
	inner := &bareWriter{header: http.Header{}}
	w, finish := cookie.Wrap(inner)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	lives := true
	cookie.Attributes{}.Set(w, r, "s", "login", time.Hour, nil)
	for range 3 { // of several renewals the last one counts
		cookie.Attributes{}.Set(w, r, "s", "renewal", time.Hour, func() bool { return lives })
	}
	lives = false
	finish()
	if got := inner.header["Set-Cookie"]; len(got) != 1 || !strings.HasPrefix(got[0], "s=login") {
		t.Errorf("Set-Cookie = %q, want the login's alone", got)
	}
}

// A Flush that cannot be has not begun the answer.
func TestWrap_aFlushThatIsNotSupported(t *testing.T) {
	inner := &bareWriter{header: http.Header{}}
	w, finish := cookie.Wrap(inner)
	if err := http.NewResponseController(w).Flush(); err == nil {
		t.Error("Flush succeeded")
	}
	cookie.Attributes{}.Set(w, httptest.NewRequest(http.MethodGet, "/", nil), "s", "v", time.Hour, nil)
	finish()
	if got := inner.header["Set-Cookie"]; len(got) != 1 {
		t.Errorf("Set-Cookie = %q, want one", got)
	}
}

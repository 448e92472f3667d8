package cookie

import (
	"encoding/base64"
	"hash/maphash"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tokenward/tokenward/store"
)

// Attributes say how cookies are set. All of them are HttpOnly, SameSite=Lax and
// Path=/.
type Attributes struct {
	// Secure sends the cookies over https only, and names them with the prefix __Host-
	// (with a Domain: __Secure-), which keeps other hosts and plain http from setting
	// them. Without it they are Secure only where the request came over TLS.
	Secure bool

	// Domain shares the cookies with all hosts under it. Empty: with none.
	Domain string
}

// Name returns the name that the cookie called name has in the browser.
func (a Attributes) Name(name string) string {
	switch {
	case a.Secure && a.Domain == "":
		return "__Host-" + name
	case a.Secure:
		return "__Secure-" + name
	}
	return name
}

// Values returns the values of the cookie with exactly that name as the browser
// has them once it has received w: what was already set there, else what r brings. w
// may be nil.
//
// It, Set and Remove may be called at once for one request.
func (a Attributes) Values(w http.ResponseWriter, r *http.Request, name string) []string {
	h, unlock := lock(w)
	defer unlock()
	return a.values(h, r, name)
}

// Set sets a cookie, in place of what w has for that name. With a maxAge of less
// than a second it takes it away. An answer that says nothing about caching
// must not be cached from then on: nobody else may get that cookie.
func (a Attributes) Set(w http.ResponseWriter, r *http.Request, name, value string, maxAge time.Duration) {
	h, unlock := lock(w)
	defer unlock()
	a.set(h, r, name, value, maxAge)
}

// Remove takes a cookie away.
func (a Attributes) Remove(w http.ResponseWriter, r *http.Request, name string) {
	a.Set(w, r, name, "", 0)
}

const setCookie = "Set-Cookie"

func (a Attributes) values(h http.Header, r *http.Request, name string) []string {
	for _, line := range slices.Backward(h[setCookie]) {
		if nameOf(line) != name {
			continue
		}
		c, err := http.ParseSetCookie(line)
		if err != nil || c.MaxAge < 0 {
			return nil
		}
		return []string{c.Value}
	}
	var values []string
	for _, c := range r.CookiesNamed(name) {
		values = append(values, c.Value)
	}
	return values
}

func (a Attributes) set(h http.Header, r *http.Request, name, value string, maxAge time.Duration) {
	h[setCookie] = slices.DeleteFunc(h[setCookie], func(line string) bool { return nameOf(line) == name })
	if line := a.cookie(r, name, value, maxAge).String(); line != "" {
		h.Add(setCookie, line)
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private, no-store")
	}
}

func (a Attributes) cookie(r *http.Request, name, value string, maxAge time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", Domain: a.Domain, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: a.Secure || r != nil && r.TLS != nil, MaxAge: int(min(maxAge/time.Second, math.MaxInt32)),
	}
	if c.MaxAge <= 0 {
		c.MaxAge = -1 // written as Max-Age=0
	}
	return c
}

func nameOf(line string) string {
	name, _, _ := strings.Cut(line, "=")
	return strings.TrimSpace(name)
}

// Calls for one request may come from several goroutines, and a header is none for
// those. So whoever reads or writes one holds its lock, whichever writer or request leads to it;
// and asking a writer for its header may make it.
var (
	asking   sync.Mutex
	locks    [64]sync.Mutex
	lockSeed = maphash.MakeSeed()
)

// lock returns the header of w, none where w is nil, for its caller alone.
func lock(w http.ResponseWriter) (h http.Header, unlock func()) {
	if w == nil {
		return nil, func() {}
	}
	h = headerOf(w)
	l := &locks[maphash.Comparable(lockSeed, reflect.ValueOf(h).Pointer())%uint64(len(locks))]
	l.Lock()
	return h, l.Unlock
}

func headerOf(w http.ResponseWriter) http.Header {
	asking.Lock()
	defer asking.Unlock() // a writer whose handler has returned may panic
	return w.Header()
}

// encoding accepts one text for a value, and no other.
var encoding = base64.RawURLEncoding.Strict()

// Seal returns plain as the value of the cookie with that name. It opens under no other
// name.
func Seal(s *store.Sealer, name string, plain []byte) string {
	return encoding.EncodeToString(s.Seal(binding(name), plain))
}

// Open returns what Seal was given. It fails with an *store.UnreadableError.
func Open(s *store.Sealer, name, value string) ([]byte, error) {
	if strings.ContainsAny(value, "\r\n") { // which the decoder would skip
		return nil, &store.UnreadableError{Why: store.Corrupt}
	}
	sealed, err := encoding.DecodeString(value)
	if err != nil {
		return nil, &store.UnreadableError{Why: store.Corrupt}
	}
	return s.Open(binding(name), sealed)
}

func binding(name string) string { return "cookie:" + name }

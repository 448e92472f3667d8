package cookie

import (
	"cmp"
	"encoding/base64"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/tokenward/tokenward/store"
)

// Attributes say how cookies are set. All of them are HttpOnly.
type Attributes struct {
	// Secure sends the cookies over https only, and names them with the prefix __Host-
	// (with a Domain or a Path: __Secure-), which keeps other hosts and plain http from setting
	// them. Without it they are Secure only where the request came over TLS.
	Secure bool

	// Domain shares the cookies with all hosts under it. Empty: with none.
	Domain string

	// Path is the path that the cookies are for, with all below it. Empty: /.
	Path string

	// SameSite says with which requests from other sites browsers send the cookies. Zero: Lax.
	SameSite http.SameSite

	// Chunks is how many cookies of 3 KiB a session of States may take: 1 to 32. The default is
	// DefaultChunks.
	Chunks int
}

// Name returns the name that the cookie called name has in the browser. No other name is
// read: a cookie without the prefix may come from another host.
func (a Attributes) Name(name string) string {
	switch {
	case a.Secure && a.Domain == "" && (a.Path == "" || a.Path == "/"):
		return "__Host-" + name
	case a.Secure:
		return "__Secure-" + name
	}
	return name
}

// Values returns the values of the cookie with exactly that name as the browser
// has them once it has received w: the one that was already set there, else all that r brings. w
// may be nil.
func (a Attributes) Values(w http.ResponseWriter, r *http.Request, name string) []string {
	to, unlock := answerTo(w)
	defer unlock()
	return a.values(to, r, name)
}

// Set sets a cookie, in place of what w has for that name. With a maxAge of less
// than a second it takes it away. While, which may be nil, says whether that is still wanted: it is asked at
// once, and where w is from Wrap once more when the cookie is written.
//
// A shared cache may not keep an answer with a cookie: see Wrap.
func (a Attributes) Set(w http.ResponseWriter, r *http.Request, name, value string, maxAge time.Duration, while func() bool) {
	to, unlock := answerTo(w)
	defer unlock()
	a.set(to, r, name, value, maxAge, &condition{while: while})
}

// Remove takes a cookie away if the browser has it.
func (a Attributes) Remove(w http.ResponseWriter, r *http.Request, name string, while func() bool) {
	to, unlock := answerTo(w)
	defer unlock()
	if a.values(to, r, name) != nil {
		a.set(to, r, name, "", 0, &condition{while: while})
	}
}

func (a Attributes) values(to answer, r *http.Request, name string) []string {
	values, ok := valuesIn(to, name)
	if ok {
		return values
	}
	for _, c := range r.CookiesNamed(name) {
		values = append(values, c.Value)
	}
	return values
}

// valuesIn returns what an answer sets a cookie to, nothing where it takes it away, and whether it does either.
func valuesIn(to answer, name string) (values []string, ok bool) {
	line, ok := to.find(name)
	if !ok {
		return nil, false
	}
	c, err := http.ParseSetCookie(line)
	if err != nil || c.MaxAge < 0 {
		return nil, true
	}
	return []string{c.Value}, true
}

func (a Attributes) set(to answer, r *http.Request, name, value string, maxAge time.Duration, c *condition) {
	if line := a.cookie(r, name, value, maxAge).String(); line != "" && c.met() {
		to.put(name, line, c)
	}
}

func (a Attributes) cookie(r *http.Request, name, value string, maxAge time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: cmp.Or(a.Path, "/"), Domain: a.Domain, HttpOnly: true,
		SameSite: cmp.Or(a.SameSite, http.SameSiteLaxMode),
		Secure:   a.Secure || r != nil && r.TLS != nil, MaxAge: int(min(maxAge/time.Second, math.MaxInt32)),
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

package cookie

import (
	"hash/maphash"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// answer is where the cookies of one answer are set.
type answer interface {
	// find returns the Set-Cookie line that the answer has for a name.
	find(name string) (line string, ok bool)

	// put sets a line, in place of another one of that name. It does nothing where the answer has begun.
	put(name, line string, c *condition)
}

// condition is shared by the cookies that are set together: all of them are written, or none.
type condition struct {
	while   func() bool // nil: always
	written func()      // called once the cookies are in the header; may be nil
	judged  bool
	holds   bool
}

func (c *condition) conditional() bool { return c != nil && c.while != nil }

func (c *condition) met() bool { return c.while == nil || c.while() }

// atLast decides, once.
func (c *condition) atLast() bool {
	if !c.judged {
		c.judged, c.holds = true, c.met()
		c.wrote(c.holds)
	}
	return c.holds
}

func (c *condition) wrote(done bool) {
	if done && c.written != nil {
		c.written()
	}
}

// Calls for one request may come from several goroutines also where its writer is not from Wrap. They share a lock, which the
// header leads to; and asking a writer for its header may make it.
var (
	asking   sync.Mutex
	locks    [64]sync.Mutex
	lockSeed = maphash.MakeSeed()
)

// answerTo returns the answer of w, for its caller alone: what Wrap keeps aside where w is from Wrap, or leads there
// by Unwrap (see http.ResponseController); else the header itself.
func answerTo(w http.ResponseWriter) (to answer, unlock func()) {
	if x := wrapperOf(w); x != nil {
		x.mu.Lock()
		return x, x.mu.Unlock
	}
	h := headerOf(w)
	if h == nil {
		return h, func() {}
	}
	l := &locks[maphash.Comparable(lockSeed, reflect.ValueOf(h).Pointer())%uint64(len(locks))]
	l.Lock()
	return h, l.Unlock
}

// header is the header of an answer; nil where there is none.
type header http.Header

func headerOf(w http.ResponseWriter) (h header) {
	if w == nil {
		return nil
	}
	asking.Lock()
	defer asking.Unlock()
	defer func() { _ = recover() }() // over HTTP/2 this panics once the handler has returned
	return header(w.Header())
}

const setCookie = "Set-Cookie"

func (h header) find(name string) (string, bool) { return lineFor(name, h[setCookie]) }

func (h header) put(name, line string, c *condition) {
	if h != nil {
		h.add(name, line)
		makePrivate(http.Header(h))
		c.wrote(true)
	}
}

func (h header) add(name, line string) {
	lines := slices.DeleteFunc(h[setCookie], func(have string) bool { return nameOf(have) == name })
	h[setCookie] = append(lines, line)
}

func lineFor(name string, lines []string) (string, bool) {
	for _, line := range slices.Backward(lines) {
		if nameOf(line) == name {
			return line, true
		}
	}
	return "", false
}

// makePrivate keeps caches that several people share from keeping an answer with a cookie. A Cache-Control that
// allows them to, which is every one without private or no-store, gives way to private, no-store, and Expires with
// it (RFC 9111 section 3). Fields that are for such caches alone, and that they obey before Cache-Control (RFC 9213), go in any
// case.
func makePrivate(h http.Header) {
	for name := range h {
		if name == "Surrogate-Control" || name == "X-Accel-Expires" || strings.HasSuffix(strings.ToLower(name), "cdn-cache-control") {
			delete(h, name)
		}
	}
	var private, shared bool
	for _, directive := range strings.Split(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		switch directive = strings.TrimSpace(directive); { // private=FIELD keeps that field alone out
		case directive == "private", directive == "no-store":
			private = true
		case directive == "public", directive == "must-understand", strings.HasPrefix(directive, "s-maxage"):
			shared = true
		}
	}
	if !private || shared {
		h.Set("Cache-Control", "private, no-store")
		h.Del("Expires")
	}
}

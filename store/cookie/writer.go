package cookie

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// Wrap returns a writer for one answer, and what the handler calls, once, when it is about to return. Cookies that are
// set by way of that writer are kept aside, so that goroutines may set them while the handler writes its header,
// and after it has returned. They are written to the header with the first final status, Write, Flush, ReadFrom or Hijack,
// else by finish; what comes later is dropped. An answer with a cookie is private, no-store then,
// unless it is private or no-store already; one that says nothing of caches (Cache-Control) is no-store.
//
// The writer has Unwrap, and Flush, Hijack, Push and ReadFrom where w has them. A writer that leads to one of Wrap by
// Unwrap is returned as it is.
func Wrap(w http.ResponseWriter) (wrapped http.ResponseWriter, finish func()) {
	if wrapperOf(w) != nil {
		return w, func() {}
	}
	x := &wrapper{inner: w, earlier: slices.Clone(w.Header()[setCookie])}
	kind := 0
	if _, ok := w.(http.Flusher); ok {
		kind |= 1
	}
	if _, ok := w.(http.Hijacker); ok {
		kind |= 2
	}
	if _, ok := w.(http.Pusher); ok {
		kind |= 4
	}
	if _, ok := w.(io.ReaderFrom); ok {
		kind |= 8
	}
	return kinds[kind](x), x.finish
}

// wrapperOf returns the wrapper that w is, or leads to; nil where there is none.
func wrapperOf(w http.ResponseWriter) *wrapper {
	for {
		switch x := w.(type) {
		case interface{ cookies() *wrapper }:
			return x.cookies()
		case interface{ Unwrap() http.ResponseWriter }:
			w = x.Unwrap()
		default:
			return nil
		}
	}
}

type wrapper struct {
	inner   http.ResponseWriter
	earlier []string // Set-Cookie lines that were there before

	begun atomic.Bool // the header is out; set under mu
	mu    sync.Mutex
	set   []line
	over  bool // the handler has returned
}

// line is a cookie that is due.
type line struct {
	name, text string
	condition  *condition
}

func (x *wrapper) cookies() *wrapper { return x }

// find implements answer. The caller holds mu.
func (x *wrapper) find(name string) (string, bool) {
	for _, l := range slices.Backward(x.set) {
		if l.name == name {
			return l.text, true
		}
	}
	return lineFor(name, x.earlier)
}

// put implements answer. The caller holds mu. A line takes the place of an earlier one of its name. One with a
// condition leaves one without in reserve, in case its condition is not met in the end.
func (x *wrapper) put(name, text string, c *condition) {
	if x.begun.Load() {
		return
	}
	x.set = slices.DeleteFunc(x.set, func(l line) bool {
		return l.name == name && (!c.conditional() || l.condition.conditional())
	})
	x.set = append(x.set, line{name, text, c})
}

// begin writes the cookies that are due to the header.
func (x *wrapper) begin() {
	if x.begun.Load() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.start()
}

func (x *wrapper) start() {
	if x.begun.Swap(true) {
		return
	}
	h := x.inner.Header()
	wrote := make(map[string]bool)
	for _, l := range slices.Backward(x.set) {
		if !wrote[l.name] && l.condition.atLast() {
			header(h).add(l.name, l.text)
			wrote[l.name] = true
		}
	}
	if len(wrote) > 0 {
		makePrivate(h)
	}
	if len(h["Cache-Control"]) == 0 {
		h.Set("Cache-Control", "no-store")
	}
}

// finish is called by the handler's goroutine. From then on inner is left alone.
func (x *wrapper) finish() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.start()
	x.over = true
}

// Header implements http.ResponseWriter. Once the handler has returned it is a header of nothing.
func (x *wrapper) Header() http.Header {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return make(http.Header)
	}
	return x.inner.Header()
}

// WriteHeader implements http.ResponseWriter.
func (x *wrapper) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		x.begin()
	}
	x.inner.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *wrapper) Write(b []byte) (int, error) {
	x.begin()
	return x.inner.Write(b)
}

// WriteString implements io.StringWriter.
func (x *wrapper) WriteString(s string) (int, error) {
	x.begin()
	return io.WriteString(x.inner, s)
}

// Unwrap is for http.ResponseController.
func (x *wrapper) Unwrap() http.ResponseWriter { return x.inner }

// FlushError is for http.ResponseController, which asks for it first and would else flush inner.
func (x *wrapper) FlushError() error {
	if !canFlush(x.inner) {
		return http.ErrNotSupported // nothing is sent
	}
	x.begin()
	return http.NewResponseController(x.inner).Flush()
}

// canFlush reports whether w, or a writer inside it, can flush, as http.ResponseController looks for it.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch inner := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = inner.Unwrap()
		default:
			return false
		}
	}
}

type flusher struct{ x *wrapper }

// Flush implements http.Flusher.
func (f flusher) Flush() { _ = f.x.FlushError() }

type hijacker struct{ x *wrapper }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.x.begin()
	return h.x.inner.(http.Hijacker).Hijack() //nolint:forcetypeassert // Wrap has looked
}

type pusher struct{ x *wrapper }

// Push implements http.Pusher.
func (p pusher) Push(target string, o *http.PushOptions) error {
	return p.x.inner.(http.Pusher).Push(target, o) //nolint:forcetypeassert // Wrap has looked
}

type readerFrom struct{ x *wrapper }

// ReadFrom implements io.ReaderFrom.
func (r readerFrom) ReadFrom(from io.Reader) (int64, error) {
	r.x.begin()
	return r.x.inner.(io.ReaderFrom).ReadFrom(from) //nolint:forcetypeassert // Wrap has looked
}

// kinds has, for each set of what a writer may be able to do besides, a wrapper that can do the same.
var kinds = [16]func(x *wrapper) http.ResponseWriter{
	func(x *wrapper) http.ResponseWriter { return x },
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
		}{x, flusher{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Hijacker
		}{x, hijacker{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
			http.Hijacker
		}{x, flusher{x}, hijacker{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Pusher
		}{x, pusher{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
			http.Pusher
		}{x, flusher{x}, pusher{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Hijacker
			http.Pusher
		}{x, hijacker{x}, pusher{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
			http.Hijacker
			http.Pusher
		}{x, flusher{x}, hijacker{x}, pusher{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			io.ReaderFrom
		}{x, readerFrom{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
			io.ReaderFrom
		}{x, flusher{x}, readerFrom{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Hijacker
			io.ReaderFrom
		}{x, hijacker{x}, readerFrom{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
			http.Hijacker
			io.ReaderFrom
		}{x, flusher{x}, hijacker{x}, readerFrom{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Pusher
			io.ReaderFrom
		}{x, pusher{x}, readerFrom{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
			http.Pusher
			io.ReaderFrom
		}{x, flusher{x}, pusher{x}, readerFrom{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Hijacker
			http.Pusher
			io.ReaderFrom
		}{x, hijacker{x}, pusher{x}, readerFrom{x}}
	},
	func(x *wrapper) http.ResponseWriter {
		return struct {
			*wrapper
			http.Flusher
			http.Hijacker
			http.Pusher
			io.ReaderFrom
		}{x, flusher{x}, hijacker{x}, pusher{x}, readerFrom{x}}
	},
}

package idptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// reply is an answer before it is sent, over the socket or not.
type reply struct {
	status int
	header http.Header
	body   []byte
	end    ending
	chunk  int           // bytes sent at once; 0 for all
	pause  time.Duration // before each chunk
	oauth  *oauthError   // what an error answer says
	// refresh says that the error is about a refresh token.
	refresh bool
	form    url.Values // that the page posts; nil for none
	formTo  string
}

// ending says how a reply ends.
type ending int

const (
	whole     ending = iota
	cut              // half of the body, then the connection closes
	resetConn        // nothing, and the connection is reset
	raw              // the body is all there is, header and all
	stalled          // likewise, and then nothing
	endless          // likewise, and then header fields
)

func jsonReply(status int, body map[string]any) *reply {
	return &reply{
		status: status,
		header: http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}},
		body:   marshal(body),
	}
}

func redirect(status int, location string) *reply {
	return &reply{status: status, header: http.Header{"Location": {location}}}
}

// sendable returns the part of the body that leaves.
func (r *reply) sendable() []byte {
	if r.end == cut {
		return r.body[:len(r.body)/2]
	}
	return r.body
}

// serveHTTP answers over the socket.
func (t *Tenant) serveHTTP(w http.ResponseWriter, req *http.Request) {
	t.conns.Add(1) // on top of the connection's own, which ends when it is taken over
	defer t.conns.Done()
	c := t.read(req)
	defer func() { c.done() }() // not c.done itself: admit sets it
	r := t.answer(c)
	if r == nil || r.end == resetConn {
		t.takeOver(w, reset)
		return
	}
	if r.end >= raw {
		c.done()
		t.sendRaw(w, c, r)
		return
	}
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	if r.chunk == 0 {
		c.done() // before the client can know the answer, and ask again
	}
	w.WriteHeader(r.status)
	if r.chunk > 0 {
		http.NewResponseController(w).Flush() //nolint:errcheck // a client that left ends the context
	}
	if !t.send(w, c, r) || r.end == cut {
		http.NewResponseController(w).Flush() //nolint:errcheck // the connection ends here anyway
		panic(http.ErrAbortHandler)
	}
}

// send writes the body. It reports whether everything that shall leave has left.
func (t *Tenant) send(w http.ResponseWriter, c *call, r *reply) bool {
	body := r.sendable()
	for r.chunk > 0 && len(body) > 0 {
		n := min(r.chunk, len(body))
		if !t.sleep(c.req.Context(), r.pause) {
			return false
		}
		if n == len(body) {
			c.done()
		}
		w.Write(body[:n])                     //nolint:errcheck // a client that left ends the context
		http.NewResponseController(w).Flush() //nolint:errcheck // likewise
		body = body[n:]
	}
	w.Write(body) //nolint:errcheck // likewise
	return true
}

// reset makes the end of a connection a reset (RST) for the client, not a close.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck // then it is closed in the ordinary way
	}
}

// Transport returns a transport that runs the tenant on the caller's goroutine,
// with no socket and no goroutine of its own, so that a testing/synctest bubble
// comes to rest while a request is held. A connection that a fault resets or cuts
// becomes the error that a real one would. It reaches this tenant only.
func (t *Tenant) Transport() http.RoundTripper { return &transport{t} }

// Client returns a client over Transport.
func (t *Tenant) Client() *http.Client { return &http.Client{Transport: t.Transport()} }

type transport struct{ tenant *Tenant }

// RoundTrip implements http.RoundTripper.
func (tr *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t := tr.tenant
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, context.Cause(req.Context())
	}
	if !t.answers(req.URL) {
		return nil, fmt.Errorf("idptest: %s://%s is not this tenant, %s", req.URL.Scheme, req.URL.Host, t.issuer)
	}
	if t.ctx.Err() != nil {
		return nil, opError("dial", syscall.ECONNREFUSED)
	}
	c := t.read(req)
	r := t.answer(c)
	if r == nil || r.end == resetConn {
		c.done()
		if req.Context().Err() != nil {
			return nil, context.Cause(req.Context())
		}
		if c.body != nil {
			return nil, c.body
		}
		return nil, opError("read", syscall.ECONNRESET)
	}
	if r.end >= raw {
		c.done()
		return t.rawResponse(c, r)
	}
	if r.chunk == 0 {
		c.done()
	}
	resp := &http.Response{
		Status:        strconv.Itoa(r.status) + " " + http.StatusText(r.status),
		StatusCode:    r.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.header.Clone(),
		ContentLength: int64(len(r.body)),
		Request:       req,
	}
	resp.Body = &body{t: t, c: c, r: r, rest: r.sendable()}
	return resp, nil
}

// opError is the error that net would return.
func opError(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }

var errBodyClosed = errors.New("idptest: read of a closed body")

// body is the body of an in-process response. Its reader does the waiting.
type body struct {
	t       *Tenant
	c       *call
	r       *reply
	rest    []byte
	started bytes.Reader // what of the present chunk is still to be read
	closed  bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	ctx := b.c.req.Context()
	switch {
	case b.closed:
		return 0, errBodyClosed
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case b.started.Len() > 0:
		return b.started.Read(p)
	case len(b.rest) == 0 && b.r.end == cut:
		return 0, io.ErrUnexpectedEOF
	case len(b.rest) == 0:
		return 0, io.EOF
	}
	n := len(b.rest)
	if b.r.chunk > 0 {
		n = min(n, b.r.chunk)
		if !b.t.sleep(ctx, b.r.pause) {
			b.c.done()
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			return 0, opError("read", syscall.ECONNRESET)
		}
	}
	b.started.Reset(b.rest[:n])
	b.rest = b.rest[n:]
	if len(b.rest) == 0 {
		b.c.done()
	}
	return b.started.Read(p)
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.closed = true
	b.c.done()
	return nil
}

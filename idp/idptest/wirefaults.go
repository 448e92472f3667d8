package idptest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

// The faults of this file are beneath HTTP, or at its edge.

// Raw sends exactly these bytes where an answer belongs, and closes the connection.
// Without any bytes that is all it does.
func Raw(text string) Fault {
	return instead(func() *reply { return &reply{end: raw, body: []byte(text)} })
}

// StallHeader begins an answer whose header never ends: nothing follows until the
// client gives up, the tenant closes, or Heal.
func StallHeader() Fault {
	return instead(func() *reply { return &reply{end: stalled, body: []byte(headerBegins)} })
}

// EndlessHeader answers with header fields until the client has had enough.
func EndlessHeader() Fault {
	return instead(func() *reply { return &reply{end: endless, body: []byte(headerBegins)} })
}

// Trailing puts text after the good answer, in its body.
func Trailing(text string) Fault {
	return shaping(func(r *reply) { r.body = append(slices.Clip(r.body), text...) })
}

// Gzipped makes f compress its answer, where the client accepts that.
func (f Fault) Gzipped() Fault {
	f.zips = true
	return f
}

// BadGzip labels the good answer as compressed, which it is not.
func BadGzip() Fault {
	return shaping(func(r *reply) {
		r.header = r.header.Clone()
		r.header.Set("Content-Encoding", "gzip")
	})
}

const (
	headerBegins = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	headerField  = "X-Padding: "
)

// compress compresses an answer to req.
func (r *reply) compress(req *http.Request) {
	if !strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
		return
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(r.body) // a buffer does not fail
	_ = w.Close()
	r.body = b.Bytes()
	r.header = r.header.Clone()
	r.header.Set("Content-Encoding", "gzip")
}

// takeOver takes the connection from the HTTP server and hands it to f, which ends
// it. The tenant closes it too when it closes.
func (t *Tenant) takeOver(w http.ResponseWriter, f func(net.Conn)) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer t.connected(-1)
	shut := func() { conn.Close() } //nolint:errcheck // nothing is left to lose
	defer shut()
	defer context.AfterFunc(t.ctx, shut)()
	f(conn)
}

// sendRaw answers beneath HTTP.
func (t *Tenant) sendRaw(w http.ResponseWriter, c *call, r *reply) {
	t.takeOver(w, func(conn net.Conn) {
		_, err := conn.Write(r.body)
		switch {
		case err != nil:
		case r.end == endless:
			field := []byte(headerField + strings.Repeat("x", 4000) + "\r\n")
			for err == nil {
				_, err = conn.Write(field)
			}
		case r.end == stalled:
			over := make(chan struct{})
			go func() {
				defer close(over)
				_, _ = io.Copy(io.Discard, conn) // until the client goes
			}()
			select {
			case <-over:
			case <-c.healed:
			}
			conn.Close() //nolint:errcheck // nothing is left to lose
			<-over
		}
	})
}

var errEndlessHeader = errors.New("net/http: server response headers exceeded 10485760 bytes; aborted")

// rawResponse is what becomes of a raw answer in process.
func (t *Tenant) rawResponse(c *call, r *reply) (*http.Response, error) {
	ctx := c.req.Context()
	switch {
	case r.end == endless:
		return nil, errEndlessHeader
	case r.end == stalled:
		t.await(ctx, c.healed)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, io.ErrUnexpectedEOF
	case len(r.body) == 0:
		return nil, io.EOF
	}
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(r.body)), c.req)
}

// connected counts connections.
func (t *Tenant) connected(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counters.conns += n
	t.counters.wake()
}

// Connections returns how many connections are open, those of clients that keep
// them for later included.
func (t *Tenant) Connections() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counters.conns
}

// WaitConnections waits until at most n connections are open. If ctx ends first, it
// says how many there are, and wraps ctx.Err().
func (t *Tenant) WaitConnections(ctx context.Context, n int) error {
	return t.wait(ctx, func() (int, bool) { return t.counters.conns, t.counters.conns <= n }, n, "connections")
}

package test_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
)

// network is the way to a tenant over real sockets. Requests of one kind can be sent
// astray.
type network struct {
	inner *http.Transport

	mu      sync.Mutex
	path    string
	astray  http.RoundTripper // nil: nothing goes astray
	begun   int               // requests of that kind
	open    int               // requests of any whose answer has not been closed
	changed chan struct{}
}

// pathOf says where requests of a kind go.
var pathOf = map[idptest.Kind]string{
	idptest.Discovery: "/.well-known/openid-configuration", idptest.JWKS: "/.well-known/jwks.json",
	idptest.CodeExchange: "/oauth/token", idptest.Refresh: "/oauth/token", idptest.ConnectionExchange: "/oauth/token",
	idptest.PAR: "/oauth/par", idptest.Revocation: "/oauth/revoke",
}

func newNetwork(t *testing.T) *network {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxResponseHeaderBytes = 1 << 20
	n := &network{inner: tr, changed: make(chan struct{})}
	t.Cleanup(tr.CloseIdleConnections)
	return n
}

// divert sends requests of kind k over rt, or, where rt is nil, as the others. It counts
// them from zero.
func (n *network) divert(k idptest.Kind, rt http.RoundTripper) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path, n.astray, n.begun = pathOf[k], rt, 0
}

// count counts a request in, or out.
func (n *network) count(begun, open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun += begun
	n.open += open
	close(n.changed)
	n.changed = make(chan struct{})
}

// wait waits until at least so many requests of the kind have begun, and none of any is
// under way.
func (n *network) wait(ctx context.Context, begun int) error {
	for {
		n.mu.Lock()
		over, changed := n.begun >= begun && n.open == 0, n.changed
		n.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	n.mu.Lock()
	rt, begun := http.RoundTripper(n.inner), 0
	if req.URL.Path == n.path {
		begun = 1
		if n.astray != nil {
			rt = n.astray
		}
	}
	n.mu.Unlock()
	n.count(begun, 1)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		n.count(0, -1)
		return nil, err
	}
	resp.Body = &countedBody{ReadCloser: resp.Body, closed: sync.OnceFunc(func() { n.count(0, -1) })}
	return resp, nil
}

type countedBody struct {
	io.ReadCloser
	closed func()
}

func (b *countedBody) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}

// wrongWay is a network fault: what requests go over, and a channel with one element for
// each that got as far as it will.
type wrongWay struct {
	http.RoundTripper
	reached chan struct{}
	close   func()
}

func over(dial func(context.Context) (net.Conn, error), reached chan struct{}, after func()) *wrongWay {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	return &wrongWay{tr, reached, func() {
		tr.CloseIdleConnections()
		after()
	}}
}

// overTLS makes every request an https one.
type overTLS struct{ http.RoundTripper }

func (o overTLS) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.Clone(req.Context())
	own.URL.Scheme = "https"
	return o.RoundTripper.RoundTrip(own)
}

func dialTo(address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
}

// refused is a port without a listener.
func refused(t *testing.T, _ *idptest.Tenant) *wrongWay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return over(dialTo(l.Addr().String()), nil, func() {})
}

// unanswered is an address that no packet comes back from.
func unanswered(*testing.T, *idptest.Tenant) *wrongWay {
	reached := make(chan struct{}, 1)
	return over(func(ctx context.Context) (net.Conn, error) {
		reached <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, reached, func() {})
}

// noTLS is a server that does not speak TLS.
func noTLS(_ *testing.T, tenant *idptest.Tenant) *wrongWay {
	w := over(dialTo(tenant.Issuer()[len("http://"):len(tenant.Issuer())-1]), nil, func() {})
	w.RoundTripper = overTLS{w.RoundTripper}
	return w
}

// silentTLS is a server that never answers the handshake.
func silentTLS(t *testing.T, _ *idptest.Tenant) *wrongWay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan struct{}, 1)
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		reached <- struct{}{}
		_, _ = io.Copy(io.Discard, conn) // until the client closes it
		_ = conn.Close()
	})
	w := over(dialTo(l.Addr().String()), reached, func() {
		_ = l.Close()
		serving.Wait()
	})
	w.RoundTripper = overTLS{w.RoundTripper}
	return w
}

// strangeTLS is a server with a certificate of no known authority.
func strangeTLS(*testing.T, *idptest.Tenant) *wrongWay {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	w := over(dialTo(s.Listener.Addr().String()), nil, s.Close)
	w.RoundTripper.(*http.Transport).TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	w.RoundTripper = overTLS{w.RoundTripper}
	return w
}

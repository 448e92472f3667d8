package idp_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// overTLS is a client, and a provider over HTTP/2 with its token endpoint at to, or at
// itself, where answer serves it.
func overTLS(t *testing.T, to func(*tls.Config) string, answer http.HandlerFunc) (*idp.Client, string) {
	t.Helper()
	var srv *httptest.Server
	var tokenURL string
	mux := http.NewServeMux()
	mux.HandleFunc(metadata, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": srv.URL, "token_endpoint": tokenURL}) //nolint:errcheck // the client says so
	})
	if answer != nil {
		mux.HandleFunc(token, answer)
	}
	srv = httptest.NewUnstartedServer(mux)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tokenURL = srv.URL + token
	if to != nil {
		tokenURL = to(&tls.Config{Certificates: srv.TLS.Certificates, NextProtos: []string{"h2"}})
	}
	client := must(idp.New(idp.Config{ClientID: clientID, ClientSecret: clientSecret, HTTPClient: srv.Client()}))
	t.Cleanup(client.Close)
	return client, srv.URL
}

// net/http sends a request again, over and over, whose HTTP/2 stream the server ended in one of
// these ways. A refresh token that has arrived may be spent.
func TestTokenRequests_onceOverHTTP2(t *testing.T) {
	const rstStream, goAway = 3, 7
	tests := []struct {
		name  string
		frame func(stream []byte) []byte
	}{
		{"PROTOCOL_ERROR", func(id []byte) []byte { return frame(rstStream, id, 0, 0, 0, 1) }},
		{"REFUSED_STREAM", func(id []byte) []byte { return frame(rstStream, id, 0, 0, 0, 7) }},
		{"GOAWAY", func([]byte) []byte { return frame(goAway, make([]byte, 4), 0, 0, 0, 0, 0, 0, 0, 0) }},
	}
	for _, tt := range tests {
		var forms atomic.Int32
		client, issuer := overTLS(t, func(cfg *tls.Config) string {
			return resetting(t, cfg, func(stream []byte) []byte {
				if forms.Add(1) > 1 {
					return nil // enough is proved
				}
				return tt.frame(stream)
			})
		}, nil)
		_, err := client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
		if verdict(err) != "token_error" {
			t.Errorf("%s: %v, want token_error", tt.name, err)
		}
		if n := forms.Load(); n != 1 {
			t.Errorf("%s: the refresh token was sent %d times, want once", tt.name, n)
		}
	}
}

// resetting listens, and answers each HTTP/2 request that is complete by a frame; where there is
// none it hangs up. It returns the URL.
func resetting(t *testing.T, cfg *tls.Config, answer func(stream []byte) []byte) string {
	t.Helper()
	l := must(tls.Listen("tcp", "127.0.0.1:0", cfg))
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { _ = conn.Close() })
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				serveFrames(conn, answer)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return "https://" + l.Addr().String() + token
}

func serveFrames(conn net.Conn, answer func(stream []byte) []byte) {
	const data, settings, ack, endStream = 0, 4, 1, 1
	send := func(b []byte) bool { _, err := conn.Write(b); return err == nil }
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(conn, preface); err != nil || !send(frame(settings, make([]byte, 4))) {
		return
	}
	for {
		header := make([]byte, 9)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		length := int64(header[0])<<16 | int64(binary.BigEndian.Uint16(header[1:]))
		if _, err := io.CopyN(io.Discard, conn, length); err != nil {
			return
		}
		switch kind, flags := header[3], header[4]; {
		case kind == settings && flags&ack == 0:
			accepted := frame(settings, make([]byte, 4))
			accepted[4] = ack
			send(accepted)
		case kind == data && flags&endStream != 0:
			if b := answer(header[5:]); b == nil || !send(b) {
				return
			}
		}
	}
}

// frame is an HTTP/2 frame without flags.
func frame(kind byte, stream []byte, payload ...byte) []byte {
	return append(append([]byte{0, 0, byte(len(payload)), kind, 0}, stream...), payload...)
}

// An answer is an answer, also one that net/http would send the form again for.
func TestTokenRequests_redirectOverHTTP2(t *testing.T) {
	var forms atomic.Int32
	client, issuer := overTLS(t, nil, func(w http.ResponseWriter, req *http.Request) {
		forms.Add(1)
		if req.ProtoMajor != 2 {
			t.Errorf("the form came by %s", req.Proto)
		}
		http.Redirect(w, req, metadata, http.StatusPermanentRedirect)
	})
	_, err := client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	var api *session.APIError
	if !errors.As(err, &api) || api.Status != http.StatusPermanentRedirect || forms.Load() != 1 {
		t.Errorf("%v after %d forms, want the status 308 after one", err, forms.Load())
	}
}

// dumb is a connection that can be made to take nothing any more, as one is that the other
// end has closed.
type dumb struct {
	net.Conn
	closed *atomic.Bool
}

func (d *dumb) Write(b []byte) (int, error) {
	if d.closed.Load() {
		return 0, errors.New("broken pipe")
	}
	return d.Conn.Write(b)
}

// An idle connection that turns out to be closed costs no request: nothing has left.
func TestTokenRequests_staleConnection(t *testing.T) {
	var srv *httptest.Server
	var forms atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc(metadata, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": srv.URL, "token_endpoint": srv.URL + token}) //nolint:errcheck // the client says so
	})
	mux.HandleFunc(token, func(w http.ResponseWriter, _ *http.Request) {
		forms.Add(1)
		io.WriteString(w, `{"access_token":"at"}`) //nolint:errcheck // likewise
	})
	srv = httptest.NewServer(mux)
	t.Cleanup(srv.Close)

	var last *atomic.Bool
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		last = new(atomic.Bool)
		return &dumb{conn, last}, err
	}}
	t.Cleanup(tr.CloseIdleConnections)
	client := must(idp.New(idp.Config{ClientID: clientID, ClientSecret: clientSecret, HTTPClient: &http.Client{Transport: tr}}))
	t.Cleanup(client.Close)
	for range 2 {
		if _, err := client.Refresh(t.Context(), idp.RefreshRequest{Issuer: srv.URL, RefreshToken: refreshToken}); err != nil {
			t.Error(err)
		}
		last.Store(true)
	}
	if n := forms.Load(); n != 2 {
		t.Errorf("%d forms, want 2", n)
	}
}

// formServer is a provider over HTTP/1 whose token endpoint is answer, and a count of the forms
// that arrived in full.
func formServer(t *testing.T, answer http.HandlerFunc) (srv *httptest.Server, forms *atomic.Int32) {
	t.Helper()
	forms = new(atomic.Int32)
	mux := http.NewServeMux()
	srv = httptest.NewUnstartedServer(mux)
	mux.HandleFunc(metadata, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": srv.URL, "token_endpoint": srv.URL + token}) //nolint:errcheck // the client says so
	})
	mux.HandleFunc(token, func(w http.ResponseWriter, req *http.Request) {
		if err := req.ParseForm(); err == nil && req.PostForm.Get("refresh_token") == refreshToken {
			forms.Add(1)
		}
		answer(w, req)
	})
	t.Cleanup(srv.Close)
	return srv, forms
}

func accessToken(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"access_token":"at"}`)
}

// refreshOver returns a call that spends a refresh token over tr.
func refreshOver(t *testing.T, issuer string, tr *http.Transport) func(ctx context.Context) error {
	t.Helper()
	client := must(idp.New(idp.Config{ClientID: clientID, ClientSecret: clientSecret, HTTPClient: &http.Client{Transport: tr}}))
	t.Cleanup(func() {
		client.Close()
		tr.CloseIdleConnections()
	})
	return func(ctx context.Context) error {
		_, err := client.Refresh(ctx, idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
		return err
	}
}

// deaf is a connection whose reader can be kept from hearing that the other end has closed it, until
// something is written.
type deaf struct {
	*net.TCPConn
	held   atomic.Bool
	hears  func() // may read again
	heard  <-chan struct{}
	closed <-chan struct{}
	close  func()
}

func newDeaf(conn net.Conn) *deaf {
	heard, closed := make(chan struct{}), make(chan struct{})
	return &deaf{
		TCPConn: conn.(*net.TCPConn),
		heard:   heard, hears: sync.OnceFunc(func() { close(heard) }),
		closed: closed, close: sync.OnceFunc(func() { close(closed) }),
	}
}

func (d *deaf) Read(b []byte) (int, error) {
	n, err := d.TCPConn.Read(b)
	if err != nil && d.held.Load() {
		<-d.heard
	}
	return n, err
}

func (d *deaf) Write(b []byte) (int, error) {
	n, err := d.TCPConn.Write(b)
	if d.held.Load() {
		d.hears()
	}
	return n, err
}

func (d *deaf) Close() error {
	d.close()
	return d.TCPConn.Close()
}

// deafTransport makes connections of which the newest is last.
func deafTransport(last **deaf) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		*last = newDeaf(conn)
		return *last, nil
	}}
}

// The server has closed an idle connection, and net/http hears of it just when it has chosen that
// connection for a form: it gives up although nothing has left. The form goes over another one.
func TestTokenRequests_closedWhenChosen(t *testing.T) {
	for range 20 { // net/http meets it in one of two ways
		var hold atomic.Bool
		srv, forms := formServer(t, accessToken)
		srv.Start()
		var conn *deaf
		refresh := refreshOver(t, srv.URL, deafTransport(&conn))
		if err := refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := conn
		hold.Store(true)
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
			if hold.CompareAndSwap(true, false) {
				srv.CloseClientConnections()
				<-first.closed // by net/http's reader
			}
		}})
		if err := refresh(ctx); err != nil {
			t.Fatalf("%v, want a second connection", err)
		}
		if conn == first || forms.Load() != 2 {
			t.Fatalf("%d forms, want 2, over two connections", forms.Load())
		}
	}
}

// The machine knows that the server has closed an idle connection, net/http's reader does not yet:
// no form is sent into it.
func TestTokenRequests_closedAndUnheard(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("connections are not looked at there")
	}
	srv, forms := formServer(t, accessToken)
	srv.Start()
	var conn *deaf
	refresh := refreshOver(t, srv.URL, deafTransport(&conn))
	if err := refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := conn
	first.held.Store(true)
	defer first.hears()
	srv.CloseClientConnections()
	awaitEnd(t, first.TCPConn)
	if err := refresh(t.Context()); err != nil {
		t.Fatalf("%v, want a second connection", err)
	}
	if conn == first || forms.Load() != 2 {
		t.Errorf("%d forms, want 2, over two connections", forms.Load())
	}
}

// awaitEnd waits until the machine knows that the other end has closed conn.
func awaitEnd(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	buf := make([]byte, 1)
	if _, err := conn.Read(buf); err == nil {
		t.Fatal("something was read from an idle connection")
	}
}

// A form whose bytes have left on a connection that then ends is not sent again: the provider may
// have read it. Neither on a new connection, nor on one that was idle.
func TestTokenRequests_onceOverHTTP1(t *testing.T) {
	for name, end := range map[string]func(net.Conn){
		"closed": func(c net.Conn) { _ = c.Close() },
		"reset":  func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() },
		"half an answer": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
			_ = c.Close()
		},
	} {
		for _, reused := range []bool{false, true} {
			answer := atomic.Bool{}
			answer.Store(reused)
			srv, forms := formServer(t, func(w http.ResponseWriter, req *http.Request) {
				if answer.CompareAndSwap(true, false) {
					accessToken(w, req)
					return
				}
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				end(conn)
			})
			srv.Start()
			refresh := refreshOver(t, srv.URL, &http.Transport{})
			want := int32(1)
			if reused {
				want++
				if err := refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := refresh(t.Context()); verdict(err) != "token_error" {
				t.Errorf("%s, reused %t: %v, want token_error", name, reused, err)
			}
			if n := forms.Load(); n != want {
				t.Errorf("%s, reused %t: %d forms arrived, want %d", name, reused, n, want)
			}
		}
	}
}

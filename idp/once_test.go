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

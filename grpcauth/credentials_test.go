package grpcauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/grpcauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

func newCredentials(t *testing.T, h *tokenward.Handle, origins ...string) *grpcauth.Credentials {
	t.Helper()
	c, err := grpcauth.NewCredentials(h, tokenward.TokenRequest{}, origins...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func withCredentials(c *grpcauth.Credentials) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithPerRPCCredentials(c), grpc.WithUnaryInterceptor(c.UnaryInterceptor), grpc.WithStreamInterceptor(c.StreamInterceptor)}
}

func wantError(t *testing.T, what string, err error, code codes.Code, own tokenward.Code) {
	t.Helper()
	if status.Code(err) != code || tokenward.CodeOf(err) != own {
		t.Errorf("%s: err = %v (%T), want %s of %s", what, err, err, code, own)
	}
}

// No RPC that is begun after the ceiling has a token, and the error is GetAccessToken's.
func TestCredentials_nothingIsSentAfterTheCeiling(t *testing.T) {
	r, s := newRig(t), &service{}
	address := serve(t, s)
	id := r.login()
	ctx := tokenward.ContextWith(t.Context(), tokenward.SessionID(id))
	for _, h := range []*tokenward.Handle{r.client.Session(id), r.client.ContextSession()} {
		c := dial(t, address, withCredentials(newCredentials(t, h, "http://"+address))...)
		for _, call := range []func() error{func() error { return check(ctx, c) }, func() error { return watch(ctx, c) }} {
			if err := call(); err != nil {
				t.Fatalf("before the ceiling: %v", err)
			}
			defer func() {
				err := call()
				wantError(t, "after the ceiling", err, codes.Unauthenticated, "session_expired")
				var typed *tokenward.AccessTokenError
				if !errors.Is(err, tokenward.ErrSessionExpired) || !errors.As(err, &typed) || !tokenward.LoginRequired(err) {
					t.Errorf("err = %v (%T)", err, err)
				}
			}()
		}
	}
	want := "Bearer " + r.token(id)
	for _, auth := range s.calls() {
		if auth != want {
			t.Errorf("before the ceiling: %q came", auth)
		}
	}
	r.clock.Advance(time.Hour - 30*time.Second)
	defer func() {
		if n := len(s.calls()); n != 4 {
			t.Errorf("%d RPCs came, want 4", n)
		}
	}()
}

// No RPC that is begun after Logout has returned has a token, whatever was under way.
func TestCredentials_nothingIsSentAfterALogout(t *testing.T) {
	r, s := newRig(t), &service{}
	address := serve(t, s)
	id := r.login()
	c := dial(t, address, withCredentials(newCredentials(t, r.client.Session(id), "http://"+address))...)
	var over atomic.Bool
	var before, late atomic.Int64
	var lateSent atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range 8 {
		call := check
		if i%2 == 1 {
			call = watch
		}
		all.Go(func() {
			for late.Load() < 100 {
				signedOut := over.Load()
				err := call(t.Context(), c)
				switch {
				case signedOut:
					late.Add(1)
					if err == nil {
						lateSent.Add(1)
					}
				case err == nil && before.Add(1) == 50:
					close(stop)
				}
			}
		})
	}
	<-stop
	r.logout(id)
	over.Store(true)
	all.Wait()
	if n := lateSent.Load(); n != 0 {
		t.Errorf("%d RPCs begun after the logout were sent", n)
	}
	sent := len(s.calls())
	wantError(t, "after the logout", check(t.Context(), c), codes.Unauthenticated, "missing_refresh_token")
	if n := len(s.calls()); n != sent {
		t.Error("an RPC was sent")
	}
}

// A thousand RPCs whose token is refused cost one refresh.
func TestCredentials_aThousandRefusalsAreOneRefresh(t *testing.T) {
	r, s := newRig(t), &service{}
	address := serve(t, s)
	id := r.login()
	refused := "Bearer " + r.token(id)
	s.refused = map[string]bool{refused: true}
	c := dial(t, address, withCredentials(newCredentials(t, r.client.Session(id), "http://"+address))...)
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if err := check(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.tenant.Refreshes(); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	served := 0
	for _, auth := range s.calls() {
		if auth != refused {
			served++
		}
	}
	if served != 1000 {
		t.Errorf("%d RPCs were served, want 1000", served)
	}
}

// A stream whose token is refused ends with that; the next RPC, stream or not, has a new one. A hundred such streams cost one refresh.
func TestCredentials_aRefusedStream(t *testing.T) {
	r, s := newRig(t), &service{}
	address := serve(t, s)
	id := r.login()
	s.refused = map[string]bool{"Bearer " + r.token(id): true}
	c := dial(t, address, withCredentials(newCredentials(t, r.client.Session(id), "http://"+address))...)
	wantError(t, "the first stream", watch(t.Context(), c), codes.Unauthenticated, "")
	if err := watch(t.Context(), c); err != nil {
		t.Errorf("the next stream: %v", err)
	}
	s.mu.Lock()
	s.refused["Bearer "+r.token(id)] = true
	s.mu.Unlock()
	r.clock.Advance(time.Minute) // a refresh on demand is had once in 30 seconds
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := watch(t.Context(), c); err != nil {
				wantError(t, "a stream", err, codes.Unauthenticated, "")
			}
		})
	}
	all.Wait()
	if err := watch(t.Context(), c); err != nil {
		t.Errorf("the last stream: %v", err)
	}
	if n := r.tenant.Refreshes(); n != 2 {
		t.Errorf("%d refreshes, want 2", n)
	}

	s.mu.Lock()
	s.refused["Bearer "+r.token(id)] = true
	s.mu.Unlock()
	r.clock.Advance(time.Minute)
	s.handle = nil
	r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", "").Always())
	wantError(t, "the user must sign in again", watch(t.Context(), c), codes.Unauthenticated, "refresh_token_error")
}

// The answer of a server that refuses every token, where no other can be had, and where the user must sign in again.
func TestCredentials_whatIsReturnedAfterARefusal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  *idptest.Fault
		logout bool
		calls  int
		own    tokenward.Code
	}{
		{"it refuses every token", nil, false, 2, ""},
		{"the provider is away", ptr(idptest.Status(503).Always()), false, 1, ""},
		{"the provider refuses", ptr(idptest.OAuthError("invalid_grant", "").Always()), false, 1, "refresh_token_error"},
		{"the user signs out", nil, true, 1, "missing_refresh_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, s := newRig(t), &service{}
			address := serve(t, s)
			id := r.login()
			s.handle = func(context.Context) error {
				if tt.logout {
					r.logout(id)
				}
				return status.Error(codes.Unauthenticated, "refused")
			}
			if tt.fault != nil {
				r.tenant.Script(idptest.Refresh, *tt.fault)
			}
			c := dial(t, address, withCredentials(newCredentials(t, r.client.Session(id), "http://"+address))...)
			err := check(t.Context(), c)
			wantError(t, "the call", err, codes.Unauthenticated, tt.own)
			if tt.own == "" && status.Convert(err).Message() != "refused" {
				t.Errorf("err = %v, want the server's", err)
			}
			if n := len(s.calls()); n != tt.calls {
				t.Errorf("%d RPCs came, want %d", n, tt.calls)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// The token goes over TLS to the named authority, or to a loopback one that is named as http.
func TestCredentials_theTokenStaysAtItsOrigin(t *testing.T) {
	tlsServer := httptest.NewUnstartedServer(nil)
	tlsServer.StartTLS() // for its certificate
	defer tlsServer.Close()
	roots := x509.NewCertPool()
	roots.AddCert(tlsServer.Certificate())
	encrypted := grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))

	r := newRig(t)
	h := r.client.Session(r.login())
	plain, secure := &service{}, &service{}
	plainAddress := serve(t, plain)
	secureAddress := serve(t, secure, grpc.Creds(credentials.NewServerTLSFromCert(&tlsServer.TLS.Certificates[0])))
	for _, tt := range []struct {
		name, target, origin string
		opts                 []grpc.DialOption
		want                 bool
	}{
		{"TLS", secureAddress, "https://" + secureAddress, []grpc.DialOption{encrypted}, true},
		{"an authority", secureAddress, "https://example.com", []grpc.DialOption{encrypted, grpc.WithAuthority("example.com")}, true},
		{"another authority", secureAddress, "https://example.com", []grpc.DialOption{encrypted, grpc.WithAuthority("www.example.com")}, false},
		{"TLS to another port", secureAddress, "https://127.0.0.1", []grpc.DialOption{encrypted}, false},
		{"TLS named as http", secureAddress, "http://" + secureAddress, []grpc.DialOption{encrypted}, false},
		{"loopback", plainAddress, "http://" + plainAddress, nil, true},
		{"another name of it", plainAddress, "http://localhost:1", nil, false},
	} {
		before := len(plain.calls()) + len(secure.calls())
		c := dial(t, tt.target, append(tt.opts, withCredentials(newCredentials(t, h, tt.origin))...)...)
		err := check(t.Context(), c)
		if tt.want != (err == nil) || (len(plain.calls())+len(secure.calls()) > before) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !tt.want {
			wantError(t, tt.name, err, codes.Internal, "invalid_argument")
		}
	}
	// gRPC itself refuses credentials that need TLS where there is none.
	conn, err := grpc.NewClient(plainAddress, append(withCredentials(newCredentials(t, h, "https://"+plainAddress)), grpc.WithInsecure())...) //nolint:staticcheck // so it is asked for
	if err == nil {
		_ = conn.Close()
		t.Error("credentials for https without TLS: accepted")
	}
}

// An RPC that has authorization metadata of its own, such as a gateway passes on, is sent with that alone.
func TestCredentials_ofItsOwn(t *testing.T) {
	r, s := newRig(t), &service{}
	address := serve(t, s)
	id := r.login()
	c := dial(t, address, withCredentials(newCredentials(t, r.client.Session(id), "http://"+address))...)
	if err := check(metadata.AppendToOutgoingContext(t.Context(), "Authorization", "Basic YQ=="), c); err != nil {
		t.Fatal(err)
	}
	if got := s.calls(); len(got) != 1 || got[0] != "Basic YQ==" {
		t.Errorf("came with %q", got)
	}
}

func TestNewCredentials_unusableOrigins(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		audience string
		origins  []string
	}{{"", nil}, {"urn:api", nil}, {"", []string{"http://orders.example.com"}}, {"", []string{"orders.example.com:443"}}} {
		c, err := grpcauth.NewCredentials(r.client.ContextSession(), tokenward.TokenRequest{Audience: tt.audience}, tt.origins...)
		var invalid *tokenward.InvalidArgumentError
		if c != nil || !errors.As(err, &invalid) || invalid.Argument != "origins" {
			t.Errorf("%v: %v, %v", tt, c, err)
		}
	}
	c, err := grpcauth.NewCredentials(r.client.ContextSession(), tokenward.TokenRequest{Audience: "https://orders.example.com/v1"})
	if err != nil || !c.RequireTransportSecurity() {
		t.Errorf("by the audience: %v, %v", c, err)
	}
}

// An RPC whose context names no session is a mistake of the program, which the error names; one whose context ends sends nothing.
func TestCredentials_contexts(t *testing.T) {
	r, s := newRig(t), &service{}
	address := serve(t, s)
	id := r.login()
	c := dial(t, address, withCredentials(newCredentials(t, r.client.ContextSession(), "http://"+address))...)
	err := check(t.Context(), c)
	wantError(t, "no session", err, codes.Internal, "invalid_argument")
	if !strings.Contains(err.Error(), "Attach") {
		t.Errorf("the error does not name the middleware: %v", err)
	}

	r.clock.Advance(idptest.TokenLife / 2)
	r.tenant.Reset()
	hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
	ctx, cancel := context.WithCancel(tokenward.ContextWith(t.Context(), tokenward.SessionID(id)))
	done := make(chan error)
	other := dial(t, address, withCredentials(must(grpcauth.NewCredentials(r.client.ContextSession(),
		tokenward.TokenRequest{Audience: "https://orders.example.com"}, "http://"+address)))...)
	go func() { done <- check(ctx, other) }()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("err = %v, want CANCELLED", err)
	}
	hold.Release()
	if err := r.client.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.calls()); n != 0 {
		t.Errorf("%d RPCs came, want 0", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCredentials_printNoSession(t *testing.T) {
	r := newRig(t)
	id := r.login()
	c := newCredentials(t, r.client.Session(id), "https://orders.example.com")
	if text := fmt.Sprintf("%v %+v %#v %s", c, c, c, c); strings.Contains(text, id) || !strings.Contains(text, "orders.example.com") {
		t.Errorf("printed: %s", text)
	}
}

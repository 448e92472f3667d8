package grpcauth_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// rig is a client with its tenant, on one fake clock.
type rig struct {
	t      *testing.T
	clock  *clock.Fake
	tenant *idptest.Tenant
	client *tokenward.Client
}

func newRig(t *testing.T, opts ...tokenward.Option) *rig {
	t.Helper()
	r := &rig{t: t, clock: clock.NewFake(t0)}
	r.tenant = idptest.NewTenant(t, idptest.WithClock(r.clock))
	client, err := tokenward.New(tokenward.Config{
		Issuer: r.tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: "http://127.0.0.1/callback",
	}, append([]tokenward.Option{tokenward.WithClock(r.clock), tokenward.WithHTTPClient(r.tenant.Client())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	r.client = client
	return r
}

// login signs the user in, for an hour, and returns the session's id.
func (r *rig) login() string {
	r.t.Helper()
	ctx := context.Background()
	r.tenant.NextLogin(idptest.Claims{"session_expiry": r.clock.Now().Add(time.Hour).Unix()})
	to, err := r.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	back, err := r.tenant.Authorize(to)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := r.client.CompleteInteractiveLogin(ctx, back, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.SessionID
}

func (r *rig) logout(id string) {
	r.t.Helper()
	if _, err := r.client.Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) token(id string) string {
	r.t.Helper()
	token, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
	if err != nil {
		r.t.Fatal(err)
	}
	return token.AccessToken
}

// service notes the authorization of each call, and refuses the tokens in refused.
type service struct {
	health.UnimplementedHealthServer
	handle func(ctx context.Context) error // what the calls do, nil for nothing

	mu      sync.Mutex
	got     []string
	refused map[string]bool
}

func (s *service) note(ctx context.Context) error {
	auth := metadata.ValueFromIncomingContext(ctx, "authorization")
	s.mu.Lock()
	s.got = append(s.got, strings.Join(auth, "; "))
	refused := len(auth) > 0 && s.refused[auth[0]]
	s.mu.Unlock()
	switch {
	case refused:
		return status.Error(codes.Unauthenticated, "refused")
	case s.handle != nil:
		return s.handle(ctx)
	}
	return nil
}

func (s *service) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	return &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}, s.note(ctx)
}

func (s *service) Watch(_ *health.HealthCheckRequest, stream health.Health_WatchServer) error {
	if err := s.note(stream.Context()); err != nil {
		return err
	}
	return stream.Send(&health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING})
}

func (s *service) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

// serve starts s on loopback and returns its address.
func serve(t *testing.T, s *service, opts ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(opts...)
	health.RegisterHealthServer(server, s)
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); done.Wait() })
	return listener.Addr().String()
}

// dial connects to a server, without TLS where opts name no other.
func dial(t *testing.T, target string, opts ...grpc.DialOption) health.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return health.NewHealthClient(conn)
}

// check makes a unary call, watch a stream.
func check(ctx context.Context, c health.HealthClient) error {
	_, err := c.Check(ctx, &health.HealthCheckRequest{})
	return err
}

func watch(ctx context.Context, c health.HealthClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Watch(ctx, &health.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

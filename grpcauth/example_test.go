package grpcauth_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/grpcauth"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

// orders is a server that users call with a token.
type orders struct {
	health.UnimplementedHealthServer
}

func (orders) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	fmt.Println("tokens:", len(metadata.ValueFromIncomingContext(ctx, "authorization")))
	return &health.HealthCheckResponse{}, nil
}

func ExampleNewCredentials() {
	tenant, err := idptest.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tenant.Close()
	auth, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "http://127.0.0.1:3000/callback",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer func() { _ = auth.Close(ctx) }()
	to, _ := auth.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
	callback, _ := tenant.Authorize(to) // the user signs in
	login, err := auth.CompleteInteractiveLogin(ctx, callback, tokenward.StoreOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer()
	health.RegisterHealthServer(server, orders{})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	address := listener.Addr().String()
	creds, err := grpcauth.NewCredentials(auth.ContextSession(), tokenward.TokenRequest{}, "http://"+address) // for all users
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // on loopback alone
		grpc.WithPerRPCCredentials(creds), grpc.WithUnaryInterceptor(creds.UnaryInterceptor))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()

	ctx = tokenward.ContextWith(ctx, tokenward.SessionID(login.SessionID)) // as the interceptors of grpcauth do
	_, err = health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{})
	fmt.Println(err)
	// Output:
	// tokens: 1
	// <nil>
}

// A server lets in calls whose session lives, and answers health checks without one.
func ExampleUnaryServerInterceptor() {
	auth, err := tokenward.New(tokenward.Config{
		Domain: "tenant.eu.auth0.com", ClientID: "my-client", ClientSecret: "its secret",
		Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "https://app.example/callback",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = auth.Close(context.Background()) }()
	byID := grpcauth.FromMetadata("session-id")
	session := func(ctx context.Context) (tokenward.StoreOptions, error) {
		if method, _ := grpc.Method(ctx); method == "/grpc.health.v1.Health/Check" {
			return tokenward.StoreOptions{}, grpcauth.ErrPublic
		}
		return byID(ctx)
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(grpcauth.UnaryServerInterceptor(auth, session)),
		grpc.StreamInterceptor(grpcauth.StreamServerInterceptor(auth, session)),
	)
	defer server.Stop()
	fmt.Println(len(server.GetServiceInfo()), "services")
	// Output: 0 services
}

// A web handler asks a server of the same application, which has met the end of the session.
func ExampleFromError() {
	err := status.Error(codes.Unauthenticated, "session_expired") // of an RPC, whose server has grpcauth's interceptors
	err = grpcauth.FromError(err)
	fmt.Println(tokenward.CodeOf(err), tokenward.LoginRequired(err), httpauth.StatusOf(err))
	// Output: session_expired true 401
}

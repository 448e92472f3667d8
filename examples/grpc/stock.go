package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// method is the one method of the service Stock, /example.Stock/Get. As protoc would write it:
//
//	service Stock { rpc Get(google.protobuf.Empty) returns (google.protobuf.StringValue); }
type method func(ctx context.Context) (string, error)

const fullName = "/example.Stock/Get"

// handle does for m what generated code does for a method.
func handle(m any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // the order is gRPC's
	in := new(emptypb.Empty)
	if err := decode(in); err != nil {
		return nil, err
	}
	call := func(ctx context.Context, _ any) (any, error) {
		text, err := m.(method)(ctx)
		return wrapperspb.String(text), err
	}
	if intercept == nil {
		return call(ctx, in)
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{Server: m, FullMethod: fullName}, call)
}

// serve starts a server of m on loopback.
func serve(m method, opts ...grpc.ServerOption) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := grpc.NewServer(opts...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "example.Stock",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Get", Handler: handle}},
	}, m)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // until stop
	}()
	return listener.Addr().String(), func() { server.Stop(); <-ended }, nil
}

func dial(address string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient(address, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

// stock calls the method.
func stock(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	var out wrapperspb.StringValue
	err := conn.Invoke(ctx, fullName, &emptypb.Empty{}, &out)
	return out.GetValue(), err
}

// signIn does what a browser does, and returns the session's id.
func signIn(ctx context.Context, auth *tokenward.Client, tenant *idptest.Tenant) (string, error) {
	to, err := auth.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		return "", err
	}
	callback, err := tenant.Authorize(to)
	if err != nil {
		return "", err
	}
	login, err := auth.CompleteInteractiveLogin(ctx, callback, tokenward.StoreOptions{})
	if err != nil {
		return "", err
	}
	return login.SessionID, nil
}

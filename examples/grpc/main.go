// Command grpc runs two gRPC servers. The shop is for signed-in users: its callers name their session, and it asks the
// warehouse with the user's access token.
//
// It brings a tenant of its own, at which it signs Ada Lovelace in, and calls the shop without a session, with hers, and
// after she has signed out.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/grpcauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run tells on out what becomes of three calls.
func run(ctx context.Context, out io.Writer) (err error) {
	tenant, err := idptest.New()
	if err != nil {
		return err
	}
	defer tenant.Close()
	auth, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{rand.Text() + rand.Text()}, RedirectURI: "http://127.0.0.1:3000/callback",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, auth.Close(ctx)) }()

	warehouse, stop, err := serve(warehouseStock)
	if err != nil {
		return err
	}
	defer stop()
	// One connection for all users: the session is that of each call's context. Name the server as https, and give gRPC
	// credentials.NewTLS, where it is not on this machine.
	creds, err := grpcauth.NewCredentials(auth.ContextSession(), tokenward.TokenRequest{}, "http://"+warehouse)
	if err != nil {
		return err
	}
	toWarehouse, err := dial(warehouse, grpc.WithPerRPCCredentials(creds), grpc.WithUnaryInterceptor(creds.UnaryInterceptor))
	if err != nil {
		return err
	}
	defer func() { _ = toWarehouse.Close() }()

	shop, stop, err := serve(shopStock(auth, toWarehouse),
		grpc.UnaryInterceptor(grpcauth.UnaryServerInterceptor(auth, grpcauth.FromMetadata("session-id"))))
	if err != nil {
		return err
	}
	defer stop()
	toShop, err := dial(shop)
	if err != nil {
		return err
	}
	defer func() { _ = toShop.Close() }()

	fmt.Fprintln(out, "without a session:", answer(stock(ctx, toShop)))
	session, err := signIn(ctx, auth, tenant)
	if err != nil {
		return err
	}
	asAda := metadata.AppendToOutgoingContext(ctx, "session-id", session)
	fmt.Fprintln(out, "signed in:", answer(stock(asAda, toShop)))
	if _, err := auth.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(session)); err != nil {
		return err
	}
	fmt.Fprintln(out, "signed out:", answer(stock(asAda, toShop)))
	return nil
}

// shopStock is the shop's method. Its callers have a session: the interceptor has put it into ctx.
func shopStock(auth *tokenward.Client, warehouse *grpc.ClientConn) method {
	return func(ctx context.Context) (string, error) {
		user, err := auth.GetUser(ctx, tokenward.StoreOptions{})
		if err != nil {
			return "", err
		}
		text, err := stock(ctx, warehouse) // with the user's token
		return user.Name() + " sees " + text, err
	}
}

// warehouseStock is the warehouse's method. A real one verifies the token.
func warehouseStock(ctx context.Context) (string, error) {
	tokens := metadata.ValueFromIncomingContext(ctx, "authorization")
	return fmt.Sprintf("7 boxes, with %d token", len(tokens)), nil
}

func answer(text string, err error) string {
	if err != nil {
		return status.Convert(err).Code().String() + ", " + status.Convert(err).Message()
	}
	return text
}

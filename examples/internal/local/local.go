// Package local runs an example on this machine, with a tenant of its own that signs each browser in as Ada Lovelace.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// App makes the handler of an application that browsers reach at base.
type App func(auth *tokenward.Client, base string) (http.Handler, error)

// Main serves app at http://127.0.0.1:3000 until it is interrupted.
func Main(app App) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := Run(ctx, app, "127.0.0.1:3000", func(base string, _ *idptest.Tenant) { fmt.Println("open", base+"/me") }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing is deferred that matters now
	}
}

// Run serves app until ctx ends. It calls ready when browsers are served.
func Run(ctx context.Context, app App, listen string, ready func(base string, tenant *idptest.Tenant), opts ...tokenward.Option) error {
	tenant, err := idptest.New()
	if err != nil {
		return err
	}
	defer tenant.Close()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	base := "http://" + listener.Addr().String()
	auth, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{rand.Text() + rand.Text()}, RedirectURI: base + "/auth/callback",
	}, opts...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { _ = auth.Close(context.WithoutCancel(ctx)) }()
	handler, err := app(auth, base)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server, ended := &http.Server{Handler: handler}, make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	ready(base, tenant)
	<-ctx.Done()
	err = server.Shutdown(context.WithoutCancel(ctx))
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

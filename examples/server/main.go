// Command server signs users in and calls an API with their token. It is the program of docs/quick-start.md.
//
// Without an environment it brings a provider of its own, which signs each browser in as Ada Lovelace. With ISSUER, CLIENT_ID,
// CLIENT_SECRET and SESSION_SECRET (32 bytes or more) it uses yours: register http://127.0.0.1:3000/auth/callback there.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/bolt"
)

const base = "http://127.0.0.1:3000"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		defer os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg := tokenward.Config{
		Issuer: os.Getenv("ISSUER"), ClientID: os.Getenv("CLIENT_ID"), ClientSecret: os.Getenv("CLIENT_SECRET"),
		Secrets:     []string{cmp.Or(os.Getenv("SESSION_SECRET"), rand.Text()+rand.Text())},
		RedirectURI: base + "/auth/callback",
	}
	if cfg.Issuer == "" {
		tenant, err := idptest.New()
		if err != nil {
			return err
		}
		defer tenant.Close()
		cfg.Issuer, cfg.ClientID, cfg.ClientSecret = tenant.Issuer(), idptest.ClientID, idptest.ClientSecret
	}
	sessions, err := bolt.Open(cmp.Or(os.Getenv("SESSIONS"), "sessions.db")) // they outlive the process, where SESSION_SECRET does
	if err != nil {
		return err
	}
	defer func() { _ = sessions.Close() }()
	auth, err := tokenward.New(cfg, tokenward.WithStateStore(sessions))
	if err != nil {
		return err
	}
	handler, err := app(auth, base)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: "127.0.0.1:3000", Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	fmt.Println("open", base)
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = server.Shutdown(context.WithoutCancel(ctx))
	}
	return errors.Join(err, auth.Close(context.WithoutCancel(ctx))) // says which sessions could not be saved
}

// app returns the application, which browsers reach at base.
func app(auth *tokenward.Client, base string) (http.Handler, error) {
	web, err := httpauth.New(auth, base)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	if err := web.Register(mux, "/auth"); err != nil { // login, callback, logout, backchannel-logout
		return nil, err
	}
	mux.Handle("/{$}", web.Attach(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		user, err := auth.GetUser(r.Context(), tokenward.StoreOptions{}) // the session of the request
		switch {
		case err != nil:
			httpauth.WriteError(w, r, err)
		case user == nil:
			fmt.Fprintln(w, `<a href="/auth/login">Sign in</a>`)
		default:
			fmt.Fprintf(w, "Hello %s. <a href=/orders>Your orders</a>, <a href=/auth/logout>sign out</a>\n", html.EscapeString(user.Name()))
		}
	})))
	mux.Handle("/orders", web.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := auth.GetAccessToken(r.Context(), tokenward.TokenRequest{Audience: "https://orders.example.com"}, tokenward.StoreOptions{})
		if err != nil {
			httpauth.WriteError(w, r, err) // where the user must sign in again, a page that leads there
			return
		}
		fmt.Fprintln(w, "the API would be called with a token that lasts until", token.ExpiresAt.Format(time.TimeOnly))
	})))
	return mux, nil
}

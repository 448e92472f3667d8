// Command reverseproxy stands before an API. Browsers sign in at it and get a session cookie. What they send to /api/
// goes on to the API, with the user's access token in the cookie's place.
//
// It brings a tenant of its own, which signs each browser in as Ada Lovelace, and an API that says what it was sent.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "loopback `address` of the proxy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, func(at string) { fmt.Println("open", at+"/api/orders") }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves the API and the proxy until ctx ends. It calls ready with the proxy's address.
func run(ctx context.Context, listen string, ready func(at string)) error {
	tenant, err := idptest.New()
	if err != nil {
		return err
	}
	defer tenant.Close()
	apiListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(err, apiListener.Close())
	}
	base := "http://" + listener.Addr().String()
	auth, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{rand.Text() + rand.Text()}, RedirectURI: base + "/auth/callback",
	})
	if err != nil {
		return errors.Join(err, listener.Close(), apiListener.Close())
	}
	defer func() { _ = auth.Close(context.WithoutCancel(ctx)) }()
	handler, err := proxy(auth, base, &url.URL{Scheme: "http", Host: apiListener.Addr().String()})
	if err != nil {
		return errors.Join(err, listener.Close(), apiListener.Close())
	}

	servers := []*http.Server{{Handler: http.HandlerFunc(api)}, {Handler: handler}}
	ended := make(chan error, len(servers))
	for i, l := range []net.Listener{apiListener, listener} {
		go func() { ended <- servers[i].Serve(l) }()
	}
	ready(base)
	<-ctx.Done()
	for _, s := range servers {
		err = errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
	}
	for range servers {
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// proxy returns the handler of the proxy at base, before the API at api.
func proxy(auth *tokenward.Client, base string, api *url.URL) (http.Handler, error) {
	web, err := httpauth.New(auth, base, httpauth.RefuseForgeries())
	if err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(api)
			r.SetXForwarded()
			r.Out.Header.Del("Cookie")        // it opens the session, which is not the API's
			r.Out.Header.Del("Authorization") // a request with one of its own is sent as it is
		},
		// The session is that of each request's context, which Require puts there.
		Transport: auth.ContextSession().Transport(tokenward.TokenRequest{}, nil, api.String()),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if tokenward.CodeOf(err) == "" { // the API does not answer
				http.Error(w, "the API does not answer", http.StatusBadGateway)
				return
			}
			httpauth.WriteError(w, r, err) // 401, or a page that leads to the login, where the user must sign in again
		},
	}
	mux := http.NewServeMux()
	if err := web.Register(mux, "/auth"); err != nil {
		return nil, err
	}
	mux.Handle("/api/", web.Require(http.StripPrefix("/api", forward)))
	return mux, nil
}

// api is the API. A real one verifies the token.
func api(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s\ntoken: %v\ncookies: %d\n", r.Method, r.URL.Path, r.Header.Get("Authorization") != "", len(r.Cookies()))
}

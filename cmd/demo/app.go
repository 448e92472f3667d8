package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
	tokenwardprom "github.com/tokenward/tokenward/observe/prometheus"
)

// How long closing may take: for requests under way, then for what they set going at the
// provider and in the store.
const (
	graceForRequests = 5 * time.Second
	graceForSaving   = 8 * time.Second
)

// app is the web application.
type app struct {
	log        *zap.Logger
	issuer     string
	base       string          // where browsers reach it, without a slash at the end
	tenant     *idptest.Tenant // nil where the provider is not the demo's own
	client     *tokenward.Client
	closeStore func() error
	auth       *httpauth.Handlers
	listener   net.Listener
	server     *http.Server
	probe      *http.Client // of the provider, for readiness
	bursts     *semaphore.Weighted
	registry   *prometheus.Registry
	observed   *tokenwardprom.Metrics
	counts     counts
}

// runApp runs the application until ctx ends. It returns the exit code, and an error that
// explains a code other than 0.
func runApp(ctx context.Context, s settings, log *zap.Logger, stdout io.Writer) (int, error) {
	a, err := open(s, log)
	if err != nil {
		return exitUsage, err
	}
	failed := a.start()
	fmt.Fprintf(stdout, "listening on http://%s\n", reachable(s.listen, a.listener))
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	if err := errors.Join(err, a.close(context.WithoutCancel(ctx))); err != nil {
		return exitBroken, err
	}
	return exitOK, nil
}

// open makes the application, listening but not serving yet. It asks nothing of the
// provider. opts are for tests.
func open(s settings, log *zap.Logger, opts ...tokenward.Option) (a *app, err error) {
	a = &app{log: log, closeStore: func() error { return nil }, bursts: semaphore.NewWeighted(maxBurst + maxBurst/2), probe: newProbe()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(context.Background()))
		}
	}()
	if a.listener, err = net.Listen("tcp", s.listen); err != nil {
		return a, fmt.Errorf("-listen: %w", err)
	}
	a.base = strings.TrimRight(s.baseURL, "/")
	if u, err := url.Parse(a.base); err == nil {
		a.base = u.String() // HTTPS is https
	}
	if a.base == "" {
		a.base = "http://" + reachable(s.listen, a.listener)
	}
	redirectURI := a.base + "/auth/callback"
	setup, err := a.startProvider(&s, redirectURI)
	if err != nil {
		return a, err
	}
	if s.secret == "" {
		s.secret = rand.Text() + rand.Text()
		log.Warn("no -secret was given: a random one seals the sessions, and nobody can open them after a restart")
	}
	cfg, fromFlags, err := s.config(setup)
	if err != nil {
		return a, err
	}
	if a.issuer = cfg.Issuer; cfg.Domain != "" {
		a.issuer = "https://" + cfg.Domain + "/"
	}
	cfg.RedirectURI = redirectURI
	keep, closeStore, err := s.openStore(log)
	if err != nil {
		return a, err
	}
	a.closeStore = closeStore
	a.observed = tokenwardprom.NewMetrics()
	all := append(fromFlags, tokenward.WithLogger(log), tokenward.WithObserver(a.observed.Observer()))
	if a.client, err = tokenward.New(cfg, append(append(all, keep...), opts...)...); err != nil {
		return a, err
	}
	a.auth, err = httpauth.New(a.client, a.base, httpauth.AllowAnyParams(), httpauth.OnError(a.fail), a.logoutParams(setup))
	if err != nil {
		return a, fmt.Errorf("-base-url: %w", err)
	}
	a.registry = a.newRegistry()
	handler, err := a.handler()
	if err != nil {
		return a, err
	}
	a.server = &http.Server{
		Handler: handler, ErrorLog: zap.NewStdLog(log),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
		WriteTimeout:   2 * time.Minute, // a request may wait for several at the provider; a burst lifts it
		MaxHeaderBytes: 64 << 10,        // a session in cookies is a quarter of it at most
	}
	return a, nil
}

// startProvider starts the fake tenant where the application brings its provider along. With -provider it
// returns how the application is configured.
func (a *app) startProvider(s *settings, redirectURI string) (setup *providers.Setup, err error) {
	switch {
	case s.provider != "":
		a.tenant, setup, err = startProfile(*s, redirectURI)
	case s.ownTenant():
		a.tenant, err = startTenant(s, redirectURI)
	}
	return setup, err
}

// logoutParams are those of the provider that setup is for, if any.
func (a *app) logoutParams(setup *providers.Setup) httpauth.Option {
	if setup == nil {
		return httpauth.LogoutParams(nil)
	}
	return httpauth.LogoutParams(setup.LogoutParamsTo(a.base + "/"))
}

// start serves. What ends that before close does is sent.
func (a *app) start() (failed <-chan error) {
	ended := make(chan error, 1)
	go func() {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			ended <- err
		}
		close(ended)
	}()
	return ended
}

// close ends the application from the outside in: the listener closes, requests under way are
// answered, the refreshes that they started are answered and saved, and then the store closes. It returns
// the errors of the steps. A step for a part that open did not reach is left out. Once ctx has ended it
// waits for nothing.
func (a *app) close(ctx context.Context) error {
	var all []error
	note := func(err error) { all = append(all, err) }
	switch {
	case a.server != nil:
		within, cancel := context.WithTimeout(ctx, graceForRequests)
		if a.server.Shutdown(within) != nil {
			note(a.server.Close())
		}
		cancel()
		_ = a.listener.Close() // where it was never served; else it is closed already
	case a.listener != nil:
		note(a.listener.Close())
	}
	if a.client != nil {
		within, cancel := context.WithTimeout(ctx, graceForSaving)
		note(unsaved(a.client.Close(within)))
		cancel()
	}
	note(a.closeStore())
	if a.tenant != nil {
		a.tenant.Close()
	}
	a.probe.CloseIdleConnections()
	return errors.Join(all...)
}

// unsaved says which sessions were not saved or deleted, and which the client waited for.
func unsaved(err error) error {
	var cut *tokenward.CloseError
	if !errors.As(err, &cut) {
		return err
	}
	for _, of := range []struct {
		what string
		keys []tokenward.Key
	}{{"not saved", cut.Unsaved}, {"not deleted", cut.Undeleted}, {"waited for the store", cut.Waiting}} {
		names := make([]string, 0, 10)
		for _, key := range of.keys[:min(len(of.keys), cap(names))] {
			names = append(names, key.String())
		}
		if len(names) > 0 {
			err = fmt.Errorf("%w; %s: %s", err, of.what, strings.Join(names, ", "))
		}
	}
	return err
}

// reachable returns host and port of a listener as its user wrote the host: the port is
// the one it has, and a host that means all of them becomes one that can be reached.
func reachable(listen string, l net.Listener) string {
	host, port := "", ""
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		_, port, _ = net.SplitHostPort(at.String())
	}
	host, _, _ = net.SplitHostPort(listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

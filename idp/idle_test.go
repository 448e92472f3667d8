package idp

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func idleClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	cfg.ClientID, cfg.ClientSecret = "client", "secret"
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Our own client keeps idle connections for as long as it is told, 30 seconds by default. One of
// the host's is left as it is.
func TestIdleConnections(t *testing.T) {
	if got := idleClient(t, Config{}).own.IdleConnTimeout; got != 30*time.Second {
		t.Errorf("default = %s, want 30s", got)
	}
	if got := idleClient(t, Config{IdleConnTimeout: 4 * time.Second}).own.IdleConnTimeout; got != 4*time.Second {
		t.Errorf("told 4 s: %s", got)
	}
	host := &http.Transport{IdleConnTimeout: time.Minute}
	c := idleClient(t, Config{IdleConnTimeout: time.Second, HTTPClient: &http.Client{Transport: host}})
	if c.own != nil || host.IdleConnTimeout != time.Minute {
		t.Errorf("the host's transport keeps connections for %s, want 1m", host.IdleConnTimeout)
	}
	if _, err := New(Config{ClientID: "client", ClientSecret: "secret", IdleConnTimeout: -1}); err == nil {
		t.Error("a negative time was accepted")
	}
}

// A connection that has been idle for so long is closed from this side.
func TestIdleConnections_areClosed(t *testing.T) {
	closed := make(chan struct{}, 9)
	var srv *httptest.Server
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q}`, srv.URL)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	if _, err := idleClient(t, Config{IdleConnTimeout: 1}).Metadata(context.Background(), srv.URL); err != nil {
		t.Fatal(err)
	}
	<-closed
}

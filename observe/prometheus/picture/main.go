// Command picture draws observe/grafana/dashboard.json from a real run: it starts a tenant and the demo, puts the demo under load,
// has a Prometheus server scrape it, asks that server the queries of each panel, and writes a page with a chart of each. It
// stands in for Grafana, which draws the same queries from the same server.
//
//	make dashboard
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func main() {
	demo := flag.String("demo", "bin/demo", "the demo")
	server := flag.String("prometheus", "prometheus", "a Prometheus server")
	dashboard := flag.String("dashboard", "observe/grafana/dashboard.json", "what is drawn")
	page := flag.String("page", "dashboard.html", "where to")
	d := flag.Duration("d", 2*time.Minute, "how long the load lasts")
	flag.Parse()
	if err := run(*demo, *server, *dashboard, *page, *d); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

const (
	demoAddress       = "127.0.0.1:18931"
	prometheusAddress = "127.0.0.1:18932"
)

func run(demo, server, dashboard, page string, d time.Duration) error {
	dir, err := os.MkdirTemp("", "picture")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	tenant, err := idptest.New(idptest.WithClient("demo", "demo-secret"), idptest.WithTokenLife(6*time.Second), idptest.WithLatency(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer tenant.Close()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("scrape_configs:\n- job_name: demo\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['"+demoAddress+"']\n"), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, c := range []*exec.Cmd{
		command(ctx, demo, "-listen", demoAddress, "-issuer", tenant.Issuer(), "-client-id", "demo", "-client-secret", "demo-secret"),
		command(ctx, server, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+prometheusAddress, "--log.level=error"),
	} {
		if err := c.Start(); err != nil {
			return err
		}
		defer func() { _ = c.Process.Signal(syscall.SIGTERM); _ = c.Wait() }()
	}
	if err := ready("http://"+demoAddress+"/readyz", "http://"+prometheusAddress+"/-/ready"); err != nil {
		return err
	}
	from := clock.System().Now()
	load(tenant, d)
	return draw(dashboard, page, from, clock.System().Now())
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Stderr = os.Stderr
	return c
}

var errNotReady = errors.New("not ready")

// ready waits until each URL answers 200.
func ready(urls ...string) error {
	for _, url := range urls {
		for range 300 {
			if status, _, err := get(http.DefaultClient, url); err == nil && status == http.StatusOK {
				break
			}
			pause(100 * time.Millisecond)
		}
		if status, _, err := get(http.DefaultClient, url); err != nil || status != http.StatusOK {
			return fmt.Errorf("%s does not answer: %d, %w", url, status, errors.Join(err, errNotReady))
		}
	}
	return nil
}

func pause(d time.Duration) {
	done := make(chan struct{})
	clock.System().AfterFunc(d, func() { close(done) })
	<-done
}

func get(c *http.Client, url string) (int, []byte, error) {
	resp, err := c.Get(url) //nolint:noctx // of this program alone
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// load has users sign in, ask for tokens in bursts, and sign out. From time to time the provider refuses, asks to wait, or is slow;
// some sessions reach their ceiling.
func load(tenant *idptest.Tenant, d time.Duration) {
	const users = 24
	until := clock.System().Now().Add(d)
	var all sync.WaitGroup
	var signingIn sync.Mutex
	for range users {
		all.Go(func() {
			for clock.System().Now().Before(until) {
				visit(tenant, &signingIn, until)
			}
		})
	}
	all.Go(func() {
		for i := 0; clock.System().Now().Before(until); i++ {
			pause(5 * time.Second)
			switch i % 4 {
			case 0:
				tenant.Script(idptest.Refresh, idptest.Status(http.StatusServiceUnavailable).Times(3))
			case 1:
				tenant.Script(idptest.Refresh, idptest.Delay(time.Second).Times(4))
			case 2:
				tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_scope", "").Times(2))
			}
		}
	})
	all.Wait()
}

// visit is one user's session, from sign-in to the end.
func visit(tenant *idptest.Tenant, signingIn *sync.Mutex, until time.Time) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return
	}
	c := &http.Client{Jar: jar}
	signingIn.Lock()
	if rand.IntN(3) == 0 { //nolint:gosec // a load, no secret
		tenant.NextLogin(idptest.Claims{"session_expiry": clock.System().Now().Add(time.Duration(45+rand.IntN(30)) * time.Second).Unix()})
	}
	status, _, err := get(c, "http://"+demoAddress+"/auth/login")
	signingIn.Unlock()
	if err != nil || status != http.StatusOK {
		pause(time.Second)
		return
	}
	for range 20 + rand.IntN(40) {
		if !clock.System().Now().Before(until) {
			return
		}
		url := fmt.Sprintf("http://%s/api/burst?n=%d", demoAddress, 50+rand.IntN(200))
		if rand.IntN(4) == 0 {
			url += "&audience=https://orders.example&audience=https://mail.example"
		}
		resp, err := c.Post(url, "", nil) //nolint:noctx // of this program alone
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized {
			return
		}
		pause(time.Duration(100+rand.IntN(600)) * time.Millisecond)
	}
	if resp, err := c.Post("http://"+demoAddress+"/auth/logout", "", nil); err == nil { //nolint:noctx // of this program alone
		_ = resp.Body.Close()
	}
}

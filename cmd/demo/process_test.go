package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// process is the demo in a process of its own.
type process struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// startProcess starts one and returns the first line that it prints.
func startProcess(t *testing.T, env []string, args ...string) (p *process, line string) {
	t.Helper()
	p = &process{cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	p.cmd.Env = append(append(os.Environ(), asDemo+"=1"), env...)
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(out)
	if line, err = p.stdout.ReadString('\n'); err != nil {
		t.Fatalf("no line: %v; it says %s", err, p.end(t, os.Kill))
	}
	return p, strings.TrimSuffix(line, "\n")
}

// end sends a signal and returns what else it printed and how it ended.
func (p *process) end(t *testing.T, by os.Signal) string {
	t.Helper()
	if err := p.cmd.Process.Signal(by); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(p.stdout)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		return err.Error() + ": " + string(rest) + p.stderr.String()
	}
	return string(rest) + p.stderr.String()
}

func TestProcess_servesAndEndsInOrder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	tenant, said := startProcess(t, nil, "-tenant", "127.0.0.1:0")
	issuer, ok := strings.CutPrefix(said, "tenant on ")
	if !ok {
		t.Fatalf("the tenant says %q", said)
	}
	for _, by := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p, said := startProcess(t, []string{"AUTH0_ISSUER=" + issuer, "AUTH0_SECRET=" + sealing, "DEMO_LISTEN=127.0.0.1:1"},
			"-listen", "127.0.0.1:0", "-client-id", demoID, "-client-secret", demoSecret)
		url, ok := strings.CutPrefix(said, "listening on ")
		if !ok {
			t.Fatalf("the demo says %q", said)
		}
		transport := &http.Transport{}
		browser := &site{t: t, url: url, tenant: idptest.NewTenant(t), client: &http.Client{
			Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		to := browser.want(browser.get("/auth/login"), http.StatusFound, "")
		cookies := []string{"Cookie", to.Cookies()[0].Name + "=" + to.Cookies()[0].Value}
		back := browser.want(browser.get(to.Header.Get("Location")), http.StatusFound, "").Header.Get("Location")
		done := browser.want(browser.do("GET", back, cookies...), http.StatusFound, "")
		for _, c := range done.Cookies() {
			if c.Name == "_a0_session" {
				browser.want(browser.do("GET", "/api/user", "Cookie", c.Name+"="+c.Value), 200, "")
			}
		}
		transport.CloseIdleConnections()
		if rest := p.end(t, by); rest != "" {
			t.Errorf("after %v: %q, want nothing said and exit 0", by, rest)
		}
	}
	if rest := tenant.end(t, syscall.SIGTERM); rest != "" {
		t.Errorf("the tenant: %q, want nothing said and exit 0", rest)
	}
}

// Clients that know https only reach a tenant through a proxy, and the issuer is the
// proxy's URL then. The environment is for applications.
func TestProcess_aTenantBehindAProxy(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	const elsewhere = "AUTH0_ISSUER=https://elsewhere.example/"
	for _, args := range [][]string{{"-issuer", "https://tenant.example/"}, nil} {
		tenant, said := startProcess(t, []string{elsewhere}, append(args, "-tenant", "127.0.0.1:0")...)
		at, ok := strings.CutPrefix(said, "tenant on ")
		if !ok || !strings.HasPrefix(at, "http://127.0.0.1:") {
			t.Fatalf("the tenant says %q", said)
		}
		transport := &http.Transport{}
		browser := &site{t: t, url: at, tenant: idptest.NewTenant(t), client: &http.Client{Transport: transport}}
		want := at + "/"
		if args != nil {
			want = args[1]
		}
		text := browser.want(browser.get("/.well-known/openid-configuration"), 200, "").text
		if !strings.Contains(text, `"issuer":"`+want+`"`) || !strings.Contains(text, `"token_endpoint":"`+want+`oauth/token"`) {
			t.Errorf("%v: the tenant says of itself %s, want the issuer %s", args, text, want)
		}
		transport.CloseIdleConnections()
		if rest := tenant.end(t, syscall.SIGTERM); rest != "" {
			t.Errorf("the tenant: %q, want nothing said and exit 0", rest)
		}
	}
}

// With nothing said it brings its own tenant.
func TestProcess_needsNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	p, said := startProcess(t, []string{"DEMO_LISTEN=127.0.0.1:0"})
	resp, err := http.Get(strings.TrimPrefix(said, "listening on ") + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz = %d", resp.StatusCode)
	}
	rest := p.end(t, os.Interrupt)
	if !strings.Contains(rest, "random") || strings.Contains(rest, "exit status") {
		t.Errorf("it says %q, want a warning of the random secret, and exit 0", rest)
	}
}

func TestClose_saysWhatCouldNotBeSaved(t *testing.T) {
	s := newSite(t)
	s.login()
	s.store.Fail(storetest.OpUpdate, 1000)
	s.want(s.get("/api/token?audience=https://orders.example"), 200, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.app.close(ctx)
	var cut *tokenward.CloseError
	if !errors.As(err, &cut) || len(cut.Unsaved) != 1 || !strings.Contains(err.Error(), cut.Unsaved[0].String()) {
		t.Errorf("close: %v, want one session named that was not saved", err)
	}
	s.app = nil
}

func TestSettings_exitTwoWithOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	busy := taken.Addr().String()
	noKey := filepath.Join(t.TempDir(), "none.pem")
	provider := []string{"-listen", "127.0.0.1:0", "-issuer", "http://127.0.0.1:1/", "-client-id", "c", "-client-secret", "s"}
	with := func(args ...string) []string { return append(provider[:len(provider):len(provider)], args...) }
	tests := []struct {
		name string
		args []string
		env  map[string]string
		says string
	}{
		{"no such flag", []string{"-isuer", "x"}, nil, "-isuer"},
		{"an argument", []string{"serve"}, nil, "serve"},
		{"listen is no address", []string{"-listen", "8080"}, nil, "-listen"},
		{"listen is taken", []string{"-listen", busy}, nil, "-listen"},
		{"tenant's address is taken", []string{"-tenant", busy}, nil, "-tenant"},
		{"base URL", with("-base-url", "ftp://app.example"), nil, "-base-url"},
		{"http issuer elsewhere", with("-issuer", "http://tenant.example/"), nil, "https"},
		{"issuer is no URL", with("-issuer", "tenant"), nil, "ssuer"},
		{"issuer and domain", with("-domain", "tenant.example"), nil, "-domain"},
		{"domain is a URL", []string{"-listen", "127.0.0.1:0", "-domain", "https://tenant.example/", "-client-id", "c"}, nil, "omain"},
		{"no client id", []string{"-issuer", "https://tenant.example/"}, nil, "-client-id"},
		{"client auth", with("-client-auth", "digest"), nil, "-client-auth"},
		{"no key file", with("-signing-key", noKey), nil, "-signing-key"},
		{"no key file for the fake tenant", []string{"-listen", "127.0.0.1:0", "-signing-key", noKey}, nil, "-signing-key"},
		{"short secret", with("-secret", "canary"), nil, "at least 32"},
		{"short second secret", with("-secret", sealing+",canary"), nil, "number 2"},
		{"empty second secret", with("-secret", sealing+","), nil, "number 2"},
		{"scope map", with("-scope", `{"a":1}`), nil, "-scope"},
		{"store", with("-store", "file:canary"), nil, "-store"},
		{"durable store, random secret", with("-store", "bolt:canary.db"), nil, "-secret"},
		{"durable store, random secret, by environment", nil, map[string]string{"DEMO_STORE": "redis://canary"}, "-secret"},
		{"log level", with("-log-level", "loud"), nil, "-log-level"},
		{"no such provider", []string{"-provider", "nobody"}, nil, "none of auth0, okta,"},
		{"no such provider, by environment", nil, map[string]string{"DEMO_PROVIDER": "nobody"}, "par-required"},
		{"no such provider for the tenant", []string{"-tenant", busy, "-provider", "nobody"}, nil, "-provider"},
		{"provider and issuer", with("-provider", "google"), nil, "-issuer"},
		{"provider and issuer, by environment", nil, map[string]string{"DEMO_PROVIDER": "google", "AUTH0_ISSUER": "https://x.example", "AUTH0_CLIENT_ID": "c"}, "-issuer"},
		{"provider and client", []string{"-provider", "google", "-client-secret", "canary"}, nil, "-client-secret"},
		{"boolean in the environment", nil, map[string]string{"AUTH0_PAR": "maybe"}, "AUTH0_PAR"},
		{"address in the environment", nil, map[string]string{"DEMO_LISTEN": busy}, "-listen"},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), tt.args, func(name string) string { return tt.env[name] }, &stdout, &stderr)
		lines := 0
		for line := range strings.Lines(stderr.String()) {
			if !strings.HasPrefix(line, "{") { // that is the log's
				lines++
			}
		}
		if code != exitUsage || lines != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.says) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want %d and one line that says %q", tt.name, code, stdout.String(), stderr.String(), exitUsage, tt.says)
		}
		if strings.Contains(stderr.String(), "canary") && !strings.Contains(tt.name, "-isuer") {
			t.Errorf("%s: stderr gives away what may be a secret: %s", tt.name, stderr.String())
		}
	}
}

func TestSettings_flagsWinOverTheEnvironment(t *testing.T) {
	env := map[string]string{
		"AUTH0_ISSUER": "https://env.example/", "AUTH0_CLIENT_ID": "env", "AUTH0_CLIENT_SECRET": "env-secret", "AUTH0_AUDIENCE": "env-audience",
		"AUTH0_SCOPE": `{"a":"openid x"}`, "AUTH0_PAR": "true", "AUTH0_CLIENT_AUTH": "post", "DEMO_STORE": "memory", "APP_BASE_URL": "https://app.example",
		"DEMO_LOG_LEVEL": "error", "AUTH0_SECRET": sealing,
	}
	getenv := func(name string) string { return env[name] }
	s, err := parse([]string{"-client-id", "flag", "-domain", "flag.example", "-par=false", "-audience", ""}, getenv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := s.config(nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Domain != "flag.example" || cfg.Issuer != "" || cfg.ClientID != "flag" || cfg.ClientSecret != "env-secret" || cfg.Audience != "" ||
		cfg.ClientAuth != tokenward.ClientSecretPost || cfg.ScopesFor["a"] != "openid x" || cfg.Scopes != "" || s.par ||
		s.baseURL != "https://app.example" || s.level() != zap.ErrorLevel || len(cfg.Secrets) != 1 {
		t.Errorf("settings = %+v", s)
	}
	for name := range variables {
		if !strings.Contains(usage(t), "  -"+name) || !strings.Contains(usage(t), "[$"+variables[name]+"]") {
			t.Errorf("-h says nothing of -%s and %s", name, variables[name])
		}
	}
}

func usage(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, noEnvironment, &out, io.Discard); code != exitOK {
		t.Errorf("-h: exit %d", code)
	}
	return out.String()
}

// The library is told what the flags say, and tells the provider.
func TestSettings_reachTheProvider(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		auth idptest.AuthMethod
		par  int
	}{
		{nil, idptest.AuthBasic, 0},
		{[]string{"-client-auth", "post", "-par"}, idptest.AuthPost, 1},
		{[]string{"-signing-key", file, "-par"}, idptest.AuthPrivateKey, 1},
	}
	for _, tt := range tests {
		s := newSite(t, append(tt.args, "-audience", "https://default.example", "-scope", "openid offline_access read:x")...)
		if tt.auth == idptest.AuthPrivateKey {
			s.tenant.Set(idptest.WithClientKey(demoID, key.Public()))
		}
		s.login()
		if got := s.tenant.LastAuth(idptest.CodeExchange); got != tt.auth {
			t.Errorf("%v: authenticated by %s, want %s", tt.args, got, tt.auth)
		}
		if got := s.tenant.Requests(idptest.PAR); got != tt.par {
			t.Errorf("%v: pushed %d, want %d", tt.args, got, tt.par)
		}
		if got := s.get("/api/token").body; got["audience"] != "https://default.example" || got["scope"] != "openid offline_access read:x" {
			t.Errorf("%v: token = %v", tt.args, got)
		}
	}
}

// A tenant of the demo's own knows the client by what the flags say.
func TestOwnTenant(t *testing.T) {
	s := newSite(t)
	for _, args := range [][]string{
		nil,
		{"-client-id", "mine", "-client-secret", "mine-too"},
		{"-base-url", "http://localhost:8080"},
		{"-client-auth", "post"},
		{"-client-auth", "none"},
		{"-client-auth", "none", "-client-id", "mine", "-par"},
	} {
		f, err := parse(append([]string{"-listen", "127.0.0.1:0"}, args...), noEnvironment, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		a, err := open(f, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		failed := a.start()
		s.url = "http://" + a.listener.Addr().String()
		back := s.want(s.get(s.get("/auth/login").Header.Get("Location")), http.StatusFound, "").Header.Get("Location")
		s.want(s.get(strings.Replace(back, "http://localhost:8080", s.url, 1)), http.StatusFound, "")
		s.want(s.get("/api/user"), 200, "")
		if err := errors.Join(a.close(context.Background()), <-failed); err != nil {
			t.Error(err)
		}
	}
}

func TestReachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for listen, want := range map[string]string{
		"127.0.0.1:0": "127.0.0.1", ":0": "127.0.0.1", "0.0.0.0:0": "127.0.0.1", "[::]:0": "127.0.0.1", "localhost:0": "localhost",
	} {
		if got := reachable(listen, l); got != net.JoinHostPort(want, port) {
			t.Errorf("reachable(%q) = %q, want host %s", listen, got, want)
		}
	}
}

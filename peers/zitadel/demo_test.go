package zitadel

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The demo and the provider, both as commands, as make demo-zitadel starts them.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two commands")
	}
	dir := t.TempDir()
	build(t, "../../cmd/demo", filepath.Join(dir, "demo"), ".")
	build(t, ".", filepath.Join(dir, "provider"), "./cmd/provider")
	at := freePort(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "provider"), "-listen", "127.0.0.1:0", "-app", "http://"+at, "-path", "/tenants/one",
		filepath.Join(dir, "demo"), "-listen", at)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // which it passes on
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	issuer, app := after(t, lines, "provider on "), after(t, lines, "listening on ")

	s := &site{browser: newBrowser(t), t: t, url: app}
	if at := s.get(app + "/readyz"); at.status != http.StatusOK {
		t.Errorf("readyz: %d %s", at.status, at.text)
	}
	if at := s.browser.signIn(app+"/auth/login?return_to=/api/user", Password); at.url != app+"/api/user" || !strings.Contains(at.text, `"sub":"id1"`) {
		t.Fatalf("after the login: %d at %s: %s", at.status, at.url, at.text)
	}
	var token struct {
		Token string `json:"access_token"`
	}
	s.read("/api/token", &token)
	if token.Token == "" {
		t.Error("no access token")
	}
	s.wantBurst("n=1000", 1)
	s.wantBurst(url.Values{"n": {"1000"}, "audience": {"https://a.example", "https://b.example", "https://c.example"}}.Encode(), 3)
	if at := s.get(app + "/auth/logout?return_to=/"); at.url != app+"/" {
		t.Errorf("after the logout: %d at %s", at.status, at.url)
	}
	if at := s.get(app + "/api/user"); at.status != http.StatusUnauthorized {
		t.Errorf("user after the logout: %d %s, want 401", at.status, at.text)
	}
	if !strings.HasSuffix(issuer, "/tenants/one") {
		t.Errorf("issuer = %s", issuer)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v, want 0; standard error:\n%s", err, log.String())
	}
}

// wantBurst has the demo ask a thousand times at once.
func (s *site) wantBurst(query string, tokens int) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/api/burst?"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	at := s.do(req)
	for _, want := range []string{`"ok":1000`, `"failed":0`, fmt.Sprintf(`"distinct_tokens":%d`, tokens)} {
		if !strings.Contains(at.text, want) {
			s.t.Errorf("burst %s: %d %s, want %s", query, at.status, at.text, want)
		}
	}
}

func build(t *testing.T, dir, to, what string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", to, what)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", what, err, text)
	}
}

// freePort returns a loopback address without a listener.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// after returns what follows prefix in the first line that has it.
func after(t *testing.T, lines *bufio.Scanner, prefix string) string {
	t.Helper()
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			return rest
		}
	}
	t.Fatalf("no line %q", prefix)
	return ""
}

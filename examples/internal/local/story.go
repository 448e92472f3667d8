package local

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// Story is what every framework's example must do. Its routes are /me (the user's name), /token (a token, and 204), /stream
// (one, flushed, then two), /raw (a hijacked connection that says ok), /teapot (an error of the framework's, 418, in JSON) and a POST
// of /change (204), all for signed-in users.
func Story(t *testing.T, app App) {
	clk := clock.NewFake(clock.System().Now())
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, app, "127.0.0.1:0", func(base string, tenant *idptest.Tenant) {
			tenant.Set(idptest.WithTokenLife(24 * time.Hour))
			ready <- base
		}, tokenward.WithClock(clk))
	}()
	b := newVisitor(t)
	select {
	case b.base = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	defer func() {
		b.client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	b.wants("before the login", http.MethodGet, "/me", http.StatusUnauthorized, "")
	b.page = true
	b.wants("through the login", http.MethodGet, "/me", http.StatusOK, "Ada Lovelace")
	b.page = false
	for _, answer := range []struct {
		method, path string
		status       int
		body         string
	}{
		{http.MethodGet, "/me", 200, "Ada Lovelace"},
		{http.MethodGet, "/token", 204, ""},
		{http.MethodGet, "/stream", 200, "onetwo"},
		{http.MethodGet, "/raw", 200, "ok"},
		{http.MethodGet, "/teapot", 418, ""},
		{http.MethodPost, "/change", 204, ""},
	} {
		clk.Advance(2 * time.Hour) // so that the cookie is due again, whatever writes the answer
		r := b.wants(answer.path, answer.method, answer.path, answer.status, answer.body)
		if n := len(r.Cookies()); answer.path != "/raw" && n != 1 {
			t.Errorf("%s: %d cookies, want the session's once more", answer.path, n)
		}
		if kind := r.Header.Get("Content-Type"); answer.path == "/teapot" && !strings.HasPrefix(kind, "application/json") {
			t.Errorf("the error's Content-Type is %q, want the framework's", kind)
		}
	}
	b.wants("a page of another site", http.MethodPost, "/change", http.StatusForbidden, "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.wants("the logout", http.MethodPost, "/auth/logout", http.StatusFound, "", "Origin", b.base, "Sec-Fetch-Site", "same-origin")
	b.wants("after the logout", http.MethodGet, "/me", http.StatusUnauthorized, "")
	b.wants("a logout token that is none", http.MethodPost, "/auth/backchannel-logout", http.StatusBadRequest, "")
}

type visitor struct {
	t      *testing.T
	client *http.Client
	base   string
	page   bool // asks for pages, as a person's browser does
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, client: &http.Client{Jar: jar, Transport: &http.Transport{}}}
}

// wants sends a request, and checks the answer. An empty body may be any.
func (v *visitor) wants(what, method, path string, status int, body string, header ...string) *http.Response {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, http.NoBody)
	if err != nil {
		v.t.Fatal(err)
	}
	if v.page {
		req.Header.Set("Accept", "text/html")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(bufio.NewReader(resp.Body))
	if err != nil {
		v.t.Errorf("%s: %v", what, err)
	}
	if resp.StatusCode != status || body != "" && strings.TrimSpace(string(text)) != body {
		v.t.Errorf("%s: %d %q, want %d %q", what, resp.StatusCode, text, status, body)
	}
	return resp
}

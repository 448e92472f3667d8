package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A browser signs in on its way to the API, which gets a token and no cookie; after the logout nothing gets there.
func TestReverseProxy(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", func(at string) { ready <- at }) }()
	var at string
	select {
	case at = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{}}
	defer browser.CloseIdleConnections()
	ask := func(method, path string, page bool) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, at+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if page {
			req.Header.Set("Accept", "text/html")
			req.Header.Set("Sec-Fetch-Mode", "navigate")
			req.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}

	if status, text := ask(http.MethodGet, "/api/orders", false); status != http.StatusUnauthorized {
		t.Errorf("before the login: %d %s", status, text)
	}
	const want = "GET /orders\ntoken: true\ncookies: 0\n"
	for range 2 {
		if status, text := ask(http.MethodGet, "/api/orders", true); status != http.StatusOK || text != want {
			t.Errorf("signed in: %d %q, want %q", status, text, want)
		}
	}
	ask(http.MethodGet, "/auth/logout", true)
	if status, text := ask(http.MethodGet, "/api/orders", false); status != http.StatusUnauthorized || strings.Contains(text, "token: true") {
		t.Errorf("after the logout: %d %s", status, text)
	}
}

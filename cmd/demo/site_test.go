package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const sealing = "a secret of at least thirty-two bytes"

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// site is the application in this process, its tenant, its store and a browser.
type site struct {
	t      *testing.T
	clock  *clock.Fake
	tenant *idptest.Tenant
	store  *storetest.Faulty
	app    *app
	url    string
	client *http.Client // does not follow redirects
}

// newSite starts the application as args say, beside a tenant of the test's own.
func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	s := &site{t: t, clock: clock.NewFake(t0)}
	s.tenant = idptest.NewTenant(t, idptest.WithClock(s.clock), idptest.WithClient(demoID, demoSecret))
	s.store = storetest.NewFaulty(store.NewMemory(s.clock))
	s.open(append([]string{"-issuer", s.tenant.Issuer()}, args...)...)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// open starts an application on the site's clock and store, in place of the one before.
func (s *site) open(args ...string) {
	s.t.Helper()
	f, err := parse(append([]string{
		"-listen", "127.0.0.1:0", "-client-id", demoID, "-client-secret", demoSecret, "-secret", sealing,
	}, args...), noEnvironment, io.Discard)
	if err != nil {
		s.t.Fatal(err)
	}
	opts := []tokenward.Option{tokenward.WithClock(s.clock)}
	if f.store == "" {
		opts = append(opts, tokenward.WithStateStore(s.store))
	}
	a, err := open(f, zap.NewNop(), opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.app, s.url = a, "http://"+a.listener.Addr().String()
	failed := a.start()
	s.t.Cleanup(func() {
		if err := a.close(context.Background()); err != nil && s.app == a {
			s.t.Errorf("close: %v", err)
		}
		if err := <-failed; err != nil {
			s.t.Errorf("serve: %v", err)
		}
	})
}

// answer is what came back, its body read.
type answer struct {
	*http.Response
	text string
	body map[string]any // of JSON
}

func (s *site) do(method, path string, header ...string) answer {
	s.t.Helper()
	return s.post(method, path, nil, header...)
}

func (s *site) post(method, path string, form url.Values, header ...string) answer {
	s.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = s.url + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{Response: resp, text: string(b)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && len(b) > 0 {
		if err := json.Unmarshal(b, &a.body); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" && strings.HasPrefix(path, s.url) {
		s.t.Errorf("%s %s: Cache-Control %q, want no-store", method, path, got)
	}
	return a
}

func (s *site) get(path string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path)
}

// callback starts a login and returns where the provider sends the browser.
func (s *site) callback(query string) string {
	s.t.Helper()
	to := s.want(s.get("/auth/login"+query), http.StatusFound, "").Header.Get("Location")
	return s.want(s.get(to), http.StatusFound, "").Header.Get("Location")
}

func (s *site) login() {
	s.t.Helper()
	s.want(s.get(s.callback("")), http.StatusFound, "")
}

// want checks status and code of an answer; a code of "" is that of a success.
func (s *site) want(a answer, status int, code string) answer {
	s.t.Helper()
	got, _ := a.body["error"].(string)
	if a.StatusCode != status || got != code {
		s.t.Errorf("%s %s = %d %q, want %d %q: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, got, status, code, a.text)
	}
	if text, _ := a.body["error_description"].(string); code != "" && text == "" {
		s.t.Errorf("%s %s: no error_description in %s", a.Request.Method, a.Request.URL.Path, a.text)
	}
	if leaked := s.tenant.SecretsIn(a.text); code != "" && len(leaked) > 0 {
		s.t.Errorf("%s %s gives away %v", a.Request.Method, a.Request.URL.Path, leaked)
	}
	return a
}

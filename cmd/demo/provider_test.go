package main

import (
	"bytes"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/idp/idptest"
)

// visitor is a browser without scripts, in which the user presses what button there is.
type visitor struct {
	t       *testing.T
	client  *http.Client
	visited []string
}

// newVisitor returns a browser with no cookies.
func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t: t, client: &http.Client{Jar: jar, Transport: transport}}
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	formField  = regexp.MustCompile(`<input[^>]* name="([^"]*)" value="([^"]*)"`)
)

// visit opens a page, with the redirects and forms that follow, and returns the last answer with its text.
func (v *visitor) visit(at string) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, at, nil)
	for err == nil && len(v.visited) < 20 {
		req.Header.Set("Accept", "text/html")
		resp, failed := v.client.Do(req)
		if failed != nil {
			v.t.Fatal(failed)
		}
		body, failed := io.ReadAll(resp.Body)
		resp.Body.Close()
		if failed != nil {
			v.t.Fatal(failed)
		}
		v.visited = append(v.visited, req.Method+" "+resp.Request.URL.Path)
		action := formAction.FindSubmatch(body)
		if action == nil || !bytes.Contains(bytes.ToLower(body), []byte(`method="post"`)) || resp.Request.URL.Path == "/" {
			return resp, string(body)
		}
		form := url.Values{}
		for _, f := range formField.FindAllSubmatch(body, -1) {
			form.Set(html.UnescapeString(string(f[1])), html.UnescapeString(string(f[2])))
		}
		to, failed := resp.Request.URL.Parse(html.UnescapeString(string(action[1])))
		if failed != nil {
			v.t.Fatal(failed)
		}
		req, err = http.NewRequestWithContext(v.t.Context(), http.MethodPost, to.String(), strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	v.t.Fatalf("no end to %v: %v", v.visited, err)
	return nil, ""
}

// Over sockets and with a browser the application signs in and out at every provider that the fake
// tenant plays.
func TestProvider_signsInAndOut(t *testing.T) {
	for _, p := range idptest.Profiles() {
		if p.Refused != "" || p.IDToken.NoScheme { // iss without https:// is Google's own, not of a loopback host
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			f, err := parse([]string{"-listen", "127.0.0.1:0", "-secret", sealing, "-store", "memory", "-provider", p.Name}, noEnvironment, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			a, err := open(f, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			failed := a.start()
			defer func() {
				if err := a.close(t.Context()); err != nil {
					t.Errorf("close: %v", err)
				}
				if err := <-failed; err != nil {
					t.Errorf("serve: %v", err)
				}
			}()
			v := newVisitor(t)
			for _, step := range []struct {
				path   string
				status int
				ends   string
			}{
				{"/readyz", 200, "/readyz"},
				{"/auth/login", 200, "/"},
				{"/api/user", 200, "/api/user"},
				{"/api/token", 200, "/api/token"},
				{"/auth/logout?return_to=/", 200, "/"},
				{"/api/user", 401, "/api/user"},
			} {
				resp, text := v.visit(a.base + step.path)
				at := resp.Request.URL
				if resp.StatusCode != step.status || at.Host != strings.TrimPrefix(a.base, "http://") || at.Path != step.ends {
					t.Fatalf("%s leads to %s: %d %s; by %v", step.path, at, resp.StatusCode, text, v.visited)
				}
			}
		})
	}
}

// A flag names the provider, and the environment's is another: nothing of that is taken.
func TestProvider_ofTheFlagWins(t *testing.T) {
	env := map[string]string{"AUTH0_DOMAIN": "env.example", "AUTH0_CLIENT_ID": "env", "AUTH0_CLIENT_SECRET": "env", "AUTH0_CLIENT_AUTH": "post"}
	s, err := parse([]string{"-provider", "google"}, func(name string) string { return env[name] }, io.Discard)
	if err != nil || !s.ownTenant() || s.clientID+s.clientSecret+s.clientAuth != "" {
		t.Errorf("settings = %+v, %v", s, err)
	}
	env = map[string]string{"DEMO_PROVIDER": "google", "AUTH0_CLIENT_ID": "env", "AUTH0_CLIENT_SECRET": "env"}
	s, err = parse([]string{"-domain", "flag.example"}, func(name string) string { return env[name] }, io.Discard)
	if err != nil || s.provider != "" || s.domain != "flag.example" || s.clientID != "env" {
		t.Errorf("settings = %+v, %v", s, err)
	}
}

package idptest_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp/idptest"
)

const verifier = "a-verifier-that-is-long-enough-to-be-accepted-by-rfc-7636"

// t0 is when tests with a fake clock begin.
var t0 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// app is the client of the tests, over one of the two ways to reach a tenant.
type app struct {
	testing.TB
	tenant *idptest.Tenant
	http   *http.Client
}

// answer is what the token endpoint said.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
	err    error
}

func (a answer) str(name string) string { s, _ := a.body[name].(string); return s }

// overBoth runs a story through the socket and in-process.
func overBoth(t *testing.T, story func(t *testing.T, a *app), opts ...idptest.Option) {
	t.Helper()
	t.Run("socket", func(t *testing.T) {
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		story(t, &app{t, idptest.NewTenant(t, opts...), noRedirects(&http.Client{Transport: tr})})
	})
	t.Run("in-process", func(t *testing.T) { story(t, inProcess(t, opts...)) })
}

// inProcess starts a tenant without a socket.
func inProcess(t testing.TB, opts ...idptest.Option) *app {
	t.Helper()
	tenant := idptest.NewTenant(t, append([]idptest.Option{idptest.InProcess()}, opts...)...)
	return &app{t, tenant, noRedirects(tenant.Client())}
}

func noRedirects(c *http.Client) *http.Client {
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// authorizeURL returns a good authorize URL; changes are name, value pairs.
func (a *app) authorizeURL(changes ...string) string {
	return a.tenant.URL("/authorize") + "?" + a.authorizeForm(changes...).Encode()
}

// authorizeForm returns the parameters of a good authorize request.
func (a *app) authorizeForm(changes ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id":             {idptest.ClientID},
		"redirect_uri":          {"http://127.0.0.1:9/callback"},
		"response_type":         {"code"},
		"scope":                 {"openid profile email offline_access"},
		"state":                 {"the-state"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(sum[:])},
		"code_challenge_method": {"S256"},
	}
	change(q, changes)
	return q
}

func change(q url.Values, changes []string) {
	for i := 0; i < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
		if changes[i+1] == "" || changes[i] == "" {
			q.Del(changes[i])
		}
	}
}

// code signs in and returns the code.
func (a *app) code(claims idptest.Claims, changes ...string) string {
	a.Helper()
	to, err := a.tenant.Authorize(a.authorizeURL(changes...), claims)
	if err != nil {
		a.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil || u.Query().Get("code") == "" {
		a.Fatalf("callback = %q, %v, want one with a code", to, err)
	}
	return u.Query().Get("code")
}

// login signs in and returns the answer of the code exchange.
func (a *app) login(claims idptest.Claims, changes ...string) answer {
	a.Helper()
	r := a.exchange(a.code(claims, changes...))
	if r.status != 200 {
		a.Fatalf("login = %d %s, %v", r.status, r.raw, r.err)
	}
	return r
}

func (a *app) exchange(code string, changes ...string) answer {
	f := url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {"http://127.0.0.1:9/callback"}, "code_verifier": {verifier},
	}
	change(f, changes)
	return a.post(context.Background(), f)
}

func (a *app) refresh(token string, changes ...string) answer {
	return a.refreshWith(context.Background(), token, changes...)
}

func (a *app) refreshWith(ctx context.Context, token string, changes ...string) answer {
	f := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	change(f, changes)
	return a.post(ctx, f)
}

func (a *app) connection(token, connection string, changes ...string) answer {
	f := url.Values{
		"grant_type":           {"urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"},
		"subject_token":        {token},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:refresh_token"},
		"requested_token_type": {"http://auth0.com/oauth/token-type/federated-connection-access-token"},
		"connection":           {connection},
	}
	change(f, changes)
	return a.post(context.Background(), f)
}

// await waits until n requests of kind k have arrived.
func (a *app) await(k idptest.Kind, n int) {
	a.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.tenant.WaitRequests(ctx, k, n); err != nil {
		a.Fatal(err)
	}
}

// form posts name, value pairs to a path of the tenant.
func (a *app) form(path string, pairs ...string) answer {
	f := url.Values{}
	change(f, pairs)
	return a.postTo(context.Background(), path, f)
}

func (a *app) post(ctx context.Context, f url.Values) answer {
	return a.postTo(ctx, "/oauth/token", f)
}

// push pushes an authorization request.
func (a *app) push(f url.Values) answer { return a.postTo(context.Background(), "/oauth/par", f) }

// postTo sends a form, with the client in the Authorization header unless the form
// says who it is.
func (a *app) postTo(ctx context.Context, path string, f url.Values) answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.tenant.URL(path), strings.NewReader(f.Encode()))
	if err != nil {
		a.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !f.Has("client_secret") && !f.Has("client_assertion") {
		req.SetBasicAuth(idptest.ClientID, idptest.ClientSecret)
	}
	return a.do(req)
}

func (a *app) get(u string) answer {
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		a.Fatal(err)
	}
	return a.do(req)
}

func (a *app) do(req *http.Request) answer {
	resp, err := a.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	r := answer{status: resp.StatusCode, header: resp.Header, raw: string(b), err: err}
	d := json.NewDecoder(strings.NewReader(r.raw))
	d.UseNumber()
	d.Decode(&r.body) //nolint:errcheck // a body that is no object stays nil
	return r
}

// number reads a number of a token or an answer.
func number(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return i
}

// claims reads a token without verifying it.
func claims(t testing.TB, token string) jwt.MapClaims {
	t.Helper()
	c := jwt.MapClaims{}
	if _, _, err := jwt.NewParser(jwt.WithJSONNumber()).ParseUnverified(token, c); err != nil {
		t.Fatalf("token %q: %v", token, err)
	}
	return c
}

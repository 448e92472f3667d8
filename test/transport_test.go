package test_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// api is a resource server that notes what it is sent. It accepts every token but those that it refuses.
type api struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request) // what comes instead of 200, nil for nothing

	mu      sync.Mutex
	got     []request
	refused map[string]bool // by Authorization
}

// request is one that a server has got.
type request struct {
	path, authorization, body string
	header                    http.Header
}

const invalidToken = `Basic realm="a, b", Bearer realm="api", error="invalid_token", error_description="it was \"revoked\""`

func newAPI(t testing.TB, start func(*httptest.Server)) *api {
	a := &api{refused: make(map[string]bool)}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refused := a.note(r)
		switch {
		case a.answer != nil:
			a.answer(w, r)
		case refused:
			refuse(w)
		default:
			fmt.Fprint(w, "ok")
		}
	}))
	start(a.Server)
	t.Cleanup(a.Close)
	return a
}

func refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", invalidToken)
	http.Error(w, "refused", http.StatusUnauthorized)
}

// note reads and notes r, and reports whether its token is refused.
func (a *api) note(r *http.Request) bool {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	auth := r.Header.Get("Authorization")
	a.got = append(a.got, request{path: r.URL.Path, authorization: auth, body: string(body), header: r.Header})
	return a.refused[auth]
}

func (a *api) refuses(tokens ...tokenward.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, token := range tokens {
		a.refused["Bearer "+token.AccessToken] = true
	}
}

func (a *api) requests() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]request(nil), a.got...)
}

// withToken counts the requests that came with a token.
func (a *api) withToken() (n int) {
	for _, r := range a.requests() {
		if r.authorization != "" {
			n++
		}
	}
	return n
}

// get sends a GET, reads its answer and returns the status, 0 when there was none.
func get(ctx context.Context, c *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	return do(c, req)
}

func do(c *http.Client, req *http.Request) (int, error) {
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// unencrypted and encrypted start a server.
func unencrypted(s *httptest.Server) { s.Start() }
func encrypted(s *httptest.Server)   { s.EnableHTTP2 = true; s.StartTLS() }

// eachClient runs story with every way to send requests with the token of a session that ends at a ceiling in an hour.
func eachClient(t *testing.T, story func(t *testing.T, r *rig, a *api, id string, c *http.Client, ctx context.Context)) {
	for name, of := range map[string]func(r *rig, a *api, id string) *http.Client{
		"Client": func(r *rig, a *api, id string) *http.Client {
			return r.client.Session(id).Client(tokenward.TokenRequest{}, a.URL)
		},
		"Transport": func(r *rig, a *api, id string) *http.Client {
			return &http.Client{Transport: r.client.Session(id).Transport(tokenward.TokenRequest{Audience: a.URL + "/v1"}, a.Client().Transport)}
		},
		"of the context": func(r *rig, a *api, _ string) *http.Client {
			return r.client.ContextSession().Client(tokenward.TokenRequest{}, a.URL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, a := newRig(t), newAPI(t, unencrypted)
			id := r.login(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
			story(t, r, a, id, of(r, a, id), tokenward.ContextWith(t.Context(), tokenward.SessionID(id)))
		})
	}
}

// No request that is begun after the ceiling has a token: none is sent.
func TestTransport_nothingIsSentAfterTheCeiling(t *testing.T) {
	eachClient(t, func(t *testing.T, r *rig, a *api, _ string, c *http.Client, ctx context.Context) {
		r.clock.Advance(time.Hour - 30*time.Second - time.Nanosecond)
		for range 3 {
			if status, err := get(ctx, c, a.URL); status != http.StatusOK || err != nil {
				t.Fatalf("before the ceiling: %d, %v", status, err)
			}
		}
		r.clock.Advance(time.Nanosecond)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := get(ctx, c, a.URL)
				r.wantCode("after the ceiling", err, "session_expired")
				if !errors.Is(err, tokenward.ErrSessionExpired) || !tokenward.LoginRequired(err) {
					t.Errorf("err = %v", err)
				}
			})
		}
		all.Wait()
		r.want("requests sent", len(a.requests()), 3)
		r.want("with a token", a.withToken(), 3)
	})
}

// No request that is begun after Logout has returned has a token, whatever was under way.
func TestTransport_nothingIsSentAfterALogout(t *testing.T) {
	eachClient(t, func(t *testing.T, r *rig, a *api, id string, c *http.Client, ctx context.Context) {
		var over atomic.Bool
		var late, before atomic.Int64
		stop := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for late.Load() < 100 {
					signedOut := over.Load()
					_, err := get(ctx, c, a.URL+map[bool]string{true: "/late", false: "/"}[signedOut])
					switch {
					case signedOut:
						r.wantCode("after the logout", err, "missing_refresh_token")
						late.Add(1)
					case err == nil && before.Add(1) == 50:
						close(stop)
					}
				}
			})
		}
		<-stop
		if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		over.Store(true)
		all.Wait()
		for _, req := range a.requests() {
			if req.path == "/late" {
				t.Fatalf("a request begun after the logout was sent: %v", req)
			}
		}
	})
}

// Nor is what a refusal would send again, when the session has ended by then.
func TestTransport_nothingIsSentAgainAfterTheEnd(t *testing.T) {
	for code, end := range map[tokenward.Code]func(r *rig, id string){
		"missing_refresh_token": func(r *rig, id string) { r.logOut(tokenward.SessionID(id)) },
		"session_expired":       func(r *rig, _ string) { r.clock.Advance(time.Hour - 30*time.Second) },
	} {
		eachClient(t, func(_ *testing.T, r *rig, a *api, id string, c *http.Client, ctx context.Context) {
			refreshes := 0
			a.answer = func(w http.ResponseWriter, _ *http.Request) {
				refreshes = r.tenant.Refreshes()
				end(r, id)
				refuse(w)
			}
			_, err := get(ctx, c, a.URL)
			r.wantCode("an end while the server refuses", err, code)
			r.want("requests sent", len(a.requests()), 1)
			r.want("refreshes", r.tenant.Refreshes(), refreshes)
		})
	}
}

// x/oauth2 keeps a token until it expires, by the machine's clock: the test's clock begins an hour before that.
func TestTokenSource_oauth2SendsNothingAfterTheCeiling(t *testing.T) {
	r, a := newRig(t, withTenant(idptest.WithTokenLife(24*time.Hour)), func(c *rigConfig) {
		c.start = time.Now().Add(-time.Hour).Truncate(time.Second) //nolint:forbidigo // x/oauth2 has no other clock
	}), newAPI(t, unencrypted)
	// For x/oauth2 the token ends within the ten seconds in which it asks anew, for the session it lives an hour.
	ceiling := r.clock.Now().Add(time.Hour + 35*time.Second)
	id := r.login(idptest.Claims{"session_expiry": ceiling.Unix()})
	source := r.client.Session(id).TokenSource(t.Context(), tokenward.TokenRequest{})
	c := oauth2.NewClient(context.WithValue(t.Context(), oauth2.HTTPClient, a.Client()), source)
	if status, err := get(t.Context(), c, a.URL); status != http.StatusOK || err != nil {
		t.Fatalf("before the ceiling: %d, %v", status, err)
	}
	r.clock.Advance(time.Hour + 5*time.Second)
	for range 10 {
		_, err := get(t.Context(), c, a.URL)
		r.wantCode("after the ceiling", err, "session_expired")
	}
	r.want("with a token", a.withToken(), 1)
}

// A caller that gives up while its token is waited for sends nothing.
func TestTransport_theCallerGivesUp(t *testing.T) {
	r, a := newRig(t), newAPI(t, unencrypted)
	id := r.login()
	r.expire()
	hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := get(ctx, r.client.Session(id).Client(tokenward.TokenRequest{}, a.URL), a.URL)
		done <- err
	}()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	hold.Release()
	r.settle()
	r.want("requests", len(a.requests()), 0)
}

// A token that would end its header field puts nothing into a request.
func TestTransport_aTokenThatSplitsTheHeader(t *testing.T) {
	for _, bad := range []string{"a\r\nX-Evil: 1", "a\nb", "a b", "ä", "a\x00b", "a\x7f"} {
		r, a := newRig(t), newAPI(t, unencrypted)
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Edit(func(body map[string]any) { body["access_token"] = bad }).Always())
		_, err := get(t.Context(), r.client.Session(id).Client(tokenward.TokenRequest{}, a.URL), a.URL)
		r.wantCode(fmt.Sprintf("%q", bad), err, "refresh_token_error")
		if strings.Contains(err.Error(), bad) {
			t.Errorf("the error shows the token: %v", err)
		}
		r.want("requests", len(a.requests()), 0)
	}
}

// A connection that is upgraded, and an answer that is streamed, are handed on as they are. A body that waits for 100
// Continue is not sent to a server that refuses the token, and then it is.
func TestTransport_upgradesStreamsAndExpectations(t *testing.T) {
	r := newRig(t)
	id := r.login()
	refused := "Bearer " + r.token(id, tokenward.TokenRequest{}).AccessToken
	var bodies []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/expect" && req.Header.Get("Authorization") == refused:
			refuse(w)
		case req.URL.Path == "/expect":
			body, _ := io.ReadAll(req.Body)
			bodies = append(bodies, string(body))
		case req.URL.Path == "/stream":
			fmt.Fprint(w, "first")
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
		default:
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			line, _ := rw.ReadString('\n')
			fmt.Fprint(rw, line)
			_ = rw.Flush()
		}
	}))
	defer srv.Close()
	base := srv.Client().Transport.(*http.Transport)
	base.ExpectContinueTimeout = time.Minute
	transport := r.client.Session(id).Transport(tokenward.TokenRequest{}, base, srv.URL)

	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/expect", strings.NewReader("the body"))
	req.Header.Set("Expect", "100-continue")
	if status, err := do(&http.Client{Transport: transport}, req); status != http.StatusOK || err != nil || len(bodies) != 1 || bodies[0] != "the body" {
		t.Errorf("100-continue: %d, %v, bodies %q", status, err, bodies)
	}

	ctx, cancel := context.WithCancel(t.Context())
	req, _ = http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/stream", http.NoBody)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Errorf("stream: %q, %v", first, err)
	}
	cancel()
	resp.Body.Close()

	req, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/upgrade", http.NoBody)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err = transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriter)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %d, %T", resp.StatusCode, resp.Body)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hello\n" || err != nil {
		t.Errorf("upgraded: %q, %v", line, err)
	}
}

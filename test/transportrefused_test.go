package test_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A thousand requests whose token is refused cost one refresh, and each is sent again as it was, or not at all.
func TestTransport_aThousandRefusalsAreOneRefresh(t *testing.T) {
	t.Run("HTTP/1.1", func(t *testing.T) { manyRefusals(t, 1000, unencrypted) })
	t.Run("HTTP/2", func(t *testing.T) { manyRefusals(t, 200, encrypted) }) // each with a connection of its own at first
}

func manyRefusals(t *testing.T, callers int, start func(*httptest.Server)) {
	r, a := newRig(t), newAPI(t, start)
	id := r.login()
	a.refuses(r.token(id, tokenward.TokenRequest{}))
	r.tenant.Reset()
	c := &http.Client{Transport: r.client.Session(id).Transport(tokenward.TokenRequest{}, a.Client().Transport, a.URL)}
	var all sync.WaitGroup
	bodies := make([]string, callers)
	for i := range callers {
		text := make([]byte, 4096)
		_, _ = rand.Read(text)
		bodies[i] = string(text)
		all.Go(func() {
			var body io.Reader = strings.NewReader(bodies[i])
			want := http.StatusOK
			if i%2 == 1 { // cannot be read again
				body, want = io.LimitReader(body, 1<<20), http.StatusUnauthorized
			}
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s/%d", a.URL, i), body)
			if status, err := do(c, req); err != nil || status != want && status != http.StatusOK {
				t.Errorf("request %d: %d, %v; want %d", i, status, err, want)
			}
		})
	}
	all.Wait()
	r.want("refreshes", r.tenant.Refreshes(), 1)
	times := make(map[string]int)
	for _, req := range a.requests() {
		var i int
		if _, err := fmt.Sscanf(req.path, "/%d", &i); err != nil || req.body != bodies[i] {
			t.Fatalf("request %s came with another body (%v)", req.path, err)
		}
		if times[req.path]++; times[req.path] > 2-i%2 {
			t.Fatalf("request %s came %d times", req.path, times[req.path])
		}
	}
	r.want("requests", len(times), callers)
}

// A body that can be had again is sent again byte for byte, over HTTP/1.1 and HTTP/2, also where the server refuses it
// unread; one that cannot is answered with the refusal.
func TestTransport_bodiesAreSentAgainWholeOrNotAtAll(t *testing.T) {
	text := make([]byte, 1<<20)
	_, _ = rand.Read(text)
	sum := sha256.Sum256(text)
	for name, start := range map[string]func(*httptest.Server){"HTTP/1.1": unencrypted, "HTTP/2": encrypted} {
		for _, tt := range []struct {
			name     string
			unread   bool // the server refuses before it reads the body
			getBody  func() (io.ReadCloser, error)
			statuses int
			requests int
		}{
			{"read", false, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(text))), nil }, 200, 2},
			{"unread", true, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(text))), nil }, 200, 2},
			{"no GetBody", false, nil, 401, 1},
			{"GetBody fails", false, func() (io.ReadCloser, error) { return nil, errors.New("gone") }, 401, 1},
		} {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				r := newRig(t)
				var bodies []string
				var requests int
				id := r.login()
				refused := r.token(id, tokenward.TokenRequest{})
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					requests++ // one after the other
					is := req.Header.Get("Authorization") == "Bearer "+refused.AccessToken
					if is && tt.unread {
						refuse(w)
						return
					}
					body, err := io.ReadAll(req.Body)
					if err == nil {
						bodies = append(bodies, string(body))
					}
					if is {
						refuse(w)
					}
				}))
				start(srv)
				defer srv.Close()
				r.tenant.Reset()
				c := &http.Client{Transport: r.client.Session(id).Transport(tokenward.TokenRequest{}, srv.Client().Transport, srv.URL)}
				closed := &closeCounter{Reader: strings.NewReader(string(text))}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, closed)
				req.ContentLength, req.GetBody = int64(len(text)), tt.getBody
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != tt.statuses || err != nil || resp.StatusCode == 401 && string(answer) != "refused\n" {
					t.Errorf("status %d, %q, %v; want %d", resp.StatusCode, answer, err, tt.statuses)
				}
				r.want("requests", requests, tt.requests)
				for _, body := range bodies {
					if sha256.Sum256([]byte(body)) != sum {
						t.Errorf("a body of %d bytes came changed", len(body))
					}
				}
				// What cannot be sent again has its token refreshed all the same: the caller's next try has the new one.
				r.want("refreshes", r.tenant.Refreshes(), 1)
				if !closed.closed.Load() {
					t.Error("the body was not closed")
				}
			})
		}
	}
}

type closeCounter struct {
	io.Reader
	closed atomic.Bool
}

func (c *closeCounter) Close() error { c.closed.Store(true); return nil }

// The second answer counts, whatever it is, and within 30 seconds no third request asks for another refresh.
func TestTransport_theSecondRefusalIsTheAnswer(t *testing.T) {
	r, a := newRig(t), newAPI(t, unencrypted)
	id := r.login()
	long := strings.Repeat("long ", 4000)
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", invalidToken)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, long)
	}
	c := r.client.Session(id).Client(tokenward.TokenRequest{}, a.URL)
	for _, want := range []int{2, 3, 4} { // requests in all
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL, http.NoBody)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || err != nil || string(answer) != long {
			t.Errorf("status %d, %d bytes, %v", resp.StatusCode, len(answer), err)
		}
		r.want("requests", len(a.requests()), want)
		r.want("refreshes", r.tenant.Refreshes(), 1)
	}
}

// An answer that does not refuse the token is passed on, and so is a refusal for which no other token can be had. Where the user must
// sign in again, the error says so.
func TestTransport_otherAnswersAreReturned(t *testing.T) {
	for _, tt := range []struct {
		name       string
		challenge  string
		fault      *idptest.Fault
		refreshes  int
		code       tokenward.Code
		statusCode int
	}{
		{"no challenge", "", nil, 0, "", 401},
		{"another error", `Bearer error="insufficient_scope"`, nil, 0, "", 401},
		{"another scheme", `DPoP error="invalid_token"`, nil, 0, "", 401},
		{"the provider is away", invalidToken, ptr(idptest.Status(503).Always()), 1, "", 401},
		{"the provider refuses", invalidToken, ptr(idptest.OAuthError("invalid_grant", "").Always()), 1, "refresh_token_error", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, a := newRig(t), newAPI(t, unencrypted)
			id := r.login()
			if tt.fault != nil {
				r.tenant.Script(idptest.Refresh, *tt.fault)
			}
			a.answer = func(w http.ResponseWriter, _ *http.Request) {
				if tt.challenge != "" {
					w.Header().Set("WWW-Authenticate", tt.challenge)
				}
				w.WriteHeader(http.StatusUnauthorized)
			}
			status, err := get(t.Context(), r.client.Session(id).Client(tokenward.TokenRequest{}, a.URL), a.URL)
			if status != tt.statusCode || tokenward.CodeOf(err) != tt.code || tt.code != "" && !tokenward.LoginRequired(err) {
				t.Errorf("%d, %v", status, err)
			}
			if err != nil {
				if found := r.tenant.SecretsIn(err.Error()); len(found) > 0 {
					t.Errorf("the error shows %q", found)
				}
			}
			r.want("requests", len(a.requests()), 1)
			r.want("refreshes", r.tenant.Refreshes(), tt.refreshes)
		})
	}
}

func ptr[T any](v T) *T { return &v }

// A base may answer without a body, or not at all.
func TestTransport_aBaseWithoutBodies(t *testing.T) {
	r := newRig(t)
	h := r.client.Session(r.login())
	refused := &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {invalidToken}}}
	for _, answer := range []*http.Response{refused, nil} {
		transport := h.Transport(tokenward.TokenRequest{}, roundTripper(func(*http.Request) (*http.Response, error) {
			if answer == nil {
				return nil, errors.New("away")
			}
			bare := *answer
			return &bare, nil
		}), "https://a.example")
		status, err := get(t.Context(), &http.Client{Transport: transport}, "https://a.example")
		if want := answer != nil; (status == http.StatusUnauthorized) != want || (err == nil) != want {
			t.Errorf("%d, %v", status, err)
		}
	}
}

// A server that closes the connection within its refusal has the request sent again all the same. A refusal that is the
// answer comes as it was sent.
func TestTransport_theRefusalIsCutOff(t *testing.T) {
	r := newRig(t)
	id := r.login()
	refused := "Bearer " + r.token(id, tokenward.TokenRequest{}).AccessToken
	a := newAPI(t, unencrypted)
	a.answer = func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/always" || req.Header.Get("Authorization") == refused {
			w.Header().Set("WWW-Authenticate", invalidToken)
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "half of")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	c := &http.Client{Transport: r.client.Session(id).Transport(tokenward.TokenRequest{}, a.Client().Transport, a.URL)}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL, strings.NewReader("the body"))
	if status, err := do(c, req); status != http.StatusOK || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	r.want("requests", len(a.requests()), 2)
	for _, req := range a.requests() {
		if req.body != "the body" {
			t.Errorf("body %q", req.body)
		}
	}
	resp, err := c.Get(a.URL + "/always")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); string(text) != "half of" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the refusal: %q, %v", text, err)
	}
}

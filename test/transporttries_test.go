package test_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// tries is a base that refuses the first try, and notes what it is given.
type tries struct {
	sent    int
	refusal closeCounter
	refused func() // is called as the first is answered
	early   bool   // the second came before the refusal was closed
}

func (b *tries) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	if b.sent++; b.sent > 1 {
		b.early = b.early || !b.refusal.closed.Load()
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}
	b.refusal.Reader = strings.NewReader("refused")
	if b.refused != nil {
		b.refused()
	}
	return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {invalidToken}}, Body: &b.refusal}, nil
}

// post returns a request with a body that can be had once more, and that body.
func post(ctx context.Context) (req *http.Request, again *closeCounter) {
	again = &closeCounter{Reader: strings.NewReader("body")}
	req, _ = http.NewRequestWithContext(ctx, http.MethodPost, "https://a.example/orders", io.NopCloser(strings.NewReader("body")))
	req.GetBody = func() (io.ReadCloser, error) { return again, nil }
	return req, again
}

// The first answer is closed before the second request is sent, and the request stays as it was.
func TestTransport_betweenTheTries(t *testing.T) {
	r, base := newRig(t), &tries{}
	transport := r.client.Session(r.login()).Transport(tokenward.TokenRequest{}, base, "https://a.example")
	req, _ := post(t.Context())
	body := req.Body
	resp, err := transport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Request != req {
		t.Fatalf("%v, %v", resp, err)
	}
	r.want("requests", base.sent, 2)
	if base.early {
		t.Error("the second request was sent before the first answer was closed")
	}
	if len(req.Header) != 0 || req.Body != body || req.URL.String() != "https://a.example/orders" || req.Host != "a.example" {
		t.Errorf("the request was changed: %v", req)
	}
}

// A caller who leaves between the tries gets the context's error. Nothing more is sent, and both bodies are closed.
func TestTransport_theCallerLeavesBetweenTheTries(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	base := &tries{refused: cancel}
	req, again := post(ctx)
	resp, err := r.client.Session(r.login()).Transport(tokenward.TokenRequest{}, base, "https://a.example").RoundTrip(req)
	if resp != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", resp, err)
	}
	r.settle()
	r.want("requests", base.sent, 1)
	if !base.refusal.closed.Load() || !again.closed.Load() {
		t.Errorf("closed: the answer %v, the second body %v", base.refusal.closed.Load(), again.closed.Load())
	}
}

// A session that ends at its ceiling while the refused token is refreshed sends nothing more.
func TestTransport_theCeilingBetweenTheTries(t *testing.T) {
	r, base := newRig(t), &tries{}
	id := r.login(until(35 * time.Second)) // nearer than a request's deadline
	hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	done := make(chan error)
	req, again := post(t.Context())
	go func() {
		_, err := r.client.Session(id).Transport(tokenward.TokenRequest{}, base, "https://a.example").RoundTrip(req)
		done <- err
	}()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(5 * time.Second)
	hold.Release()
	r.wantCode("at the ceiling", <-done, "session_expired")
	r.want("requests", base.sent, 1)
	if !base.refusal.closed.Load() || !again.closed.Load() {
		t.Errorf("closed: the answer %v, the second body %v", base.refusal.closed.Load(), again.closed.Load())
	}
}

// Many users, whose tokens are refused all at once, share one transport: each has one refresh, and its requests come with its
// own tokens alone.
func TestTransport_eachUserHasItsOwnToken(t *testing.T) {
	r, a := newRig(t, withTenant(idptest.WithOpaqueTokens())), newAPI(t, unencrypted)
	const users, requests = 100, 5
	ids, owner := make([]string, users), make(map[string]int)
	for i := range ids {
		ids[i] = r.login(idptest.Claims{"sub": fmt.Sprint("user ", i)})
		token := r.token(ids[i], tokenward.TokenRequest{})
		owner["Bearer "+token.AccessToken] = i
		a.refuses(token)
	}
	r.tenant.Reset()
	c := r.client.ContextSession().Client(tokenward.TokenRequest{}, a.URL)
	var all sync.WaitGroup
	for i := range users * requests {
		user := i % users
		all.Go(func() {
			ctx := tokenward.ContextWith(t.Context(), tokenward.SessionID(ids[user]))
			if status, err := get(ctx, c, fmt.Sprintf("%s/%d", a.URL, user)); status != http.StatusOK || err != nil {
				t.Errorf("user %d: %d, %v", user, status, err)
			}
		})
	}
	all.Wait()
	r.want("refreshes", r.tenant.Refreshes(), users)
	for i := range ids {
		owner["Bearer "+r.token(ids[i], tokenward.TokenRequest{}).AccessToken] = i
	}
	for _, req := range a.requests() {
		if i, known := owner[req.authorization]; !known || req.path != fmt.Sprintf("/%d", i) {
			t.Fatalf("the request %s came with a token of user %d (known: %v)", req.path, i, known)
		}
	}
}

package test_test

import (
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
)

func TestSessionOf(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	if h, err := r.client.SessionOf(t.Context(), b.options()); h != nil {
		t.Errorf("before the login: a handle, want none")
	} else {
		r.wantCode("before the login", err, "missing_refresh_token")
	}
	b.login()
	o := b.options()
	h, err := r.client.SessionOf(t.Context(), o)
	if err != nil {
		t.Fatalf("after the login: %v", err)
	}
	ctx := tokenward.ContextWith(t.Context(), o)
	inContext, err := r.client.SessionOf(ctx, tokenward.StoreOptions{})
	if err != nil {
		t.Fatalf("after the login, by the context: %v", err)
	}
	want, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*tokenward.Handle{h, inContext, r.client.ContextSession()} {
		if got, err := h.GetAccessToken(ctx, tokenward.TokenRequest{}); err != nil || got != want {
			t.Errorf("by the handle: %v, %v; want %v", got, err, want)
		}
	}
}

// A handle of the context is of another session in each call, and keeps none of them.
func TestContextSession(t *testing.T) {
	r := newRig(t)
	first, other := r.login(), r.login()
	h := r.client.ContextSession()
	for range 2 {
		for _, id := range []string{first, other} {
			ctx := tokenward.ContextWith(t.Context(), tokenward.SessionID(id))
			if got, err := h.GetAccessToken(ctx, tokenward.TokenRequest{}); err != nil || got != r.token(id, tokenward.TokenRequest{}) {
				t.Errorf("GetAccessToken = %v, %v; want the session's", got, err)
			}
			if s, err := h.GetSession(ctx); err != nil || s == nil {
				t.Errorf("GetSession = %v, %v", s, err)
			}
		}
	}
	_, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{})
	if e := asError[*tokenward.InvalidArgumentError](t, "without a context", err, "invalid_argument"); e != nil && !strings.Contains(e.Message, "Attach and Require") {
		t.Errorf("the error does not name the middleware: %v", err)
	}
}

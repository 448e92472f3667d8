package test_test

import (
	"testing"

	"github.com/tokenward/tokenward"
)

func TestSessionOf(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	if h := r.client.SessionOf(t.Context(), b.options()); h != nil {
		t.Errorf("before the login: a handle, want none")
	}
	b.login()
	o := b.options()
	h := r.client.SessionOf(t.Context(), o)
	inContext := r.client.SessionOf(tokenward.ContextWith(t.Context(), o), tokenward.StoreOptions{})
	if h == nil || inContext == nil {
		t.Fatalf("after the login: handles %v and %v, want two", h, inContext)
	}
	want, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*tokenward.Handle{h, inContext} {
		if got, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); err != nil || got != want {
			t.Errorf("by the handle: %v, %v; want %v", got, err, want)
		}
	}
}

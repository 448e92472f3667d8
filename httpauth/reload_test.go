package httpauth_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// A callback that is loaded again leads to where its login led, for as long as the session that it made
// lives, and in the browser that has this session.
func TestCallback_loadedAgain(t *testing.T) {
	s := newSignedIn(t)
	back := s.start("?return_to=/cart%3Fitem%3D1")
	copied := maps.Clone(s.cookies)
	for i := range 3 {
		w := s.get(back)
		if got := w.Header().Get("Location"); w.Code != http.StatusFound || got != "/cart?item=1" {
			t.Errorf("time %d: %d to %q", i+1, w.Code, got)
		}
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != 2 {
		t.Errorf("codes sent = %d, want one for each login", n)
	}
	if w := s.send(http.MethodGet, back, nil); w.Code != http.StatusBadRequest || codeIn(w.Body.String()) != "missing_transaction_error" {
		t.Errorf("a program: %d %s, want 400 missing_transaction_error", w.Code, w.Body)
	}
	thief := newVisitor(s.handler, s.base)
	checkPage(t, "another browser", thief.get(back), http.StatusBadRequest, "missing_transaction_error")
	thief.cookies = copied
	checkPage(t, "the cookies of before the login", thief.get(back), http.StatusBadRequest, "missing_transaction_error")

	if w := s.get("/auth/logout"); w.Code != http.StatusFound {
		t.Fatalf("logout: %d %s", w.Code, w.Body)
	}
	checkPage(t, "after the logout", s.get(back), http.StatusBadRequest, "missing_transaction_error")
}

// A form that is posted again, too.
func TestFormPost_loadedAgain(t *testing.T) {
	s := newSignedIn(t)
	form := s.form()
	for i := range 2 {
		w := s.send(http.MethodPost, "/auth/callback", form, "Accept", "text/html")
		if i == 1 { // first the page that posts the form from this site
			w = s.send(http.MethodPost, "/auth/callback", formIn(w.Body.String()), "Accept", "text/html")
		}
		if got := w.Header().Get("Location"); w.Code != http.StatusFound || got == "" {
			t.Errorf("time %d: %d to %q: %s", i+1, w.Code, got, w.Body)
		}
	}
}

// A store that does not answer before the code is sent: 503 and when to come again, and the reload completes
// the login.
func TestCallback_storeDownThenReloaded(t *testing.T) {
	const base = "https://app.example"
	tenant := idptest.NewTenant(t, idptest.InProcess(), idptest.WithClient(idptest.ClientID, idptest.ClientSecret, base+"/auth/callback"))
	states := storetest.NewFaulty(store.NewMemory(nil, store.Shared()))
	client, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: base + "/auth/callback",
	}, tokenward.WithLogger(zap.NewNop()), tokenward.WithHTTPClient(tenant.Client()), tokenward.WithStateStore(states))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is under way
	h, mux := newHandlers(t, client, base), http.NewServeMux()
	if err := h.Register(mux, "/auth"); err != nil {
		t.Fatal(err)
	}
	v := newVisitor(mux, base)
	back, err := tenant.Authorize(v.get("/auth/login").Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	back = strings.TrimPrefix(back, base)
	states.Fail(storetest.OpBegin, 1)
	w := v.get(back)
	checkPage(t, "the store is down", w, http.StatusServiceUnavailable, "Reload this page", "store_error")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if w := v.get(back); w.Code != http.StatusFound {
		t.Errorf("reloaded: %d %s", w.Code, w.Body)
	}
	if n := tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("codes sent = %d, want 1", n)
	}
}

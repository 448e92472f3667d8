package httpauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// One server, two tenants with hosts and registrations of their own at one issuer: handlers for each host share a client.
func TestRegistrations_byHost(t *testing.T) {
	tenant := idptest.NewTenant(t, idptest.InProcess(),
		idptest.WithClient("red-id", "red secret", "https://red.example/auth/callback"),
		idptest.WithClient("blue-id", "blue secret", "https://blue.example/auth/callback"))
	client, err := tokenward.New(tokenward.Config{
		RegistrationResolver: func(_ context.Context, o store.Options) (tokenward.Registration, error) {
			name, _, ok := strings.Cut(o.Request.Host, ".")
			if !ok {
				return tokenward.Registration{}, errors.New("no tenant")
			}
			return tokenward.Registration{Issuer: tenant.Issuer(), ClientID: name + "-id", RedirectURI: "https://" + name + ".example/auth/callback"}, nil
		},
		Credentials: func(_ context.Context, _, clientID string) (tokenward.Credentials, error) {
			return tokenward.Credentials{ClientSecret: strings.TrimSuffix(clientID, "-id") + " secret"}, nil
		},
		Secrets: []string{"a secret of at least thirty-two bytes"},
	}, tokenward.WithLogger(zap.NewNop()), tokenward.WithHTTPClient(tenant.Client()), tokenward.WithCookies(tokenward.Cookies{Secure: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is under way
	visitors := map[string]*visitor{}
	for _, name := range []string{"red", "blue"} {
		base := "https://" + name + ".example"
		h, mux := newHandlers(t, client, base), http.NewServeMux()
		if err := h.Register(mux, "/auth"); err != nil {
			t.Fatal(err)
		}
		mux.Handle("/", h.Require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := client.GetAccessToken(r.Context(), tokenward.TokenRequest{}, tokenward.StoreOptions{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})))
		v := newVisitor(mux, base)
		visitors[name] = v
		to := v.get("/auth/login").Header().Get("Location")
		back, err := tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		if u, _ := url.Parse(to); u.Query().Get("client_id") != name+"-id" || !strings.HasPrefix(back, base+"/auth/callback?") {
			t.Errorf("%s: %s, and back to %s", name, to, back)
		}
		if w := v.get(strings.TrimPrefix(back, base)); w.Code != http.StatusFound {
			t.Fatalf("%s: callback: %d %s", name, w.Code, w.Body)
		}
		if got := tenant.LastForm(idptest.CodeExchange).Get("client_id"); got != name+"-id" {
			t.Errorf("%s: the code was sent by %s", name, got)
		}
		if w := v.get("/"); w.Code != http.StatusOK {
			t.Errorf("%s: signed in: %d", name, w.Code)
		}
	}
	// A cookie of one host is worth nothing at the other.
	thief := newVisitor(visitors["blue"].handler, "https://blue.example")
	thief.cookies = visitors["red"].cookies
	if w := thief.get("/"); w.Code == http.StatusOK {
		t.Error("red's cookie opens blue's site")
	}
	token := tenant.LogoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["aud"] = "blue-id" })
	if w := visitors["red"].send(http.MethodPost, "/auth/backchannel-logout", url.Values{"logout_token": {token}}); w.Code != http.StatusOK {
		t.Errorf("back-channel logout: %d %s", w.Code, w.Body)
	}
	if w := visitors["blue"].get("/"); w.Code == http.StatusOK {
		t.Error("blue's session lives on")
	}
	if w := visitors["red"].get("/"); w.Code != http.StatusOK {
		t.Error("red's session has ended")
	}
	w := visitors["red"].get("/auth/logout")
	if u, _ := url.Parse(w.Header().Get("Location")); u == nil || u.Query().Get("client_id") != "red-id" {
		t.Errorf("logout: %d to %s", w.Code, w.Header().Get("Location"))
	}
}

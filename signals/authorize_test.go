package signals_test

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/signals"
)

// Where no token of one of Callers comes, the host says who calls: whose users that is, 403 by ErrForbidden, 401 by another error.
func TestLogout_theHostSaysWhoCalls(t *testing.T) {
	for name, tt := range map[string]struct {
		issuers func(r *rig) []string
		err     error
		want    int
		living  int
	}{
		"this issuer's":    {func(r *rig) []string { return []string{r.tenant.Issuer()} }, nil, http.StatusNoContent, 1},
		"another issuer's": {func(*rig) []string { return []string{"https://other.example/"} }, nil, http.StatusForbidden, 2},
		"nobody's":         {nil, signals.ErrForbidden, http.StatusForbidden, 2},
		"unknown":          {nil, errors.New("no such password"), http.StatusUnauthorized, 2},
	} {
		r := newRigWith(t, "ES256")
		r.login(ada, "phone")
		r.login(bob, "desk")
		logout, err := signals.NewLogout(r.client, signals.LogoutConfig{
			Authorize: func(*http.Request) ([]string, error) {
				if tt.issuers == nil {
					return nil, tt.err
				}
				return tt.issuers(r), nil
			},
			HTTPClient: r.tenant.Client(), Clock: r.clock, Logger: r.logger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		body := named(idptest.Claims{"format": "iss_sub", "iss": r.tenant.Issuer(), "sub": ada})
		if got := r.answer(serve(logout, http.MethodPost, "application/json", "Basic x", body)); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
		if living := r.living(); len(living) != tt.living || !slices.Contains(living, "desk") {
			t.Errorf("%s: %v live", name, living)
		}
		logout.Close()
	}
}

// Issuers that can be none are refused at once: else each event would be accepted, or come again, and end nothing.
func TestNew_issuersThatAreNone(t *testing.T) {
	r := newRig(t)
	for _, issuer := range []string{"", "auth0|ada", "ftp://tenant.example/", "http://tenant.example/", "https://user@tenant.example/", "https://tenant.example/?x"} {
		var wrong *tokenward.ConfigurationError
		issuers := []string{r.tenant.Issuer(), issuer}
		if _, err := signals.NewReceiver(r.client, signals.Config{Issuer: r.tenant.Issuer(), Audience: "x", Issuers: issuers}); !errors.As(err, &wrong) {
			t.Errorf("a receiver of %q: %v", issuer, err)
		}
		callers := []signals.Caller{{Issuer: r.tenant.Issuer(), Issuers: issuers}}
		if _, err := signals.NewLogout(r.client, signals.LogoutConfig{Audience: logoutURL, Callers: callers}); !errors.As(err, &wrong) {
			t.Errorf("a logout of %q: %v", issuer, err)
		}
		if _, err := signals.NewReceiver(r.client, signals.Config{Issuer: cmp.Or(issuer, "x y"), Audience: "x"}); !errors.As(err, &wrong) {
			t.Errorf("a transmitter %q: %v", issuer, err)
		}
		if _, err := signals.NewLogout(r.client, signals.LogoutConfig{Audience: logoutURL, Callers: []signals.Caller{{Issuer: issuer}}}); !errors.As(err, &wrong) {
			t.Errorf("a caller %q: %v", issuer, err)
		}
	}
	domain := []string{"tenant.example"}
	receiver, err := signals.NewReceiver(r.client, signals.Config{Issuer: r.tenant.Issuer(), Audience: "x", Issuers: domain, HTTPClient: r.tenant.Client()})
	if err != nil {
		t.Fatal("a domain:", err)
	}
	receiver.Close()
}

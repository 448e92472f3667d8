package main

import (
	"cmp"
	"context"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
)

// The client that the fake tenant knows.
const (
	demoID     = "demo"
	demoSecret = "demo-secret"
)

// runTenant runs only the fake tenant until ctx ends.
func runTenant(ctx context.Context, s settings, stdout io.Writer) (int, error) {
	t, err := idptest.New(append(s.playing(), idptest.WithAddress(s.tenant), idptest.WithIssuer(s.issuer), idptest.WithClient(demoID, demoSecret))...)
	if err != nil {
		return exitUsage, fmt.Errorf("-tenant: %w", err)
	}
	defer t.Close()
	fmt.Fprintf(stdout, "tenant on http://%s\n", t.Address())
	<-ctx.Done()
	return exitOK, nil
}

// playing makes a tenant play -provider, if there is one.
func (s settings) playing() []idptest.Option {
	if p, ok := idptest.ProfileNamed(s.provider); ok {
		return []idptest.Option{idptest.WithProfile(p)}
	}
	return nil
}

// startProfile starts a tenant that plays -provider for the application alone, and returns how
// that is configured.
func startProfile(s settings, redirectURI string) (*idptest.Tenant, *providers.Setup, error) {
	t, err := idptest.New(append(s.playing(), idptest.WithRedirectURI(redirectURI))...)
	if err != nil {
		return nil, nil, fmt.Errorf("the fake tenant: %w", err)
	}
	p, _ := idptest.ProfileNamed(s.provider)
	setup := providers.For(p, t)
	return t, &setup, nil
}

// startTenant starts a fake tenant for the application alone, and says so in s. It knows
// the client by what s says, else as -tenant does: one with a secret, unless it authenticates by a key or not at all.
func startTenant(s *settings, redirectURI string) (*idptest.Tenant, error) {
	s.clientID = cmp.Or(s.clientID, demoID)
	if s.signingKey == "" && s.clientAuth != "none" {
		s.clientSecret = cmp.Or(s.clientSecret, demoSecret)
	}
	who := idptest.WithClient(s.clientID, s.clientSecret, redirectURI)
	if s.signingKey != "" {
		text, err := os.ReadFile(s.signingKey)
		if err != nil {
			return nil, fmt.Errorf("-signing-key: %w", err)
		}
		key, err := idp.ParseSigningKey(text)
		if err != nil {
			return nil, fmt.Errorf("-signing-key: %s: %w", s.signingKey, err)
		}
		pair, ok := key.(interface{ Public() crypto.PublicKey })
		if !ok {
			return nil, fmt.Errorf("-signing-key: %s: the fake tenant does not know this kind of key", s.signingKey)
		}
		who = idptest.WithClientKey(s.clientID, pair.Public(), redirectURI)
	}
	t, err := idptest.New(who)
	if err != nil {
		return nil, fmt.Errorf("the fake tenant: %w", err)
	}
	s.issuer = t.Issuer()
	return t, nil
}

// maxTenantTime bounds what the fake tenant's controls take.
const maxTenantTime = 24 * time.Hour

type tenantAnswer struct {
	Ceiling   int64 `json:"ceiling"`    // of the next login, in seconds since the Unix epoch; 0 for none
	TokenLife int64 `json:"token_life"` // in seconds; 0 where it was not changed
}

// controlTenant sets how long the fake tenant's access tokens live from now on, and how far away the ceiling
// of its next login is (none where it is left out). Both are durations as Go writes them.
func (a *app) controlTenant(w http.ResponseWriter, r *http.Request) {
	if a.tenant == nil {
		writeProblem(w, http.StatusNotFound, "not_found", "the provider is not the demo's own fake tenant")
		return
	}
	query := r.URL.Query()
	var ceiling, life time.Duration
	for name, d := range map[string]*time.Duration{"ceiling": &ceiling, "token_life": &life} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		var err error
		if *d, err = time.ParseDuration(text); err != nil || *d < time.Second || *d > maxTenantTime {
			writeProblem(w, http.StatusBadRequest, "invalid_argument", name+" must be a duration from 1s to 24h, like 2m")
			return
		}
	}
	var answer tenantAnswer
	var claims idptest.Claims
	if ceiling > 0 {
		answer.Ceiling = clock.System().Now().Add(ceiling).Unix()
		claims = idptest.Claims{"session_expiry": answer.Ceiling}
	}
	a.tenant.NextLogin(claims)
	if life > 0 {
		answer.TokenLife = int64(life.Seconds())
		a.tenant.Set(idptest.WithTokenLife(life))
	}
	writeJSON(w, http.StatusOK, answer)
}

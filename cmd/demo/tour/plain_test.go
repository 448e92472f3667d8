package tour

import (
	"context"
	"errors"
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// plainScene is a scene with a user of the plain client whose access token has expired.
func plainScene(t *testing.T) (*scene, account) {
	t.Helper()
	s, err := open(clock.System())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var err error
		if s.close(&err); err != nil {
			t.Error(err)
		}
	})
	s.tenant.Script(idptest.CodeExchange, idptest.ExpiresIn(0).Times(1))
	who, err := s.signInPlain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, who
}

// The plain client is a fair one: what singleflight and a session store can do, it does.
func TestPlainClient_sharesARefreshByAudience(t *testing.T) {
	tests := []struct {
		name      string
		audiences []string // of the callers, who all wait while the first requests are held
		requests  int
		served    int
		reuses    int
		alive     bool
	}{
		{"one caller", []string{""}, 1, 1, 0, true},
		{"callers of one audience", []string{"", "", "", ""}, 1, 4, 0, true},
		{"callers of another audience", []string{"a", "a", "a"}, 1, 3, 0, true},
		{"two audiences at once spend one refresh token twice", []string{"a", "b", "a", "b"}, 2, 2, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, who := plainScene(t)
			hold := s.tenant.Hold(idptest.Refresh.Of(who.subject), idptest.BeforeGrant)
			defer hold.Release()
			waiting := newLineup(len(tt.audiences))
			gather := launch(len(tt.audiences), func(i int) (string, error) {
				return s.plain.accessToken(waiting.caller(t.Context()), who.id, tt.audiences[i])
			})
			if err := errors.Join(waiting.wait(t.Context()), hold.Wait(t.Context(), tt.requests)); err != nil {
				t.Fatal(err)
			}
			hold.Release()
			a := gather()
			f := s.tenant.Family(who.subject)
			if got := s.refreshes(who); got != tt.requests {
				t.Errorf("requests = %d, want %d", got, tt.requests)
			}
			if a.served() != tt.served || f.Reuses != tt.reuses || f.Alive != tt.alive {
				t.Errorf("served, reuses, alive = %d, %d, %t, want %d, %d, %t", a.served(), f.Reuses, f.Alive, tt.served, tt.reuses, tt.alive)
			}
		})
	}
}

func TestPlainClient_savesTheRotatedToken(t *testing.T) {
	s, who := plainScene(t)
	for _, audience := range []string{"", "a", "b", "a", ""} { // in turn
		if _, err := s.plain.accessToken(t.Context(), who.id, audience); err != nil {
			t.Fatalf("audience %q: %v", audience, err)
		}
	}
	if f := s.tenant.Family(who.subject); s.refreshes(who) != 3 || f.Reuses != 0 || !f.Alive {
		t.Errorf("requests, reuses, alive = %d, %d, %t, want 3, 0, true", s.refreshes(who), f.Reuses, f.Alive)
	}
}

// A caller that read the state before a flight ended, and joins one after it, finds the token.
func TestPlainClient_readsTheStateAgainInTheFlight(t *testing.T) {
	s, who := plainScene(t)
	first, err := s.plain.accessToken(t.Context(), who.id, "")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.plain.refresh(t.Context(), who.id, "")
	if err != nil || again != first {
		t.Errorf("the second flight got another token, or %v; want that of the first", err)
	}
	if got := s.refreshes(who); got != 1 {
		t.Errorf("requests = %d, want 1", got)
	}
}

func TestPlainClient_firstCallerCancels(t *testing.T) {
	for _, tt := range []struct {
		detached bool
		served   int
	}{{false, 0}, {true, 5}} {
		s, who := plainScene(t)
		s.plain.detached = tt.detached
		c, err := s.cancelFirstPlain(t.Context(), who, 5)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(c.first, context.Canceled) || c.others.served() != tt.served {
			t.Errorf("detached %t: first %v, others served %d; want context.Canceled, %d", tt.detached, c.first, c.others.served(), tt.served)
		}
	}
}

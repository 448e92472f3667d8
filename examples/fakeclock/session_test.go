package fakeclock

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/tokenwardtest"
)

// A hundred requests find the same expired token. They cost one refresh.
func TestManyRequestsOneRefresh(t *testing.T) {
	s := tokenwardtest.SignIn(t)
	s.Clock.Advance(idptest.TokenLife)
	s.Tenant.Reset() // counts from zero
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.Tenant.Refreshes(); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// The provider wants the session to end in eight hours. It does, thirty seconds early, though no request comes.
func TestTheSessionEndsByItself(t *testing.T) {
	s := tokenwardtest.SignIn(t, tokenwardtest.Ceiling(8*time.Hour))
	s.Clock.Advance(8*time.Hour - 31*time.Second)
	if user, err := s.Client.GetUser(t.Context(), s.Session()); user == nil || err != nil {
		t.Fatalf("a moment before: %v, %v", user, err)
	}
	s.Clock.Advance(time.Second)
	if err := s.Client.Settle(t.Context()); err != nil { // all that follows from the new time has happened
		t.Fatal(err)
	}
	if n := s.Client.Stats().Ceilings; n != 1 {
		t.Errorf("%d sessions ended by their ceiling, want 1", n)
	}
	_, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session())
	if !errors.Is(err, tokenward.ErrSessionExpired) || !tokenward.LoginRequired(err) {
		t.Errorf("afterwards: %v, want that the session has expired", err)
	}
}

// The provider is away for a moment: the error says whether to try again or to sign in.
func TestTheProviderIsAway(t *testing.T) {
	s := tokenwardtest.SignIn(t)
	s.Clock.Advance(idptest.TokenLife)
	s.Tenant.Script(idptest.Refresh, idptest.Status(503))
	_, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session())
	if err == nil || tokenward.LoginRequired(err) {
		t.Errorf("err = %v, want one for which the user need not sign in again", err)
	}
	if _, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session()); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

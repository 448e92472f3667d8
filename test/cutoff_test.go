package test_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// A request that was cut off may have rotated the refresh token: only the provider knows.
func TestClose_namesASessionWhoseRequestWasCutOff(t *testing.T) {
	r := newRig(t)
	id, quiet := r.login(), r.login()
	r.clock.Advance(idptest.TokenLife)
	hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	defer hold.Release()
	c, err := tokenward.New(r.cfg, tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(r.clock), tokenward.WithStateStore(r.store), tokenward.WithHTTPClient(r.tenant.Client()))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
		done <- err
	}()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetUser(t.Context(), tokenward.SessionID(quiet)); err != nil {
		t.Fatal(err)
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	err = c.Close(now)
	var cut *tokenward.CloseError
	if want := []tokenward.Key{session.KeyOf("_a0_session", id)}; !errors.As(err, &cut) || !slices.Equal(cut.Unsaved, want) {
		t.Errorf("Close = %v, want a CloseError naming %v", err, want)
	}
	if err := <-done; !errors.Is(err, tokenward.ErrClosed) {
		t.Errorf("its caller got %v, want closed", err)
	}
}

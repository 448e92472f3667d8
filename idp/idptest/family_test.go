package idptest_test

import (
	"slices"
	"testing"
)

func TestRotation_eachTokenIsGoodOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		r := a.login(nil)
		for range 3 {
			next := a.refresh(r.str("refresh_token"))
			if next.status != 200 || next.str("refresh_token") == r.str("refresh_token") {
				t.Fatalf("refresh = %d %s, want a new refresh token", next.status, next.raw)
			}
			r = next
		}
		f := a.tenant.Family("auth0|ada")
		if got, want := f.Serials(), []int{0, 1, 2}; !slices.Equal(got, want) {
			t.Errorf("presented = %v, want %v", got, want)
		}
		if n := a.tenant.PeakPerFamily(); n != 1 {
			t.Errorf("peak per family = %d, want 1", n)
		}
	})
}

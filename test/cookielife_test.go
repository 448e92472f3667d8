package test_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// How long a browser keeps a session with a ceiling, at the login and at every renewal. What holds the session itself
// never outlives the ceiling. What holds its id only is not cut short by it: without the id no answer could be that the
// session has expired. Nothing is written once the ceiling is reached.
func TestCookie_lifeOfASessionWithACeiling(t *testing.T) {
	const ceiling = 10 * time.Hour
	lives := map[bool]time.Duration{false: 24 * time.Hour, true: 72 * time.Hour} // by Fixed: unused, absolute
	for _, within := range []bool{false, true} {
		for fixed, life := range lives {
			t.Run(fmt.Sprintf("in cookies %v, fixed %v", within, fixed), func(t *testing.T) {
				cookies := tokenward.WithCookies(tokenward.Cookies{Fixed: fixed})
				r := newRig(t, withClient(cookies))
				if within {
					r = stateless(t, cookies)
				}
				b := newBrowser(r)
				r.tenant.NextLogin(idptest.Claims{"session_expiry": t0.Add(ceiling).Unix()})
				b.login()
				writes := 0
				check := func() {
					t.Helper()
					for _, c := range b.answer.Result().Cookies() {
						if !strings.HasPrefix(c.Name, "_a0_session") || c.MaxAge < 0 {
							continue
						}
						writes++
						kept, left := time.Duration(c.MaxAge)*time.Second, t0.Add(ceiling).Sub(r.clock.Now())
						switch {
						case within && kept > left:
							t.Errorf("%v before the ceiling: %s is kept for %v", left, c.Name, kept)
						case !within && kept != life:
							t.Errorf("%v before the ceiling: %s is kept for %v, want %v", left, c.Name, kept, life)
						}
					}
				}
				check()
				for r.clock.Now().Before(t0.Add(ceiling - time.Minute)) {
					r.clock.Advance(20 * time.Minute)
					r.settle()
					_, _ = b.token() // refreshed, for a token lives shorter than that
					check()
				}
				if want := 1; writes < want || !fixed && writes < 6 {
					t.Errorf("it was written %d times", writes)
				}
				writes = 0
				r.clock.Set(t0.Add(ceiling + time.Hour))
				b.user()
				if check(); writes > 0 {
					t.Error("it was written after the ceiling")
				}
			})
		}
	}
}

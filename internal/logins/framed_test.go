package logins

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Nothing authenticates front-channel requests: however many come, few are remembered, and none pushes a logout token out.
func TestFramed_pushesNoLogoutTokenOut(t *testing.T) {
	var l Logins
	l.Init()
	now, of := time.Unix(1_800_000_000, 0), session.RegistrationID{Issuer: "https://tenant.example/"}
	refused := func(sid string) bool {
		return l.Refuses(now, Login{Of: of, SID: sid, Subject: "sub", IssuedAt: now.Unix()})
	}
	l.Logouts.Remember(now, []session.RegistrationID{of}, Ended{SID: "signed", Until: math.MaxInt64})
	for i := range 2 * maxLogouts {
		l.Framed.Remember(now, []session.RegistrationID{of}, Ended{SID: fmt.Sprint(i), Until: math.MaxInt64})
	}
	if !refused("signed") || !refused(fmt.Sprint(2*maxLogouts-1)) || refused("0") || len(l.Framed.seen) > maxFramed {
		t.Errorf("the signed one %v, the last %v, the first %v, and %d are remembered",
			refused("signed"), refused(fmt.Sprint(2*maxLogouts-1)), refused("0"), len(l.Framed.seen))
	}
}

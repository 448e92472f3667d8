package lookup

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// renew has the token refreshed that s answers q with, where it is due, and this call is the one to see to it. The flight is
// an ordinary one of the session, which the call does not wait for; where one of the query is under way, there is nothing to do.
func (l *Lookup) renew(e *directory.Entry, s *directory.Snapshot, q *session.TokenQuery, token *session.Token, now time.Time, values map[string]any) {
	if !s.ClaimRenewal(token, now) {
		return
	}
	f := directory.NewEarlyFlight(q, values)
	f.Observed = l.Telemetry.NewFlight(context.Background(), q)
	if _, first := e.Join(f, l.MaxFlights); first {
		l.needToken(e, f)
	}
}

package lookup

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// renew has the token that s answers q with refreshed early, where it is due and this call wins the right to ask. The flight is an
// ordinary one of the session, and the call does not wait for it. Where a flight of the query is under way, nothing is done.
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

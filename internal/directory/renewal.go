package directory

import (
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/session"
)

// EarlyRefresh says when tokens in use are refreshed before they expire. The zero value is never.
type EarlyRefresh struct {
	Ahead  time.Duration // how long before the cache stops handing a token out its refresh is due; 0: never
	Buffer time.Duration // how long before its expiry the cache stops handing a token out
}

// Off reports whether no token is refreshed early.
func (r *EarlyRefresh) Off() bool { return r.Ahead <= 0 }

// renewRetry is how long after an early refresh was asked for another may be, for the same token. It is longer than a
// flight and its save may take, by the default limits.
const renewRetry = 30 // seconds

// renewal says when a token is due, and when an early refresh of it may be asked for. It is shared by the snapshots
// that show the token.
type renewal struct {
	due  int64        // in seconds since the Unix epoch
	next atomic.Int64 // when an early refresh may be asked for, in the same unit; 0: at once
}

// Renewing returns s, a new snapshot that is Ready, with the times at which its tokens are due for an early refresh. Those that
// old showed, which may be nil, keep their own.
//
// A token is due when less than Ahead is left, by a random part of up to a quarter later, so that sessions that began together
// are not refreshed together. It is never due before half of its life is over: so that an Ahead that is longer than tokens live
// does not refresh for ever. Its life begins with its IssuedAt, else now. And it is not due at all where the session ends before it.
func (s *Snapshot) Renewing(old *Snapshot, r EarlyRefresh, now time.Time) *Snapshot {
	if r.Off() || s.state == nil || s.state.RefreshToken == "" {
		return s
	}
	list := make([]*renewal, s.Tokens.Len())
	some := false
	for i := range list {
		list[i] = old.renewalOf(s.Tokens.At(i))
		if list[i] == nil {
			list[i] = s.newRenewal(i, r, now)
		}
		some = some || list[i] != nil
	}
	if some {
		s.Outcome = &Outcome{renewals: list}
	}
	return s
}

// newRenewal returns the renewal of the token set i, nil where it is never due.
func (s *Snapshot) newRenewal(i int, r EarlyRefresh, now time.Time) *renewal {
	token := s.Tokens.At(i)
	end := token.ExpiresAt.Add(-r.Buffer)
	from := now
	if issued := s.state.TokenSets[i].IssuedAt; issued > 0 && issued < now.Unix() {
		from = time.Unix(issued, 0)
	}
	ahead := min(r.Ahead, end.Sub(from)/2)
	switch {
	case ahead < time.Second:
		return nil
	case s.Ceiling != 0 && !s.Ceiling.Deadline().After(end), s.EndsAt != 0 && s.EndsAt <= end.Unix():
		return nil // the session ends before a new token would be of use
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(token.AccessToken))
	late := ahead / 4 * time.Duration(h.Sum32()%256) / 256
	return &renewal{due: end.Add(late - ahead).Unix()}
}

// renewalOf returns the renewal of token, nil where there is none.
func (s *Snapshot) renewalOf(token session.Token) *renewal {
	if s == nil || s.renewals == nil {
		return nil
	}
	if i := s.Tokens.Index(&token); i >= 0 {
		return s.renewals[i]
	}
	return nil
}

// Due reports whether token, which s shows, is due for an early refresh at now.
func (s *Snapshot) Due(token *session.Token, now time.Time) bool {
	r := s.renewalOf(*token)
	return r != nil && r.due <= now.Unix()
}

// ClaimRenewal reports whether its caller is the one to ask for an early refresh of token, which s shows: it is due, and
// none was asked for in the last half minute. It takes no lock and allocates nothing.
func (s *Snapshot) ClaimRenewal(token *session.Token, now time.Time) bool {
	if s.renewals == nil {
		return false
	}
	r, at := s.renewalOf(*token), now.Unix()
	if r == nil || at < r.due {
		return false
	}
	next := r.next.Load()
	if at < next && next <= at+renewRetry { // later than that it is of a clock that was set back since
		return false
	}
	return r.next.CompareAndSwap(next, at+renewRetry)
}

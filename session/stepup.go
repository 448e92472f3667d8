package session

import (
	"encoding/json"
	"strconv"
	"time"
)

// claimStepUpAfter is a claim beside those of the ID token: of a user who has to sign in again before what matters: later
// than that second since the Unix epoch. No provider sends it.
const claimStepUpAfter = "tokenward_step_up_after"

// Claims returns the claims of the user, with claimStepUpAfter where a sign-in is asked for. The caller may change them.
func (s *State) Claims() User {
	claims := s.User.Claims()
	if claims == nil {
		return nil
	}
	delete(claims, claimStepUpAfter) // a provider's would be none of ours
	if after := s.Internal.StepUpAfter; after != 0 {
		claims[claimStepUpAfter] = json.Number(strconv.FormatInt(after, 10))
	}
	return claims
}

// StepUpAfter returns the second since the Unix epoch later than which the user has to sign in before what matters, 0 where
// there is no need. It is the claim tokenward_step_up_after, which GetUser adds.
func (u User) StepUpAfter() int64 {
	n, _ := u[claimStepUpAfter].(json.Number)
	after, _ := n.Int64()
	return max(0, after)
}

// WithStepUp returns s with a sign-in asked for that is later than the second after: s itself where one so late is asked for
// already, or was made by now. An auth_time in the future says nothing.
func (s *State) WithStepUp(after int64, now time.Time) *State {
	at, err := s.User.number("auth_time").Float64()
	made := err == nil && at > float64(after) && at <= float64(now.Add(CeilingLeeway).Unix())
	if made || after <= s.Internal.StepUpAfter {
		return s
	}
	next := *s
	next.Internal.StepUpAfter = after
	return &next
}

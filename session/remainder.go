package session

import "slices"

// JoinRemainder returns s with the connection token sets of other, another view of the same session's remainder: of two
// sets for one connection and login hint the one that expires later stays.
func (s *State) JoinRemainder(other *State) *State {
	next := *s
	next.ConnectionTokenSets = slices.Clone(s.ConnectionTokenSets)
	for _, set := range other.ConnectionTokenSets {
		i := slices.IndexFunc(next.ConnectionTokenSets, func(have ConnectionTokenSet) bool {
			return have.Connection == set.Connection && have.LoginHint == set.LoginHint
		})
		switch {
		case i < 0:
			next.ConnectionTokenSets = append(next.ConnectionTokenSets, set)
		case next.ConnectionTokenSets[i].ExpiresAt < set.ExpiresAt:
			next.ConnectionTokenSets[i] = set
		}
	}
	return &next
}

// Named returns what a logout finds the remainder of s by, without any token: the user's sub, the sid, the domain, the
// client id, and when the user signed in.
func (s *State) Named() *State {
	named := &State{
		Domain:   s.SessionDomain(""),
		Internal: Internal{SID: s.Internal.SID, CreatedAt: s.LoggedInAt(), ClientID: s.Internal.ClientID},
	}
	if sub := s.User.Sub(); sub != "" {
		named.User = User{"sub": sub}.Raw()
	}
	return named
}

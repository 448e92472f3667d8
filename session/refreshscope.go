package session

import "cmp"

// RefreshScope returns the scope parameter of a refresh for q, empty where none is sent.
//
// RFC 6749 section 6 lets no refresh ask for more than was granted, and providers that hold to it
// refuse every refresh of a user who granted less than the application is configured to ask
// for. So where the login's answer named fewer scopes than are configured, a refresh for the login's
// audience names none, which means those granted; or, with scopes of the call's own, those
// granted and these. openid and offline_access do not count: many answers leave them out. Auth0
// narrows a grant silently: its sessions have no GrantedScope.
func (s *State) RefreshScope(q *TokenQuery) string {
	if !s.narrowed(q) {
		return q.Scope
	}
	if q.named == "" {
		return ""
	}
	return MergeScopes(s.Internal.GrantedScope, q.named)
}

// narrowed reports whether the user granted less than q's configured scopes.
func (s *State) narrowed(q *TokenQuery) bool {
	i := &s.Internal
	if i.GrantedScope == "" || i.GrantedAudience != q.Key.Audience {
		return false
	}
	granted := ParseScope(i.GrantedScope)
	for _, scope := range q.configured {
		if scope != "openid" && scope != "offline_access" && !granted.Covers(ScopeSet{scope}) {
			return true
		}
	}
	return false
}

// grantOf returns the scope that an answer to a refresh for q has granted when it names none
// (RFC 6749 section 5.1): the scope that was asked for, or for the login's audience the one that the login was granted where none was.
func (s *State) grantOf(q *TokenQuery) string {
	i := &s.Internal
	if asked := s.RefreshScope(q); asked != "" || i.GrantedAudience != q.Key.Audience {
		return asked
	}
	return cmp.Or(i.GrantedScope, i.AskedScope)
}

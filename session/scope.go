package session

import (
	"slices"
	"strings"
)

// ScopeSet is a set of scopes (RFC 6749 section 3.3): sorted, without
// duplicates. Scope strings are compared as sets only.
type ScopeSet []string

// ParseScope returns the scopes in s, which any run of white space separates.
func ParseScope(s string) ScopeSet {
	scopes := strings.Fields(s)
	if len(scopes) == 0 {
		return nil
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// Covers reports whether every scope of want is in s.
func (s ScopeSet) Covers(want ScopeSet) bool {
	for _, scope := range want {
		i := slices.Index(s, scope)
		if i < 0 {
			return false
		}
		s = s[i+1:] // both are sorted
	}
	return true
}

// Equal reports whether s and t are the same set.
func (s ScopeSet) Equal(t ScopeSet) bool { return slices.Equal(s, t) }

// String returns s in canonical form: sorted, one space between. Two sets are
// equal exactly when their strings are.
func (s ScopeSet) String() string { return strings.Join(s, " ") }

// MergeScopes joins scope strings into one, as it goes on the wire: in the order
// given, the first occurrence of each scope kept, one space between.
func MergeScopes(parts ...string) string {
	var merged []string
	seen := make(map[string]bool)
	for _, part := range parts {
		for _, scope := range strings.Fields(part) {
			if !seen[scope] {
				seen[scope] = true
				merged = append(merged, scope)
			}
		}
	}
	return strings.Join(merged, " ")
}

// canonicalCovers is ScopeSet.Covers for two sets in canonical form. It allocates
// nothing.
func canonicalCovers(granted, want string) bool {
	var scope, have string
	for want != "" {
		scope, want, _ = strings.Cut(want, " ")
		for have = ""; have != scope; {
			if granted == "" {
				return false
			}
			have, granted, _ = strings.Cut(granted, " ")
		}
	}
	return true
}

// canonicalLen returns the number of scopes in a set in canonical form.
func canonicalLen(s string) int {
	if s == "" {
		return 0
	}
	return strings.Count(s, " ") + 1
}

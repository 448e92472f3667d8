package session

// ScopeSet is a set of scopes (RFC 6749 section 3.3): sorted, without
// duplicates. Scope strings are compared as sets only.
type ScopeSet []string

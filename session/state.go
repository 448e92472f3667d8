package session

import "encoding/json"

// User holds the claims of the verified ID token, unknown ones verbatim, numbers
// as json.Number. The claim session_expiry is present only when it is a legal
// Ceiling.
type User map[string]any

// State is everything that is kept of one session. A State that has been
// published is never changed: the functions that "change" one return a new one
// (sharing what did not change).
type State struct {
	User                User // nil when none
	IDToken             string
	RefreshToken        string
	TokenSets           []TokenSet
	ConnectionTokenSets []ConnectionTokenSet
	Domain              string // bare host where the issuer is https://host/, else the issuer URL
	Internal            Internal

	extra map[string]json.RawMessage // top-level fields written by others
}

// Internal is the part of State that GetSession does not show.
type Internal struct {
	SID       string  // ID token claim sid, or 32 random characters
	CreatedAt int64   // seconds since the Unix epoch, set at login
	Ceiling   Ceiling // stored as session_expires_at
}

// TokenSet is one cached access token.
type TokenSet struct {
	Audience       string // lookup key, DefaultAudience when none
	AccessToken    string
	Scope          string // as granted
	RequestedScope string // as asked; empty in older state
	ExpiresAt      int64  // seconds since the Unix epoch
	ActualAudience string // where the token turned out to be for another audience
}

// ConnectionTokenSet is one cached token of a connection (Token Vault).
type ConnectionTokenSet struct {
	Connection  string
	LoginHint   string // empty when none was given
	AccessToken string
	Scope       string
	ExpiresAt   int64 // seconds since the Unix epoch
}

package session

import "encoding/json"

// TokenResponse is what the token endpoint answered (RFC 6749 section 5.1),
// taken apart but not judged. When idp returns one together with an error, the
// error says what was wrong with the answer, and RefreshToken, when not empty, is to
// be kept all the same.
type TokenResponse struct {
	AccessToken  string
	RefreshToken string
	IDToken      string
	TokenType    string

	ExpiresIn    int64 // seconds, floored; meaningful when HasExpiresIn
	HasExpiresIn bool  // expires_in was present and usable (a number or numeric string, not negative)
	Scope        string
	HasScope     bool // scope was present, as a string

	// IDClaims are the claims of IDToken, not verified; nil without an ID token.
	IDClaims *IDClaims
	// TokenAudience is the aud claim of AccessToken where that is a readable JWT.
	TokenAudience []string

	AuthorizationDetails json.RawMessage // RFC 9396, nil when absent
}

// IDClaims are the claims that tie an ID token to a session.
type IDClaims struct {
	Issuer   string
	Subject  string
	Audience []string
}

package session

import (
	"encoding/json"
	"math"
	"time"
)

// TokenResponse is what the token endpoint answered (RFC 6749 section 5.1),
// taken apart but not judged. When idp returns one together with an error, the
// error says why the answer cannot be used, and RefreshToken, when not empty, must
// be kept all the same.
type TokenResponse struct {
	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	TokenType    string `json:"token_type,omitempty"`

	ExpiresIn    int64 `json:"expires_in"`     // seconds, floored; 0 where expires_in was negative or no number, for then the token is good for one answer
	HasExpiresIn bool  `json:"has_expires_in"` // expires_in was present, and not null
	// TokenLife is exp - iat of AccessToken in whole seconds, where that is a readable
	// JWT, both are legal and the difference is 1 second to 24 hours; else 0. It counts
	// where expires_in is absent.
	TokenLife int64  `json:"token_life,omitempty"`
	Scope     string `json:"scope"`
	HasScope  bool   `json:"has_scope"` // scope was present, as a string

	// IDClaims are the claims of IDToken, not verified; nil without an ID token,
	// and where it cannot be read.
	IDClaims *IDClaims `json:"id_claims,omitempty"`
	// TokenAudience is the aud claim of AccessToken where that is a readable JWT.
	TokenAudience []string `json:"token_audience,omitempty"`

	AuthorizationDetails json.RawMessage `json:"authorization_details,omitempty"` // RFC 9396, nil when absent

	IssuedTokenType string `json:"issued_token_type,omitempty"` // of a token exchange (RFC 8693 section 2.2.1), empty when absent
}

// IDClaims are the claims that tie an ID token to a session.
type IDClaims struct {
	Issuer   string
	Subject  string
	Audience []string
	// All holds every claim, numbers as json.Number. Only ApplyOptions.UpdateUser
	// needs it.
	All map[string]any
}

// granted returns the scope of the token: as the response says, else as requested.
func (r *TokenResponse) granted(requested string) string {
	if r.HasScope {
		return r.Scope
	}
	return requested
}

// expiresAt returns when the token expires, in seconds since the epoch, if it was
// received now. A token whose life is not said lives for otherwise. An expiry beyond
// the last second that can be counted becomes that second.
func (r *TokenResponse) expiresAt(now time.Time, otherwise int64) int64 {
	life := otherwise
	if r.HasExpiresIn {
		life = max(r.ExpiresIn, 0)
	}
	return now.Unix() + min(life, max(endOfSeconds-1-now.Unix(), 0))
}

// AsLongAsTheSession is a default lifetime: a token whose life is not said is good for as
// long as its session lives.
const AsLongAsTheSession time.Duration = math.MaxInt64

// defaultLife is how long, in seconds, a token is good for when neither the provider nor
// the host says (RFC 6749 section 5.1).
const defaultLife = 3600

// accessExpiresAt is expiresAt for an access token of a session: one whose life the answer
// does not say lives for as long as it says itself, else for lifetime, which is 0 for
// defaultLife.
func (r *TokenResponse) accessExpiresAt(now time.Time, lifetime time.Duration, i *Internal) int64 {
	switch {
	case r.HasExpiresIn || r.TokenLife > 0:
		return r.expiresAt(now, r.TokenLife)
	case lifetime == AsLongAsTheSession:
		return i.lastSecond()
	case lifetime <= 0:
		return r.expiresAt(now, defaultLife)
	}
	return r.expiresAt(now, int64(lifetime/time.Second))
}

// issuedAt is what a token set keeps of when its answer came.
func issuedAt(now time.Time, keep bool) int64 {
	if !keep {
		return 0
	}
	return now.Unix()
}

// lastSecond returns when the session ends at the latest, in seconds since the Unix epoch.
func (i *Internal) lastSecond() int64 {
	last := int64(endOfSeconds - 1)
	if i.Ceiling.Legal() {
		last = int64(i.Ceiling)
	}
	if i.EndsAt != 0 {
		last = min(last, i.EndsAt)
	}
	return last
}

package idptest

import "time"

// KeySet is with which keys ID tokens are signed, and how those are published (RFC
// 7517). The zero value: one RSA key with kid, alg RS256 and use sig.
type KeySet struct {
	// Alg signs ID tokens; empty: RS256. With HS256 and its like the client's secret is
	// the key, and none is published for it.
	Alg          string
	NoKID        bool // keys are published without kid
	NoAlg, NoUse bool // likewise without alg, without use
	X5C          bool // with a certificate chain of one
	// Twice publishes each key once more, under kid + "_" + alg and with alg (PingFederate).
	Twice bool
	// TokenNoKID leaves kid out of the headers of tokens.
	TokenNoKID bool
	// More are keys that sign nothing.
	More []Key
}

// Key is a published key that signs nothing.
type Key struct {
	Alg          string // RS256, RSA-OAEP, ES256, EdDSA …: decides the kind of key
	Use          string // empty: sig
	NoAlg, NoKID bool
	SameKID      bool // the kid of the key that signs
}

// IDTokenForm is what an ID token says. The zero value: the claims of the scopes that
// were granted (OpenID Connect Core section 5.4), and nonce, but no sid.
type IDTokenForm struct {
	// Thin leaves the claims of profile, email, address and phone to userinfo.
	Thin bool
	// AnyScope gives all claims of the user whatever the scopes.
	AnyScope bool
	Never    []string // claims that are never in it
	SID      bool
	NoNonce  bool   // nonce of the request does not come back
	NoScheme bool   // iss is the issuer without https://
	Claims   Claims // that are in every one, for example tid
	// VerifiedText writes email_verified as text: "true".
	VerifiedText bool
	// Audiences are in aud beside the client, which azp names then.
	Audiences []string
	// NotAtRefresh leaves it out of answers to a refresh.
	NotAtRefresh bool
	Life         time.Duration // 0: IDTokenLife
}

// UserInfoForm is what userinfo answers, where Location has one (OpenID Connect Core
// section 5.3). The zero value: JSON with sub and the claims of the scopes.
type UserInfoForm struct {
	Signed       bool // as a JWT, application/jwt
	AnyScope     bool // all claims of the user whatever the scopes
	VerifiedText bool // email_verified as text
	Never        []string
	Claims       Claims // that are in every answer
}

// TokenForm is what the token endpoint answers (RFC 6749 section 5.1). The zero value:
// a JWT, token_type Bearer, expires_in as a number, scope as it was granted.
type TokenForm struct {
	Opaque    bool          // access tokens are random words
	Type      string        // token_type; empty: Bearer
	Life      time.Duration // 0: TokenLife
	ExpiresIn ExpiresInForm
	Scope     ScopeForm
	// HideOffline leaves offline_access out of scope.
	HideOffline bool
	IssuedAt    bool   // issued_at in milliseconds, as text (Salesforce)
	User        bool   // an object user with the user's claims (SimpleLogin)
	More        Claims // verbatim
}

// ExpiresInForm is how expires_in is sent: [ExpiresNumber], the zero value, [ExpiresText], [ExpiresAbsent] or [ExpiresAbsentAtRefresh].
type ExpiresInForm int

// The forms of expires_in.
const (
	ExpiresNumber ExpiresInForm = iota
	ExpiresText
	ExpiresAbsent
	ExpiresAbsentAtRefresh
)

// ScopeForm is how scope is sent: [ScopeSent], the zero value, [ScopeAbsent] or [ScopeCommas].
type ScopeForm int

// The forms of scope.
const (
	ScopeSent ScopeForm = iota
	ScopeAbsent
	ScopeCommas
)

// RefreshRules are who gets a refresh token, and how long it is good.
type RefreshRules struct {
	Given RefreshGiven
	// FirstConsent gives one at the first login of a user only, and again with
	// prompt=consent.
	FirstConsent bool
	// PromptConsent gives one with prompt=consent only.
	PromptConsent bool
	Rotation      Rotation
	// Grace is how long the previous one is good after a rotation.
	Grace time.Duration
	// KeepFamily refuses a token that is used again, but lets its successors be.
	KeepFamily bool
}

// RefreshGiven is when a login gets a refresh token: [RefreshNever], the zero value, [RefreshOfflineAccess], [RefreshAlways],
// [RefreshAccessType] or [RefreshScope].
type RefreshGiven int

// When a login gets a refresh token.
const (
	RefreshNever         RefreshGiven = iota
	RefreshOfflineAccess              // with the scope offline_access
	RefreshAlways
	RefreshAccessType // with the parameter access_type=offline
	RefreshScope      // with the scope refresh_token or offline_access
)

// Rotation is what becomes of a refresh token that was used: [RotateOnce], the zero value, [RotateKeepOld], [SameToken] or
// [SameTokenRepeated].
type Rotation int

// What becomes of a refresh token that was used.
const (
	RotateOnce        Rotation = iota // the answer has a new one, the old one is good no more
	RotateKeepOld                     // the answer has a new one, old ones stay good
	SameToken                         // it stays good, the answer has none
	SameTokenRepeated                 // it stays good, the answer repeats it
)

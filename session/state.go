package session

import (
	"encoding/json"
	"io"
	"slices"
	"time"
)

// State is everything that is kept of one session. A State that has been
// published is never changed: the functions that "change" one return a new one
// (sharing what did not change).
type State struct {
	User                RawUser              `json:"user"`
	IDToken             string               `json:"id_token,omitempty"`
	RefreshToken        string               `json:"refresh_token,omitempty"`
	TokenSets           []TokenSet           `json:"token_sets"`
	ConnectionTokenSets []ConnectionTokenSet `json:"connection_token_sets"`
	Domain              string               `json:"domain,omitempty"` // bare host where the issuer is https://host/, else the issuer URL
	Data                RawData              `json:"app_data,omitempty"`
	Internal            Internal             `json:"internal"`

	extra map[string]json.RawMessage // top-level fields written by others; never changed
}

// Internal is the part of State that GetSession does not show.
type Internal struct {
	SID       string  `json:"sid"`                          // ID token claim sid, or 32 random characters
	CreatedAt int64   `json:"created_at"`                   // seconds since the Unix epoch, set at login
	Ceiling   Ceiling `json:"session_expires_at,omitempty"` // stored as session_expires_at
	EndsAt    int64   `json:"ends_at,omitempty"`            // when its own lifetime is over, seconds since the Unix epoch; 0: never

	// StepUpAfter has the user sign in again later than then (auth_time), seconds since the Unix epoch; 0: no need.
	StepUpAfter int64 `json:"step_up_after,omitempty"`

	// GrantedScope is the scope that the login's answer named, as the provider spelled it, and
	// GrantedAudience the lookup key that it was for. They are set where refreshes keep to the
	// grant; see RefreshScope. Where the answer named no scope, GrantedScope is empty, and AskedScope what the login
	// asked for: that was granted then (RFC 6749 section 5.1).
	GrantedScope    string `json:"granted_scope,omitempty"`
	GrantedAudience string `json:"granted_audience,omitempty"`
	AskedScope      string `json:"asked_scope,omitempty"`

	// ClientID is the application that the user signed in to, where the host has several
	// registrations; empty: the configured one.
	ClientID string `json:"client_id,omitempty"`

	extra map[string]json.RawMessage
}

// Over reports whether the session's own lifetime, not its ceiling, is over at now.
func (i *Internal) Over(now time.Time) bool { return i.EndsAt != 0 && now.Unix() >= i.EndsAt }

// TokenSet is one cached access token.
type TokenSet struct {
	Audience       string `json:"audience"` // lookup key, DefaultAudience when none
	AccessToken    string `json:"access_token"`
	Scope          string `json:"scope"`                     // as granted
	RequestedScope string `json:"requested_scope,omitempty"` // as asked; empty in older state
	ExpiresAt      int64  `json:"expires_at"`                // seconds since the Unix epoch
	IssuedAt       int64  `json:"issued_at,omitempty"`       // when the answer came that it was in, the same; 0: not kept
	ActualAudience string `json:"actual_audience,omitempty"` // where the token turned out to be for another audience

	extra map[string]json.RawMessage
}

// ConnectionTokenSet is one cached token of a connection (Token Vault).
type ConnectionTokenSet struct {
	Connection  string `json:"connection"`
	LoginHint   string `json:"login_hint,omitempty"` // empty when none was given
	AccessToken string `json:"access_token"`
	Scope       string `json:"scope"`
	ExpiresAt   int64  `json:"expires_at"` // seconds since the Unix epoch

	extra map[string]json.RawMessage
}

// Login is a login that passed every check, about to become a State.
type Login struct {
	Claims   map[string]any // of the verified ID token, numbers as json.Number
	Response TokenResponse
	Audience string    // lookup key; empty means DefaultAudience
	Scope    string    // as requested
	Domain   string    // the one that the login was started with
	ClientID string    // the same; empty where the host has one registration
	Now      time.Time // when Response was received
	// KeepToGrant has refreshes ask for no more than the answer named; see RefreshScope.
	KeepToGrant bool
	// DefaultLifetime is that of an access token whose life is not said; see ApplyOptions.
	DefaultLifetime time.Duration
	KeepIssuedAt    bool      // see ApplyOptions
	Random          io.Reader // draws the sid where the claims have none
}

// NewState returns the fresh state of a login. It carries the ceiling that the claims
// assert; whether that is past already is for PastAtLogin to say.
func NewState(l Login) *State {
	sid, _ := l.Claims["sid"].(string)
	if sid == "" {
		sid = RandomString(l.Random, 32)
	}
	s := &State{
		User:         newUser(l.Claims).Raw(),
		IDToken:      l.Response.IDToken,
		RefreshToken: l.Response.RefreshToken,
		Domain:       l.Domain,
		Internal: Internal{
			SID:       sid,
			CreatedAt: l.Now.Unix(),
			Ceiling:   ParseCeiling(l.Claims[claimSessionExpiry]),
			ClientID:  l.ClientID,
		},
	}
	if l.KeepToGrant {
		s.Internal.GrantedScope, s.Internal.GrantedAudience = l.Response.Scope, QueryKey(l.Audience, "").Audience
		if !l.Response.HasScope {
			s.Internal.AskedScope = l.Scope
		}
	}
	if l.Response.AccessToken != "" {
		s.TokenSets = []TokenSet{{
			Audience:       QueryKey(l.Audience, "").Audience,
			AccessToken:    l.Response.AccessToken,
			Scope:          l.Response.granted(l.Scope),
			RequestedScope: l.Scope,
			ExpiresAt:      l.Response.accessExpiresAt(l.Now, l.DefaultLifetime, &s.Internal),
			IssuedAt:       issuedAt(l.Now, l.KeepIssuedAt),
		}}
	}
	return s
}

// LoggedInAt returns when the user signed in, in seconds since the Unix epoch: the iat of the
// login's ID token, else when the session was made. A refresh changes neither.
func (s *State) LoggedInAt() int64 {
	f, err := s.User.number(claimIssuedAt).Float64()
	if err != nil || f < 1 || f >= endOfSeconds {
		return s.Internal.CreatedAt
	}
	return int64(f)
}

// Clone returns a deep copy of s, which its owner may change.
func (s *State) Clone() *State {
	if s == nil {
		return nil
	}
	c := *s
	c.TokenSets = slices.Clone(s.TokenSets)
	c.ConnectionTokenSets = slices.Clone(s.ConnectionTokenSets)
	return &c
}

// SessionDomain returns the domain that s belongs to: its own, else the one that
// is configured statically (empty when a resolver chooses), else the issuer of
// its user. It is empty when unknown, and may be called on a nil State.
func (s *State) SessionDomain(configured string) string {
	switch {
	case s != nil && s.Domain != "":
		return s.Domain
	case configured != "" || s == nil:
		return configured
	}
	return DomainOf(s.User.text("iss"))
}

// SessionClient returns the client id that s belongs to: its own, else the configured one (empty when there is none).
// It may be called on a nil State.
func (s *State) SessionClient(configured string) string {
	if s != nil && s.Internal.ClientID != "" {
		return s.Internal.ClientID
	}
	return configured
}

// Remainder returns what outlives the end of a session at its ceiling: the
// connection tokens that have not expired, the domain and client id they belong to, and when
// the user signed in. It is nil when there are none.
func (s *State) Remainder(now time.Time) *State {
	if s == nil {
		return nil
	}
	r := &State{Domain: s.SessionDomain(""), Internal: Internal{CreatedAt: s.LoggedInAt(), ClientID: s.Internal.ClientID}}
	for _, set := range s.ConnectionTokenSets {
		if set.ExpiresAt > now.Unix() {
			r.ConnectionTokenSets = append(r.ConnectionTokenSets, set)
		}
	}
	if r.ConnectionTokenSets == nil {
		return nil
	}
	return r
}

// Session is what GetSession shows of a State: all but its Internal. It shares
// nothing with the State.
type Session struct {
	User                User                 `json:"user"`
	IDToken             string               `json:"id_token,omitempty"`
	RefreshToken        string               `json:"refresh_token,omitempty"`
	TokenSets           []TokenSet           `json:"token_sets"`
	ConnectionTokenSets []ConnectionTokenSet `json:"connection_token_sets"`
	Domain              string               `json:"domain,omitempty"`
	Data                Data                 `json:"app_data,omitempty"` // what the application keeps there; nil where it keeps nothing
}

// Session returns a deep copy of what GetSession shows of s.
func (s *State) Session() *Session {
	if s == nil {
		return nil
	}
	var data Data
	if s.Data != "" {
		data = s.Data.Data()
	}
	return &Session{
		User:                s.Claims(),
		IDToken:             s.IDToken,
		RefreshToken:        s.RefreshToken,
		TokenSets:           slices.Clone(s.TokenSets),
		ConnectionTokenSets: slices.Clone(s.ConnectionTokenSets),
		Domain:              s.Domain,
		Data:                data,
	}
}

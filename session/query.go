package session

import "strings"

// DefaultAudience is the lookup key of tokens for which no audience was
// configured or asked. As that stand-in it never goes on the wire.
const DefaultAudience = "default"

// defaultLoginScope is what a login asks for when the application named no scope.
const defaultLoginScope = "openid profile email offline_access"

// TokenQuery says which access token is wanted. It is made by Policy.Query and
// not changed afterwards, so one TokenQuery may be shared by any number of callers.
type TokenQuery struct {
	Key      FlightKey // what makes two queries the same
	Audience string    // the audience parameter; empty sends none
	Scope    string    // the scope parameter, in the order it was asked; empty sends none

	configured ScopeSet // the scopes of Scope that are configured
	named      string   // the scopes of Scope that the call named beside them
}

// FlightKey identifies what a request that spends the refresh token is for. Two
// callers with equal keys share one request. Either Audience is set (an access
// token, with Scopes canonical: sorted, no duplicates, one space between) or
// Connection is (a connection's token).
type FlightKey struct {
	Audience   string
	Scopes     string
	Connection string
	LoginHint  string
}

// ForConnection reports whether k asks for a connection's token.
func (k FlightKey) ForConnection() bool { return k.Connection != "" }

// QueryKey returns the key of an access token: audience as a lookup key,
// DefaultAudience for none, and the scopes in any order.
func QueryKey(audience, scope string) FlightKey {
	if audience == "" {
		audience = DefaultAudience
	}
	return FlightKey{Audience: audience, Scopes: ParseScope(scope).String()}
}

// ConnectionKey returns the key of a connection's token.
func ConnectionKey(connection, loginHint string) FlightKey {
	return FlightKey{Connection: connection, LoginHint: loginHint}
}

// Policy is what the host configured about audiences and scopes.
type Policy struct {
	Audience string            // the default audience; empty when none
	Scope    string            // scopes for every audience
	ScopeFor map[string]string // scopes by audience; when not nil, Scope is not used
}

// EffectiveAudience returns the lookup key of the audience that a caller named
// (empty when it named none) and what to send for it, empty for nothing.
//
// The word "default" is sent when it is the configured audience, or when a caller
// names it beside another configured one: then it is an audience like any other. Where
// none is configured it is the stand-in for none, and not sent.
func (p Policy) EffectiveAudience(named string) (key, send string) {
	if named == "" {
		named = p.Audience
	}
	if named == "" || named == DefaultAudience && p.Audience == "" {
		return DefaultAudience, ""
	}
	return named, named
}

// Query returns the query that a caller asks with these arguments, either
// of which may be empty. The configured scopes of the audience come first. It is
// worth keeping: making one allocates, asking one does not.
func (p Policy) Query(audience, scope string) *TokenQuery {
	key, send := p.EffectiveAudience(audience)
	configured := MergeScopes(p.configured(key))
	merged := MergeScopes(configured, scope)
	return &TokenQuery{
		Key:      FlightKey{Audience: key, Scopes: ParseScope(merged).String()},
		Audience: send,
		Scope:    merged,

		configured: ParseScope(configured),
		named:      strings.TrimSpace(strings.TrimPrefix(merged, configured)),
	}
}

// NamesScopes reports whether the configuration or a login call with these arguments names a
// scope, so that its scope is not defaultLoginScope.
func (p Policy) NamesScopes(audience, perCall string) bool {
	key, _ := p.EffectiveAudience(audience)
	return MergeScopes(p.configured(key), perCall) != ""
}

// LoginScope returns the scope parameter of a login with these arguments of the
// call, either of which may be empty. Where neither the configuration nor the call
// names a scope it is defaultLoginScope; openid is put first where it lacks;
// offline_access is never added to what the application wrote.
func (p Policy) LoginScope(audience, perCall string) string {
	key, _ := p.EffectiveAudience(audience)
	scope := MergeScopes(p.configured(key), perCall)
	switch {
	case scope == "":
		return defaultLoginScope
	case !ParseScope(scope).Covers(ScopeSet{"openid"}):
		return "openid " + scope
	}
	return scope
}

// configured returns the scopes configured for the audience with this lookup key.
func (p Policy) configured(key string) string {
	if p.ScopeFor != nil {
		return p.ScopeFor[key]
	}
	return p.Scope
}

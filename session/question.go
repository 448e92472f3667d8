package session

// DefaultAudience is the lookup key of tokens for which no audience was
// configured or asked. As that stand-in it never goes on the wire.
const DefaultAudience = "default"

// Question says which access token is wanted. It is made by Policy.Question and
// not changed afterwards, so one Question may be shared by any number of callers.
type Question struct {
	Key      FlightKey // what makes two questions the same
	Audience string    // the audience parameter; empty sends none
	Scope    string    // the scope parameter, in the order it was asked; empty sends none
	Want     ScopeSet  // Scope as a set
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

package idptest

import "strings"

// Kind says what a request is for. Counters, faults and holds go by it:
//
//   - one endpoint's: [Discovery], [JWKS], [Authorize], [PAR], [Revocation], [UserInfo], [Logout]
//   - of the token endpoint: [CodeExchange], [Refresh], [ConnectionExchange], [ClientCredentials], [TokenExchange]
//   - several of these: [Token], [Spend], [Any]
//   - of security events: [TransmitterMeta], [Streams], [Verification], [Poll]
//   - where the fault Redirect leads: [Trap]
//
// [Kind.Of] narrows one to a user.
type Kind string

// The kinds of request. Some contain others: Token is CodeExchange, Refresh,
// ConnectionExchange, ClientCredentials, TokenExchange and any other grant; Spend is whatever presents a refresh
// token, so Refresh and ConnectionExchange; Any is everything.
const (
	Any                Kind = "any"
	Discovery          Kind = "discovery"
	JWKS               Kind = "jwks"
	Authorize          Kind = "authorize"
	PAR                Kind = "pushed authorization request"
	Token              Kind = "token"
	CodeExchange       Kind = "code exchange"
	Refresh            Kind = "refresh"
	ConnectionExchange Kind = "connection exchange"
	ClientCredentials  Kind = "client credentials"
	TokenExchange      Kind = "token exchange" // RFC 8693, and Entra ID's on-behalf-of
	Spend              Kind = "spend"
	Revocation         Kind = "revocation"
	UserInfo           Kind = "userinfo"
	Logout             Kind = "logout"
	Trap               Kind = "trap" // where Redirect leads
	TransmitterMeta    Kind = "transmitter metadata"
	Streams            Kind = "streams"
	Verification       Kind = "verification"
	Poll               Kind = "poll"
)

// Of narrows k to the requests that are about one user: Refresh.Of("ada"). It is
// known from the code, the refresh token or the subject token that a request presents.
func (k Kind) Of(subject string) Kind { return k + " of " + Kind(subject) }

// split undoes Of.
func (k Kind) split() (kind Kind, subject string) {
	a, b, _ := strings.Cut(string(k), " of ")
	return Kind(a), b
}

// The grants of the token endpoint.
const (
	grantCode       = "authorization_code"
	grantRefresh    = "refresh_token"
	grantClient     = "client_credentials"
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantJWTBearer  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantConnection = "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"
)

// The paths that do not depend on the profile.
const (
	pathDiscovery   = "/.well-known/openid-configuration"
	pathTransmitter = "/.well-known/ssf-configuration"
	pathTrap        = "/trap"
)

func kindOfGrant(grant string) Kind {
	switch grant {
	case grantCode:
		return CodeExchange
	case grantRefresh:
		return Refresh
	case grantConnection:
		return ConnectionExchange
	case grantClient:
		return ClientCredentials
	case grantExchange, grantJWTBearer:
		return TokenExchange
	}
	return Token
}

// matches reports whether c is a request of kind k.
func (c *call) matches(k Kind) bool {
	k, subject := k.split()
	if subject != "" && subject != c.subject {
		return false
	}
	for _, have := range c.kinds() {
		if have == k {
			return true
		}
	}
	return false
}

// kinds returns every kind that c is of.
func (c *call) kinds() []Kind {
	switch c.kind {
	case CodeExchange, ClientCredentials, TokenExchange:
		return []Kind{Any, Token, c.kind}
	case Refresh, ConnectionExchange:
		return []Kind{Any, Token, Spend, c.kind}
	case "":
		return []Kind{Any}
	}
	return []Kind{Any, c.kind}
}

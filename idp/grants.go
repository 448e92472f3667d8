package idp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/tokenward/tokenward/session"
)

// Grant types of requests that spend no refresh token.
const (
	grantClientCredentials = "client_credentials"
	grantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// TypeAccessToken is the token type of an OAuth 2.0 access token (RFC 8693 section 3).
const TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"

// ClientCredentials is what the application wants a token of its own for (RFC 6749 section 4.4). An empty
// Audience or Scope is not sent.
type ClientCredentials struct {
	Issuer   string
	Audience string
	Scope    string
}

// GrantClientCredentials gets an access token for the application itself, by one request within the deadline of ctx.
//
// Response and errors are those of Refresh; a public client, which nothing authenticates, is refused with a
// *session.ConfigurationError (RFC 6749 section 4.4).
func (c *Client) GrantClientCredentials(ctx context.Context, r ClientCredentials) (session.TokenResponse, error) {
	if c.auth.method == PublicClient {
		return session.TokenResponse{}, &session.ConfigurationError{
			Message: "ClientAuth: a public client gets no token of its own (RFC 6749 section 4.4); register the application with a secret or a key",
		}
	}
	form := url.Values{"grant_type": {grantClientCredentials}}
	setIf(form, c.audience, r.Audience)
	setIf(form, "scope", r.Scope)
	return c.spend(ctx, r.Issuer, form)
}

// TokenExchange is a token, and the token wanted for it (RFC 8693 section 2.1). Empty fields are not sent.
type TokenExchange struct {
	Issuer           string
	Audience         string
	Scope            string
	SubjectToken     string
	SubjectTokenType string
	ActorToken       string
	ActorTokenType   string

	// Params are further parameters. Those that have a field here, and those of client authentication, are left out.
	Params map[string]string

	// OnBehalfOf sends Entra ID's request in place of RFC 8693's: the subject token as the assertion of a JWT bearer
	// grant (RFC 7523 section 2.1) with requested_token_use=on_behalf_of.
	OnBehalfOf bool
}

// Format implements fmt.Formatter; it leaves the tokens and the further parameters out.
func (r TokenExchange) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "idp.TokenExchange{Issuer: %q, Audience: %q, Scope: %q}", r.Issuer, r.Audience, r.Scope)
}

// MarshalJSON implements json.Marshaler; it leaves the tokens and the further parameters out.
func (r TokenExchange) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(r)) }

// ExchangeToken exchanges a token, by one request within the deadline of ctx. Response and errors are those of Refresh.
func (c *Client) ExchangeToken(ctx context.Context, r TokenExchange) (session.TokenResponse, error) {
	if r.SubjectToken == "" {
		return session.TokenResponse{}, &session.MissingRequiredArgumentError{Argument: "subject_token"}
	}
	form := url.Values{}
	for name, value := range r.Params {
		setIf(form, name, value)
	}
	for _, own := range exchangeParams {
		form.Del(own)
	}
	if r.OnBehalfOf {
		form.Set("grant_type", grantJWTBearer)
		form.Set("assertion", r.SubjectToken)
		form.Set("requested_token_use", "on_behalf_of")
	} else {
		form.Set("grant_type", grantTokenExchange)
		form.Set("subject_token", r.SubjectToken)
		form.Set("subject_token_type", r.SubjectTokenType)
		setIf(form, "actor_token", r.ActorToken)
		setIf(form, "actor_token_type", r.ActorTokenType)
	}
	setIf(form, c.audience, r.Audience)
	setIf(form, "scope", r.Scope)
	return c.spend(ctx, r.Issuer, form)
}

// exchangeParams are the parameters that TokenExchange.Params cannot set; client authentication removes its own.
var exchangeParams = []string{
	"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "assertion", "requested_token_use",
	"audience", "scope", "client_id",
}

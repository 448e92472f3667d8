package idp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// Grant and token types of the federated connection exchange (Auth0 Token Vault).
const (
	grantConnection     = "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"
	typeConnectionToken = "http://auth0.com/oauth/token-type/federated-connection-access-token"
	typeRefreshToken    = "urn:ietf:params:oauth:token-type:refresh_token"
)

// CodeExchange is an authorization code and what goes with it (RFC 6749 section
// 4.1.3, RFC 7636 section 4.5).
type CodeExchange struct {
	Issuer       string
	Code         string
	RedirectURI  string
	CodeVerifier string // empty where the login sent no challenge
	Audience     string // that of the login; sent where it is a resource (RFC 8707)

	// Sending, when set, is called when nothing but sending the code is left to do: what it needs is
	// known, and it has its permit. An error of Sending is returned as it is, and nothing was sent.
	Sending func() error
}

// Format implements fmt.Formatter; it leaves code and verifier out.
func (r CodeExchange) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "idp.CodeExchange{Issuer: %q}", r.Issuer)
}

// MarshalJSON implements json.Marshaler; it leaves code and verifier out.
func (r CodeExchange) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(r)) }

// ExchangeCode spends an authorization code, once.
//
// It fails with a *session.APIError of the code token_error, whose cause carries
// what the provider said or what went wrong, with a *session.ConfigurationError
// when the client secret cannot be had, or with the error of Sending. Where the client is asked
// for too much at once, the code was not sent and is still good: an APIError of the code
// overloaded, which is session.ErrOverloaded and has RetryAfter.
func (c *Client) ExchangeCode(ctx context.Context, r CodeExchange) (session.TokenResponse, error) {
	form := url.Values{
		"grant_type":   {"authorization_code"},
		"code":         {r.Code},
		"redirect_uri": {r.RedirectURI},
	}
	setIf(form, "code_verifier", r.CodeVerifier)
	if c.audience == "resource" {
		setIf(form, c.audience, r.Audience) // RFC 8707 section 2.2
	}
	t, err := c.exchangeCode(ctx, r.Issuer, form, r.Sending)
	var api *session.APIError
	var unsent *unsentError
	switch {
	case errors.As(err, &unsent):
		return t, unsent.error
	case err == nil, isConfiguration(err):
		return t, err
	case !errors.As(err, &api):
		return t, &session.APIError{Code: session.CodeTokenError, Err: err}
	case api.Code == session.CodeTokenError, errors.Is(err, session.ErrOverloaded):
		return t, err
	}
	return t, &session.APIError{Code: session.CodeTokenError, Status: api.Status, RetryAfter: api.RetryAfter, Err: err}
}

// unsentError is the error of CodeExchange.Sending.
type unsentError struct{ error }

func (c *Client) exchangeCode(ctx context.Context, issuer string, form url.Values, sending func() error) (session.TokenResponse, error) {
	m, err := c.tokenProvider(ctx, issuer, strangers)
	if err != nil {
		return session.TokenResponse{}, err
	}
	release, err := c.admit(ctx)
	if err != nil {
		return session.TokenResponse{}, err
	}
	defer release()
	ctx, cancel := clock.WithTimeout(ctx, c.clock, c.timeout)
	defer cancel()
	return c.requestToken(ctx, m, form, sending)
}

// RefreshRequest is a refresh token, and the audience and scope wanted for it (RFC 6749 section
// 6). An empty Audience or Scope is not sent.
type RefreshRequest struct {
	Issuer       string
	RefreshToken string
	Audience     string
	Scope        string
}

// Format implements fmt.Formatter; it leaves the refresh token out.
func (r RefreshRequest) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "idp.RefreshRequest{Issuer: %q, Audience: %q, Scope: %q}", r.Issuer, r.Audience, r.Scope)
}

// MarshalJSON implements json.Marshaler; it leaves the refresh token out.
func (r RefreshRequest) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(r)) }

// Refresh spends a refresh token, once, within the deadline of ctx. The response
// returned with an error may hold a new refresh token, which is to be kept.
//
// It fails with a *session.ConfigurationError when the client secret cannot be
// had, else with a *session.APIError. Its Status is that of the token
// endpoint's answer, 0 when there was none. Its code is the provider's, or
// token_error when the provider gave none or could not be reached,
// invalid_response when a 2xx answer could not be used, metadata_error or
// configuration_error when there is no token endpoint to ask. An error
// mfa_required wraps an *MFAChallenge when the provider gave an mfa_token.
func (c *Client) Refresh(ctx context.Context, r RefreshRequest) (session.TokenResponse, error) {
	if r.RefreshToken == "" {
		return session.TokenResponse{}, &session.MissingRequiredArgumentError{Argument: "refresh_token"}
	}
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {r.RefreshToken},
	}
	setIf(form, c.audience, r.Audience)
	setIf(form, "scope", r.Scope)
	return c.spend(ctx, r.Issuer, form)
}

// ConnectionExchange is a refresh token and the connection whose access token is
// wanted for it. An empty LoginHint is not sent.
type ConnectionExchange struct {
	Issuer       string
	RefreshToken string
	Connection   string
	LoginHint    string
}

// Format implements fmt.Formatter; it leaves the refresh token and the hint out.
func (r ConnectionExchange) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "idp.ConnectionExchange{Issuer: %q, Connection: %q}", r.Issuer, r.Connection)
}

// MarshalJSON implements json.Marshaler; it leaves the refresh token and the hint out.
func (r ConnectionExchange) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(r)) }

// ExchangeConnection exchanges a refresh token for the access token of a
// connection, once, within the deadline of ctx. Response and errors are those of
// Refresh: an APIError whose Status is neither 0 nor 200 is a refusal, every
// other a failure to ask or to understand.
func (c *Client) ExchangeConnection(ctx context.Context, r ConnectionExchange) (session.TokenResponse, error) {
	if r.RefreshToken == "" {
		return session.TokenResponse{}, &session.MissingRequiredArgumentError{Argument: "refresh_token"}
	}
	if r.Connection == "" {
		return session.TokenResponse{}, &session.MissingRequiredArgumentError{Argument: "connection"}
	}
	form := url.Values{
		"grant_type":           {grantConnection},
		"subject_token":        {r.RefreshToken},
		"subject_token_type":   {typeRefreshToken},
		"requested_token_type": {typeConnectionToken},
		"connection":           {r.Connection},
	}
	setIf(form, "login_hint", r.LoginHint)
	return c.spend(ctx, r.Issuer, form)
}

func (c *Client) spend(ctx context.Context, issuer string, form url.Values) (session.TokenResponse, error) {
	m, err := c.tokenProvider(ctx, issuer, users)
	if err != nil {
		return session.TokenResponse{}, err
	}
	return c.requestToken(ctx, m, form, nil)
}

// tokenProvider returns the metadata of a provider that has a token endpoint.
func (c *Client) tokenProvider(ctx context.Context, issuer string, as class) (*Metadata, error) {
	m, err := c.metadata(ctx, issuer, as)
	if err != nil {
		return nil, err
	}
	return m, endpoint{"token_endpoint", m.TokenEndpoint}.check()
}

// requestToken makes one token request and reads its answer.
func (c *Client) requestToken(ctx context.Context, m *Metadata, form url.Values, sending func() error) (session.TokenResponse, error) {
	r, s, err := c.send(ctx, m, m.TokenEndpoint, form, session.CodeTokenError, sending)
	if err != nil {
		return session.TokenResponse{}, err
	}
	return readAnswer(r, s)
}

// send authenticates a form and posts it, once. A request that fails is an
// APIError of the given code. The scrubber knows all that was secret in it. sending, which may
// be nil, is called just before, and nothing is sent where it fails.
func (c *Client) send(ctx context.Context, m *Metadata, to string, form url.Values, code session.Code, sending func() error) (reply, scrubber, error) {
	header := make(http.Header)
	secrets, err := c.auth.authenticate(m, form, header)
	switch {
	case isConfiguration(err):
		return reply{}, scrubber{}, err
	case err != nil:
		return reply{}, scrubber{}, failed(code, err)
	}
	for _, p := range secretParams {
		secrets = append(secrets, form.Get(p))
	}
	s := scrubber{}.and(secrets...)
	if sending != nil {
		if err := sending(); err != nil {
			return reply{}, s, &unsentError{err}
		}
	}
	r, err := c.post(ctx, to, form, header, s)
	if err != nil {
		return reply{}, s, &session.APIError{Code: code, Status: r.status, RetryAfter: r.retryAfter, Err: err}
	}
	return r, s, nil
}

// isConfiguration reports whether err says that the client cannot be authenticated as it is
// configured.
func isConfiguration(err error) bool {
	var config *session.ConfigurationError
	var api *session.APIError
	return errors.As(err, &config) && !errors.As(err, &api)
}

func setIf(form url.Values, name, value string) {
	if value != "" {
		form.Set(name, value)
	}
}

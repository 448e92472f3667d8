package tokenward

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/grants"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// MachineRequest says which access token the application wants for itself.
type MachineRequest struct {
	Audience string // empty: Config.Audience
	Scope    string // separated by spaces; Config.Scopes and ScopesFor are not added, for they are what users grant

	// Refused and MinRemaining are those of TokenRequest.
	Refused      string
	MinRemaining time.Duration
}

// Format prints r without the token that was refused.
func (r MachineRequest) Format(f fmt.State, verb rune) { TokenRequest(r).Format(f, verb) }

// LogValue returns r without the token that was refused.
func (r MachineRequest) LogValue() slog.Value { return TokenRequest(r).LogValue() }

// MarshalJSON writes r without the token that was refused.
func (r MachineRequest) MarshalJSON() ([]byte, error) { return TokenRequest(r).MarshalJSON() }

// MachineToken returns an access token of the application itself, for work that no user asks for: client credentials
// (RFC 6749 section 4.4). It answers from memory while a token with the scopes, or more, has time left. Otherwise it sends
// one request for all who want that audience and set of scopes at that time. Nothing is stored, and a refresh token is
// not kept. Requests have the permits of signed-in users (Limits.ProviderRequests).
//
// Where a resolver names the registration, it is asked with the store options that ContextWith put into ctx, for example
// StoreOptions{}.With(values).
//
// It fails with an *AccessTokenError: with the code failed_to_request_token where the provider refused or could not be
// asked, whose cause is an *APIError, or a *ConfigurationError where the application has nothing to authenticate with;
// with incorrect_audience (ProviderConfig.StrictAudience), overloaded or closed, also for callers whose request Close cut off. It
// fails with an *InvalidArgumentError for an audience or scope of more than Limits.ArgumentBytes or a negative
// MinRemaining, and with a *DomainResolverError. If ctx ends first it returns ctx.Err(); the request goes on for the others.
func (c *Client) MachineToken(ctx context.Context, r MachineRequest) (t Token, err error) {
	audience := cmp.Or(r.Audience, c.policy.Audience)
	q := c.granted().Find(lookup.TokenRequest{Audience: audience, Scope: r.Scope})
	if q != nil && r.Refused == "" && r.MinRemaining == 0 && !c.resolving() {
		if c.grants.Hit(session.RegistrationID{Issuer: c.issuer, ClientID: c.cfg.ClientID}, q, (*session.Token)(&t)) {
			return t, nil
		}
	}
	return telemetry.During(ctx, c.telemetry, observe.MachineToken, nil, func(ctx context.Context, _ *telemetry.Call) (Token, error) {
		return c.otherMachineToken(ctx, r, audience)
	})
}

// otherMachineToken is MachineToken where it is no plain hit.
func (c *Client) otherMachineToken(ctx context.Context, r MachineRequest, audience string) (Token, error) {
	if err := cmp.Or(c.bounded("audience", r.Audience, "scope", r.Scope), lasts(r.MinRemaining)); err != nil {
		return Token{}, err
	}
	o, _ := ctx.Value(contextKey{}).(StoreOptions)
	of, err := c.tenant(ctx, o.options())
	if err != nil {
		return Token{}, err
	}
	call := &grants.Call{
		Source: grants.Source{Of: of.of}, Issuer: of.of.Issuer, Query: c.grantedQuery(audience, r.Scope), Demand: session.NewDemand(r.Refused, r.MinRemaining),
		Failure: session.MachineFailure,
	}
	call.Fetch = func(ctx context.Context) (session.TokenResponse, error) {
		client, err := c.applicationOf(ctx, of)
		if err != nil {
			return session.TokenResponse{}, err
		}
		return client.GrantClientCredentials(ctx, idp.ClientCredentials{Issuer: of.of.Issuer, Audience: call.Query.Audience, Scope: call.Query.Scope})
	}
	t, err := c.grants.Get(ctx, call)
	if err == nil {
		c.granted().Keep(lookup.TokenRequest{Audience: audience, Scope: r.Scope})
	}
	return Token(t.Token), lookup.TokenError(err)
}

// MachineTransport is Handle.Transport for tokens of MachineToken.
func (c *Client) MachineTransport(r MachineRequest, base http.RoundTripper, origins ...string) http.RoundTripper {
	return c.transport(r.Audience, base, origins, func(ctx context.Context, refused string) (Token, error) {
		r := r
		r.Refused = refused
		return c.MachineToken(ctx, r)
	})
}

// grantedQuery returns the query of a call for a token that is not a session's. It is kept, so that asking again
// allocates nothing.
func (c *Client) grantedQuery(audience, scope string) *session.TokenQuery {
	r := lookup.TokenRequest{Audience: audience, Scope: scope}
	if q := c.granted().Find(r); q != nil {
		return q
	}
	return session.Policy{}.Query(audience, scope)
}

// openGrants makes the memory of tokens that are not a session's.
func (c *Client) openGrants() {
	c.granted = sync.OnceValue(func() *lookup.Queries {
		queries := new(lookup.Queries)
		queries.Init(session.Policy{})
		return queries
	})
	c.grants = grants.New(grants.Config{
		Clock: c.clock, Limits: c.opts.limits, Ask: c.runner.Ask, Closed: c.lookup.Closed, Stopped: c.stopped,
		Apply: session.ApplyOptions{
			StrictAudience: c.opts.provider.StrictAudience, MaxTokenSets: c.opts.limits.TokenSets, Buffer: c.opts.buffer, DefaultLifetime: c.opts.provider.TokenLifetime,
		},
	})
}

func lasts(minRemaining time.Duration) error {
	if minRemaining < 0 {
		return &InvalidArgumentError{Argument: "min_remaining", Message: "must not be negative"}
	}
	return nil
}

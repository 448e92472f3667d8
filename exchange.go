package tokenward

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/grants"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// ExchangeRequest says which token is exchanged, and for what (RFC 8693 section 2.1).
type ExchangeRequest struct {
	Audience string // that the new token is for; empty: none is named
	Scope    string // of the new token, separated by spaces

	// SubjectAudience and SubjectScope name the session's access token that is exchanged, as in a TokenRequest. They are
	// empty where the host gives SubjectToken, a token that it has verified, in its place.
	SubjectAudience string
	SubjectScope    string
	SubjectToken    string

	SubjectTokenType string // empty: urn:ietf:params:oauth:token-type:access_token

	// ActorToken is who acts on the user's behalf, and ActorTokenType what kind of token that is. They go together.
	ActorToken     string
	ActorTokenType string

	// Params are further parameters, such as resource or organization. They cannot set what has a field here, nor client
	// authentication.
	Params map[string]string

	// OnBehalfOf asks in the way of Entra ID: the subject token as the assertion of a JWT bearer grant (RFC 7523), with
	// requested_token_use=on_behalf_of. Such a request names a scope, no audience and no actor.
	OnBehalfOf bool

	// Refused and MinRemaining are those of TokenRequest, about the new token.
	Refused      string
	MinRemaining time.Duration
}

// Format prints r without tokens and further parameters.
func (r ExchangeRequest) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "tokenward.ExchangeRequest{Audience: %q, Scope: %q}", r.Audience, r.Scope)
}

// MarshalJSON refuses: an ExchangeRequest may hold tokens.
func (r ExchangeRequest) MarshalJSON() ([]byte, error) {
	return nil, &ConfigurationError{Message: "an ExchangeRequest may hold tokens and is not written as JSON"}
}

// ExchangedToken is an access token that another was exchanged for.
type ExchangedToken struct {
	Token
	IssuedTokenType string // as the provider says (RFC 8693 section 2.2.1); empty where it does not
}

// ExchangeToken exchanges the session's access token, or one that the host gives, for an access token of another API on
// behalf of the user (RFC 8693). It spends no refresh token, so it waits for no refresh but that of the token that it
// exchanges. It answers from memory while an exchanged token with the scopes, or more, has time left; callers who want the
// same share one request. Nothing is stored.
//
// The result is of the session's present login only. It is handed out while the session lives, which is looked at just
// before, and its ExpiresAt is no later than the session's end. Where a SubjectToken is given and neither o nor ctx names
// a session, it is of no session: the answer is the same for every caller with the same token, and the requests have the
// permits of strangers (Limits.ProviderRequests).
//
// It fails with a *CustomTokenExchangeError: with the code invalid_token_format for a token that is blank or begins with
// "Bearer", missing_actor_token_type, or token_exchange_failed, whose cause is an *APIError or a *ConfigurationError. It
// fails with an *AccessTokenError as GetAccessToken does: where there is no session, or its token cannot be had; with
// missing_session or session_expired where the session ends in between; with incorrect_audience, overloaded or closed. It fails
// with an *InvalidArgumentError for arguments of more than Limits.ArgumentBytes (tokens are not limited) and for those that
// do not go together, with a *DomainResolverError, and with ctx.Err().
func (c *Client) ExchangeToken(ctx context.Context, r ExchangeRequest, o StoreOptions) (ExchangedToken, error) {
	if err := cmp.Or(r.check(), c.boundedExchange(&r)); err != nil {
		return ExchangedToken{}, err
	}
	r.SubjectTokenType, r.Params = cmp.Or(r.SubjectTokenType, idp.TypeAccessToken), maps.Clone(r.Params)
	o = c.resolve(ctx, o)
	defer c.renew(ctx, o)
	x := &exchange{c: c, r: r, o: o, call: &grants.Call{
		Query: c.grantedQuery(r.Audience, r.Scope), Demand: session.NewDemand(r.Refused, r.MinRemaining), Failure: session.TokenExchangeFailure,
	}}
	t, err := telemetry.During(ctx, c.telemetry, observe.ExchangeToken, nil, func(ctx context.Context, _ *telemetry.Call) (grants.Token, error) {
		return x.token(ctx)
	})
	if err == nil {
		c.granted().Keep(lookup.TokenRequest{Audience: r.Audience, Scope: r.Scope})
	}
	return ExchangedToken{Token(t.Token), t.Issued}, err
}

// ExchangeToken is Client.ExchangeToken for this session.
func (h *Handle) ExchangeToken(ctx context.Context, r ExchangeRequest) (ExchangedToken, error) {
	return h.c.ExchangeToken(ctx, r, h.o)
}

// check returns why r cannot be sent.
func (r *ExchangeRequest) check() error {
	switch {
	case malformed(r.SubjectToken):
		return &CustomTokenExchangeError{Code: session.CodeInvalidTokenFormat, Message: "the subject token" + notAlone}
	case malformed(r.ActorToken):
		return &CustomTokenExchangeError{Code: session.CodeInvalidTokenFormat, Message: "the actor token" + notAlone}
	case r.ActorToken != "" && blank(r.ActorTokenType):
		return &CustomTokenExchangeError{Code: session.CodeMissingActorTokenType, Message: "the actor token has no type; give ActorTokenType"}
	case r.ActorToken == "" && r.ActorTokenType != "":
		return &CustomTokenExchangeError{Code: session.CodeInvalidTokenFormat, Message: "there is a type and no actor token; give both"}
	case r.SubjectToken != "" && r.SubjectAudience+r.SubjectScope != "":
		return &InvalidArgumentError{Argument: "subject_token", Message: "give the token, or the audience and scope of the session's, not both"}
	case r.OnBehalfOf && r.ActorToken != "":
		return &InvalidArgumentError{Argument: "actor_token", Message: "has no place in Entra ID's on-behalf-of request"}
	}
	return lasts(r.MinRemaining)
}

const notAlone = " is blank, has space around it or begins with Bearer; give the token alone"

// malformed reports whether a token that was given is none, or not a token alone.
func malformed(token string) bool {
	scheme, _, _ := strings.Cut(token, " ")
	return strings.TrimSpace(token) != token || strings.EqualFold(scheme, "Bearer")
}

func (c *Client) boundedExchange(r *ExchangeRequest) error {
	params := 0
	for name, value := range r.Params {
		params += len(name) + len(value)
	}
	if params > c.opts.limits.ArgumentBytes {
		return &InvalidArgumentError{Argument: "params", Message: fmt.Sprintf("have %d bytes; WithLimits allows %d (ArgumentBytes)", params, c.opts.limits.ArgumentBytes)}
	}
	return cmp.Or(c.bounded("audience", r.Audience, "scope", r.Scope), c.bounded("subject_audience", r.SubjectAudience, "subject_scope", r.SubjectScope),
		c.bounded("subject_token_type", r.SubjectTokenType, "actor_token_type", r.ActorTokenType))
}

// exchange is one call of ExchangeToken.
type exchange struct {
	c    *Client
	r    ExchangeRequest
	call *grants.Call
	o    StoreOptions
}

func (x *exchange) token(ctx context.Context) (grants.Token, error) {
	if x.o.id == "" {
		if x.r.SubjectToken != "" && x.o.options().Request == nil {
			return x.ofNoSession(ctx)
		}
		return grants.Token{}, x.c.noSession(x.o, lookup.TokenError, session.ErrMissingRefreshToken)
	}
	current, err := x.c.currentFor(ctx, x.o, lookup.TokenError)
	if err != nil {
		return grants.Token{}, err
	}
	caller := &lookup.Caller{Ctx: ctx, ID: x.o.id, Options: x.o.options(), Current: current}
	subject := x.c.policy.Query(x.r.SubjectAudience, x.r.SubjectScope)
	for {
		s, err := x.c.lookup.Living(caller)
		if err != nil {
			return grants.Token{}, err
		}
		x.aim(s, subject)
		if t, ok := x.c.grants.Cached(x.call); ok {
			return t, nil
		}
		token := x.r.SubjectToken
		if token == "" {
			var t session.Token
			if err := x.c.token(ctx, subject, nil, x.o, &t); err != nil {
				return grants.Token{}, err
			}
			token = t.AccessToken
		}
		t, err := x.get(ctx, caller, s, token)
		if err == nil && !t.Fresh && !x.c.clock.Now().Before(t.ExpiresAt) {
			continue // it expired while the session was looked at
		}
		return t, err
	}
}

// aim has the call ask for a token of the session that shows s, as it is now.
func (x *exchange) aim(s *directory.Snapshot, subject *session.TokenQuery) {
	x.call.Source = grants.Source{Session: x.c.key(x.o.id), Incarnation: s.Incarnation, Subject: x.r.digest(subject)}
	if s.Ceiling.Legal() {
		x.call.Until = s.Ceiling.Deadline().Unix()
	}
	if s.EndsAt != 0 && (x.call.Until == 0 || s.EndsAt < x.call.Until) {
		x.call.Until = s.EndsAt
	}
}

// get exchanges token, as the application of the session that showed s, and hands the answer out if that login lives still. If
// another one has begun since, token may be of that one: then the answer is kept for the login before, which is over.
func (x *exchange) get(ctx context.Context, caller *lookup.Caller, s *directory.Snapshot, token string) (grants.Token, error) {
	c, of := x.c, x.c.ownerOf(s.State())
	x.call.Issuer = of.Issuer
	x.call.Fetch = x.fetch(token, func(ctx context.Context) (*idp.Client, error) { return c.application(ctx, of) })
	x.call.Failure = func(err error) error {
		return new(session.Held).Redact(session.TokenExchangeFailure(err), s.State())
	}
	t, failure := c.grants.Get(ctx, x.call)
	if failure != nil && ctx.Err() != nil {
		return grants.Token{}, failure
	}
	now, err := c.lookup.Living(caller)
	switch {
	case errors.Is(err, session.ErrMissingRefreshToken), err == nil && now.Incarnation != s.Incarnation:
		c.grants.Forget(x.call)
		return grants.Token{}, lookup.TokenError(session.ErrMissingSession)
	case err != nil:
		if errors.Is(err, session.ErrSessionExpired) {
			c.grants.Forget(x.call)
		}
		return grants.Token{}, err
	case failure != nil:
		return grants.Token{}, exchangeError(failure)
	}
	return t, nil
}

// exchangeError returns err with a type.
func exchangeError(err error) error {
	if errors.As(err, new(*CustomTokenExchangeError)) {
		return err
	}
	return lookup.TokenError(err)
}

// ofNoSession exchanges a token that the host gave, for a caller without a session.
func (x *exchange) ofNoSession(ctx context.Context) (grants.Token, error) {
	of, err := x.c.tenant(ctx, x.o.options())
	if err != nil {
		return grants.Token{}, err
	}
	x.call.Source = grants.Source{Of: of.of, Subject: x.r.digest(nil)}
	x.call.Issuer, x.call.Strangers = of.of.Issuer, true
	c := x.c
	x.call.Fetch = x.fetch(x.r.SubjectToken, func(ctx context.Context) (*idp.Client, error) { return c.applicationOf(ctx, of) })
	t, err := x.c.grants.Get(ctx, x.call)
	return t, exchangeError(err)
}

// fetch returns what exchanges token at the provider, by the client that as returns. It holds nothing of the caller's
// store options, for it may run longer than the call.
func (x *exchange) fetch(token string, as func(context.Context) (*idp.Client, error)) func(context.Context) (session.TokenResponse, error) {
	r, q, issuer := x.r, x.call.Query, x.call.Issuer
	return func(ctx context.Context) (session.TokenResponse, error) {
		client, err := as(ctx)
		if err != nil {
			return session.TokenResponse{}, err
		}
		return client.ExchangeToken(ctx, idp.TokenExchange{
			Issuer: issuer, Audience: q.Audience, Scope: q.Scope, SubjectToken: token, SubjectTokenType: r.SubjectTokenType,
			ActorToken: r.ActorToken, ActorTokenType: r.ActorTokenType, Params: r.Params, OnBehalfOf: r.OnBehalfOf,
		})
	}
}

// digest returns a hash of the exchanged token and how: of r without the wanted token, and of the query of the
// session's token.
func (r *ExchangeRequest) digest(subject *session.TokenQuery) [sha256.Size]byte {
	list := []string{r.SubjectToken, r.SubjectTokenType, r.ActorToken, r.ActorTokenType, fmt.Sprint(r.OnBehalfOf)}
	if r.SubjectToken == "" {
		list = append(list, subject.Key.Audience, subject.Key.Scopes)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		list = append(list, name, r.Params[name])
	}
	var all []byte
	for _, s := range list {
		all = append(binary.AppendUvarint(all, uint64(len(s))), s...)
	}
	return sha256.Sum256(all)
}

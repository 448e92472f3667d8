package tokenward

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// GetAccessTokenForConnection returns an access token of an upstream connection
// (Auth0 Token Vault), from the cache while it lasts, else exchanged for the
// session's refresh token. The session's ceiling does not gate it: tokens in the
// cache stay retrievable after it.
//
// It fails with an *AccessTokenForConnectionError, among others with the codes
// missing_refresh_token, api_error and retrieval_error, with a
// *MissingRequiredArgumentError without a connection, and with a *ConfigurationError
// where no client authentication is configured.
func (c *Client) GetAccessTokenForConnection(ctx context.Context, r ConnectionRequest, o StoreOptions) (ConnectionToken, error) {
	if r.Connection == "" {
		return ConnectionToken{}, &MissingRequiredArgumentError{Argument: "connection"}
	}
	o = c.resolve(ctx, o)
	defer c.leave(o)
	issuer, err := c.current(ctx, o.options())
	if err != nil {
		return ConnectionToken{}, err
	}
	if o.id == "" {
		if c.resolving() {
			return ConnectionToken{}, &AccessTokenForConnectionError{Code: session.CodeMissingSessionDomain}
		}
		return ConnectionToken{}, connectionError(c.nobody())
	}
	key := session.ConnectionKey(r.Connection, r.LoginHint)
	for {
		// Should the session be loaded past its ceiling, this question comes first.
		first := messages.NewFlight(&session.Question{Key: key}, o.options())
		ask := first
		if c.resolving() {
			ask = nil // whose session it is must be known first
		}
		e, s, err := c.look(ctx, o.id, o.options(), ask)
		if err != nil {
			return ConnectionToken{}, connectionError(err)
		}
		if code := c.foreign(s, issuer); code != "" {
			return ConnectionToken{}, &AccessTokenForConnectionError{Code: code}
		}
		if s.Phase == messages.Ended && s.Reason == session.ReasonLifetime {
			return ConnectionToken{}, connectionError(session.ErrMissingRefreshToken)
		}
		now := c.clock.Now()
		answer, answered := landed(first)
		if !answered {
			if s.Phase == messages.Ready || s.Phase == messages.Ended {
				if t, ok := s.State.FindConnection(key, now); ok && !c.closed.Load() {
					e.Use(now.Unix())
					return t, nil
				}
			}
			f := e.Find(key)
			switch {
			case f != nil:
				answer, err = c.landing(ctx, e, f)
			case s.Phase == messages.Ready:
				e.Use(now.Unix())
				answer, err = c.fly(ctx, e, first.Question, o)
			case e.Snapshot() != s:
				continue // what was in the air has landed just now, and is shown
			default:
				err = session.ErrMissingRefreshToken
			}
		}
		switch {
		case err != nil:
			return ConnectionToken{}, connectionError(err)
		case answer.Again:
			continue
		case answer.Err != nil:
			return ConnectionToken{}, answer.Err
		}
		if answer.Cached && !c.clock.Now().Before(answer.Connection.ExpiresAt) {
			continue
		}
		return answer.Connection, nil
	}
}

// landed returns the answer of a flight that has landed already.
func landed(f *messages.Flight) (messages.Answer, bool) {
	select {
	case <-f.Done():
		return f.Answer(), true
	default:
		return messages.Answer{}, false
	}
}

// connectionError makes err an *AccessTokenForConnectionError, unless it is the
// caller's own context's.
func connectionError(err error) error {
	var typed *AccessTokenForConnectionError
	if isContext(err) || errors.As(err, &typed) {
		return err
	}
	code, cause := codeAndCause(err)
	return &AccessTokenForConnectionError{Code: code, Err: cause}
}

package tokenward

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// GetAccessToken returns an access token for the session. It answers from the
// cache while a token has time left; otherwise it refreshes (RFC 6749 section 6),
// and callers who arrive meanwhile share that one request.
//
// It fails with an *AccessTokenError, among others with the codes session_expired,
// missing_refresh_token and refresh_token_error. If ctx ends first it returns
// ctx.Err(); the refresh goes on for the others, and its result is kept.
func (c *Client) GetAccessToken(ctx context.Context, r TokenRequest, o StoreOptions) (Token, error) {
	q := c.question.of(r)
	if o.id != "" && !c.resolving() {
		if e := c.dir.Lookup(o.id); e != nil {
			if t := c.hit(e, q); t != nil {
				return *t, nil
			}
		}
	}
	return c.token(ctx, q, c.resolve(ctx, o))
}

// hit finds the answer in what the session shows, or nil. It takes no lock of the
// session, sends no message and allocates nothing.
func (c *Client) hit(e *messages.Entry, q *session.Question) *session.Token {
	s := e.Snapshot()
	if s.Phase != messages.Ready || c.closed.Load() {
		return nil
	}
	now := c.clock.Now()
	if s.Ceiling.Reached(now) || s.Over(now) {
		return nil
	}
	t := s.Tokens.Lookup(q, now, c.buffer)
	if t != nil {
		e.Use(now.Unix())
	}
	return t
}

func (c *Client) token(ctx context.Context, q *session.Question, o StoreOptions) (Token, error) {
	defer c.leave(o)
	if o.id == "" {
		return Token{}, tokenError(c.nobody())
	}
	issuer, err := c.current(ctx, o.options())
	if err != nil {
		return Token{}, err
	}
	for {
		e, s, err := c.look(ctx, o.id, o.options(), nil)
		if err != nil {
			return Token{}, tokenError(err)
		}
		now := c.clock.Now()
		switch {
		case s.Phase == messages.Ready && c.foreign(s, issuer) != "":
			return Token{}, &AccessTokenError{Code: c.foreign(s, issuer)}
		case s.Phase == messages.Ready && s.Ceiling.Reached(now), s.Phase == messages.Ended && s.Reason == session.ReasonCeiling:
			if err := c.expire(ctx, e, s, o.options()); err != nil {
				return Token{}, tokenError(err)
			}
			return Token{}, tokenError(session.ErrSessionExpired)
		case s.Phase != messages.Ready:
			return Token{}, tokenError(session.ErrMissingRefreshToken)
		}
		if t := c.hit(e, q); t != nil {
			return *t, nil
		}
		e.Use(now.Unix())
		a, err := c.fly(ctx, e, q, o)
		switch {
		case err != nil:
			return Token{}, tokenError(err)
		case a.Again:
			continue
		case a.Err != nil:
			return Token{}, a.Err
		}
		// However long this caller took to wake up, nothing is handed out too late.
		now = c.clock.Now()
		if a.Ceiling.Reached(now) || a.Cached && !now.Before(a.Token.ExpiresAt) {
			continue
		}
		return a.Token, nil
	}
}

// nobody says that a call is about no session.
func (c *Client) nobody() error {
	if c.closed.Load() {
		return session.ErrClosed
	}
	return session.ErrMissingRefreshToken
}

// fly joins the flight for q, or has the session start one, and waits for it to land.
func (c *Client) fly(ctx context.Context, e *messages.Entry, q *session.Question, o StoreOptions) (messages.Answer, error) {
	if f := e.Find(q.Key); f != nil { // most of a crowd need no flight of their own
		return c.landing(ctx, e, f)
	}
	f, first := e.Join(messages.NewFlight(q, o.options()), c.limit)
	if f == nil {
		return messages.Answer{}, session.ErrOverloaded
	}
	if first {
		c.system.Root.Send(e.PID(), &messages.NeedToken{Flight: f})
	}
	return c.landing(ctx, e, f)
}

// landing waits for f. An entry that is gone answers nobody: look again.
func (c *Client) landing(ctx context.Context, e *messages.Entry, f *messages.Flight) (messages.Answer, error) {
	select {
	case <-f.Done():
		return f.Answer(), nil
	case <-ctx.Done():
		return messages.Answer{}, ctx.Err()
	case <-e.Gone():
	case <-c.stopped:
	}
	select {
	case <-f.Done():
		return f.Answer(), nil
	default:
		return messages.Answer{Again: true}, ctx.Err()
	}
}

// tokenError makes err an *AccessTokenError, unless it is the caller's own context's.
func tokenError(err error) error {
	var typed *AccessTokenError
	if isContext(err) || errors.As(err, &typed) {
		return err
	}
	code, cause := codeAndCause(err)
	return &AccessTokenError{Code: code, Err: cause}
}

// codeAndCause splits what went wrong from why.
func codeAndCause(err error) (session.Code, error) {
	code := session.CodeOf(err)
	switch {
	case errors.Is(err, session.ErrStore):
		var both interface{ Unwrap() []error }
		if errors.As(err, &both) && len(both.Unwrap()) == 2 {
			return session.CodeStoreError, both.Unwrap()[1]
		}
		return session.CodeStoreError, nil
	case code == "":
		return session.CodeInternalError, err
	}
	return code, nil
}

func isContext(err error) bool {
	return err == context.Canceled || err == context.DeadlineExceeded //nolint:errorlint // the caller's own, as it is
}

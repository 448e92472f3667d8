package tokenward

import (
	"context"
	"fmt"

	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
)

// GetUser returns the claims of the user who is signed in, or nil when there is no
// session, or when its ceiling is reached: then the session is deleted first. It never
// asks the provider and never waits for a refresh.
//
// It fails when the store does not answer (ErrStore), with ErrOverloaded and
// ErrClosed, with ctx.Err(), and with an *InvalidArgumentError where the call names no
// session: neither an id nor a request, nor does the context.
func (c *Client) GetUser(ctx context.Context, o StoreOptions) (User, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return s.User.Claims(), nil
}

// GetSession returns a copy of the session, or nil when there is none. It behaves
// like GetUser in all else.
func (c *Client) GetSession(ctx context.Context, o StoreOptions) (*Session, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return s.Session(), nil
}

// GetSessionData returns a copy of the values that the application keeps in the session: empty where it keeps none, nil
// where there is no session. It behaves like GetUser in all else.
func (c *Client) GetSessionData(ctx context.Context, o StoreOptions) (SessionData, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return s.Data.Data(), nil
}

// UpdateSession changes the values that the application keeps in the session. It calls update with a copy of them, which
// update changes, and returns once the store has what came of it:
//
//	err := client.UpdateSession(ctx, func(data tokenward.SessionData) error {
//		return data.Set("theme", "dark")
//	}, o)
//
// An update is a compare-and-swap. Where another call, here or in another process that shares the store, has changed the
// values in between, update is called again with those: so none is lost, and update should do nothing but change data. It
// runs on the caller's goroutine. An error of update ends the call, and changes nothing.
//
// The values live as long as the session: refreshes leave them, its end takes them, a login of another user gets none. A
// login of the same user (issuer, client id and sub) in a browser, or under a session id, whose session lives keeps them. They are sealed in the store
// as tokens are, and an update neither refreshes the session nor prolongs it.
//
// UpdateSession fails with ErrMissingSession and ErrSessionExpired, also where the session ends before the store has the
// values; with an *InvalidArgumentError where they are more than Limits.SessionDataBytes or no JSON, or do not fit into the cookies of
// WithStatelessSessions; as GetUser does; and with the store's error (ErrStore). With that, and with ctx.Err(), the values may have been changed all
// the same: after ErrStore they stay in memory and are written again with the next save.
func (c *Client) UpdateSession(ctx context.Context, update func(data SessionData) error, o StoreOptions) error {
	o = c.resolve(ctx, o)
	defer c.renew(ctx, o)
	if o.id == "" {
		return c.noSession(o, asItIs, session.ErrMissingSession)
	}
	current, err := c.currentFor(ctx, o, asItIs)
	if err != nil {
		return err
	}
	caller := &lookup.Caller{Ctx: ctx, ID: o.id, Options: o.options(), Current: current}
	return c.lookup.Update(caller, func(from session.RawData) (session.RawData, error) {
		data := from.Data()
		if err := update(data); err != nil {
			return "", err
		}
		return c.rawData(data)
	})
}

// rawData returns data as a state keeps it, if that is not too much.
func (c *Client) rawData(data SessionData) (session.RawData, error) {
	raw, err := data.Raw()
	switch most := c.opts.limits.SessionDataBytes; {
	case err != nil:
		return "", &InvalidArgumentError{Argument: "data", Message: err.Error()}
	case len(raw) > most:
		return "", &InvalidArgumentError{Argument: "data", Message: fmt.Sprintf("is %d bytes of JSON, and Limits.SessionDataBytes allows %d", len(raw), most)}
	}
	return raw, nil
}

// read returns the state of the session, or nil when it does not live.
func (c *Client) read(ctx context.Context, o StoreOptions) (*session.State, error) {
	o = c.resolve(ctx, o)
	defer c.renew(ctx, o)
	if o.id == "" {
		return nil, c.noSession(o, asItIs, nil)
	}
	current, err := c.currentFor(ctx, o, asItIs)
	if err != nil {
		return nil, err
	}
	return c.lookup.Read(&lookup.Caller{Ctx: ctx, ID: o.id, Options: o.options(), Current: current})
}

package tokenward

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"

	"github.com/tokenward/tokenward/internal/directory"
)

// CompletedLogin is for a callback that a browser loads again. It returns the AppState of the login that
// callbackURL completed within the last hour, nil where there was none. It is ok only while the session
// that this login made lives, and if the request of o carries that very session: to another
// browser a stolen callback URL says nothing. Any process that shares the state store knows it; without a
// shared store the process that completed the login does, for the latest 10,000 of them.
func (c *Client) CompletedLogin(ctx context.Context, callbackURL string, o StoreOptions) (appState json.RawMessage, ok bool) {
	u, err := url.Parse(callbackURL)
	if err != nil || c.callers.Closed() {
		return nil, false
	}
	state := u.Query().Get("state")
	o = c.resolve(ctx, o)
	if state == "" || o.id == "" || o.options().Request == nil {
		return nil, false
	}
	done, ok := c.completion(ctx, state, o.options())
	if !ok || done.Session != c.key(o.id) {
		return nil, false
	}
	s, err := c.look(ctx, o.id, o.options())
	if err != nil || s.Phase != directory.Ready || s.Incarnation != done.Incarnation || s.Ceiling.Reached(c.clock.Now()) {
		return nil, false
	}
	return bytes.Clone(done.AppState), true
}

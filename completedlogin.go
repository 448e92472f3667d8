package tokenward

import (
	"context"
	"encoding/json"
)

// CompletedLogin returns the AppState of the login that callbackURL completed already, and whether there is one: the
// session that it made lives, and is that of the browser.
func (c *Client) CompletedLogin(context.Context, string, StoreOptions) (appState json.RawMessage, ok bool) {
	return nil, false
}

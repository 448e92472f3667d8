package idptest

import (
	"cmp"
	"net/http"
	"net/url"
	"time"
)

// pushed is an authorization request that waits for its browser (RFC 9126).
type pushed struct {
	form    url.Values
	expires time.Time
}

const pushedLife = 90 * time.Second

// push serves the pushed authorization request endpoint.
func (t *Tenant) push(c *call) *reply {
	cl, e := t.authenticate(c)
	switch {
	case e != nil:
		return c.denied(e)
	case c.form.Has("request_uri"):
		return oauthReply("invalid_request", "request_uri cannot be pushed")
	}
	c.form = url.Values(http.Header(c.form).Clone()) // the counters keep what was sent
	c.form.Set("client_id", cl.id)
	if _, _, err := t.redirectTarget(c); err != nil {
		return oauthReply("invalid_request", err.Error())
	}
	p := t.profile()
	if e := cmp.Or(p.demands(c.form), p.wrongWith(c.form)); e != nil {
		return e.reply()
	}
	uri := secret("urn:ietf:params:oauth:request_uri:")
	t.mu.Lock()
	t.pushed[uri] = pushed{c.form, t.clock.Now().Add(pushedLife)}
	t.mu.Unlock()
	return jsonReply(http.StatusCreated, map[string]any{
		"request_uri": uri,
		"expires_in":  int64(pushedLife.Seconds()),
	})
}

// pull replaces the parameters of an authorize request by those that were pushed.
// It reports false when there are none, or no longer, or of another client. A
// request_uri is good once.
func (t *Tenant) pull(c *call) bool {
	uri := c.form.Get("request_uri")
	if uri == "" {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.pushed[uri]
	delete(t.pushed, uri)
	if !ok || !t.clock.Now().Before(p.expires) || p.form.Get("client_id") != c.form.Get("client_id") {
		return false
	}
	c.form, c.pulled = p.form, true
	return true
}

package idptest

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// call is one request on its way through the tenant.
type call struct {
	req     *http.Request
	kind    Kind // "" for a path that nobody serves
	alias   bool // it asks at the second place of the metadata
	pulled  bool // form is what was pushed
	form    url.Values
	subject string          // "" while unknown
	family  *family         // of the refresh token that it presents, if any
	json    []byte          // the body, where it is JSON
	body    error           // what went wrong with reading the body
	done    func()          // counts it out; safe to call again
	healed  <-chan struct{} // closed by a Heal after it arrived
}

// read takes a request apart.
func (t *Tenant) read(r *http.Request) *call {
	c := &call{req: r, form: url.Values{}, done: func() {}}
	var body string
	if r.Body != nil {
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		body, c.body = string(b), err
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		c.form, _ = url.ParseQuery(body)
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		c.json = []byte(body)
	}
	at := t.routes[r.URL.Path]
	c.kind, c.alias = at.kind, at.alias
	switch {
	case at.kind == Token:
		c.kind = kindOfGrant(c.form.Get("grant_type"))
		if c.kind == TokenExchange {
			if who, ok := t.bearer(c.subjectToken()); ok {
				c.subject = who.subject
			}
		}
	case at.kind == Authorize && r.Method == http.MethodGet, at.kind == Logout && r.Method != http.MethodPost:
		c.form = r.URL.Query()
	}
	return c
}

// answer takes one request through the tenant: it is counted, held and made to
// fail as the test said, and in between it is granted. It returns nil when the
// request ended before its answer, because the client or the tenant went away.
func (t *Tenant) answer(c *call) *reply {
	ctx := c.req.Context()
	fault := t.admit(c)
	if c.body != nil {
		return nil
	}
	if c.matches(Token) && !t.sleep(ctx, t.config().latency) {
		return nil
	}
	if !t.hold(c, BeforeGrant) {
		return nil
	}
	var good *reply
	if fault == nil || fault.after || fault.shapes {
		good = t.serveCall(c)
	}
	if !t.hold(c, AfterGrant) {
		return nil
	}
	if fault == nil {
		return good
	}
	return t.spoil(c, fault, good)
}

// admit counts c in and picks the fault that it shall meet, if any.
func (t *Tenant) admit(c *call) *Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.identify(c)
	c.healed = t.healed
	tallies := t.counters.in(c)
	var once sync.Once
	c.done = func() {
		once.Do(func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			for _, n := range tallies {
				n.inFlight--
			}
		})
	}
	return t.nextFault(c)
}

// identify finds out whom c is about. The caller holds t.mu.
func (t *Tenant) identify(c *call) {
	switch c.kind {
	case CodeExchange:
		if l := t.codes[c.form.Get("code")]; l != nil {
			c.subject = l.subject
		}
	case Refresh:
		c.family, _ = t.familyOf(c.form.Get("refresh_token"))
	case ConnectionExchange:
		c.family, _ = t.familyOf(c.form.Get("subject_token"))
	case Revocation:
		c.family, _ = t.familyOf(c.form.Get("token"))
	}
	if c.family != nil {
		c.subject = c.family.login.subject
	}
}

// serveCall answers as a provider in good health does.
func (t *Tenant) serveCall(c *call) *reply {
	switch c.kind {
	case Discovery:
		return t.discovery(c)
	case JWKS:
		return t.jwks(c)
	case Authorize:
		return t.authorize(c)
	case PAR:
		return t.shaped(t.push(c))
	case CodeExchange, Refresh, ConnectionExchange, ClientCredentials, TokenExchange, Token:
		return t.shaped(t.grant(c))
	case Revocation:
		return t.shaped(t.revoke(c))
	case UserInfo:
		return t.userinfo(c)
	case Logout:
		return t.logout(c)
	case TransmitterMeta, Streams, Verification, Poll:
		return t.transmit(c)
	case Trap:
		return jsonReply(http.StatusOK, map[string]any{"trapped": true})
	}
	return plain(http.StatusNotFound, "not found")
}

package idptest

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Kind says what a request is for. Counters, faults and holds go by it.
type Kind string

// The kinds of request. Some contain others: Token is CodeExchange, Refresh,
// ConnectionExchange and any other grant; Spend is whatever presents a refresh
// token, so Refresh and ConnectionExchange; Any is everything.
const (
	Any                Kind = "any"
	Discovery          Kind = "discovery"
	JWKS               Kind = "jwks"
	Authorize          Kind = "authorize"
	Token              Kind = "token"
	CodeExchange       Kind = "code exchange"
	Refresh            Kind = "refresh"
	ConnectionExchange Kind = "connection exchange"
	Spend              Kind = "spend"
	Revocation         Kind = "revocation"
	Logout             Kind = "logout"
	Trap               Kind = "trap" // where Redirect leads
)

// Of narrows k to the requests that are about one user: Refresh.Of("ada"). It is
// known from the code or the refresh token that a request presents.
func (k Kind) Of(subject string) Kind { return k + " of " + Kind(subject) }

// split undoes Of.
func (k Kind) split() (kind Kind, subject string) {
	a, b, _ := strings.Cut(string(k), " of ")
	return Kind(a), b
}

// The grants of the token endpoint.
const (
	grantCode       = "authorization_code"
	grantRefresh    = "refresh_token"
	grantConnection = "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"
)

// The paths of the endpoints.
const (
	pathDiscovery = "/.well-known/openid-configuration"
	pathJWKS      = "/.well-known/jwks.json"
	pathAuthorize = "/authorize"
	pathToken     = "/oauth/token"
	pathRevoke    = "/oauth/revoke"
	pathLogout    = "/v2/logout"
	pathEndSess   = "/oidc/logout"
	pathTrap      = "/trap"
)

// call is one request on its way through the tenant.
type call struct {
	req     *http.Request
	kind    Kind // "" for a path that nobody serves
	form    url.Values
	subject string  // "" while unknown
	family  *family // of the refresh token that it presents, if any
	body    error   // what went wrong with reading the body
	land    func()  // counts it out; safe to call again
}

// matches reports whether c is a request of kind k.
func (c *call) matches(k Kind) bool {
	k, subject := k.split()
	if subject != "" && subject != c.subject {
		return false
	}
	for _, have := range c.kinds() {
		if have == k {
			return true
		}
	}
	return false
}

// kinds returns every kind that c is of.
func (c *call) kinds() []Kind {
	switch c.kind {
	case CodeExchange:
		return []Kind{Any, Token, CodeExchange}
	case Refresh, ConnectionExchange:
		return []Kind{Any, Token, Spend, c.kind}
	case "":
		return []Kind{Any}
	}
	return []Kind{Any, c.kind}
}

// read takes a request apart.
func (t *Tenant) read(r *http.Request) *call {
	c := &call{req: r, form: url.Values{}, land: func() {}}
	var body string
	if r.Body != nil {
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		body, c.body = string(b), err
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		c.form, _ = url.ParseQuery(body)
	}
	switch strings.TrimPrefix(r.URL.Path, strings.TrimRight(t.base.Path, "/")) {
	case pathDiscovery:
		c.kind = Discovery
	case pathJWKS:
		c.kind = JWKS
	case pathAuthorize:
		c.kind = Authorize
		if r.Method == http.MethodGet {
			c.form = r.URL.Query()
		}
	case pathToken:
		c.kind = kindOfGrant(c.form.Get("grant_type"))
	case pathRevoke:
		c.kind = Revocation
	case pathLogout, pathEndSess:
		c.kind = Logout
		c.form = r.URL.Query()
	case pathTrap:
		c.kind = Trap
	}
	return c
}

func kindOfGrant(grant string) Kind {
	switch grant {
	case grantCode:
		return CodeExchange
	case grantRefresh:
		return Refresh
	case grantConnection:
		return ConnectionExchange
	}
	return Token
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
	tallies := t.counters.in(c)
	var once sync.Once
	c.land = func() {
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
	case CodeExchange, Refresh, ConnectionExchange, Token:
		return t.token(c)
	case Revocation:
		return t.revoke(c)
	case Logout:
		return t.logout(c)
	case Trap:
		return jsonReply(http.StatusOK, map[string]any{"trapped": true})
	}
	return &reply{status: http.StatusNotFound, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte("not found\n")}
}

// discovery answers the provider's metadata (OpenID Connect Discovery 1.0).
func (t *Tenant) discovery(*call) *reply {
	return jsonReply(http.StatusOK, map[string]any{
		"issuer":                                t.issuer,
		"authorization_endpoint":                t.URL(pathAuthorize),
		"token_endpoint":                        t.URL(pathToken),
		"jwks_uri":                              t.URL(pathJWKS),
		"revocation_endpoint":                   t.URL(pathRevoke),
		"end_session_endpoint":                  t.URL(pathEndSess),
		"response_types_supported":              []string{"code"},
		"grant_types_supported":                 []string{grantCode, grantRefresh, grantConnection},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"subject_types_supported":               []string{"public"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"backchannel_logout_supported":          true,
		"backchannel_logout_session_supported":  true,
	})
}

// logout sends the browser back to where it asked, as /v2/logout and OpenID
// Connect RP-Initiated Logout do.
func (t *Tenant) logout(c *call) *reply {
	to := c.form.Get("returnTo")
	if to == "" {
		to = c.form.Get("post_logout_redirect_uri")
	}
	if to == "" {
		return &reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte("OK")}
	}
	u, err := url.Parse(to)
	if err != nil {
		return oauthReply("invalid_request", "the return address is not a URL")
	}
	if s := c.form.Get("state"); s != "" {
		q := u.Query()
		q.Set("state", s)
		u.RawQuery = q.Encode()
	}
	return redirect(http.StatusFound, u.String())
}

package idptest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// login is one user's sign-in, from the authorize request on. It is not changed
// once it is made.
type login struct {
	subject      string
	sid          string
	client       client
	redirectURI  string
	challenge    string
	nonce        string
	authTime     int64 // sent as auth_time; 0 when max_age did not ask for it
	organization string
	audience     string
	scope        string
	claims       Claims
	expires      time.Time // of the code
}

// SetUser adds a user, or replaces one. The claims go into every ID token from now
// on, beside and instead of the usual ones. A login_hint that is the subject or the
// claim email signs this user in; one that fits nobody signs a new user in, of
// which it is the subject.
func (t *Tenant) SetUser(subject string, claims Claims) {
	t.Set(WithUser(subject, claims))
}

// NextLogin gives claims to the next login only. They win over the user's.
func (t *Tenant) NextLogin(claims Claims) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nextLogin = claims.clone()
}

// Authorize follows an authorize URL as a browser would, in-process, and returns the
// callback URL to which it was sent, which carries a code or an error. Claims are
// for this login only. It fails when the tenant did not redirect, for example
// because it does not know the client.
func (t *Tenant) Authorize(authorizeURL string, claims ...Claims) (callbackURL string, err error) {
	req, err := http.NewRequestWithContext(t.ctx, http.MethodGet, authorizeURL, nil)
	if err != nil {
		return "", fmt.Errorf("idptest: %w", err)
	}
	req = req.WithContext(context.WithValue(req.Context(), claimsKey{}, claims))
	resp, err := t.Transport().RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if to := resp.Header.Get("Location"); to != "" {
		return to, nil
	}
	b := make([]byte, 1024)
	n, _ := resp.Body.Read(b)
	return "", fmt.Errorf("idptest: authorize answered %s: %s", resp.Status, strings.TrimSpace(string(b[:n])))
}

// claimsKey is where Authorize puts a login's claims into its request's context.
type claimsKey struct{}

// authorize signs a user in, without asking anybody, and redirects.
func (t *Tenant) authorize(c *call) *reply {
	if !t.pull(c) {
		return plain(http.StatusBadRequest, "request_uri is unknown, was used or is too old")
	}
	cl, to, err := t.redirectTarget(c)
	if err != nil {
		return plain(http.StatusBadRequest, err.Error())
	}
	q := c.form
	switch {
	case q.Get("response_type") != "code":
		return t.backWith(to, q, &oauthError{"unsupported_response_type", "response_type must be code"})
	case q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256":
		return t.backWith(to, q, &oauthError{"invalid_request", "PKCE with S256 is required"})
	case !slices.Contains(scopes(q.Get("scope")), "openid"):
		return t.backWith(to, q, &oauthError{"invalid_scope", "scope must contain openid"})
	}
	code := t.signIn(c, cl)
	values := to.Query()
	values.Set("code", code)
	return t.back(to, q, values)
}

// redirectTarget checks what must be right before anything is sent to the
// redirect URI.
func (t *Tenant) redirectTarget(c *call) (client, *url.URL, error) {
	cl, ok := t.config().clients[c.form.Get("client_id")]
	if !ok {
		return client{}, nil, errors.New("unknown client_id")
	}
	uri := c.form.Get("redirect_uri")
	u, err := url.Parse(uri)
	if err != nil || !u.IsAbs() {
		return client{}, nil, errors.New("redirect_uri is not an absolute URL")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if !loopback && !slices.Contains(cl.redirectURIs, uri) {
		return client{}, nil, errors.New("redirect_uri is not registered")
	}
	return cl, u, nil
}

// backWith sends the browser back with an error.
func (t *Tenant) backWith(to *url.URL, q url.Values, e *oauthError) *reply {
	values := to.Query()
	values.Set("error", e.code)
	values.Set("error_description", e.description)
	return t.back(to, q, values)
}

// back sends the browser back with values, and what goes with every answer to the
// request q.
func (t *Tenant) back(to *url.URL, q, values url.Values) *reply {
	if s := q.Get("state"); s != "" {
		values.Set("state", s)
	}
	if t.config().responseIssuer {
		values.Set("iss", t.issuer)
	}
	u := *to
	u.RawQuery = values.Encode()
	return redirect(http.StatusFound, u.String())
}

// signIn begins a login and returns its code.
func (t *Tenant) signIn(c *call, cl client) string {
	q := c.form
	l := &login{
		sid:          secret("sid_"),
		client:       cl,
		redirectURI:  q.Get("redirect_uri"),
		challenge:    q.Get("code_challenge"),
		nonce:        q.Get("nonce"),
		organization: q.Get("organization"),
		expires:      t.clock.Now().Add(CodeLife),
	}
	if q.Get("max_age") != "" {
		l.authTime = t.clock.Now().Unix()
	}
	code := secret("code_")
	t.mu.Lock()
	defer t.mu.Unlock()
	l.subject = t.userFor(q.Get("login_hint"))
	l.audience = q.Get("audience")
	if l.audience == "" {
		l.audience = t.cfg.audience
	}
	if l.audience == "" {
		l.audience = t.URL(pathUserInfo)
	}
	l.scope = t.cfg.granted(l.audience, q.Get("scope"))
	own, _ := c.req.Context().Value(claimsKey{}).([]Claims)
	l.claims = Claims{}
	for _, more := range append([]Claims{t.nextLogin}, own...) {
		maps.Copy(l.claims, more)
	}
	t.nextLogin = nil
	if sid, ok := l.claims["sid"].(string); ok {
		l.sid = sid
	}
	t.codes[code] = l
	return code
}

// userFor returns the subject that a login_hint means. An unknown one is a new
// user. The caller holds t.mu.
func (t *Tenant) userFor(hint string) string {
	if hint == "" {
		return t.cfg.user
	}
	if _, known := t.cfg.users[hint]; known {
		return hint
	}
	if !strings.Contains(hint, "@") {
		return hint
	}
	for subject, claims := range t.cfg.users {
		if claims["email"] == any(hint) {
			return subject
		}
	}
	return hint
}

package idptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
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
	scope        string // granted
	offline      bool   // access_type=offline
	prompted     bool   // prompt=consent
	first        bool   // no login of this user at this client before
	claims       Claims
	expires      time.Time // of the code
}

// SetUser adds a user, or replaces one. The claims go into every ID token from now
// on, beside and instead of the usual ones. A login_hint that is the subject or the
// claim email signs this user in; one that fits no user signs a new user in, of
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
	p := t.profile()
	if p.Metadata.PARRequired && !c.pulled {
		return errorPage(&oauthError{"invalid_request", "the request must be pushed first"})
	}
	if e := p.demands(q); e != nil {
		return errorPage(e)
	}
	if e := p.wrongWith(q); e != nil {
		return t.backWith(to, q, e)
	}
	kind := q.Get("response_type")
	l := t.signIn(c, cl)
	if kind == "id_token" {
		return t.back(to, q, url.Values{kind: {t.idToken(c.kind, l)}})
	}
	values := url.Values{kind: {t.newCode(l)}}
	if p.Authorize.UserOnce && l.first && posts(q) {
		values.Set("user", t.userOnce(l))
	}
	return t.back(to, q, values)
}

// wrongWith returns the error of which an authorize request's client is told, nil where there is none.
func (p *Profile) wrongWith(q url.Values) *oauthError {
	kind := q.Get("response_type")
	switch {
	case kind != "code" && kind != "id_token":
		return &oauthError{"unsupported_response_type", "response_type must be code or id_token"}
	case kind == "code" && p.wrongPKCE(q):
		return &oauthError{"invalid_request", "PKCE with S256 is required"}
	case kind == "id_token" && (q.Get("nonce") == "" || !posts(q)):
		return &oauthError{"invalid_request", "an ID token needs a nonce and response_mode form_post"}
	case !slices.Contains(scopes(q.Get("scope")), "openid"):
		return &oauthError{"invalid_scope", "scope must contain openid"}
	}
	if w := p.Scopes.unknown(q.Get("scope")); w != "" && p.Scopes.Unknown == UnknownRedirected {
		return &oauthError{"invalid_scope", w + " is unknown"}
	}
	return nil
}

// wrongPKCE reports whether the request's PKCE parameters are not those that the profile accepts (RFC 7636).
func (p *Profile) wrongPKCE(q url.Values) bool {
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	judged := challenge != "" || method != "" || p.Authorize.PKCE == PKCERequired
	return judged && p.Authorize.PKCE <= PKCERequired && (challenge == "" || method != "S256")
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
	return t.back(to, q, url.Values{"error": {e.code}, "error_description": {e.description}})
}

// posts reports whether the answer to the request q is to be a form that posts itself
// (OAuth 2.0 Form Post Response Mode).
func posts(q url.Values) bool { return q.Get("response_mode") == "form_post" }

var formPost = template.Must(template.New("").Parse(`<!doctype html><title>Signing in</title>
<body onload="document.forms[0].submit()"><form method="post" action="{{.To}}">
{{range $name, $values := .Values}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button>Continue</button></noscript></form>
`))

// back sends the browser back with values, and what goes with every answer to the
// request q.
func (t *Tenant) back(to *url.URL, q, values url.Values) *reply {
	if s := q.Get("state"); s != "" {
		values.Set("state", s)
	}
	if t.config().responseIssuer {
		values.Set("iss", t.issuer)
	}
	if posts(q) {
		r := plain(http.StatusOK, "")
		r.header.Set("Content-Type", "text/html; charset=utf-8")
		var page bytes.Buffer
		if err := formPost.Execute(&page, map[string]any{"To": q.Get("redirect_uri"), "Values": values}); err != nil {
			panic(fmt.Sprintf("idptest: the form cannot be written: %v", err))
		}
		r.body = page.Bytes()
		r.form, r.formTo = values, q.Get("redirect_uri")
		return r
	}
	u := *to
	query := u.Query()
	maps.Copy(query, values)
	u.RawQuery = query.Encode()
	return redirect(http.StatusFound, u.String())
}

// newCode returns a code for l.
func (t *Tenant) newCode(l *login) string {
	code := secret("code_")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.codes[code] = l
	return t.issued.note(code)
}

// signIn begins a login.
func (t *Tenant) signIn(c *call, cl client) *login {
	q := c.form
	l := &login{
		sid:          secret("sid_"),
		client:       cl,
		redirectURI:  q.Get("redirect_uri"),
		challenge:    q.Get("code_challenge"),
		nonce:        q.Get("nonce"),
		offline:      q.Get("access_type") == "offline",
		prompted:     q.Get("prompt") == "consent",
		organization: q.Get("organization"),
		expires:      t.clock.Now().Add(CodeLife),
	}
	if q.Get("max_age") != "" {
		l.authTime = t.clock.Now().Unix()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l.subject = t.userFor(q.Get("login_hint"))
	l.audience = q.Get("audience")
	if l.audience == "" {
		l.audience = t.cfg.audience
	}
	if l.audience == "" {
		l.audience = t.endpoint(t.cfg.profile.Location.UserInfo, false)
	}
	if l.audience == "" {
		l.audience = t.issuer
	}
	l.scope = t.cfg.granted(l.audience, t.cfg.profile.Scopes.grant(q.Get("scope")))
	who := consent{cl.id, l.subject}
	l.first = !t.consented[who]
	t.consented[who] = true
	own, _ := c.req.Context().Value(claimsKey{}).([]Claims)
	l.claims = Claims{}
	for _, more := range append([]Claims{t.nextLogin}, own...) {
		maps.Copy(l.claims, more)
	}
	t.nextLogin = nil
	if sid, ok := l.claims["sid"].(string); ok {
		l.sid = sid
	}
	return l
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

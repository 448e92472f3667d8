package idptest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// logout sends the browser back to where it asked, as /v2/logout and OpenID
// Connect RP-Initiated Logout do.
func (t *Tenant) logout(c *call) *reply {
	rules := &t.profile().Logout
	if e := t.wrongWithLogout(c, rules); e != nil {
		return errorPage(e)
	}
	to := c.form.Get(cmp.Or(rules.ReturnBy, "returnTo"))
	if to == "" && rules.ReturnBy == "" {
		to = c.form.Get("post_logout_redirect_uri")
	}
	if to == "" {
		return plain(http.StatusOK, "OK")
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

// wrongWithLogout returns why the user sees an error page instead, or nil.
func (t *Tenant) wrongWithLogout(c *call, rules *LogoutRules) *oauthError {
	hint := c.form.Get("id_token_hint")
	switch {
	case rules.Hint == HintRequired && hint == "":
		return &oauthError{"invalid_request", "id_token_hint is required"}
	case rules.Hint == HintRefused && hint != "":
		return &oauthError{"invalid_request", "id_token_hint is not accepted"}
	case rules.Hint == HintRequired && !t.signed(hint):
		return &oauthError{"invalid_request", "id_token_hint is not a token of this provider"}
	}
	for _, names := range rules.Requires {
		if !slices.ContainsFunc(strings.Split(names, "|"), func(name string) bool { return c.form.Get(name) != "" }) {
			return &oauthError{"invalid_request", strings.ReplaceAll(names, "|", " or ") + " is required"}
		}
	}
	return nil
}

// signed reports whether the tenant signed token, however long ago.
func (t *Tenant) signed(token string) bool {
	_, err := jwt.NewParser(jwt.WithoutClaimsValidation()).Parse(token, t.publishedKey)
	return err == nil
}

// FrontchannelLogoutURL returns what the provider's logout page has in a frame for an application whose front-channel logout
// URI is uri: that URI with iss and sid (OpenID Connect Front-Channel Logout 1.0 section 3). An empty sid is left out.
func (t *Tenant) FrontchannelLogoutURL(uri, sid string) string {
	q := url.Values{"iss": {t.issuer}}
	if sid != "" {
		q.Set("sid", sid)
	}
	sep := "?"
	if strings.Contains(uri, "?") {
		sep = "&"
	}
	return uri + sep + q.Encode()
}

// LogoutToken returns a signed back-channel logout token (OpenID Connect
// Back-Channel Logout 1.0 section 2.4) for the client of that login, or for ClientID
// where the tenant knows no such login with a refresh token. An empty subject or
// sid is left out, and so is what the profile's provider does not send. Each edit may
// change or forge the token before it is signed.
func (t *Tenant) LogoutToken(subject, sid string, edit ...func(*Draft)) string {
	form := &t.profile().LogoutToken
	now := t.clock.Now().Unix()
	cl := t.clientOf(subject, sid)
	claims := Claims{
		"iss":    t.issuer,
		"aud":    cl.id,
		"iat":    now,
		"jti":    secret("logout-"),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if !form.NoExp {
		claims["exp"] = now + 120
	}
	if subject != "" && !form.NoSub {
		claims["sub"] = subject
	}
	if sid != "" && !form.NoSID {
		claims["sid"] = sid
	}
	d := t.draft("", cmp.Or(form.Type, "logout+jwt"), claims)
	for _, e := range edit {
		e(d)
	}
	return t.mint(d, cl.secret)
}

// clientOf returns the client of a login.
func (t *Tenant) clientOf(subject, sid string) client {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, who := range []string{sid, subject} {
		if f := t.newest(who); who != "" && f != nil {
			return f.login.client
		}
	}
	return t.cfg.clients[ClientID]
}

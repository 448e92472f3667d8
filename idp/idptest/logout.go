package idptest

import (
	"net/http"
	"net/url"
)

// logout sends the browser back to where it asked, as /v2/logout and OpenID
// Connect RP-Initiated Logout do.
func (t *Tenant) logout(c *call) *reply {
	to := c.form.Get("returnTo")
	if to == "" {
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

// LogoutToken returns a signed back-channel logout token (OpenID Connect
// Back-Channel Logout 1.0 section 2.4) for the client of that login, or for ClientID
// where the tenant knows no such login with a refresh token. An empty subject or
// sid is left out. Each edit may change or forge the token before it is signed.
func (t *Tenant) LogoutToken(subject, sid string, edit ...func(*Draft)) string {
	now := t.clock.Now().Unix()
	cl := t.clientOf(subject, sid)
	claims := Claims{
		"iss":    t.issuer,
		"aud":    cl.id,
		"iat":    now,
		"exp":    now + 120,
		"jti":    secret("logout-"),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	d := t.draft("", "logout+jwt", claims)
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

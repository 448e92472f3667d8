package tokenward

import (
	"encoding/base64"
	"net/http"
)

// cookieBinding is what a sealed session id is bound to.
const cookieBinding = "session cookie"

// readCookie returns the session id in the request's cookie, or "".
func (c *Client) readCookie(r *http.Request) string {
	cookie, err := r.Cookie(c.opts.sessionName)
	if err != nil {
		return ""
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return ""
	}
	id, err := c.sealer.Open(cookieBinding, sealed)
	if err != nil {
		return ""
	}
	return string(id)
}

// writeCookie gives the browser a session id; an empty one takes the cookie away.
func (c *Client) writeCookie(w http.ResponseWriter, r *http.Request, id string) {
	cookie := &http.Cookie{
		Name: c.opts.sessionName, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	}
	if id == "" {
		cookie.MaxAge = -1
	} else {
		cookie.Value = base64.RawURLEncoding.EncodeToString(c.sealer.Seal(cookieBinding, []byte(id)))
	}
	http.SetCookie(w, cookie)
}

package idptest

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// userinfo answers with the claims of the user whose access token is presented (OpenID
// Connect Core section 5.3, RFC 6750). Opaque tokens are not known here.
func (t *Tenant) userinfo(c *call) *reply {
	if c.req.Method != http.MethodGet && c.req.Method != http.MethodPost {
		return plain(http.StatusMethodNotAllowed, "userinfo takes GET and POST")
	}
	scheme, token, _ := strings.Cut(c.req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return challenge(http.StatusUnauthorized, "")
	}
	var claims struct {
		Scope string `json:"scope"`
		jwt.RegisteredClaims
	}
	if _, err := jwt.ParseWithClaims(token, &claims, t.verifyingKey,
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(t.clock.Now), jwt.WithExpirationRequired(), jwt.WithIssuer(t.issuer)); err != nil {
		return challenge(http.StatusUnauthorized, "invalid_token")
	}
	if !slices.Contains(scopes(claims.Scope), "openid") {
		return challenge(http.StatusForbidden, "insufficient_scope")
	}
	body := Claims{"sub": claims.Subject}
	t.mu.Lock()
	body.add(t.cfg.users[claims.Subject])
	t.mu.Unlock()
	return jsonReply(http.StatusOK, body)
}

// verifyingKey returns the published key of an access token.
func (t *Tenant) verifyingKey(token *jwt.Token) (any, error) {
	if token.Header["typ"] != "at+jwt" {
		return nil, errors.New("it is not an access token")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.keys {
		if token.Header["kid"] == k.id {
			return &k.key.PublicKey, nil
		}
	}
	return nil, errors.New("its kid is unknown")
}

// challenge refuses a bearer token (RFC 6750 section 3).
func challenge(status int, code string) *reply {
	r := plain(status, http.StatusText(status))
	r.header.Set("WWW-Authenticate", "Bearer")
	if code != "" {
		r.header.Set("WWW-Authenticate", `Bearer error="`+code+`"`)
	}
	return r
}

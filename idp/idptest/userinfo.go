package idptest

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// userinfo answers with the claims of the user whose access token is presented (OpenID
// Connect Core section 5.3, RFC 6750). Tokens that WithOpaqueTokens made opaque are not
// known here; those of a profile are.
func (t *Tenant) userinfo(c *call) *reply {
	if c.req.Method != http.MethodGet && c.req.Method != http.MethodPost {
		return plain(http.StatusMethodNotAllowed, "userinfo takes GET and POST")
	}
	scheme, token, _ := strings.Cut(c.req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return challenge(http.StatusUnauthorized, "")
	}
	who, ok := t.bearer(token)
	if !ok {
		return challenge(http.StatusUnauthorized, "invalid_token")
	}
	if !slices.Contains(scopes(who.scope), "openid") {
		return challenge(http.StatusForbidden, "insufficient_scope")
	}
	p := t.profile()
	form := &p.UserInfo
	body := Claims{"sub": who.subject}
	body.add(p.Scopes.claims(t.user(who.subject), who.scope, form.AnyScope, false, form.Never))
	if form.VerifiedText {
		body.verifiedAsText()
	}
	body.add(form.Claims)
	if !form.Signed {
		return jsonReply(http.StatusOK, body)
	}
	body.add(Claims{"iss": t.issuer, "aud": who.client})
	r := plain(http.StatusOK, "")
	r.header.Set("Content-Type", "application/jwt")
	r.body = []byte(t.mint(t.draft(UserInfo, "JWT", body), t.config().clients[who.client].secret))
	return r
}

// bearer returns what an access token stands for, and whether it is good.
func (t *Tenant) bearer(token string) (access, bool) {
	t.mu.Lock()
	known, ok := t.opaque[token]
	alg := t.cfg.profile.Keys.alg()
	t.mu.Unlock()
	if ok {
		return known, t.clock.Now().Before(known.expires)
	}
	var claims struct {
		Scope  string `json:"scope"`
		Client string `json:"client_id"`
		jwt.RegisteredClaims
	}
	_, err := jwt.ParseWithClaims(token, &claims, t.verifyingKey,
		jwt.WithValidMethods([]string{alg}), jwt.WithTimeFunc(t.clock.Now), jwt.WithExpirationRequired(), jwt.WithIssuer(t.issuer))
	return access{subject: claims.Subject, client: claims.Client, scope: claims.Scope}, err == nil
}

// verifyingKey returns the published key of an access token.
func (t *Tenant) verifyingKey(token *jwt.Token) (any, error) {
	if token.Header["typ"] != "at+jwt" {
		return nil, errors.New("it is not an access token")
	}
	return t.publishedKey(token)
}

// publishedKey returns the key of a token that the tenant signed: of its kid, or the newest
// where tokens have none.
func (t *Tenant) publishedKey(token *jwt.Token) (any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := &t.cfg.profile.Keys
	for i, k := range t.keys {
		if token.Header["kid"] == k.id || keys.TokenNoKID && i == len(t.keys)-1 {
			return pooledFor(keys.alg(), k.n).Public(), nil
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

package idptest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// access is what an opaque access token stands for.
type access struct {
	subject, client, scope string
	expires                time.Time
}

// remember keeps what an opaque access token stands for, for userinfo.
func (t *Tenant) remember(token string, a access) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opaque[token] = a
}

// tokens answers a grant (RFC 6749 section 5.1) in the form of the profile. An empty
// refresh token is left out.
func (t *Tenant) tokens(c *call, l *login, audience, scope, refreshToken string) *reply {
	cfg := t.config()
	form := &cfg.profile.Tokens
	body := map[string]any{
		"access_token": t.accessToken(c.kind, l, audience, scope),
		"token_type":   cmp.Or(form.Type, "Bearer"),
	}
	life := int64(cfg.tokenLife.Seconds())
	switch {
	case form.ExpiresIn == ExpiresText:
		body["expires_in"] = strconv.FormatInt(life, 10)
	case form.ExpiresIn == ExpiresNumber, form.ExpiresIn == ExpiresAbsentAtRefresh && c.kind != Refresh:
		body["expires_in"] = life
	}
	if spelled, ok := cfg.profile.answered(scope); ok {
		body["scope"] = spelled
	}
	if id := t.idToken(c.kind, l); id != "" {
		body["id_token"] = id
	}
	if refreshToken != "" {
		body["refresh_token"] = refreshToken
	}
	if form.IssuedAt {
		body["issued_at"] = strconv.FormatInt(t.clock.Now().UnixMilli(), 10)
	}
	if form.User {
		user := Claims{"sub": l.subject}
		user.add(cfg.profile.Scopes.claims(t.user(l.subject), scope, false, false, nil))
		body["user"] = user
	}
	Claims(body).add(form.More)
	return jsonReply(http.StatusOK, body)
}

// user returns the claims of a user. They are not to be changed.
func (t *Tenant) user(subject string) Claims {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg.users[subject].clone()
}

// entitled reports whether the login l gets a refresh token.
func (t *Tenant) entitled(l *login) bool {
	r := &t.profile().Refresh
	asked := scopes(l.scope)
	switch r.Given {
	case RefreshAlways:
	case RefreshOfflineAccess:
		if !slices.Contains(asked, "offline_access") {
			return false
		}
	case RefreshScope:
		if !slices.Contains(asked, "offline_access") && !slices.Contains(asked, "refresh_token") {
			return false
		}
	case RefreshAccessType:
		if !l.offline {
			return false
		}
	default:
		return false
	}
	return l.prompted || !r.PromptConsent && (l.first || !r.FirstConsent)
}

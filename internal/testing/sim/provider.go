package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// family is what one login began: a chain of refresh tokens, each of which takes the place
// of the one before.
type family struct {
	subject     *subject
	name        string // also the sid
	incarnation session.Incarnation
	ceiling     session.Ceiling
	endsAt      int64
	login       *op

	// At the provider.
	current  int       // the number of the newest refresh token
	replaced time.Time // when the one before was
	revoked  bool

	// In the store, and so everywhere.
	dead     bool   // its session has ended for good
	ended    change // when
	began    change // when its login was over
	goneStep int    // when the store had it no more
	endTried bool   // the store was asked to end it
	unusable bool   // the provider refused its refresh token, and none is kept
	refused  bool   // a refresh token of it was refused
}

func (f *family) token(n int) string { return fmt.Sprintf("rt/%s/%d", f.name, n) }

// over reports whether no access token may leave any more at now: thirty seconds before
// the ceiling. It is written apart from the product's way to tell.
func (f *family) over(now time.Time) bool {
	return f.ceiling != 0 && now.Unix()+30 >= int64(f.ceiling)
}

// issued is a token as the provider issued it, for ever.
type issued struct {
	family     *family
	audience   string
	requested  session.ScopeSet
	granted    session.ScopeSet
	connection string
	hint       string
	life       int64
	expires    time.Time
	request    *request         // nil: it came with the login
	asked      bool             // the store was asked to keep it, and has answered
	cached     map[*process]int // where it was shown, and the step from which on it comes from the cache only: its flight is complete; 0: not yet
}

// request is one request that spends a refresh token.
type request struct {
	n          int
	p          *process
	family     *family
	spent      int // the number of its refresh token
	answeredIn int // the step in which its session learnt how it ended; 0: not yet
	fault      faultKind
	grant      bool // it was granted
	waits      bool // its answer asked to wait
	failed     bool // it ended in an error
	chain      bool // the token that it spends was rotated by one before it, for the same callers
	dead       bool // it was refused for good: its callers are answered once the token is dropped
	key        session.FlightKey
	issued     *issued

	recovers bool // a process was told to recover an intent, and no caller had asked for this
}

// faultKind is a way in which a request goes.
type faultKind int

const (
	faultNone faultKind = iota
	faultUnreachable
	faultStatus
	faultAnswerLost
	faultBroken
	faultNoAccessToken
	faultForeignIDToken
	faultRefused
	faultRevoked
	faultDead
	faultDenied
	faultThrottled
	faultMFA
	faultPanicBefore
	faultPanicAfter
	faultKinds
)

var faultNames = [faultKinds]string{
	"fine", "not reached", "status 503", "granted, but the answer is lost", "granted, but the answer is broken", "granted, without an access token",
	"granted, with another user's ID token", "refused", "revoked by the provider", "dead, in the provider's own words", "refused, but not the token", "429, to wait", "wants a second factor", "a panic before", "a panic after the grant",
}

// throttle is how long the provider asks to wait.
const throttle = 20 * time.Second

const issuer = "https://tenant.example/"

// provider is the provider as one process reaches it.
type provider struct{ p *process }

var _ actors.Provider = provider{}

// Refresh implements actors.Provider.
func (v provider) Refresh(ctx context.Context, _ string, r idp.RefreshRequest) (session.TokenResponse, error) {
	audience := r.Audience
	if audience == "" {
		audience = session.DefaultAudience
	}
	return v.spend(ctx, r.RefreshToken, session.QueryKey(audience, r.Scope))
}

// ExchangeConnection implements actors.Provider.
func (v provider) ExchangeConnection(ctx context.Context, _ string, r idp.ConnectionExchange) (session.TokenResponse, error) {
	return v.spend(ctx, r.RefreshToken, session.ConnectionKey(r.Connection, r.LoginHint))
}

func (v provider) spend(ctx context.Context, token string, key session.FlightKey) (resp session.TokenResponse, err error) {
	w, j := v.p.w, v.p.w.job
	if j.killed {
		return resp, errKilled
	}
	f, n := w.tokenNamed(token)
	if f == nil {
		w.fail("P6", "%q was spent, which is no refresh token", token)
		return resp, errStore
	}
	w.requests++
	r := &request{n: w.requests, p: v.p, family: f, spent: n, key: key}
	r.fault = w.providerFault()
	j.request, j.about, j.what = r, f.subject, "request "+queryName(key)
	w.note("%srequest %d spends %s for %s", v.p.prefix(), r.n, token, queryName(key))
	w.checkSpend(j, r)
	defer func() { r.failed = err != nil }()
	f.subject.onWire[v.p]++
	f.subject.asked = key
	defer func() { f.subject.onWire[v.p]-- }()
	j.late = true
	j.pending = func() { w.grant(r, key) }
	if err := j.park(ctx, sent); err != nil {
		w.sawTimeout(ctx, requestTimedOut)
		if !j.killed && w.strands() {
			w.strand(j)
		}
		return resp, &requestError{r, err}
	}
	j.pending = nil
	w.saw[providerFaults+coverage(r.fault)]++
	w.note("  the provider acts on request %d: %s", r.n, faultNames[r.fault])
	switch r.fault {
	case faultUnreachable:
		return resp, r.err(session.CodeTokenError, 0)
	case faultStatus:
		return resp, r.err("temporarily_unavailable", 503)
	case faultRefused:
		f.refused, r.dead = true, true
		return resp, r.err(session.CodeInvalidGrant, 403)
	case faultRevoked:
		f.revoked, f.refused, r.dead = true, true, true
		return resp, r.err(session.CodeInvalidGrant, 403)
	case faultDead:
		f.refused, r.dead = true, true
		return resp, r.err("invalid_refresh_token", 200)
	case faultDenied:
		return resp, r.err("invalid_target", 400)
	case faultThrottled:
		r.waits = true
		return resp, &session.APIError{Code: "too_many_requests", Status: 429, RetryAfter: throttle, Err: &requestError{r, nil}}
	case faultMFA:
		return resp, &session.MFARequiredError{AccessTokenError: session.AccessTokenError{Code: session.CodeMFARequired, Err: r.err("mfa_required", 403)}}
	case faultPanicBefore:
		w.storePanics++
		panic("planted")
	default:
	}
	resp, ok := w.grant(r, key)
	if err := j.park(ctx, acted); err != nil {
		w.sawTimeout(ctx, requestTimedOut)
		return session.TokenResponse{}, &requestError{r, err}
	}
	if !ok {
		r.dead = true
		return session.TokenResponse{}, r.err(session.CodeInvalidGrant, 403)
	}
	switch r.fault {
	case faultAnswerLost:
		return session.TokenResponse{}, r.err(session.CodeTokenError, 0)
	case faultPanicAfter:
		w.storePanics++
		panic("planted")
	case faultBroken:
		resp = session.TokenResponse{RefreshToken: resp.RefreshToken}
		err = r.err(session.CodeInvalidResponse, 200)
	case faultNoAccessToken:
		resp.AccessToken = ""
	case faultForeignIDToken:
		resp.IDToken, resp.IDClaims = "id", &session.IDClaims{Issuer: issuer, Subject: "mallory", Audience: []string{clientID}}
	default:
	}
	if resp.RefreshToken != "" {
		p, n := v.p, f.number(resp.RefreshToken)
		p.got[f] = max(p.got[f], n)
		j.learns = append(j.learns, func() {
			if base, ok := p.base[f]; !ok || base == r.spent {
				p.learn(f, n)
				return
			}
			w.wonElsewhere++ // what another process got in between is known already: that stays
			w.saw[storedStays]++
		})
	}
	return resp, err
}

// err is an error that can be told from those of other requests.
func (r *request) err(code session.Code, status int) error {
	return &session.APIError{Code: code, Status: status, Err: &requestError{r, nil}}
}

type requestError struct {
	r   *request
	err error
}

func (e *requestError) Error() string { return fmt.Sprintf("request %d failed", e.r.n) }

func (e *requestError) Unwrap() error { return e.err }

// Unsent is for session.Retryable.
func (e *requestError) Unsent() bool { return e.r.fault == faultUnreachable && e.err == nil }

// grant is what the provider does with a request that reaches it: it accepts the newest
// refresh token, and the one before for as long as they overlap. One that is older was
// stolen, so the whole family goes.
func (w *World) grant(r *request, key session.FlightKey) (resp session.TokenResponse, ok bool) {
	f, now := r.family, w.fake.Now()
	switch {
	case f.revoked:
		f.refused = true
		w.saw[spentRevoked]++
		return resp, false
	case r.spent == f.current:
	case r.spent == f.current-1 && now.Before(f.replaced.Add(w.config.overlap)):
		w.saw[overlapAccepted]++
		w.note("  within the overlap %s is accepted once more", f.token(r.spent))
	default:
		w.saw[overlapRefused]++
		w.note("  %s comes too late: the family is revoked", f.token(r.spent))
		f.revoked, f.refused = true, true
		return resp, false
	}
	r.grant = true
	if w.config.rotates && (!w.choose.odds(10) || r.spent != f.current) {
		f.current++
		f.replaced = now
		resp.RefreshToken = f.token(f.current)
	} else {
		w.saw[notRotated]++
	}
	w.tokens++
	resp.TokenType = "Bearer"
	is := &issued{family: f, request: r, connection: key.Connection, hint: key.LoginHint, audience: key.Audience}
	if key.ForConnection() {
		resp.AccessToken = fmt.Sprintf("ct/%s/%s?%s/%d", f.name, key.Connection, key.LoginHint, w.tokens)
	} else {
		resp.AccessToken = fmt.Sprintf("at/%s/%s/%s/%d", f.name, key.Audience, key.Scopes, w.tokens)
		is.requested = session.ParseScope(key.Scopes)
		is.granted = is.requested
		switch w.choose.weighted([]int{6, 2, 1}) {
		case 0:
			resp.HasScope, resp.Scope = true, key.Scopes
		case 1: // not said: as requested
		case 2:
			if len(is.granted) > 1 {
				is.granted = is.granted[:1]
				w.saw[narrowed]++
			}
			resp.HasScope, resp.Scope = true, is.granted.String()
		}
	}
	life := one(w.choose, []int64{300, 60, 20, 5, 5, 1, 0, -1})
	switch {
	case life > 0:
		resp.ExpiresIn, resp.HasExpiresIn = life, true
	case life == 0:
		resp.HasExpiresIn = true
		w.saw[expiresAtOnce]++
	default:
		life = 3600
		w.saw[expiryNotSaid]++
	}
	is.life, r.issued = life, is
	w.issued[resp.AccessToken] = is
	w.note("  it issues %s (%d s) and %q", resp.AccessToken, life, resp.RefreshToken)
	return resp, true
}

// noToken is the number of no refresh token: nothing comes after it.
const noToken = 1 << 30

func (f *family) number(token string) int {
	if token == "" {
		return noToken
	}
	n := 0
	_, _ = fmt.Sscan(token[strings.LastIndexByte(token, '/')+1:], &n)
	return n
}

// tokenNamed finds the family of a refresh token.
func (w *World) tokenNamed(token string) (*family, int) {
	parts := strings.Split(token, "/")
	if len(parts) != 3 || parts[0] != "rt" || w.families[parts[1]] == nil {
		return nil, 0
	}
	f := w.families[parts[1]]
	return f, f.number(token)
}

// revoke is the provider's revocation of one refresh token.
func (v provider) revoke(ctx context.Context, _ session.RegistrationID, token string) error {
	w, j := v.p.w, v.p.w.job
	f, n := w.tokenNamed(token)
	if f == nil {
		w.fail("P6", "%q was revoked, which is no refresh token", token)
		return nil
	}
	j.what = "revocation"
	w.note("%s%s is to be revoked", v.p.prefix(), token)
	j.late = true
	j.pending = func() { f.revoked = true }
	if err := j.park(ctx, sent); err != nil {
		return err
	}
	j.pending = nil
	if w.providerFault() != faultNone {
		return errStore
	}
	w.saw[revokedAfterLogout]++
	_ = n
	f.revoked = true
	return j.park(ctx, acted)
}

// providerFault decides how a request goes.
func (w *World) providerFault() faultKind {
	switch {
	case w.story != nil:
		return w.story.providerFault()
	case w.providerDown:
		return faultUnreachable
	case w.draining:
		return faultNone
	case !w.choose.odds(w.config.providerFaults):
		return faultNone
	case w.config.tired && w.choose.odds(55):
		return one(w.choose, []faultKind{faultThrottled, faultStatus, faultUnreachable, faultAnswerLost})
	}
	return faultKind(1 + w.choose.pick(int(faultKinds)-1))
}

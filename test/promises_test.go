package test_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// A random history of callers, logins, logouts, ceilings, cancellations and faults on a
// few sessions. Each login is a user of its own, so that every token says
// which login it belongs to.
func TestPromises_randomHistories(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newHistory(t, seed).run(500) })
		})
	}
}

// history is the operations so far. Its steps are its time.
type history struct {
	*rig
	random *rand.Rand
	step   int
	users  int
	logins []*loginRecord
	open   []*openCall
	hold   *idptest.Hold
}

// loginRecord is one login: from the step it was begun to the step by which it was
// over at the latest.
type loginRecord struct {
	id, sub          string
	begun, done, end int // done, end: 0 while not yet
	ceiling          time.Time
}

// openCall is a call that has not been seen to return.
type openCall struct {
	what, id string
	begun    int
	since    time.Time
	done     chan struct{}
	cancel   context.CancelFunc
	canceled bool
	err      error
	finish   func() // looks at the answer
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{random: rand.New(rand.NewPCG(seed, 7))}
	h.rig = newRig(t, withTenant(idptest.InProcess(), idptest.WithExchangeRotation()),
		withLimits(tokenward.Limits{Resident: 3, FlightTimeout: 1000 * time.Hour, StoreTimeout: time.Minute}))
	return h
}

func (h *history) run(steps int) {
	for h.step = 1; h.step <= steps; h.step++ {
		h.something()
		if h.random.IntN(3) > 0 {
			synctest.Wait()
		}
		h.collect()
	}
	// Everything heals, and comes to rest.
	h.store.Heal()
	h.tenant.Heal()
	h.release()
	for range 8 {
		synctest.Wait()
		h.clock.Advance(8 * time.Second)
	}
	synctest.Wait()
	h.step++
	h.collect()
	for _, c := range h.open {
		h.t.Errorf("step %d, %s: nobody answered", c.begun, c.what)
	}
	h.want("refresh tokens reused", h.tenant.Reuses(), 0)
	if n := h.tenant.PeakPerFamily(); n > 1 {
		h.t.Errorf("requests of one session at once = %d, want 1", n)
	}
	if s := h.client.Stats(); s.Failures != 0 || s.Unsaved != 0 {
		h.t.Errorf("defects %d, unsaved %d, want none", s.Failures, s.Unsaved)
	}
	for i := range sessions {
		h.wantConsistent(fmt.Sprint("s", i))
	}
}

// wantConsistent checks that store and client agree on who is signed in, and that
// each of them can refresh.
func (h *history) wantConsistent(id string) {
	u, err := h.client.GetUser(context.Background(), tokenward.SessionID(id))
	if err != nil {
		h.t.Errorf("%s: %v", id, err)
		return
	}
	s, err := h.stored(id)
	switch {
	case u == nil && err == nil:
		h.t.Errorf("%s: the store has a session of %s, the client none", id, s.User.Sub())
	case u != nil && err != nil:
		h.t.Errorf("%s: the client has a session of %s, the store none", id, u.Sub())
	case u != nil && u.Sub() != s.User.Sub():
		h.t.Errorf("%s: the client has a session of %s, the store one of %s", id, u.Sub(), s.User.Sub())
	case u != nil:
		tok, err := h.client.GetAccessToken(context.Background(), tokenward.TokenRequest{Audience: "https://last.example.com"}, tokenward.SessionID(id))
		if err != nil {
			h.t.Errorf("%s: the session of %s is lost: %v", id, u.Sub(), err)
		} else if sub := claim(tok.AccessToken, "sub"); sub != u.Sub() {
			h.t.Errorf("%s: a token of %s for %s", id, sub, u.Sub())
		}
	}
}

const sessions = 5

func (h *history) something() {
	id := fmt.Sprint("s", h.random.IntN(sessions))
	switch n := h.random.IntN(100); {
	case n < 45:
		h.askToken(id)
	case n < 55:
		h.askConnection(id)
	case n < 60:
		h.askUser(id)
	case n < 66:
		h.login(id)
	case n < 69:
		h.logout(id)
	case n < 75:
		if len(h.open) > 0 {
			c := h.open[h.random.IntN(len(h.open))]
			c.canceled = true
			c.cancel()
		}
	case n < 83:
		synctest.Wait() // a caller who has the token in hand hands it out in this instant
		h.clock.Advance(time.Duration(h.random.IntN(1500)) * time.Second)
	case n < 88:
		op := []storetest.Op{storetest.OpUpdate, storetest.OpUpdate, storetest.OpEnd, storetest.OpLoad, storetest.OpReplace}[h.random.IntN(5)]
		if h.random.IntN(2) == 0 {
			h.store.Fail(op, 1)
		} else {
			h.store.FailAfter(op, 1)
		}
	case n < 91:
		h.tenant.Script(idptest.Spend, []idptest.Fault{idptest.Status(503), idptest.ResetConn(), idptest.OAuthError("server_error", "")}[h.random.IntN(3)])
	case n < 95:
		if h.hold == nil {
			h.hold = h.tenant.Hold(idptest.Spend, []idptest.Point{idptest.BeforeGrant, idptest.AfterGrant}[h.random.IntN(2)])
		}
	default:
		h.release()
	}
}

func (h *history) release() {
	if h.hold != nil {
		h.hold.Release()
		h.hold = nil
	}
}

// begin has f called on a goroutine of its own, and its answer looked at by finish.
func (h *history) begin(what, id string, f func(ctx context.Context) error) *openCall {
	ctx, cancel := context.WithCancel(context.Background())
	c := &openCall{what: what, id: id, begun: h.step, since: h.clock.Now(), done: make(chan struct{}), cancel: cancel}
	h.open = append(h.open, c)
	go func() {
		defer close(c.done)
		c.err = f(ctx)
	}()
	return c
}

// collect looks at the calls that have returned.
func (h *history) collect() {
	var open []*openCall
	for _, c := range h.open {
		select {
		case <-c.done:
			c.cancel()
			h.judge(c)
			if c.finish != nil {
				c.finish()
			}
		default:
			open = append(open, c)
		}
	}
	h.open = open
}

// judge checks what holds of every answer: P5, P8.
func (h *history) judge(c *openCall) {
	switch {
	case c.err == nil:
	case errors.Is(c.err, context.Canceled) && !c.canceled:
		h.t.Errorf("step %d, %s: %v, though nobody cancelled it", c.begun, c.what, c.err)
	case errors.Is(c.err, tokenward.ErrInternal), errors.Is(c.err, tokenward.ErrClosed):
		h.t.Errorf("step %d, %s: %v", c.begun, c.what, c.err)
	case tokenward.CodeOf(c.err) == "" && !errors.Is(c.err, context.Canceled):
		h.t.Errorf("step %d, %s: an untyped error: %v", c.begun, c.what, c.err)
	}
}

// wantOwner checks P6 and P7: sub belongs to a login of the session that lived at some
// moment of the call.
func (h *history) wantOwner(c *openCall, sub string, gated bool) {
	for _, l := range h.logins {
		if l.id != c.id || l.sub != sub {
			continue
		}
		if l.end != 0 && l.end < c.begun {
			h.t.Errorf("step %d..%d, %s: a token of %s, whose session was over by step %d", c.begun, h.step, c.what, sub, l.end)
		}
		if gated && !l.ceiling.IsZero() && !c.since.Before(l.ceiling.Add(-session.CeilingLeeway)) {
			h.t.Errorf("step %d, %s: a token of %s after the ceiling", c.begun, c.what, sub)
		}
		return
	}
	h.t.Errorf("step %d, %s: a token of %q, who never signed in there", c.begun, c.what, sub)
}

func (h *history) askToken(id string) {
	q := tokenward.TokenRequest{Audience: audience(h.random.IntN(3)), Scope: []string{"", "read", "read write", "write read"}[h.random.IntN(4)]}
	var tok tokenward.Token
	c := h.begin("GetAccessToken", id, func(ctx context.Context) (err error) {
		tok, err = h.client.GetAccessToken(ctx, q, tokenward.SessionID(id))
		return err
	})
	c.finish = func() {
		if c.err != nil {
			return
		}
		h.wantOwner(c, claim(tok.AccessToken, "sub"), true)
		if aud := claim(tok.AccessToken, "aud"); aud != q.Audience {
			h.t.Errorf("step %d: a token for %q, asked for %q", c.begun, aud, q.Audience)
		}
		if have, want := session.ParseScope(claim(tok.AccessToken, "scope")), session.ParseScope(q.Scope); !have.Covers(want) {
			h.t.Errorf("step %d: a token with %q, asked for %q", c.begun, have, want)
		}
		if !tok.ExpiresAt.After(c.since) {
			h.t.Errorf("step %d: at %v a token that expired at %v", c.begun, c.since, tok.ExpiresAt)
		}
	}
}

func (h *history) askConnection(id string) {
	name := []string{"google-oauth2", "github"}[h.random.IntN(2)]
	var tok tokenward.ConnectionToken
	c := h.begin("GetAccessTokenForConnection", id, func(ctx context.Context) (err error) {
		tok, err = h.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: name}, tokenward.SessionID(id))
		return err
	})
	c.finish = func() {
		if c.err == nil && (tok.Connection != name || tok.AccessToken == "") {
			h.t.Errorf("step %d: a token of %q, asked for %q", c.begun, tok.Connection, name)
		}
	}
}

func (h *history) askUser(id string) {
	var u tokenward.User
	c := h.begin("GetUser", id, func(ctx context.Context) (err error) {
		u, err = h.client.GetUser(ctx, tokenward.SessionID(id))
		return err
	})
	c.finish = func() {
		if u != nil {
			h.wantOwner(c, u.Sub(), true)
		}
	}
}

func (h *history) login(id string) {
	h.users++
	l := &loginRecord{id: id, sub: fmt.Sprint("auth0|u", h.users), begun: h.step}
	claims := idptest.Claims{}
	if h.random.IntN(2) == 0 {
		l.ceiling = h.clock.Now().Add(time.Duration(600+h.random.IntN(6000)) * time.Second).Truncate(time.Second)
		claims["session_expiry"] = l.ceiling.Unix()
	}
	h.tenant.SetUser(l.sub, nil)
	h.tenant.Set(idptest.WithDefaultUser(l.sub))
	to, err := h.client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{}, tokenward.SessionID(id))
	if err != nil {
		h.t.Fatalf("step %d: start: %v", h.step, err)
	}
	back, err := h.tenant.Authorize(to, claims)
	if err != nil {
		h.t.Fatalf("step %d: authorize: %v", h.step, err)
	}
	h.logins = append(h.logins, l)
	c := h.begin("CompleteInteractiveLogin", id, func(ctx context.Context) error {
		_, err := h.client.CompleteInteractiveLogin(ctx, back, tokenward.SessionID(id))
		return err
	})
	c.finish = func() {
		if c.err == nil {
			l.done = h.step
			h.over(c)
		}
	}
}

func (h *history) logout(id string) {
	c := h.begin("Logout", id, func(ctx context.Context) error {
		_, err := h.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id))
		return err
	})
	c.finish = func() {
		if !errors.Is(c.err, context.Canceled) && !errors.Is(c.err, tokenward.ErrOverloaded) {
			h.over(c) // also when the store failed: the session is withdrawn all the same
		}
	}
}

// over notes that logins of the session that were done before c began ended with c at
// the latest.
func (h *history) over(c *openCall) {
	for _, l := range h.logins {
		if l.id == c.id && l.end == 0 && l.done != 0 && l.done < c.begun {
			l.end = h.step
		}
	}
}

// claim returns a claim of a JWT as text.
func claim(token, name string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims map[string]any
	if json.Unmarshal(b, &claims) != nil {
		return ""
	}
	if list, ok := claims[name].([]any); ok && len(list) > 0 {
		return fmt.Sprint(list[0])
	}
	s, _ := claims[name].(string)
	return s
}

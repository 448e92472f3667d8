package test_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// stateless is a rig whose sessions live in the browser.
func stateless(t *testing.T, opts ...tokenward.Option) *rig {
	return newRig(t, withClient(append([]tokenward.Option{tokenward.WithStatelessSessions()}, opts...)...))
}

// anotherProcess is one process with the same secrets, and an empty memory.
func (b *browser) anotherProcess(opts ...tokenward.Option) {
	b.r.client = b.r.newClient(append([]tokenward.Option{tokenward.WithStatelessSessions()}, opts...)...)
}

// token asks for an access token, as one request of the browser.
func (b *browser) token() (string, error) {
	b.r.t.Helper()
	tok, err := b.r.client.GetAccessToken(b.r.t.Context(), tokenward.TokenRequest{}, b.options())
	b.took()
	return tok.AccessToken, err
}

func (b *browser) mustToken(doing string) string {
	b.r.t.Helper()
	tok, err := b.token()
	if err != nil {
		b.r.t.Fatalf("%s: %v", doing, err)
	}
	return tok
}

func TestStateless_endToEnd(t *testing.T) {
	r := stateless(t)
	fromLoginToLogout(t, r)
	if r.memory.Len() != 0 {
		t.Errorf("the server's store has %d sessions", r.memory.Len())
	}
}

// Whichever process a request comes to, it goes on from where the last one was.
func TestStateless_processesTakeTurns(t *testing.T) {
	r := stateless(t)
	const life = 5 * time.Minute // the session stays awake in both
	r.tenant.Set(idptest.WithTokenLife(life))
	b := newBrowser(r)
	b.login()
	one := r.client
	b.anotherProcess()
	two := r.client
	seen := map[string]bool{b.mustToken("the second process"): true}
	for range 4 {
		for _, c := range []*tokenward.Client{two, one} {
			r.client = c
			r.clock.Advance(life)
			tok := b.mustToken("in turn")
			if seen[tok] {
				t.Error("an old token")
			}
			seen[tok] = true
		}
	}
	if n := r.tenant.Reuses(); n != 0 {
		t.Errorf("%d refresh tokens were spent twice", n)
	}
	b.anotherProcess()
	if tok := b.mustToken("a new process"); !seen[tok] {
		t.Error("the newest token was not in the browser")
	}
}

// A browser that lost an answer, or a copy of older cookies: the process knows better.
func TestStateless_olderCookies(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	b.login()
	old := maps.Clone(b.others)
	r.clock.Advance(idptest.TokenLife)
	newest := b.mustToken("a refresh")
	b.others = maps.Clone(old)
	if tok := b.mustToken("with older cookies"); tok != newest {
		t.Error("they opened an older state")
	}
	b.anotherProcess()
	if tok := b.mustToken("in another process"); tok != newest {
		t.Error("the browser did not get the newest state")
	}
	r.clock.Advance(idptest.TokenLife)
	b.mustToken("a refresh there")
	if n := r.tenant.Reuses(); n != 0 {
		t.Errorf("%d refresh tokens were spent twice", n)
	}
}

func TestStateless_manyRequestsAtOnce(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	b.login()
	r.clock.Advance(idptest.TokenLife)
	requests := make([]*browser, 100)
	for i := range requests {
		requests[i] = &browser{r: r, cookie: b.cookie, others: maps.Clone(b.others)}
	}
	tokens := make([]string, len(requests))
	var wg sync.WaitGroup
	for i, q := range requests {
		wg.Go(func() {
			var err error
			if tokens[i], err = q.token(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.tenant.Refreshes(); n != 1 {
		t.Errorf("refreshes = %d, want 1", n)
	}
	b.anotherProcess()
	for i, q := range requests {
		if i > 0 && tokens[i] != tokens[0] {
			t.Fatal("two tokens")
		}
		if i%20 == 0 {
			if tok := q.mustToken("each of the browsers, in another process"); tok != tokens[0] {
				t.Error("an answer did not carry the newest state")
			}
		}
	}
}

// What no answer has carried is not lost when the session leaves memory.
func TestStateless_uncarriedSurvivesPassivation(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	id := b.login()
	r.clock.Advance(idptest.TokenLife)
	tok, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(30 * time.Minute)
	r.settle()
	if n := r.client.Stats().Resident; n != 0 {
		t.Fatalf("resident = %d, want 0", n)
	}
	if got := b.mustToken("half an hour later"); got != tok.AccessToken {
		t.Error("the refreshed token is lost")
	}
	b.anotherProcess()
	if got := b.mustToken("in another process"); got != tok.AccessToken {
		t.Error("and was not carried")
	}
}

func TestStateless_endedStaysEnded(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		r := stateless(t)
		b := newBrowser(r)
		b.login()
		if elsewhere { // the process that ends the session is not the one it began in
			b.anotherProcess()
			b.user()
		}
		copied := maps.Clone(b.others)
		r.logOut(b.options())
		if b.took(); len(b.others) != 0 {
			t.Errorf("cookies are left: %v", slices.Collect(maps.Keys(b.others)))
		}
		r.clock.Advance(20 * time.Minute)
		r.settle()
		b.others = copied
		if b.user() != nil || len(b.set()) != 0 {
			t.Errorf("begun elsewhere %t: a copy of the cookies opens the session that ended; Set-Cookie %q", elsewhere, b.set())
		}
	}
}

func TestStateless_lifetimes(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	b.login()
	for range 3 {
		r.clock.Advance(23 * time.Hour)
		if b.user() == nil {
			t.Fatal("a session in use ended")
		}
	}
	b.anotherProcess()
	copied := maps.Clone(b.others)
	r.clock.Advance(3*time.Hour - time.Second)
	if b.user() == nil {
		t.Error("it ended early")
	}
	r.clock.Advance(time.Second)
	if b.user() != nil || len(b.set()) != 0 {
		t.Error("it outlived three days")
	}
	b.anotherProcess()
	if b.others = copied; b.user() != nil {
		t.Error("in another process it outlives three days")
	}

	b = newBrowser(r)
	b.login()
	b.anotherProcess()
	r.clock.Advance(24 * time.Hour)
	if b.user() != nil || len(b.set()) != 0 {
		t.Error("unused, it outlived a day")
	}
}

func TestStateless_ceiling(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	r.tenant.NextLogin(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
	b.login()
	r.clock.Advance(time.Hour)
	if _, err := b.token(); !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("err = %v, want session_expired", err)
	}
	b.anotherProcess()
	if _, err := b.token(); !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("in another process: %v, want session_expired", err)
	}
}

func TestStateless_leavesAloneWhatItCannotRead(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	b.login()
	before := maps.Clone(b.others)
	r.cfg.Secrets = []string{otherSecret}
	b.anotherProcess()
	if b.user() != nil || len(b.set()) != 0 {
		t.Errorf("Set-Cookie: %q", b.set())
	}
	r.cfg.Secrets = []string{otherSecret, secret}
	b.anotherProcess()
	if b.others = before; b.user() == nil {
		t.Error("with the old secret second it is no session")
	}
}

func TestStateless_sessionFixation(t *testing.T) {
	r := stateless(t)
	attacker, victim := newBrowser(r), newBrowser(r)
	planted := attacker.login()
	victim.others = maps.Clone(attacker.others)
	if id := victim.login(); id == planted || attacker.user() != nil || victim.user() == nil {
		t.Error("the planted session lives, or the new one does not")
	}
}

func TestStateless_saysWhatItCannotDo(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	r := stateless(t, tokenward.WithLogger(zap.New(core)), tokenward.WithCookies(tokenward.Cookies{Secure: true}))
	if got := logs.FilterMessageSnippet("cookies").Len(); got != 1 {
		t.Errorf("%d log lines, want 1", got)
	}
	err := r.client.HandleBackchannelLogout(t.Context(), "x", tokenward.StoreOptions{})
	var config *tokenward.ConfigurationError
	if !errors.As(err, &config) || !strings.Contains(err.Error(), "index") {
		t.Errorf("back-channel logout: %v", err)
	}
	b := newBrowser(r)
	b.login()
	for _, c := range b.others {
		if !strings.HasPrefix(c.Name, "__Host-_a0_session.") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 86400 {
			t.Errorf("cookie = %v", c)
		}
	}
}

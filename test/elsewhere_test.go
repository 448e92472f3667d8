package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// An end that is remembered must not outlast a login elsewhere
// whose notice fell into a gap of the feed.
func TestFeed_aRememberedEndAfterAGap(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, _ string, p []process) {
		ctx, id := context.Background(), "an id of the host's"
		a, b := p[0], p[1]
		r.client = a.Client
		r.loginAs(tokenward.SessionID(id), idptest.Claims{"session_expiry": r.clock.Now().Add(time.Minute).Unix()})
		q := tokenward.ConnectionRequest{Connection: google}
		alice, err := a.GetAccessTokenForConnection(ctx, q, tokenward.SessionID(id))
		if err != nil {
			t.Fatal(err)
		}
		r.pass(60) // the ceiling: her connection token stays
		if again, err := a.GetAccessTokenForConnection(ctx, q, tokenward.SessionID(id)); err != nil || again.AccessToken != alice.AccessToken {
			t.Fatalf("after the ceiling: %v", err)
		}
		a.store.MuteFeed(true) // the connection is dead, and nobody knows yet
		r.tenant.SetUser("auth0|bob", nil)
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		r.client = b.Client
		r.loginAs(tokenward.SessionID(id))
		r.rest()
		a.store.BreakFeed(errors.New("connection reset"))
		a.store.MuteFeed(false)
		r.pass(40) // the feed is back, and longer than the snapshot age has passed
		if n := a.store.Watchers(); n != 1 {
			t.Fatalf("%d watchers", n)
		}
		got, err := a.GetAccessTokenForConnection(ctx, q, tokenward.SessionID(id))
		if err == nil && got.AccessToken == alice.AccessToken {
			t.Error("bob is signed in under this id, and its connection token is alice's")
		}
		if _, err := a.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			t.Errorf("GetAccessToken = %v, want bob's token", err)
		}
		if u, err := a.GetUser(ctx, tokenward.SessionID(id)); err != nil || u.Sub() != "auth0|bob" {
			t.Errorf("GetUser = %v, %v, want bob", u, err)
		}
	})
}

// One record that cannot be read must not make the store count as down for all sessions.
func TestOutage_oneUnreadableRecordIsNone(t *testing.T) {
	processes(t, 2, withoutFeed, func(t *testing.T, r *rig, id string, p []process) {
		ctx, a, b := context.Background(), p[0], p[1]
		r.client = a.Client
		other := r.loginAs(tokenward.SessionID("another"))
		rec, err := r.memory.Load(ctx, key(other), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rec.Version, rec.Sealed = session.NewVersion(randomness{}), []byte{99, 1, 2, 3} // a later release has written it
		if err := r.memory.Replace(ctx, key(other), rec, store.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		for range 4 { // two minutes; the snapshot age is 30 s
			r.pass(31)
			_, _ = a.GetUser(ctx, tokenward.SessionID(other))
			if u, err := a.GetUser(ctx, tokenward.SessionID(id)); u != nil || err != nil {
				t.Errorf("GetUser = %v, %v, want nil: the user was logged out elsewhere, and the store answers", u.Sub(), err)
			}
		}
	})
}

// lateStore is one whose Replace may still be on its way to the disk when its caller has left, as
// with bolt.
type lateStore struct {
	store.StateStore
	late      bool
	reached   chan struct{}
	commit    chan struct{}
	committed chan struct{}
}

// Load waits for a write of the session whose caller has given up, as that of bolt does.
func (s *lateStore) Load(ctx context.Context, k session.Key, o store.Options) (store.Record, error) {
	if s.late && s.Exclusive() {
		select {
		case <-s.committed:
		case <-ctx.Done():
			return store.Record{}, ctx.Err()
		}
	}
	return s.StateStore.Load(ctx, k, o)
}

func (s *lateStore) Exclusive() bool { return true }

func (s *lateStore) Replace(ctx context.Context, k session.Key, r store.Record, o store.Options) error {
	if !s.late {
		return s.StateStore.Replace(ctx, k, r, o)
	}
	go func() {
		<-s.commit
		_ = s.StateStore.Replace(context.WithoutCancel(ctx), k, r, o)
		close(s.committed)
	}()
	close(s.reached)
	<-ctx.Done()
	return ctx.Err()
}

func (s *lateStore) End(ctx context.Context, k session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	if s.late {
		<-s.committed // one writer, in order
	}
	return s.StateStore.End(ctx, k, only, e, o)
}

// A login whose caller leaves during the fsync.
func TestUncertain_aLoginWhoseCallerLeavesDuringTheCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		s := &lateStore{StateStore: r.memory, reached: make(chan struct{}), commit: make(chan struct{}), committed: make(chan struct{})}
		r.replaceClient(tokenward.WithStateStore(s))
		id := r.loginAs(tokenward.SessionID("x"))
		r.tenant.SetUser("auth0|bob", nil)
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		s.late = true
		back := r.callback(tokenward.LoginRequest{})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			_, err := r.client.CompleteInteractiveLogin(ctx, back, tokenward.SessionID(id))
			done <- err
		}()
		<-s.reached
		cancel()
		t.Logf("login: %v", <-done)
		r.rest()
		close(s.commit)
		r.rest()
		_, err := r.stored(id)
		u, uerr := r.client.GetUser(context.Background(), tokenward.SessionID(id))
		if uerr != nil {
			t.Fatal(uerr)
		}
		if err != nil && u != nil {
			t.Errorf("the store has no session (%v), the client shows one of %v", err, u.Sub())
		}
	})
}

// A provider refuses two audiences, for which consent is missing, and two callers ask at once: the
// session stays as it is.
func TestRefusals_twoInARowAreNoCrash(t *testing.T) {
	processes(t, 1, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.tenant.Script(idptest.Refresh, idptest.OAuthError("consent_required", "consent is missing").Times(2))
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		one := p[0].ask(id, tokenward.TokenRequest{Audience: audience(1)})
		r.rest()
		two := p[0].ask(id, tokenward.TokenRequest{Audience: audience(2)})
		r.rest()
		hold.Release()
		for _, c := range []*caller{one, two} {
			if _, err := c.wait(); err == nil {
				t.Error("no error")
			}
		}
		r.rest()
		r.want("sessions lost", int(p[0].Stats().Lost), 0)
		r.client = p[0].Client
		r.token(id, tokenward.TokenRequest{}) // the refresh token was never spent
	})
}

// The same where the first was told 429, which spends nothing.
func TestRefusals_afterARateLimit(t *testing.T) {
	processes(t, 1, nil, func(_ *testing.T, r *rig, id string, p []process) {
		r.tenant.Script(idptest.Refresh, idptest.Status(429), idptest.OAuthError("consent_required", "consent is missing"))
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		one := p[0].ask(id, tokenward.TokenRequest{Audience: audience(1)})
		r.rest()
		two := p[0].ask(id, tokenward.TokenRequest{Audience: audience(2)})
		r.rest()
		hold.Release()
		_, _ = one.wait()
		_, _ = two.wait()
		r.rest()
		r.want("sessions lost", int(p[0].Stats().Lost), 0)
		r.client = p[0].Client
		r.token(id, tokenward.TokenRequest{})
	})
}

// A clock that is set back makes no snapshot fresh for longer.
func TestProcesses_clockSetBack(t *testing.T) {
	processes(t, 2, withoutFeed, func(t *testing.T, r *rig, id string, p []process) {
		ctx := context.Background()
		if _, err := p[1].Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.clock.Set(r.clock.Now().Add(-10 * time.Minute))
		r.pass(120)
		if u, err := p[0].GetUser(ctx, tokenward.SessionID(id)); u != nil || err != nil {
			t.Errorf("GetUser = %v, %v: two minutes after the logout elsewhere, the snapshot age is 30 s", u.Sub(), err)
		}
	})
}

// What a ceiling leaves ends with a logout, in whichever process that comes.
func TestProcesses_logoutElsewhereEndsWhatTheCeilingLeft(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, _ string, p []process) {
		ctx, id := context.Background(), "an id of the host's"
		a, b := p[0], p[1]
		r.client = a.Client
		r.loginAs(tokenward.SessionID(id), idptest.Claims{"session_expiry": r.clock.Now().Add(time.Minute).Unix()})
		q := tokenward.ConnectionRequest{Connection: google}
		for _, p := range p {
			if _, err := p.GetAccessTokenForConnection(ctx, q, tokenward.SessionID(id)); err != nil {
				t.Fatal(err)
			}
		}
		r.pass(60)
		if _, err := a.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.pass(60)
		for name, p := range map[string]process{"where the logout came": a, "elsewhere": b} {
			_, err := p.GetAccessTokenForConnection(ctx, q, tokenward.SessionID(id))
			r.wantConnectionCode(name, err, "missing_refresh_token")
		}
	})
}

// sharedLate is a lateStore with the abilities of the store inside.
type sharedLate struct{ *lateStore }

func (s sharedLate) Exclusive() bool { return false }

// Load waits for nothing.
func (s sharedLate) Load(ctx context.Context, k session.Key, o store.Options) (store.Record, error) {
	return s.StateStore.Load(ctx, k, o)
}

func (s sharedLate) Ability(target any) bool { return store.Ability(s.StateStore, target) }

// The store took longer over a login than it was given, and tells of it when it is
// done.
func TestUncertain_aLoginThatTakesEffectLateIsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		s := &lateStore{StateStore: r.memory, reached: make(chan struct{}), commit: make(chan struct{}), committed: make(chan struct{})}
		r.replaceClient(tokenward.WithStateStore(sharedLate{s}))
		id := r.loginAs(tokenward.SessionID("x"))
		r.tenant.SetUser("auth0|bob", nil)
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		s.late = true
		back := r.callback(tokenward.LoginRequest{})
		done := make(chan error)
		go func() {
			_, err := r.client.CompleteInteractiveLogin(context.Background(), back, tokenward.SessionID(id))
			done <- err
		}()
		<-s.reached
		r.pass(5)
		if err := <-done; !errors.Is(err, tokenward.ErrStore) {
			t.Fatalf("login: %v", err)
		}
		r.rest()
		close(s.commit)
		r.pass(120)
		have, err := r.stored(id)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); err != nil || u.Sub() != have.User.Sub() {
			t.Errorf("the store has a session of %v and has told of it, the client shows one of %v (%v)", have.User.Sub(), u.Sub(), err)
		}
	}, func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) })
}

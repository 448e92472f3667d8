package test_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// inBubble tells story with a rig that lives in a testing/synctest bubble: there
// synctest.Wait returns when everyone has come to rest, and a caller who is left
// waiting for ever fails the test.
func inBubble(t *testing.T, story func(t *testing.T, r *rig), opts ...rigOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		story(t, newRig(t, append([]rigOption{withTenant(idptest.InProcess(), idptest.WithOpaqueTokens())}, opts...)...))
	})
}

// rest waits until everyone is at rest. In a bubble only.
func (*rig) rest() { synctest.Wait() }

// expire lets every token of the tenant expire, and counts from zero.
func (r *rig) expire() {
	r.clock.Advance(idptest.TokenLife)
	r.settle()
	r.tenant.Reset()
}

// inMemory has the client load the session.
func (r *rig) inMemory(id string) {
	r.t.Helper()
	if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
		r.t.Fatalf("GetUser = %v, %v", u, err)
	}
}

// caller is a caller who asked for a token and may still be waiting.
type caller struct {
	done  chan struct{}
	token tokenward.Token
	err   error
}

// ask asks for a token of the session id.
func (r *rig) ask(ctx context.Context, id string, q tokenward.TokenRequest) *caller {
	return askOf(ctx, r.client, id, q)
}

func askOf(ctx context.Context, client *tokenward.Client, id string, q tokenward.TokenRequest) *caller {
	c := &caller{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.token, c.err = client.GetAccessToken(ctx, q, tokenward.SessionID(id))
	}()
	return c
}

// askAll has n callers ask the same.
func (r *rig) askAll(n int, id string, q tokenward.TokenRequest) []*caller {
	all := make([]*caller, n)
	for i := range all {
		all[i] = r.ask(context.Background(), id, q)
	}
	return all
}

// wait returns the caller's answer.
func (c *caller) wait() (tokenward.Token, error) {
	<-c.done
	return c.token, c.err
}

func (c *caller) answered() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// exchange asks for a connection's token.
func (r *rig) exchange(ctx context.Context, id, connection string) *exchanger {
	return r.exchangeFor(ctx, id, tokenward.ConnectionRequest{Connection: connection})
}

func (r *rig) exchangeFor(ctx context.Context, id string, q tokenward.ConnectionRequest) *exchanger {
	c := &exchanger{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.token, c.err = r.client.GetAccessTokenForConnection(ctx, q, tokenward.SessionID(id))
	}()
	return c
}

type exchanger struct {
	done  chan struct{}
	token tokenward.ConnectionToken
	err   error
}

func (c *exchanger) wait() (tokenward.ConnectionToken, error) {
	<-c.done
	return c.token, c.err
}

// token asks once and expects an answer.
func (r *rig) token(id string, q tokenward.TokenRequest) tokenward.Token {
	r.t.Helper()
	tok, err := r.client.GetAccessToken(context.Background(), q, tokenward.SessionID(id))
	if err != nil {
		r.t.Fatalf("GetAccessToken(%+v): %v", q, err)
	}
	return tok
}

// tokenErr asks once and expects an error.
func (r *rig) tokenErr(id string, q tokenward.TokenRequest) error {
	r.t.Helper()
	_, err := r.client.GetAccessToken(context.Background(), q, tokenward.SessionID(id))
	if err == nil {
		r.t.Fatalf("GetAccessToken(%+v) succeeded, want an error", q)
	}
	return err
}

// wantCode checks that err is an *AccessTokenError of that code.
func (r *rig) wantCode(what string, err error, code tokenward.Code) {
	r.t.Helper()
	var typed *tokenward.AccessTokenError
	if !errors.As(err, &typed) || tokenward.CodeOf(err) != code {
		r.t.Errorf("%s: err = %v (%T), want an AccessTokenError %s", what, err, err, code)
	}
}

// wantConnectionCode checks that err is an *AccessTokenForConnectionError of that code.
func (r *rig) wantConnectionCode(what string, err error, code tokenward.Code) {
	r.t.Helper()
	var typed *tokenward.AccessTokenForConnectionError
	if !errors.As(err, &typed) || typed.Code != code {
		r.t.Errorf("%s: err = %v (%T), want an AccessTokenForConnectionError %s", what, err, err, code)
	}
}

// want checks a count.
func (r *rig) want(what string, got, want int) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s = %d, want %d", what, got, want)
	}
}

func key(id string) session.Key { return session.KeyOf("_a0_session", id) }

// stored returns what the store holds of a session, past all scripted faults.
func (r *rig) stored(id string) (*session.State, error) {
	r.t.Helper()
	return storedIn(r.t, r.store.Unwrap(), r.cfg, id)
}

func storedIn(t testing.TB, s store.StateStore, cfg tokenward.Config, id string) (*session.State, error) {
	t.Helper()
	rec, err := s.Load(context.Background(), key(id), store.Options{})
	if err != nil {
		return nil, err
	}
	state, err := (&store.Codec{Sealer: sealerOf(t, cfg), Domain: cfg.Issuer}).Decode(key(id), rec)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	return state, nil
}

// sealerOf opens what a client of that configuration has sealed.
func sealerOf(t testing.TB, cfg tokenward.Config) *store.Sealer {
	t.Helper()
	sealer, err := store.NewSealer("_a0_session", rand.Reader, cfg.Secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// refreshToken returns the refresh token that the store holds.
func (r *rig) refreshToken(id string) string {
	r.t.Helper()
	s, err := r.stored(id)
	if err != nil {
		r.t.Fatalf("stored session: %v", err)
	}
	return s.RefreshToken
}

// wantGone checks that the store has no record of the session.
func (r *rig) wantGone(id string) {
	r.t.Helper()
	if _, err := r.stored(id); !errors.Is(err, store.ErrNotFound) {
		r.t.Errorf("the store's record: err = %v, want %v", err, store.ErrNotFound)
	}
}

// wantLiving checks that no refresh token was lost or spent twice: the newest is
// in the store, the provider accepts it, and never were two under way.
func (r *rig) wantLiving(id string) {
	r.t.Helper()
	r.want("refresh tokens reused", r.tenant.Reuses(), 0)
	if p := r.tenant.PeakPerFamily(); p > 1 {
		r.t.Errorf("requests of one session at once = %d, want 1", p)
	}
	r.tenant.Heal()
	r.store.Heal()
	r.clock.Advance(24 * idptest.TokenLife)
	r.settle()
	if _, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
		r.t.Errorf("the session is lost: %v", err)
	}
}

// logout ends a session in the background.
func (r *rig) logout(id string) chan error {
	done := make(chan error, 1)
	go func() {
		_, err := r.client.Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id))
		done <- err
	}()
	return done
}

// together runs f n times at once and waits for all.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

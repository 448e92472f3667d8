package processes_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

var signOutFlag = flag.Int("processes.signout", 400, "sessions of one user that are signed out everywhere")

const cookieName = "_a0_session"

// crowd is a user with many sessions. Half of them are in memory, of two clients that share the store; some of those have a
// request for a token under way, which the provider answers when hold is released.
type crowd struct {
	tenant   *idptest.Tenant
	states   opened
	a, b     *tokenward.Client
	hold     *idptest.Hold
	answers  sync.WaitGroup
	underWay []string // sessions with a request
	ids      []string // all others
}

// newCrowd signs a user in many times. What comes of each request under way is given to answered.
func newCrowd(t *testing.T, h home, answered func(error)) *crowd {
	t.Helper()
	tenant := idptest.NewTenant(t, idptest.WithClient(clientID, clientSecret), idptest.WithAudience("https://api.example"))
	c := &crowd{tenant: tenant, states: h.openFor(t), a: clientAt(t, h, tenant), b: clientAt(t, h, tenant)}
	const flights = 40
	for range flights {
		c.underWay = append(c.underWay, signIn(t, c.a, tenant, idptest.Claims{"sub": "ada"}))
	}
	c.ids = plant(t, c.states, tenant.Issuer(), "ada", *signOutFlag-flights)
	resident(t, c.a, c.ids[:len(c.ids)/4])
	resident(t, c.b, c.ids[len(c.ids)/4:len(c.ids)/2])

	c.hold = tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	for i, id := range c.underWay {
		at := []*tokenward.Client{c.a, c.b}[i%2]
		c.answers.Go(func() {
			_, err := at.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://api.example"}, tokenward.SessionID(id))
			answered(err)
		})
	}
	must(t, c.hold.Wait(t.Context(), flights))
	return c
}

// A user with many sessions is signed out everywhere, in each store. Requests that are under way are answered once their sessions have
// ended.
func TestSignOutEverywhere(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		c := newCrowd(t, h, func(err error) {
			if !errors.Is(err, session.ErrMissingSession) && !errors.Is(err, session.ErrMissingRefreshToken) {
				t.Errorf("a flight under way was answered: %v", err)
			}
		})
		others := []string{signIn(t, c.a, c.tenant, idptest.Claims{"sub": "bob"}), signIn(t, c.b, c.tenant, idptest.Claims{"sub": "bob"})}
		began := clock.System().Now()
		n, err := c.a.EndSessions(t.Context(), tokenward.EndRequest{Issuer: c.tenant.Issuer(), Subject: "ada"}, tokenward.StoreOptions{})
		took := clock.System().Now().Sub(began)
		if err != nil || n != *signOutFlag {
			t.Errorf("EndSessions = %d, %v, want %d", n, err, *signOutFlag)
		}
		t.Logf("%d sessions ended in %v", n, took.Round(time.Millisecond))
		gone := func(id string) bool {
			_, err := c.states.Load(t.Context(), session.KeyOf(cookieName, id), store.Options{})
			return errors.As(err, new(*store.GoneError))
		}
		all := append(c.ids, c.underWay...)
		wantGone := func(when string) {
			t.Helper()
			for _, id := range all {
				if !gone(id) {
					t.Fatalf("%s a session lives in the store", when)
				}
			}
		}
		wantGone("when the call has returned")
		c.hold.Release()
		c.answers.Wait()
		for _, at := range []*tokenward.Client{c.a, c.b} { // what the other has in memory goes with the notice
			for _, id := range all {
				eventually(t, "the end of a session in each process", func() bool {
					u, err := at.GetUser(t.Context(), tokenward.SessionID(id))
					return u == nil && err == nil
				})
			}
			ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), patience)
			defer cancel()
			must(t, at.Settle(ctx))
		}
		wantGone("when every answer has come")
		for _, id := range others {
			if gone(id) {
				t.Error("another user was signed out")
			}
		}
	})
}

// A user is signed out at one client while she completes logins at two others, in each store. Some of these are held until the sign-out has
// returned, just before they are stored or before they look for marks; some are not held at all. None of them leaves a session.
func TestSignOut_duringLoginsElsewhere(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		for _, held := range []storetest.Op{storetest.OpReplace, storetest.OpFind} {
			tenant := idptest.NewTenant(t, idptest.WithClient(clientID, clientSecret))
			states := h.openFor(t)
			way := storetest.NewFaulty(h.openFor(t).StateStore)
			a, b, c := clientAt(t, h, tenant), clientAt(t, h, tenant, tokenward.WithStateStore(way)), clientAt(t, h, tenant)
			const each = 20
			var backs []func() error
			for i := range 2 * each {
				at := []*tokenward.Client{b, c}[i%2]
				back := startLogin(t, at, tenant, idptest.Claims{"sub": "ada"})
				backs = append(backs, func() error {
					_, err := at.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{})
					return err
				})
			}
			gate := way.Hold(held)
			var refused atomic.Int64
			var logins sync.WaitGroup
			for _, complete := range backs {
				logins.Go(func() {
					if err := complete(); errors.As(err, new(*tokenward.SessionExpiredError)) {
						refused.Add(1)
					} else if err != nil {
						t.Errorf("a login: %v", err)
					}
				})
			}
			must(t, gate.Wait(t.Context(), each))
			q := tokenward.EndRequest{Issuer: tenant.Issuer(), Subject: "ada", BeganBy: clock.System().Now().Add(time.Minute)} // all of these logins are older
			_, err := a.EndSessions(t.Context(), q, tokenward.StoreOptions{})
			must(t, err)
			gate.Release()
			logins.Wait()
			if n := refused.Load(); n < each {
				t.Errorf("%d logins were refused, want those that were held: %d or more", n, each)
			}
			for _, at := range []*tokenward.Client{b, c} {
				ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), patience)
				must(t, at.Settle(ctx))
				cancel()
			}
			n, err := a.CountSessions(t.Context(), tokenward.SessionQuery{}, 0, tokenward.StoreOptions{})
			if err != nil || n != 0 {
				t.Errorf("%d sessions live, %v", n, err)
			}
			sealer, err := store.NewSealer(cookieName, rand.Reader, sealing)
			must(t, err)
			index, _ := store.As[store.Index](states.StateStore)
			if refs, err := index.Find(t.Context(), sealer.LookupSub(tenant.Issuer(), "ada"), store.Options{}); err != nil || len(refs) > 0 {
				t.Errorf("the store finds %d sessions, %v", len(refs), err)
			}
		}
	})
}

// clientAt is a client in this process with its own way to the store.
func clientAt(t *testing.T, h home, tenant *idptest.Tenant, opts ...tokenward.Option) *tokenward.Client {
	t.Helper()
	s := h.openFor(t)
	c, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{sealing}, RedirectURI: "http://127.0.0.1/callback",
	}, append([]tokenward.Option{
		tokenward.WithLogger(zap.NewNop()), tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never}), tokenward.WithStateStore(s.StateStore),
		tokenward.WithTransactionStore(s.transactions), tokenward.WithHTTPClient(tenant.Client()),
	}, opts...)...)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
		defer cancel()
		must(t, c.Close(ctx))
	})
	return c
}

func signIn(t *testing.T, c *tokenward.Client, tenant *idptest.Tenant, claims idptest.Claims) string {
	t.Helper()
	done, err := c.CompleteInteractiveLogin(t.Context(), startLogin(t, c, tenant, claims), tokenward.StoreOptions{})
	must(t, err)
	return done.SessionID
}

// startLogin begins a login and returns its callback.
func startLogin(t *testing.T, c *tokenward.Client, tenant *idptest.Tenant, claims idptest.Claims) (back string) {
	t.Helper()
	to, err := c.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	must(t, err)
	back, err = tenant.Authorize(to, claims)
	must(t, err)
	return back
}

// plant writes sessions of a user into the store, as logins of an hour ago have left them, and returns their ids.
func plant(t testing.TB, s store.StateStore, issuer, sub string, n int) []string {
	t.Helper()
	sealer, err := store.NewSealer(cookieName, rand.Reader, sealing)
	must(t, err)
	codec := &store.Codec{Sealer: sealer, Domain: issuer}
	var all errgroup.Group
	all.SetLimit(32)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = session.RandomString(rand.Reader, 32)
		all.Go(func() error {
			key, r, err := planted(codec, issuer, sub, i, ids[i])
			if err != nil {
				return err
			}
			return s.Replace(t.Context(), key, r, store.Options{})
		})
	}
	must(t, all.Wait())
	return ids
}

// planted returns the record of a session of some 4 KB.
func planted(codec *store.Codec, issuer, sub string, i int, id string) (session.Key, store.Record, error) {
	now := clock.System().Now().Add(-time.Hour)
	state := session.NewState(session.Login{
		Claims: map[string]any{
			"iss": issuer, "sub": sub, "sid": fmt.Sprintf("sid-%s-%d", sub, i), "iat": json.Number(strconv.FormatInt(now.Unix(), 10)), "name": "Ada Lovelace",
			"email": sub + "@example.com", "email_verified": true, "session_expiry": json.Number(strconv.FormatInt(now.Add(100*time.Hour).Unix(), 10)),
		},
		Response: session.TokenResponse{
			AccessToken: session.RandomString(rand.Reader, 900), RefreshToken: session.RandomString(rand.Reader, 60),
			IDToken: session.RandomString(rand.Reader, 900), ExpiresIn: 3600, HasExpiresIn: true,
		},
		Domain: issuer, Now: now, Random: rand.Reader,
	})
	key := session.KeyOf(cookieName, id)
	r, err := codec.Encode(key, state, session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
	r.TTL = 200 * time.Hour
	return key, r, err
}

// resident has the sessions in the memory of c.
func resident(t *testing.T, c *tokenward.Client, ids []string) {
	t.Helper()
	var all errgroup.Group
	all.SetLimit(32)
	for _, id := range ids {
		all.Go(func() error {
			u, err := c.GetUser(t.Context(), tokenward.SessionID(id))
			if err == nil && u == nil {
				err = errors.New("a session that was planted is not there")
			}
			return err
		})
	}
	must(t, all.Wait())
}

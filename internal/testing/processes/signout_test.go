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
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var signOutFlag = flag.Int("processes.signout", 400, "sessions of one user that are signed out everywhere")

const cookieName = "_a0_session"

// A user with many sessions is signed out everywhere, in each store. Half of the sessions are in memory, of two clients
// that share the store; some of those have a request for a token under way, which the provider answers once they have ended.
func TestSignOutEverywhere(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		tenant := idptest.NewTenant(t, idptest.WithClient(clientID, clientSecret), idptest.WithAudience("https://api.example"))
		states := h.openFor(t)
		a, b := clientAt(t, h, tenant), clientAt(t, h, tenant)
		const flights = 40
		var underWay []string
		for range flights {
			underWay = append(underWay, signIn(t, a, tenant, idptest.Claims{"sub": "ada"}))
		}
		others := []string{signIn(t, a, tenant, idptest.Claims{"sub": "bob"}), signIn(t, b, tenant, idptest.Claims{"sub": "bob"})}
		ids := plant(t, states, tenant.Issuer(), "ada", *signOutFlag-flights)
		resident(t, a, ids[:len(ids)/4])
		resident(t, b, ids[len(ids)/4:len(ids)/2])

		hold := tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		var answers sync.WaitGroup
		for i, id := range underWay {
			c := []*tokenward.Client{a, b}[i%2]
			answers.Go(func() {
				_, err := c.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://api.example"}, tokenward.SessionID(id))
				if !errors.Is(err, session.ErrMissingSession) && !errors.Is(err, session.ErrMissingRefreshToken) {
					t.Errorf("a flight under way was answered: %v", err)
				}
			})
		}
		must(t, hold.Wait(t.Context(), flights))

		began := clock.System().Now()
		n, err := a.EndSessions(t.Context(), tokenward.EndRequest{Issuer: tenant.Issuer(), Subject: "ada"}, tokenward.StoreOptions{})
		took := clock.System().Now().Sub(began)
		if err != nil || n != *signOutFlag {
			t.Errorf("EndSessions = %d, %v, want %d", n, err, *signOutFlag)
		}
		t.Logf("%d sessions ended in %v", n, took.Round(time.Millisecond))
		gone := func(id string) bool {
			_, err := states.Load(t.Context(), session.KeyOf(cookieName, id), store.Options{})
			return errors.As(err, new(*store.GoneError))
		}
		all := append(ids, underWay...)
		wantGone := func(when string) {
			t.Helper()
			for _, id := range all {
				if !gone(id) {
					t.Fatalf("%s a session lives in the store", when)
				}
			}
		}
		wantGone("when the call has returned")
		hold.Release()
		answers.Wait()
		for _, c := range []*tokenward.Client{a, b} { // what the other has in memory goes with the notice
			for _, id := range all {
				eventually(t, "the end of a session in each process", func() bool {
					u, err := c.GetUser(t.Context(), tokenward.SessionID(id))
					return u == nil && err == nil
				})
			}
			ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), patience)
			defer cancel()
			must(t, c.Settle(ctx))
		}
		wantGone("when every answer has come")
		for _, id := range others {
			if gone(id) {
				t.Error("another user was signed out")
			}
		}
	})
}

// clientAt is a client in this process with its own way to the store.
func clientAt(t *testing.T, h home, tenant *idptest.Tenant) *tokenward.Client {
	t.Helper()
	s := h.openFor(t)
	c, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{sealing}, RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithLogger(zap.NewNop()), tokenward.WithEndSession(false), tokenward.WithStateStore(s.StateStore),
		tokenward.WithTransactionStore(s.transactions), tokenward.WithHTTPClient(tenant.Client()))
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
	to, err := c.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	must(t, err)
	back, err := tenant.Authorize(to, claims)
	must(t, err)
	done, err := c.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{})
	must(t, err)
	return done.SessionID
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

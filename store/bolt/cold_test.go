package bolt_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// BenchmarkCold asks for the token of a session that is in the store and not in memory, and in turn has the store alone
// read a record of that kind. It reports the medians of both, and of what the client adds.
func BenchmarkCold(b *testing.B) {
	const issuer, identifier, secret = "https://tenant.example/", "_a0_session", "a secret of at least thirty-two bytes"
	clk := clock.System()
	s := open(b, filepath.Join(b.TempDir(), "sessions"))
	sealer, err := store.NewSealer(identifier, rand.Reader, secret)
	must(b, err)
	codec := &store.Codec{Sealer: sealer, Domain: issuer}
	put := func() (string, session.Key) {
		id := session.RandomString(rand.Reader, 43)
		key, now := session.KeyOf(identifier, id), clk.Now().Unix()
		r, err := codec.Encode(key, &session.State{
			User:    `{"sub":"auth0|5f7c8ec7c33c6c004bbafe82","name":"Ada Lovelace","email":"ada@example.com","email_verified":true}`,
			IDToken: session.RandomString(rand.Reader, 700), RefreshToken: session.RandomString(rand.Reader, 60),
			TokenSets: []session.TokenSet{{
				Audience: session.DefaultAudience, AccessToken: session.RandomString(rand.Reader, 700), Scope: "openid profile email", ExpiresAt: now + 86400,
			}},
			Internal: session.Internal{SID: session.RandomString(rand.Reader, 36), CreatedAt: now, Ceiling: session.Ceiling(now + 8*3600)},
		}, session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
		must(b, err)
		must(b, s.Replace(b.Context(), key, r, store.Options{}))
		return id, key
	}
	const n = 2000
	ids, keys := make([]string, n), make([]session.Key, n)
	for i := range n {
		ids[i], _ = put()
		_, keys[i] = put()
	}
	ctx := context.Background()
	var calls, reads, adds []time.Duration
	for b.Loop() {
		client, err := tokenward.New(tokenward.Config{Issuer: issuer, ClientID: "client", ClientSecret: "secret", Secrets: []string{secret}},
			tokenward.WithStateStore(s))
		must(b, err)
		must(b, client.Settle(ctx))
		for i := range n {
			from := clk.Mono()
			_, err := s.Load(ctx, keys[i], store.Options{})
			must(b, err)
			read := clk.Mono() - from
			_, err = client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(ids[i]))
			must(b, err)
			call := clk.Mono() - from - read
			calls, reads, adds = append(calls, call), append(reads, read), append(adds, call-read)
		}
		must(b, client.Close(ctx))
	}
	for _, m := range []struct {
		took []time.Duration
		name string
	}{{calls, "call-p50-ns"}, {reads, "read-p50-ns"}, {adds, "added-p50-ns"}} {
		slices.Sort(m.took)
		b.ReportMetric(float64(m.took[len(m.took)/2]), m.name)
	}
}

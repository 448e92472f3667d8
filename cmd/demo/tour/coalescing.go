package tour

import (
	"context"
	"fmt"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// latency is what the tenant takes for a token request where time is measured.
const latency = 100 * time.Millisecond

// manySockets is the number of callers from which on both clients reach the tenant
// in-process: the plain one would open a socket for each caller, with two file
// descriptors in this process.
const manySockets = 1000

// playBurst has n callers find the access token expired at once.
func playBurst(ctx context.Context, n, runs int) (r Row, err error) {
	where, set := "over loopback HTTP", open
	if n >= manySockets {
		where, set = "both in-process, no sockets", openWithoutSockets
	}
	r = Row{
		Promise: "P2 one request and one store update for any number of calls",
		Done:    fmt.Sprintf("%s, token expired, tenant takes %d ms; %s; %s", callers(n), latency.Milliseconds(), where, count(runs, "run")),
	}
	s, err := set(clock.System(), idptest.WithLatency(latency))
	if err != nil {
		return r, err
	}
	defer s.close(&err)

	var coalesced, separate []sample
	for range runs {
		s.expiring()
		library, plain, err := s.signInBoth(ctx, nil)
		if err != nil {
			return r, err
		}
		a := burst(n, func(int) (string, error) { return s.ask(ctx, library, tokenward.TokenRequest{}) })
		got := s.sample(library, a)
		coalesced = append(coalesced, got)
		want(&r, "token requests", got.requests, 1)
		want(&r, "store updates", s.store.Updates(library.key()), 1)
		want(&r, "distinct tokens", got.tokens, 1)
		want(&r, "failures", got.failures, 0)
		want(&r, "reuses", got.reuses, 0)
		want(&r, "alive at the tenant", got.alive, true)

		p := burst(n, func(int) (string, error) { return s.plain.accessToken(ctx, plain.id, "") })
		separate = append(separate, s.sample(plain, p))
	}
	r.Library, r.Plain = figures(coalesced), figures(separate)
	return r, nil
}

// playAudiences has callers ask for several audiences at once, none of them cached.
func playAudiences(ctx context.Context, runs int) (r Row, err error) {
	const audiences, each = 5, 20
	r = Row{
		Promise: "P1 one request at a time spends the refresh token",
		Done: fmt.Sprintf("%d audiences x %d callers, none cached, tenant takes %d ms; over loopback HTTP; %s",
			audiences, each, latency.Milliseconds(), count(runs, "run")),
	}
	s, err := open(clock.System(), idptest.WithLatency(latency))
	if err != nil {
		return r, err
	}
	defer s.close(&err)
	audience := func(i int) string { return fmt.Sprintf("https://api-%d.example.com", i%audiences) }

	var coalesced, separate []sample
	for range runs {
		library, plain, err := s.signInBoth(ctx, nil)
		if err != nil {
			return r, err
		}
		a := burst(audiences*each, func(i int) (string, error) {
			return s.ask(ctx, library, tokenward.TokenRequest{Audience: audience(i)})
		})
		got := s.sample(library, a)
		coalesced = append(coalesced, got)
		want(&r, "token requests", got.requests, audiences)
		want(&r, "requests at once", got.peak, 1)
		want(&r, "refresh tokens in the order of their issue", fmt.Sprint(s.tenant.Family(library.subject).Serials()), "[0 1 2 3 4]")
		want(&r, "distinct tokens", got.tokens, audiences)
		want(&r, "tokens for another audience", misdirected(a, audience), 0)
		want(&r, "failures", got.failures, 0)
		want(&r, "alive at the tenant", got.alive, true)

		p := burst(audiences*each, func(i int) (string, error) { return s.plain.accessToken(ctx, plain.id, audience(i)) })
		separate = append(separate, s.sample(plain, p))
	}
	r.Library, r.Plain = figures(coalesced), figures(separate)
	return r, nil
}

// misdirected counts tokens that are for another audience than the caller asked for.
func misdirected(a answers, audience func(i int) string) int {
	n := 0
	for i, token := range a.tokens {
		var claims struct {
			Audience string `json:"aud"`
		}
		if a.errs[i] == nil && (claimsOf(token, &claims) != nil || claims.Audience != audience(i)) {
			n++
		}
	}
	return n
}

package tour

import (
	"context"
	"fmt"
	"strings"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// playConnections has callers ask for tokens of two accounts of one connection, and
// then once more.
func playConnections(ctx context.Context) (r Row, err error) {
	const connection, each = "google-oauth2", 20
	hints := []string{"ada@home.example", "ada@work.example"}
	r = Row{
		Promise: "P6 an answer matches its question: connection and login hint",
		Done: fmt.Sprintf("tokens of one connection, %d login hints x %d callers, then the same once more; tenant takes %d ms",
			len(hints), each, latency.Milliseconds()),
	}
	s, err := open(clock.System(), idptest.WithLatency(latency), idptest.WithConnection(connection, hints...))
	if err != nil {
		return r, err
	}
	defer s.close(&err)
	library, plain, err := s.signInBoth(ctx, nil)
	if err != nil {
		return r, err
	}
	hint := func(i int) string { return hints[i%len(hints)] }
	exchanges := func(a account) int { return s.tenant.Requests(idptest.ConnectionExchange.Of(a.subject)) }

	ask := func(i int) (string, error) {
		t, err := s.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: connection, LoginHint: hint(i)}, library.options())
		return t.AccessToken, err
	}
	first := burst(len(hints)*each, ask)
	asked := exchanges(library)
	second := burst(len(hints)*each, ask)
	want(&r, "exchanges of the first round", asked, len(hints))
	want(&r, "exchanges of the second round", exchanges(library)-asked, 0)
	want(&r, "exchanges at once", s.tenant.Family(library.subject).Peak, 1)
	want(&r, "failures", first.failed()+second.failed(), 0)
	want(&r, "distinct tokens of the second round", second.distinct(), len(hints))
	want(&r, "tokens of the other account", strangers(first, hint)+strangers(second, hint), 0)
	r.Library = connectionFigures(asked, exchanges(library)-asked, strangers(first, hint), strangers(second, hint), len(second.errs))

	askPlain := func(i int) (string, error) { return s.plain.connectionToken(ctx, plain.id, connection, hint(i)) }
	first = burst(len(hints)*each, askPlain)
	asked = exchanges(plain)
	second = burst(len(hints)*each, askPlain)
	r.Plain = connectionFigures(asked, exchanges(plain)-asked, strangers(first, hint), strangers(second, hint), len(second.errs))
	return r, nil
}

// strangers counts tokens of an account that the caller did not ask for. The
// tenant writes the account into the token.
func strangers(a answers, hint func(i int) string) int {
	n := 0
	for i, token := range a.tokens {
		if a.errs[i] == nil && !strings.Contains(token, "_"+hint(i)+"_") {
			n++
		}
	}
	return n
}

func connectionFigures(first, second, wrong1, wrong2, n int) string {
	return fmt.Sprintf("%s, then %d; the other account's token for %d, then %d of %d", count(first, "exchange"), second, wrong1, wrong2, n)
}

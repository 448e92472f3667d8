package tour

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// playCancelled has the caller give up whose question set the refresh going.
func playCancelled(ctx context.Context) (r Row, err error) {
	const others = 10
	r = Row{
		Promise: "P8 one caller's cancellation hurts nobody else",
		Done:    fmt.Sprintf("refresh held at the tenant, %d more callers, the first one cancels, then the refresh goes on", others),
	}
	s, err := open(clock.System())
	if err != nil {
		return r, err
	}
	defer s.close(&err)
	s.expiring()
	library, plain, err := s.signInBoth(ctx, nil)
	if err != nil {
		return r, err
	}

	waiting := newLineup(others)
	c, err := s.cancelFirst(ctx, library, others, func(ctx context.Context, i int) (string, error) {
		if i > 0 {
			ctx = waiting.caller(ctx)
		}
		return s.ask(ctx, library, tokenward.TokenRequest{})
	}, func(*idptest.Hold) error { return waiting.wait(ctx) }, func() {})
	if err != nil {
		return r, err
	}
	want(&r, "the first caller got context.Canceled", errors.Is(c.first, context.Canceled), true)
	want(&r, "requests still held when it was back", c.held, 1)
	want(&r, "others served", c.others.served(), others)
	want(&r, "token requests", s.refreshes(library), 1)
	r.Library = s.cancelFigures(library, c)

	shared, err := s.cancelFirstPlain(ctx, plain, others)
	if err != nil {
		return r, err
	}
	r.Plain = s.cancelFigures(plain, shared)

	// The same with requests that outlive the caller that set them going.
	s.plain.detached = true
	s.tenant.Script(idptest.CodeExchange, idptest.ExpiresIn(0).Times(1))
	if plain, err = s.signInPlain(ctx); err != nil {
		return r, err
	}
	alone, err := s.cancelFirstPlain(ctx, plain, others)
	if err != nil {
		return r, err
	}
	r.Plain += fmt.Sprintf(". With requests detached from their caller: %d of %d others served", alone.others.served(), others)
	return r, nil
}

// cancelFirstPlain is cancelFirst for the plain client.
func (s *scene) cancelFirstPlain(ctx context.Context, who account, others int) (cancelled, error) {
	waiting := newLineup(others)
	return s.cancelFirst(ctx, who, others, func(ctx context.Context, i int) (string, error) {
		if i > 0 {
			ctx = waiting.caller(ctx)
		}
		return s.plain.accessToken(ctx, who.id, "")
	}, func(*idptest.Hold) error { return waiting.wait(ctx) }, func() {
		if !s.plain.detached {
			s.plain.running.Wait() // the first caller takes the request along
		}
	})
}

// cancelled is what came of a first caller's cancellation.
type cancelled struct {
	first  error
	took   time.Duration // from its cancellation to its return
	held   int           // requests of the tenant that were unanswered then
	others answers
}

// cancelFirst plays playCancelled for one client. Caller 0 is the first; ready returns
// when the others wait, and settled when that cancellation has had its effect. The tenant answers after that.
func (s *scene) cancelFirst(ctx context.Context, who account, others int,
	ask func(ctx context.Context, i int) (string, error), ready func(*idptest.Hold) error, settled func(),
) (c cancelled, err error) {
	hold := s.tenant.Hold(idptest.Refresh.Of(who.subject), idptest.BeforeGrant)
	defer hold.Release()
	firstCtx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var g errgroup.Group
	g.Go(func() error {
		_, err := ask(firstCtx, 0)
		return err
	})
	if err := hold.Wait(ctx, 1); err != nil {
		return c, err
	}
	gather := launch(others, func(i int) (string, error) { return ask(ctx, i+1) })
	if err := ready(hold); err != nil {
		return c, err
	}
	begin := time.Now()
	giveUp()
	c.first = g.Wait()
	c.took, c.held = time.Since(begin), hold.Held()
	settled()
	hold.Release()
	c.others = gather()
	return c, nil
}

func (s *scene) cancelFigures(who account, c cancelled) string {
	return fmt.Sprintf("back after %s, no answer from the tenant yet; %d of %d others served; %s; %s", ms(c.took),
		c.others.served(), len(c.others.errs), count(s.refreshes(who), "request"), aliveness(s.tenant.Family(who.subject)))
}

// playUnavailable has the tenant answer 503 to everybody who waits.
func playUnavailable(ctx context.Context) (r Row, err error) {
	const n = 100
	r = Row{
		Promise: "P5 every caller gets an answer; a failure is shared and not cached",
		Done:    fmt.Sprintf("%s wait, the tenant answers 503; then it is well again, one more call", callers(n)),
	}
	s, err := open(clock.System())
	if err != nil {
		return r, err
	}
	defer s.close(&err)
	s.expiring()
	library, plain, err := s.signInBoth(ctx, nil)
	if err != nil {
		return r, err
	}

	waiting := newLineup(n)
	a, requests, err := s.unavailable(library, n, func(int) (string, error) {
		return s.ask(waiting.caller(ctx), library, tokenward.TokenRequest{})
	}, func(h *idptest.Hold) error { return errors.Join(waiting.wait(ctx), h.Wait(ctx, 1)) })
	if err != nil {
		return r, err
	}
	equal := 0
	for _, err := range a.errs {
		var cause *tokenward.APIError
		if errors.As(err, &cause) && cause.Status == http.StatusServiceUnavailable && fmt.Sprint(err) == fmt.Sprint(a.errs[0]) {
			equal++
		}
	}
	_, next := s.ask(ctx, library, tokenward.TokenRequest{})
	want(&r, "token requests", requests, 1)
	want(&r, "errors refresh_token_error", a.coded("refresh_token_error"), n)
	want(&r, "equal errors with status 503", equal, n)
	want(&r, "the next call", next, nil)
	r.Library = fmt.Sprintf("%s, %d equal errors refresh_token_error with status 503; the next call: %s", count(requests, "request"), equal, outcome(next))

	waiting = newLineup(n)
	a, requests, err = s.unavailable(plain, n, func(int) (string, error) {
		return s.plain.accessToken(waiting.caller(ctx), plain.id, "")
	}, func(h *idptest.Hold) error { return errors.Join(waiting.wait(ctx), h.Wait(ctx, 1)) })
	if err != nil {
		return r, err
	}
	_, next = s.plain.accessToken(ctx, plain.id, "")
	r.Plain = fmt.Sprintf("%s, %d errors with status 503; the next call: %s", count(requests, "request"), a.failed(), outcome(next))
	return r, nil
}

// unavailable plays the first half of playUnavailable for one client. ready returns when
// everybody waits.
func (s *scene) unavailable(who account, n int, ask func(int) (string, error), ready func(*idptest.Hold) error) (a answers, requests int, err error) {
	kind := idptest.Refresh.Of(who.subject)
	s.tenant.Script(kind, idptest.Status(http.StatusServiceUnavailable).Always())
	defer s.tenant.Heal()
	hold := s.tenant.Hold(kind, idptest.BeforeGrant)
	defer hold.Release()
	gather := launch(n, ask)
	if err := ready(hold); err != nil {
		return a, 0, err
	}
	hold.Release()
	a = gather()
	return a, s.refreshes(who), nil
}

// playFailingStore has the store fail from the moment a refresh token was rotated.
func playFailingStore(ctx context.Context) (r Row, err error) {
	const n = 10
	other := tokenward.TokenRequest{Audience: "https://reports.example.com"}
	r = Row{
		Promise: "P3 a rotated refresh token is never dropped",
		Done: fmt.Sprintf("token expired, store refuses writes: %s in turn, one for another audience; "+
			"store well again; a new process asks for the other audience", callers(n)),
	}
	clk := clock.NewFake(begin)
	s, err := open(clk)
	if err != nil {
		return r, err
	}
	defer s.close(&err)
	library, plain, err := s.signInBoth(ctx, nil)
	if err != nil {
		return r, err
	}
	clk.Advance(idptest.TokenLife)

	s.store.Inject(storetest.Fault{Op: storetest.OpUpdate, Err: storetest.ErrFault})
	a := inTurn(n, func() (string, error) { return s.ask(ctx, library, tokenward.TokenRequest{}) })
	_, refused := s.ask(ctx, library, other)
	if err := s.client.Settle(ctx); err != nil {
		return r, err
	}
	spent := s.refreshes(library)
	want(&r, "callers served while the store fails", a.served(), n)
	want(&r, "distinct tokens", a.distinct(), 1)
	want(&r, "refresh tokens spent while the store fails", spent, 1)
	want(&r, "code for the other audience", tokenward.CodeOf(refused), "store_error")
	want(&r, "sessions known to be unsaved", s.client.Stats().Unsaved, 1)
	newest, err := s.client.GetSession(ctx, library.options())
	if err != nil || newest == nil {
		return r, errors.Join(errors.New("no session"), err)
	}

	s.store.Heal()
	clk.Advance(time.Minute) // longer than any wait between two tries
	if err := s.client.Settle(ctx); err != nil {
		return r, err
	}
	want(&r, "sessions unsaved after the store is well", s.client.Stats().Unsaved, 0)
	later, stored, err := s.succeed(ctx, library, other)
	if err != nil {
		return r, err
	}
	f := s.tenant.Family(library.subject)
	want(&r, "the store holds the newest refresh token", stored == newest.RefreshToken, true)
	want(&r, "the new process's call", later, nil)
	want(&r, "refresh tokens in the order of their issue", fmt.Sprint(f.Serials()), "[0 1]")
	want(&r, "alive at the tenant", f.Alive, true)
	r.Library = fmt.Sprintf("%d of %d served, %s, the other audience %s; then the store holds the newest; new process: %s, %s; %s",
		a.served(), n, count(spent, "refresh token")+" spent", tokenward.CodeOf(refused), outcome(later), count(f.Reuses, "reuse"), aliveness(f))
	r.Plain = s.plainFailingStore(ctx, plain, n, other.Audience)
	return r, nil
}

// plainFailingStore is playFailingStore for the plain client. It returns what came of it.
func (s *scene) plainFailingStore(ctx context.Context, who account, n int, audience string) string {
	s.plain.breakWrites(true)
	a := inTurn(n, func() (string, error) { return s.plain.accessToken(ctx, who.id, "") })
	spent := s.refreshes(who)
	s.plain.breakWrites(false)
	_, later := s.plain.accessToken(ctx, who.id, audience)
	f := s.tenant.Family(who.subject)
	return fmt.Sprintf("%d of %d served, %s; then the store holds the spent one; next call: %s, %s; %s",
		a.served(), n, count(spent, "request"), outcome(later), count(f.Reuses, "reuse"), aliveness(f))
}

// succeed closes the client and asks a new one, on the same store, as a process that
// starts later does. It returns the outcome of that and the refresh token the new
// client found in the store.
func (s *scene) succeed(ctx context.Context, who account, q tokenward.TokenRequest) (outcome error, stored string, err error) {
	if err := s.client.Close(ctx); err != nil {
		return nil, "", err
	}
	if s.client, err = tokenward.New(s.config, s.opts...); err != nil {
		return nil, "", err
	}
	found, err := s.client.GetSession(ctx, who.options())
	if err != nil || found == nil {
		return nil, "", errors.Join(errors.New("the new process finds no session"), err)
	}
	_, outcome = s.ask(ctx, who, q)
	return outcome, found.RefreshToken, nil
}

// inTurn has n callers ask one after the other.
func inTurn(n int, ask func() (string, error)) answers {
	a := answers{tokens: make([]string, n), errs: make([]error, n)}
	for i := range n {
		a.tokens[i], a.errs[i] = ask()
	}
	return a
}

// outcome tells in a word what a call came to.
func outcome(err error) string {
	switch code := tokenward.CodeOf(err); {
	case err == nil:
		return "a token"
	case code != "":
		return string(code)
	}
	return "an error"
}

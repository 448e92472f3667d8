package tour

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// begin is where fake clocks stand at first.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// playLogout has the user log out while a refresh is under way.
func playLogout(ctx context.Context) (r Row, err error) {
	const n = 10
	r = Row{
		Promise: "P7 deleted stays deleted, whatever is in flight",
		Done:    fmt.Sprintf("%s wait for a refresh that the tenant has granted and not answered; logout; then the answer arrives", callers(n)),
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

	hold := s.tenant.Hold(idptest.Refresh.Of(library.subject), idptest.AfterGrant)
	defer hold.Release()
	waiting := newLineup(n)
	gather := launch(n, func(int) (string, error) {
		return s.ask(waiting.caller(ctx), library, tokenward.TokenRequest{})
	})
	if err := errors.Join(waiting.wait(ctx), hold.Wait(ctx, 1)); err != nil {
		return r, err
	}
	if _, err := s.client.Logout(ctx, tokenward.LogoutRequest{}, library.options()); err != nil {
		return r, err
	}
	a := gather() // before the tenant answers
	hold.Release()
	if err := s.client.Close(ctx); err != nil { // returns when the answer has arrived
		return r, err
	}
	want(&r, "callers with missing_session", a.coded("missing_session"), n)
	want(&r, "the store's record", s.stored(ctx, library), "deleted (logout)")
	want(&r, "store updates", s.store.Updates(library.key()), 0)
	r.Library = fmt.Sprintf("%d of %d callers missing_session, before the answer; record after it: %s, %s", a.coded("missing_session"), n,
		s.stored(ctx, library), count(s.store.Updates(library.key()), "store update"))

	hold = s.tenant.Hold(idptest.Refresh.Of(plain.subject), idptest.AfterGrant)
	defer hold.Release()
	waiting = newLineup(n)
	gather = launch(n, func(int) (string, error) { return s.plain.accessToken(waiting.caller(ctx), plain.id, "") })
	if err := errors.Join(waiting.wait(ctx), hold.Wait(ctx, 1)); err != nil {
		return r, err
	}
	s.plain.logout(plain.id)
	hold.Release()
	a = gather()
	r.Plain = fmt.Sprintf("%d of %d callers got a token, %d an error; record after it: %s", a.served(), n, a.failed(), s.storedPlain(plain))
	return r, nil
}

// playCeiling lets the ceiling of a session come without any call.
func playCeiling(ctx context.Context) (r Row, err error) {
	const life = time.Hour
	r = Row{
		Promise: "P4, P7 a session ends at its ceiling, with nobody asking",
		Done:    "session_expiry in 1 h, fake clock moved to 31 s and to 30 s before it; only then get_user and get_access_token",
	}
	clk := clock.NewFake(begin)
	s, err := open(clk, idptest.WithTokenLife(2*life)) // the access token would last
	if err != nil {
		return r, err
	}
	defer s.close(&err)
	library, plain, err := s.signInBoth(ctx, idptest.Claims{"session_expiry": begin.Add(life).Unix()})
	if err != nil {
		return r, err
	}

	clk.Advance(life - session.CeilingLeeway - time.Second)
	if err := s.client.Settle(ctx); err != nil {
		return r, err
	}
	want(&r, "record 31 s before the ceiling", s.stored(ctx, library), "there")
	clk.Advance(time.Second)
	if err := s.client.Settle(ctx); err != nil {
		return r, err
	}
	unasked, unaskedPlain := s.stored(ctx, library), s.storedPlain(plain)
	user, err := s.client.GetUser(ctx, library.options())
	if err != nil {
		return r, err
	}
	_, denied := s.ask(ctx, library, tokenward.TokenRequest{})
	want(&r, "record 30 s before the ceiling", unasked, "deleted (ceiling)")
	want(&r, "get_user is none", user == nil, true)
	want(&r, "get_access_token", tokenward.CodeOf(denied), tokenward.CodeOf(tokenward.ErrSessionExpired))
	want(&r, "deletions", s.store.Ends(library.key()), 1)
	want(&r, "token requests", s.refreshes(library), 0)
	r.Library = fmt.Sprintf("record before anybody asks: %s; get_user: none; get_access_token: %s; %s", unasked, outcome(denied),
		count(s.store.Ends(library.key()), "deletion"))

	_, denied = s.plain.accessToken(ctx, plain.id, "")
	r.Plain = fmt.Sprintf("record before anybody asks: %s; get_access_token: %s; record then: %s", unaskedPlain, outcome(denied), s.storedPlain(plain))
	return r, nil
}

// stored tells in words what the store has of a session.
func (s *scene) stored(ctx context.Context, a account) string {
	_, err := s.store.Unwrap().Load(ctx, a.key(), store.Options{Background: true})
	var gone *store.GoneError
	switch {
	case err == nil:
		return "there"
	case errors.As(err, &gone):
		return fmt.Sprintf("deleted (%s)", gone.Reason)
	case errors.Is(err, store.ErrNotFound):
		return "none"
	}
	return err.Error()
}

// storedPlain is stored for the plain client.
func (s *scene) storedPlain(a account) string {
	if s.plain.has(a.id) {
		return "there"
	}
	return "none"
}

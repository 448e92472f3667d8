package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// operation is a call of a user's whose one request of some kind meets a mishap.
type operation struct {
	name   string
	kind   idptest.Kind
	grants bool // something takes effect at the provider
	spends bool // namely a refresh token
	reads  bool // of an answer with status 200 the content is read
	blind  bool // its caller does not hear of a failure

	// prepare makes everything ready but that request, and returns the call.
	prepare func(s *subject) func(context.Context) error
	// check checks the type of the error.
	check func(s *subject, err error)
}

// subject is the user of one cell of the matrix, and the user's session.
type subject struct {
	*testing.T
	*matrix
	name string
	id   string
}

// outdated is when neither metadata nor keys are used any more; metadata is not renewed in the
// background then either.
const outdated = 25 * time.Hour

var operations = []operation{
	{name: "code exchange", kind: idptest.CodeExchange, grants: true, reads: true, prepare: login, check: wantAPIError("token_error")},
	{name: "refresh", kind: idptest.Refresh, grants: true, spends: true, reads: true, prepare: refresh, check: wantTokenError},
	{name: "connection exchange", kind: idptest.ConnectionExchange, grants: true, spends: true, reads: true, prepare: exchange, check: wantExchangeError},
	{name: "keys, of a login", kind: idptest.JWKS, reads: true, prepare: func(s *subject) func(context.Context) error {
		s.clock.Advance(outdated)
		return login(s)
	}, check: wantAPIError("jwks_fetch_error")},
	{name: "keys, of a logout token", kind: idptest.JWKS, reads: true, prepare: func(s *subject) func(context.Context) error {
		s.clock.Advance(outdated)
		token := s.tenant.LogoutToken("nobody", "", func(d *idptest.Draft) { d.Claims["aud"] = "demo" })
		return func(ctx context.Context) error {
			return s.client.HandleBackchannelLogout(ctx, token, tokenward.StoreOptions{})
		}
	}, check: func(s *subject, err error) {
		var refused *tokenward.BackchannelLogoutError
		if !errors.As(err, &refused) {
			s.Errorf("err = %v (%T), want a BackchannelLogoutError", err, err)
		}
		wantAPIError("jwks_fetch_error")(s, errors.Unwrap(err))
	}},
	{name: "discovery, of a login", kind: idptest.Discovery, reads: true, prepare: func(s *subject) func(context.Context) error {
		s.clock.Advance(outdated)
		return start(s, false)
	}, check: wantAPIError("metadata_error")},
	{name: "discovery, of a refresh", kind: idptest.Discovery, reads: true, prepare: func(s *subject) func(context.Context) error {
		s.clock.Advance(outdated)
		return refresh(s)
	}, check: func(s *subject, err error) {
		wantTokenError(s, err)
		wantAPIError("metadata_error")(s, errors.Unwrap(err))
	}},
	{name: "pushed authorization", kind: idptest.PAR, grants: true, reads: true, prepare: func(s *subject) func(context.Context) error {
		return start(s, true)
	}, check: wantAPIError("par_error", "temporarily_unavailable")},
	{name: "revocation", kind: idptest.Revocation, grants: true, blind: true, prepare: func(s *subject) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := s.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(s.id))
			return err
		}
	}},
}

// login completes a login under the id of the session that there is.
func login(s *subject) func(context.Context) error {
	back := s.callback(tokenward.LoginRequest{})
	return func(ctx context.Context) error {
		_, err := s.client.CompleteInteractiveLogin(ctx, back, tokenward.SessionID(s.id))
		return err
	}
}

func start(s *subject, pushed bool) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{Pushed: &pushed}, tokenward.StoreOptions{})
		return err
	}
}

func refresh(s *subject) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: "https://another.example"}, tokenward.SessionID(s.id))
		return err
	}
}

func exchange(s *subject) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: google}, tokenward.SessionID(s.id))
		return err
	}
}

// wantAPIError wants an APIError of one of these codes that says what happened: by a
// cause or by a status.
func wantAPIError(codes ...tokenward.Code) func(*subject, error) {
	return func(s *subject, err error) {
		s.Helper()
		var api *tokenward.APIError
		if !errors.As(err, &api) {
			s.Errorf("err = %v (%T), want an APIError", err, err)
			return
		}
		known := false
		for _, code := range codes {
			known = known || api.Code == code
		}
		if !known || api.Err == nil && api.Status == 0 {
			s.Errorf("err = %v, cause %v, status %d; want one of %v, and a cause or a status", err, api.Err, api.Status, codes)
		}
	}
}

func wantTokenError(s *subject, err error) {
	s.Helper()
	var typed *tokenward.AccessTokenError
	var cause *tokenward.APIError
	if !errors.As(err, &typed) || typed.Code != "refresh_token_error" || !errors.As(typed.Err, &cause) {
		s.Errorf("err = %v (%T), want an AccessTokenError refresh_token_error because of an APIError", err, err)
	}
}

func wantExchangeError(s *subject, err error) {
	s.Helper()
	var typed *tokenward.AccessTokenForConnectionError
	var cause *tokenward.APIError
	if !errors.As(err, &typed) || !errors.As(typed.Err, &cause) {
		s.Errorf("err = %v (%T), want an AccessTokenForConnectionError because of an APIError", err, err)
		return
	}
	want := tokenward.Code("retrieval_error")
	if cause.Status != 0 && cause.Status != 200 {
		want = "api_error"
	}
	if typed.Code != want {
		s.Errorf("err = %v, status %d; want %s", err, cause.Status, want)
	}
}

// stateOf returns what the store holds of the session, nil when nothing.
func (s *subject) stateOf() *session.State {
	state, err := s.stored(s.id)
	if err != nil {
		return nil
	}
	return state
}

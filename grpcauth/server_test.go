package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/grpcauth"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func interceptors(c *tokenward.Client, session grpcauth.Session) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(grpcauth.UnaryServerInterceptor(c, session)),
		grpc.StreamInterceptor(grpcauth.StreamServerInterceptor(c, session)),
	}
}

// Calls of a living session are let in, and its tokens are had by the context; all others are refused before the handler.
func TestServer_letsLivingSessionsIn(t *testing.T) {
	r := newRig(t)
	var subject string
	s := &service{handle: func(ctx context.Context) error {
		user, err := r.client.GetUser(ctx, tokenward.StoreOptions{})
		if err != nil {
			return err
		}
		subject = user.Sub()
		_, err = r.client.ContextSession().GetAccessToken(ctx, tokenward.TokenRequest{})
		return err
	}}
	c := dial(t, serve(t, s, interceptors(r.client, grpcauth.FromMetadata("session-id"))...))
	living, signedOut := r.login(), r.login()
	r.logout(signedOut)
	for _, tt := range []struct {
		name string
		ids  []string
		code codes.Code
	}{
		{"none", nil, codes.Unauthenticated},
		{"an empty one", []string{""}, codes.Unauthenticated},
		{"an unknown one", []string{"of nobody"}, codes.Unauthenticated},
		{"one that was signed out", []string{signedOut}, codes.Unauthenticated},
		{"two", []string{living, living}, codes.Unauthenticated},
		{"a living one", []string{living}, codes.OK},
	} {
		for kind, call := range map[string]func(context.Context) error{
			"unary":  func(ctx context.Context) error { return check(ctx, c) },
			"stream": func(ctx context.Context) error { return watch(ctx, c) },
		} {
			before := len(s.calls())
			subject = ""
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"session-id": tt.ids})
			err := call(ctx)
			if status.Code(err) != tt.code {
				t.Errorf("%s, %s: %v, want %s", tt.name, kind, err, tt.code)
			}
			if ok := tt.code == codes.OK; (len(s.calls()) > before) != ok || (subject != "") != ok {
				t.Errorf("%s, %s: %d calls, subject %q", tt.name, kind, len(s.calls())-before, subject)
			}
			if tt.code != codes.OK && status.Convert(err).Message() != "missing_session" {
				t.Errorf("%s, %s: the message is %q", tt.name, kind, status.Convert(err).Message())
			}
		}
	}
	r.clock.Advance(time.Hour - 30*time.Second)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "session-id", living)
	if err := check(ctx, c); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after the ceiling: %v", err)
	}
}

// The host's function decides: its error refuses, ErrPublic lets in without a session.
func TestServer_theHostsFunctionDecides(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		name string
		err  error
		code codes.Code
		text string
	}{
		{"public", fmt.Errorf("a health check: %w", grpcauth.ErrPublic), codes.OK, ""},
		{"its own words", errors.New("the cookie of ada does not open"), codes.Unauthenticated, "Unauthenticated"},
		{"its own status", status.Error(codes.PermissionDenied, "not from here"), codes.PermissionDenied, "not from here"},
		{"an error of tokenward", tokenward.ErrOverloaded, codes.ResourceExhausted, "overloaded"},
	} {
		s := &service{handle: func(ctx context.Context) error {
			if _, err := r.client.ContextSession().GetUser(ctx); tokenward.CodeOf(err) != "invalid_argument" {
				t.Errorf("%s: in the handler: %v, want no session", tt.name, err)
			}
			return nil
		}}
		c := dial(t, serve(t, s, interceptors(r.client, func(context.Context) (tokenward.StoreOptions, error) {
			return tokenward.StoreOptions{}, tt.err
		})...))
		err := check(t.Context(), c)
		if status.Code(err) != tt.code || status.Convert(err).Message() != tt.text {
			t.Errorf("%s: %v, want %s %q", tt.name, err, tt.code, tt.text)
		}
	}
}

// A store that does not answer is no missing session.
func TestServer_theStoreIsAway(t *testing.T) {
	faulty := storetest.NewFaulty(store.NewMemory(nil))
	r := newRig(t, tokenward.WithStateStore(faulty))
	s := &service{}
	c := dial(t, serve(t, s, interceptors(r.client, grpcauth.FromMetadata("session-id"))...))
	faulty.Fail(storetest.OpLoad, 100)
	err := check(metadata.AppendToOutgoingContext(t.Context(), "session-id", "any"), c)
	if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "store_error" {
		t.Errorf("err = %v", err)
	}
}

// The package's table.
func TestError(t *testing.T) {
	token := func(code tokenward.Code, cause error) error {
		return fmt.Errorf("asking: %w", &tokenward.AccessTokenError{Code: code, Err: cause})
	}
	own := status.Error(codes.NotFound, "no such order")
	plain := errors.New("a mistake")
	for _, tt := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{token("session_expired", nil), codes.Unauthenticated, "session_expired"},
		{tokenward.ErrMissingSession, codes.Unauthenticated, "missing_session"},
		{token("missing_refresh_token", nil), codes.Unauthenticated, "missing_refresh_token"},
		{token("missing_session_domain", nil), codes.Unauthenticated, "missing_session_domain"},
		{token("refresh_token_error", &tokenward.APIError{Code: "invalid_grant", Status: 400}), codes.Unauthenticated, "refresh_token_error"},
		{&tokenward.MFARequiredError{AccessTokenError: tokenward.AccessTokenError{Code: "mfa_required"}}, codes.PermissionDenied, "mfa_required"},
		{token("domain_mismatch", nil), codes.PermissionDenied, "domain_mismatch"},
		{token("incorrect_audience", nil), codes.PermissionDenied, "incorrect_audience"},
		{token("overloaded", nil), codes.ResourceExhausted, "overloaded"},
		{token("store_error", plain), codes.Unavailable, "store_error"},
		{tokenward.ErrClosed, codes.Unavailable, "closed"},
		{token("refresh_token_error", &tokenward.APIError{Code: "token_error", Status: 503}), codes.Unavailable, "refresh_token_error"},
		{token("refresh_token_error", &tokenward.APIError{Code: "token_error", Status: 429}), codes.Unavailable, "refresh_token_error"},
		{token("refresh_token_error", &tokenward.APIError{Code: "token_error", Err: plain}), codes.Unavailable, "refresh_token_error"},
		{token("refresh_token_error", &tokenward.BreakerOpenError{}), codes.Unavailable, "refresh_token_error"},
		{&tokenward.CustomTokenExchangeError{Code: "token_exchange_failed", Err: &tokenward.BreakerOpenError{}}, codes.Unavailable, "token_exchange_failed"},
		{token("refresh_token_error", &tokenward.APIError{Code: "invalid_scope", Status: 400}), codes.Internal, "refresh_token_error"},
		{&tokenward.StepUpError{}, codes.Unauthenticated, "insufficient_user_authentication"},
		{&tokenward.CustomTokenExchangeError{Code: "invalid_token_format"}, codes.InvalidArgument, "invalid_token_format"},
		{&tokenward.CustomTokenExchangeError{Code: "missing_actor_token_type"}, codes.InvalidArgument, "missing_actor_token_type"},
		{&tokenward.InvalidArgumentError{Argument: "scope"}, codes.InvalidArgument, "invalid_argument"},
		{&tokenward.MissingRequiredArgumentError{Argument: "connection"}, codes.InvalidArgument, "missing_required_argument_error"},
		{&tokenward.InvalidArgumentError{Argument: "session"}, codes.Internal, "invalid_argument"},
		{&tokenward.InvalidArgumentError{Argument: "origins"}, codes.Internal, "invalid_argument"},
		{&tokenward.ConfigurationError{}, codes.Internal, "configuration_error"},
		{tokenward.ErrInternal, codes.Internal, "internal_error"},
		{context.Canceled, codes.Canceled, "Canceled"},
		{fmt.Errorf("asking: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "DeadlineExceeded"},
		{own, codes.NotFound, "no such order"},
		{plain, codes.Unknown, "a mistake"},
	} {
		got := grpcauth.Error(tt.err)
		if s := status.Convert(got); s.Code() != tt.code || s.Message() != tt.text {
			t.Errorf("Error(%v): %s %q, want %s %q", tt.err, s.Code(), s.Message(), tt.code, tt.text)
		}
		if !errors.Is(got, tt.err) || got.Error() != tt.err.Error() {
			t.Errorf("Error(%v) = %v: the error is lost", tt.err, got)
		}
	}
	if err := grpcauth.Error(nil); err != nil {
		t.Errorf("Error(nil) = %v", err)
	}
}

// What Error makes of an error, FromError makes an error of again, on the other side of the wire.
func TestFromError(t *testing.T) {
	token := func(code tokenward.Code, cause error) error {
		return &tokenward.AccessTokenError{Code: code, Err: cause}
	}
	dead := token("refresh_token_error", &tokenward.APIError{Code: "invalid_grant", Status: 400})
	away := token("refresh_token_error", &tokenward.APIError{Code: "token_error", Status: 503})
	for _, sent := range []error{
		token("session_expired", nil), tokenward.ErrMissingSession, tokenward.ErrMissingRefreshToken, token("missing_session_domain", nil), dead, away,
		token("refresh_token_error", &tokenward.APIError{Code: "invalid_scope", Status: 400}),
		&tokenward.MFARequiredError{AccessTokenError: tokenward.AccessTokenError{Code: "mfa_required"}}, token("domain_mismatch", nil),
		token("incorrect_audience", nil), tokenward.ErrOverloaded, tokenward.ErrStore, tokenward.ErrClosed, tokenward.ErrInternal, &tokenward.StepUpError{},
		&tokenward.InvalidArgumentError{Argument: "scope"}, &tokenward.InvalidArgumentError{Argument: "session"},
		&tokenward.MissingRequiredArgumentError{Argument: "connection"}, &tokenward.CustomTokenExchangeError{Code: "invalid_token_format"},
		&tokenward.CustomTokenExchangeError{Code: "token_exchange_failed", Err: &tokenward.BreakerOpenError{}},
		&tokenward.AccessTokenForConnectionError{Code: "api_error"}, token("failed_to_request_token", nil),
	} {
		wire := status.Convert(grpcauth.Error(sent)).Err()
		got := grpcauth.FromError(fmt.Errorf("the call: %w", wire))
		if tokenward.CodeOf(got) != tokenward.CodeOf(sent) || tokenward.LoginRequired(got) != tokenward.LoginRequired(sent) {
			t.Errorf("%v came as %v: code %q, login required %v", sent, got, tokenward.CodeOf(got), tokenward.LoginRequired(got))
		}
		if httpauth.StatusOf(got) != httpauth.StatusOf(sent) && tokenward.CodeOf(sent) != "token_exchange_failed" {
			t.Errorf("%v: HTTP status %d, want %d", sent, httpauth.StatusOf(got), httpauth.StatusOf(sent))
		}
		if status.Code(got) != status.Code(wire) || !errors.Is(got, wire) || status.Code(grpcauth.Error(got)) != status.Code(wire) {
			t.Errorf("%v: the status is lost: %v", sent, got)
		}
	}
	for code, want := range map[codes.Code]error{codes.Canceled: context.Canceled, codes.DeadlineExceeded: context.DeadlineExceeded} {
		wire := status.Error(code, "too late")
		if got := grpcauth.FromError(wire); !errors.Is(got, want) || !errors.Is(got, wire) || status.Code(got) != code {
			t.Errorf("FromError(%v) = %v", wire, got)
		}
	}
	for _, other := range []error{
		nil, errors.New("plain"), context.Canceled, dead, grpcauth.Error(dead), status.Error(codes.NotFound, "no such order"), status.Error(codes.Unavailable, "connection refused"),
		status.Error(codes.NotFound, "session_expired"), status.Error(codes.Internal, "made_up"), status.Error(codes.Unauthenticated, "api_error"),
	} {
		if got := grpcauth.FromError(other); got != other { //nolint:errorlint // it is returned as it is
			t.Errorf("FromError(%v) = %v", other, got)
		}
	}
}

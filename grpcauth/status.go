package grpcauth

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
)

// Error returns err with the gRPC status of the package's table. The status has the code of err (tokenward.CodeOf) as its
// message, and no more of it: that is what the other side gets. errors.As and errors.Is still find err, and its text says
// all. An error that has a status, or that is neither of tokenward nor of a context, is returned as it is.
func Error(err error) error {
	if _, has := status.FromError(err); has { // nil too
		return err
	}
	code := codeOf(err)
	if code == codes.Unknown {
		return err
	}
	return withStatus(code, err)
}

func withStatus(code codes.Code, err error) error {
	text := string(tokenward.CodeOf(err))
	if text == "" {
		text = code.String()
	}
	return &statusError{status.New(code, text), err}
}

// statusError is an error with a gRPC status.
type statusError struct {
	status *status.Status
	err    error
}

// Error implements error.
func (e *statusError) Error() string { return e.err.Error() }

// GRPCStatus is what package status looks for.
func (e *statusError) GRPCStatus() *status.Status { return e.status }

// Unwrap returns the error that has the status.
func (e *statusError) Unwrap() error { return e.err }

// codeOf returns the gRPC code of an error, Unknown for one that is not in the table.
func codeOf(err error) codes.Code {
	code := tokenward.CodeOf(err)
	switch {
	case code == "" && errors.Is(err, context.Canceled):
		return codes.Canceled
	case code == "" && errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case code == "":
		return codes.Unknown
	case tokenward.LoginRequired(err):
		return codes.Unauthenticated
	}
	switch code {
	case "session_expired", "missing_session", "missing_refresh_token", "missing_session_domain", "insufficient_user_authentication":
		return codes.Unauthenticated
	case "mfa_required", "domain_mismatch", "incorrect_audience":
		return codes.PermissionDenied
	case "overloaded":
		return codes.ResourceExhausted
	case "store_error", "closed":
		return codes.Unavailable
	case "invalid_argument", "missing_required_argument_error", "invalid_token_format", "missing_actor_token_type":
		return argumentCode(err)
	}
	return providerCode(err)
}

// argumentCode tells an argument that the caller's caller may have chosen from a mistake in the program.
func argumentCode(err error) codes.Code {
	var invalid *tokenward.InvalidArgumentError
	if errors.As(err, &invalid) && (invalid.Argument == "session" || invalid.Argument == "origins") {
		return codes.Internal
	}
	return codes.InvalidArgument
}

// providerCode returns Unavailable where the provider will answer otherwise later.
func providerCode(err error) codes.Code {
	if errors.As(err, new(*tokenward.BreakerOpenError)) {
		return codes.Unavailable
	}
	for cause := err; ; {
		var api *tokenward.APIError
		switch {
		case !errors.As(cause, &api):
			return codes.Internal
		case api.RetryAfter > 0, api.Status == http.StatusTooManyRequests, api.Status >= 500, api.Status == 0 && api.Err != nil:
			return codes.Unavailable
		}
		cause = api.Err
	}
}

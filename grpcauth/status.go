package grpcauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

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
	switch c, listed := always[code]; {
	case !listed:
		return providerCode(err)
	case c == codes.InvalidArgument:
		return argumentCode(err)
	default:
		return c
	}
}

// always are the codes of tokenward that say all: of the others the cause counts, too.
var always = map[tokenward.Code]codes.Code{
	tokenward.CodeSessionExpired:          codes.Unauthenticated,
	tokenward.CodeMissingSession:          codes.Unauthenticated,
	tokenward.CodeMissingRefreshToken:     codes.Unauthenticated,
	tokenward.CodeMissingSessionDomain:    codes.Unauthenticated,
	tokenward.CodeStepUp:                  codes.Unauthenticated,
	tokenward.CodeMFARequired:             codes.PermissionDenied,
	tokenward.CodeDomainMismatch:          codes.PermissionDenied,
	tokenward.CodeIncorrectAudience:       codes.PermissionDenied,
	tokenward.CodeOverloaded:              codes.ResourceExhausted,
	tokenward.CodeStoreError:              codes.Unavailable,
	tokenward.CodeClosed:                  codes.Unavailable,
	tokenward.CodeInvalidArgument:         codes.InvalidArgument,
	tokenward.CodeMissingRequiredArgument: codes.InvalidArgument,
	tokenward.CodeInvalidTokenFormat:      codes.InvalidArgument,
	tokenward.CodeMissingActorTokenType:   codes.InvalidArgument,
}

// byCause are those of the others that a server sends for a session's sake.
var byCause = []tokenward.Code{
	tokenward.CodeRefreshTokenError, tokenward.CodeAPIError, tokenward.CodeRetrievalError, tokenward.CodeTokenExchangeFailed,
	tokenward.CodeFailedToRequestToken, tokenward.CodeInternalError, tokenward.CodeConfiguration,
}

// FromError is the inverse of Error, for the error of an RPC to a server of the same application. Where Error made its status, the error that
// FromError returns is a *tokenward.AccessTokenError with the code that came: for tokenward.CodeOf, tokenward.LoginRequired, errors.Is with
// tokenward's errors, and httpauth.WriteError. That of a context that has ended, there or here, is context.Canceled or
// context.DeadlineExceeded. The error of the RPC is the cause, with its status. Any other error is returned as it is.
func FromError(err error) error {
	var has interface{ GRPCStatus() *status.Status }
	if tokenward.CodeOf(err) != "" || !errors.As(err, &has) {
		return err
	}
	s := has.GRPCStatus()
	switch s.Code() {
	case codes.Canceled:
		return fmt.Errorf("%w: %w", context.Canceled, err)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	code := tokenward.Code(s.Message())
	if cause := causeOf(code, s.Code(), err); cause != nil {
		return &tokenward.AccessTokenError{Code: code, Err: cause}
	}
	return err
}

// causeOf returns the cause of an error of tokenward that came as status with err, so that codeOf returns that status again. It is nil
// where Error makes no such status of code.
func causeOf(code tokenward.Code, status codes.Code, err error) error {
	c, listed := always[code]
	switch {
	case listed && (c == status || c == codes.InvalidArgument && status == codes.Internal):
		return err
	case !slices.Contains(byCause, code):
	case status == codes.Internal:
		return err
	case status == codes.Unavailable:
		return &tokenward.APIError{Code: tokenward.CodeTokenError, Err: err}
	case status == codes.Unauthenticated && code == tokenward.CodeRefreshTokenError:
		return &tokenward.APIError{Code: tokenward.CodeInvalidGrant, Status: http.StatusBadRequest, Err: err}
	}
	return nil
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

package session

import (
	"errors"
	"fmt"
	"time"
)

// SessionExpiredError is returned when a login arrives with a ceiling that is
// already reached, or when a logout overtook it.
type SessionExpiredError struct{ Message string }

// ErrorCode returns CodeSessionExpired.
func (e *SessionExpiredError) ErrorCode() Code { return CodeSessionExpired }

// Error implements error.
func (e *SessionExpiredError) Error() string { return text(CodeSessionExpired, e.Message, nil) }

// Is reports whether target is ErrSessionExpired or a SessionExpiredError.
func (e *SessionExpiredError) Is(target error) bool {
	_, ok := target.(*SessionExpiredError)
	return ok || CodeSessionExpired.is(target)
}

// APIError says that the provider refused, could not be reached or answered
// nonsense.
type APIError struct {
	Code        Code   // the OAuth error code (RFC 6749 section 5.2) or one of ours
	Description string // error_description
	Status      int    // HTTP status, 0 when there was no answer
	Err         error  // cause, nil when there is none

	// RetryAfter is how long to wait before the request is worth another try (RFC 9110
	// section 10.2.3), 0 where that is unknown.
	RetryAfter time.Duration
}

// ErrorCode returns the code.
func (e *APIError) ErrorCode() Code { return e.Code }

// Error implements error. The status is said once, where a cause is of the same answer.
func (e *APIError) Error() string {
	s := text(e.Code, e.Description, e.Err)
	var cause *APIError
	if e.Status != 0 && (!errors.As(e.Err, &cause) || cause.Status != e.Status) {
		s += fmt.Sprintf(" (HTTP status %d)", e.Status)
	}
	return s
}

// Unwrap returns the cause.
func (e *APIError) Unwrap() error { return e.Err }

// Is reports whether target is an APIError of the same code.
func (e *APIError) Is(target error) bool {
	t, ok := target.(*APIError)
	return ok && t.Code == e.Code
}

// MissingRequiredArgumentError says which argument is missing.
type MissingRequiredArgumentError struct{ Argument string }

// ErrorCode returns CodeMissingRequiredArgument.
func (e *MissingRequiredArgumentError) ErrorCode() Code { return CodeMissingRequiredArgument }

// Error implements error.
func (e *MissingRequiredArgumentError) Error() string {
	return text(CodeMissingRequiredArgument, e.Argument+" is required", nil)
}

// Is reports whether target is a MissingRequiredArgumentError about the same
// argument, or about none.
func (e *MissingRequiredArgumentError) Is(target error) bool {
	t, ok := target.(*MissingRequiredArgumentError)
	return ok && (t.Argument == "" || t.Argument == e.Argument)
}

// InvalidArgumentError says which argument cannot be used, and why.
type InvalidArgumentError struct{ Argument, Message string }

// ErrorCode returns CodeInvalidArgument.
func (e *InvalidArgumentError) ErrorCode() Code { return CodeInvalidArgument }

// Error implements error.
func (e *InvalidArgumentError) Error() string {
	return text(CodeInvalidArgument, e.Argument+": "+e.Message, nil)
}

// Is reports whether target is an InvalidArgumentError about the same argument, or
// about none.
func (e *InvalidArgumentError) Is(target error) bool {
	t, ok := target.(*InvalidArgumentError)
	return ok && (t.Argument == "" || t.Argument == e.Argument)
}

// ConfigurationError names a mistake in the configuration.
type ConfigurationError struct {
	Message string // names the field
	Err     error  // cause, nil when there is none
}

// ErrorCode returns CodeConfiguration.
func (e *ConfigurationError) ErrorCode() Code { return CodeConfiguration }

// Error implements error.
func (e *ConfigurationError) Error() string { return text(CodeConfiguration, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *ConfigurationError) Unwrap() error { return e.Err }

// Is reports whether target is a ConfigurationError.
func (e *ConfigurationError) Is(target error) bool { return isA[*ConfigurationError](target) }

// MissingTransactionError says that the login is unknown: never started here,
// already completed, or older than an hour.
type MissingTransactionError struct{}

// ErrorCode returns CodeMissingTransaction.
func (e *MissingTransactionError) ErrorCode() Code { return CodeMissingTransaction }

// Error implements error.
func (e *MissingTransactionError) Error() string {
	return text(CodeMissingTransaction, "this login is unknown, was completed already or is too old; start it again", nil)
}

// Is reports whether target is a MissingTransactionError.
func (e *MissingTransactionError) Is(target error) bool { return isA[*MissingTransactionError](target) }

// IssuerValidationError says that a token is from another issuer.
type IssuerValidationError struct {
	Message  string
	Callback bool // it was the authorization response (RFC 9207), not a token
}

// ErrorCode returns CodeIssuerValidation.
func (e *IssuerValidationError) ErrorCode() Code { return CodeIssuerValidation }

// Error implements error.
func (e *IssuerValidationError) Error() string {
	return text(CodeIssuerValidation, e.Message, nil)
}

// Is reports whether target is an IssuerValidationError.
func (e *IssuerValidationError) Is(target error) bool { return isA[*IssuerValidationError](target) }

// OrganizationTokenValidationError says that a login is not for the organization
// that was asked for.
type OrganizationTokenValidationError struct{ Message string }

// ErrorCode returns CodeOrganizationTokenValidation.
func (e *OrganizationTokenValidationError) ErrorCode() Code { return CodeOrganizationTokenValidation }

// Error implements error.
func (e *OrganizationTokenValidationError) Error() string {
	return text(CodeOrganizationTokenValidation, e.Message, nil)
}

// Is reports whether target is an OrganizationTokenValidationError.
func (e *OrganizationTokenValidationError) Is(target error) bool {
	return isA[*OrganizationTokenValidationError](target)
}

// BackchannelLogoutError says why a logout token was refused.
type BackchannelLogoutError struct {
	Message string
	Err     error // cause, nil when there is none
}

// ErrorCode returns CodeBackchannelLogout.
func (e *BackchannelLogoutError) ErrorCode() Code { return CodeBackchannelLogout }

// Error implements error.
func (e *BackchannelLogoutError) Error() string {
	return text(CodeBackchannelLogout, e.Message, e.Err)
}

// Unwrap returns the cause.
func (e *BackchannelLogoutError) Unwrap() error { return e.Err }

// Is reports whether target is a BackchannelLogoutError.
func (e *BackchannelLogoutError) Is(target error) bool { return isA[*BackchannelLogoutError](target) }

// DomainResolverError says that the host's resolver named no domain. There is no
// falling back to another.
type DomainResolverError struct {
	Message string
	Err     error // cause, nil when there is none
}

// ErrorCode returns CodeDomainResolver.
func (e *DomainResolverError) ErrorCode() Code { return CodeDomainResolver }

// Error implements error.
func (e *DomainResolverError) Error() string { return text(CodeDomainResolver, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *DomainResolverError) Unwrap() error { return e.Err }

// Is reports whether target is a DomainResolverError.
func (e *DomainResolverError) Is(target error) bool { return isA[*DomainResolverError](target) }

// isA reports whether target itself is a T: such a type has one code only.
func isA[T error](target error) bool {
	_, ok := target.(T) //nolint:errorlint // errors.Is unwraps
	return ok
}

package idp

import "github.com/tokenward/tokenward/session"

// CallbackError returns the error that an authorization response carries (RFC 6749
// section 4.1.2.1). Both texts come from a browser: they are cut and cleaned.
func CallbackError(code, description string) error {
	var s scrubber
	e := &session.APIError{Code: session.CodeInvalidResponse, Description: s.clean(description, maxDescription)}
	if code = s.clean(code, maxErrorCode); code != "" {
		e.Code = session.Code(code)
	}
	return e
}

package idp

import (
	"context"
	"net/url"

	"github.com/tokenward/tokenward/session"
)

// CallbackError returns the error that an authorization response carries (RFC 6749
// section 4.1.2.1). Both texts come from a browser: they are cut and cleaned.
func CallbackError(code, description string) error {
	var s scrubber
	e := &session.APIError{Code: session.CodeInvalidResponse, Description: s.said(description, maxDescription)}
	if code = s.said(code, maxErrorCode); code != "" {
		e.Code = session.Code(code)
	}
	return e
}

// CheckCallbackIssuer checks the iss of an authorization response, or of the error
// in its place, against the issuer that the login was started with (RFC 9207). It
// keeps the code of one provider from being taken to another. Where the provider's
// metadata promises iss it must be there; where it is there it must be right.
// Issuers compare as in ID tokens (see session.SameIssuer).
//
// It fails with a *session.IssuerValidationError, or with a *session.APIError of the
// code metadata_error.
func (c *Client) CheckCallbackIssuer(ctx context.Context, issuer string, query url.Values) error {
	m, err := c.Metadata(ctx, issuer)
	if err != nil {
		return err
	}
	iss := query.Get("iss") // empty counts as missing: RFC 6749 section 3.1
	switch {
	case len(query["iss"]) > 1:
		return &session.IssuerValidationError{Message: "the authorization response has several iss", Callback: true}
	case iss == "" && m.AuthorizationResponseIssParameterSupported:
		return &session.IssuerValidationError{Message: "the authorization response has no iss, which the provider promises", Callback: true}
	case iss != "" && !m.says(iss):
		return &session.IssuerValidationError{Message: "the authorization response is from another issuer", Callback: true}
	}
	return nil
}

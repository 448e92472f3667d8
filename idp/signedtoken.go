package idp

import (
	"cmp"
	"context"
	"slices"
)

// SignedToken is a verified JWT of a party that speaks to the application from outside.
type SignedToken struct {
	Issuer   string
	JTI      string         // jti, empty where it has none
	IssuedAt int64          // iat, seconds since the Unix epoch
	Expires  int64          // exp, likewise; 0 where it has none
	Claims   map[string]any // all of them, numbers as json.Number
}

// VerifySigned checks a JWT that issuer has signed for the client's ClientID, such as a Security Event Token (RFC 8417): its
// signature; typ, which must be one of types, in small letters and without "application/", "" for none; iss; aud; iat, which
// must be there; nbf and exp, where they are. Strangers can send such tokens: keys are fetched for an
// unknown kid at most once in 30 seconds.
//
// It fails with a *session.APIError of the codes of VerifyIDToken, of which jwks_key_not_found has a RetryAfter where newer keys could not be
// fetched yet, or with a *session.IssuerValidationError.
func (c *Client) VerifySigned(ctx context.Context, issuer, raw string, types ...string) (SignedToken, error) {
	unverified, err := peek(raw)
	if err == nil {
		err = unverified.checkIssuer(issuer)
	}
	if err != nil {
		return SignedToken{}, err
	}
	h, claims, err := c.verify(ctx, issuer, raw, fromStrangers)
	if err != nil {
		return SignedToken{}, err
	}
	now := c.now()
	if !slices.Contains(types, mediaType(h.typ)) {
		return SignedToken{}, invalidToken("its typ is of another kind of token")
	}
	err = cmp.Or(claims.checkIssuer(issuer), claims.checkAudience(c.clientID), claims.checkPast("iat", now, c.leeway), claims.checkPast("nbf", now, c.leeway))
	switch {
	case err != nil:
		return SignedToken{}, err
	case claims["iat"] == nil:
		return SignedToken{}, invalidToken("it has no iat")
	}
	t := SignedToken{Claims: claims}
	if claims["exp"] != nil {
		if err := claims.checkExpiry(now, c.leeway); err != nil {
			return SignedToken{}, err
		}
		exp, _ := claims.date("exp")
		t.Expires = exp.Unix()
	}
	t.Issuer, _ = claims.text("iss")
	t.JTI, _ = claims.text("jti")
	iat, _ := claims.date("iat")
	t.IssuedAt = iat.Unix()
	return t, nil
}

// StreamEndpoints are what the metadata of a transmitter of security events says (Shared Signals Framework 1.0 section
// 7.1). One that is missing or cannot be used is empty, as in Metadata.
type StreamEndpoints struct {
	Configuration string // where streams are created, read, updated and deleted
	Verification  string // where a verification event is asked for
}

// StreamEndpoints returns them, by the rules of Metadata. It fails with a *session.APIError of the code metadata_error.
func (c *Client) StreamEndpoints(ctx context.Context, issuer string) (StreamEndpoints, error) {
	m, err := c.metadata(ctx, issuer, strangers)
	if err != nil {
		return StreamEndpoints{}, err
	}
	return m.streams, nil
}

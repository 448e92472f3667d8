package session

import (
	"encoding/json"
	"strconv"
)

// User holds the claims of the verified ID token, unknown ones verbatim, numbers
// as json.Number. The claim session_expiry is present only when it is a legal
// Ceiling. A claim that is absent, or not of its type, reads as the zero value.
type User map[string]any

const (
	claimSessionExpiry = "session_expiry"
	claimIssuedAt      = "iat"
)

// newUser returns a copy of claims with session_expiry in its sanitised form.
func newUser(claims map[string]any) User {
	u := User(claims).Clone()
	if _, ok := u[claimSessionExpiry]; ok {
		u.setExpiry(u.SessionExpiry())
	}
	return u
}

func (u User) setExpiry(c Ceiling) {
	if c == 0 {
		delete(u, claimSessionExpiry)
		return
	}
	u[claimSessionExpiry] = json.Number(strconv.FormatInt(int64(c), 10))
}

// Sub returns the subject: who the user is at the provider.
func (u User) Sub() string { return u.text("sub") }

// Name returns the full name.
func (u User) Name() string { return u.text("name") }

// Nickname returns the casual name.
func (u User) Nickname() string { return u.text("nickname") }

// GivenName returns the first name.
func (u User) GivenName() string { return u.text("given_name") }

// FamilyName returns the surname.
func (u User) FamilyName() string { return u.text("family_name") }

// Picture returns the URL of a picture.
func (u User) Picture() string { return u.text("picture") }

// Email returns the email address. See EmailVerified.
func (u User) Email() string { return u.text("email") }

// EmailVerified reports whether the provider verified the email address. The claim is a
// boolean (OpenID Connect Core section 5.1); Apple and LinkedIn write the text "true".
func (u User) EmailVerified() bool {
	return u["email_verified"] == true || u["email_verified"] == "true"
}

// OrgID returns the id of the organization that the user signed in to.
func (u User) OrgID() string { return u.text("org_id") }

// OrgName returns the name of the organization that the user signed in to.
func (u User) OrgName() string { return u.text("org_name") }

// SessionExpiry returns the ceiling of the session as the provider asserted it at
// login, 0 for none.
func (u User) SessionExpiry() Ceiling { return ParseCeiling(u[claimSessionExpiry]) }

// Raw returns u as a State keeps it. A claim that JSON cannot say, such as a function, is left out; what came out of
// JSON it can always say.
func (u User) Raw() RawUser {
	if u == nil {
		return ""
	}
	w := &writer{}
	if w.value(map[string]any(u), 0); w.err != nil {
		return u.sayable().Raw()
	}
	return RawUser(w.text)
}

// sayable returns the claims of u that JSON can say.
func (u User) sayable() User {
	some := User{}
	for claim, v := range u {
		w := &writer{}
		if w.value(v, 1); w.err == nil {
			some[claim] = v
		}
	}
	return some
}

// Clone returns a deep copy of u.
func (u User) Clone() User {
	if u == nil {
		return nil
	}
	return cloneJSON(map[string]any(u)).(map[string]any)
}

func (u User) text(claim string) string {
	s, _ := u[claim].(string)
	return s
}

// cloneJSON copies what encoding/json decodes into an any.
func cloneJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for name, member := range v {
			c[name] = cloneJSON(member)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, element := range v {
			c[i] = cloneJSON(element)
		}
		return c
	}
	return v
}

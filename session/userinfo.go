package session

import (
	"encoding/json"
	"slices"
	"strings"
)

// idTokenOnly are the claims that count only where the ID token says them: they bind the
// token, end the session, or say who the user is and how they signed in.
var idTokenOnly = []string{
	claimSessionExpiry, "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "azp", "at_hash", "c_hash",
	"auth_time", "acr", "amr", "sid", "org_id", "org_name",
}

// LacksProfile reports whether u has no name though the profile scope was granted, or no
// email though the email scope was: then the provider's UserInfo endpoint may have it
// (OpenID Connect Core sections 5.3 and 5.4).
func LacksProfile(u User, granted ScopeSet) bool {
	return slices.Contains(granted, "profile") && u.Name() == "" ||
		slices.Contains(granted, "email") && u.Email() == ""
}

// maxInfoClaim is how long a claim of UserInfo may be in JSON: a session is to stay small, and may
// have to fit into cookies, while a picture may be written out as a data: URL.
const maxInfoClaim = 2048

func tooLong(claim any) bool {
	text, err := json.Marshal(claim)
	return err != nil || len(text) > maxInfoClaim
}

// AddUserInfo returns a copy of u with the claims of a UserInfo answer that u does not have. The
// claims of the ID token win, and some count only there, session_expiry among them; one longer than
// 2,048 bytes is left out, and so is an email_verified that is about another address. It
// reports false, and returns u, where info is about another user (OpenID Connect Core
// section 5.3.2).
func AddUserInfo(u, info User) (User, bool) {
	if info.Sub() == "" || info.Sub() != u.Sub() {
		return u, false
	}
	all := u.Clone()
	for claim, value := range info {
		if all[claim] == nil && value != nil && !slices.Contains(idTokenOnly, claim) && !tooLong(value) && u.agrees(info, claim) {
			all[claim] = cloneJSON(value)
		}
	}
	return all, true
}

// agrees reports whether a claim of info, where it says that an address or a number was verified, is about u's.
func (u User) agrees(info User, claim string) bool {
	of, verified := strings.CutSuffix(claim, "_verified")
	return !verified || u[of] == nil || u.text(of) != "" && u.text(of) == info.text(of)
}

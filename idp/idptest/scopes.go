package idptest

import (
	"slices"
	"strings"
)

// claimScopes are the scopes that ask for claims (OpenID Connect Core section 5.4).
var claimScopes = map[string]string{
	"name": "profile", "family_name": "profile", "given_name": "profile", "middle_name": "profile", "nickname": "profile",
	"preferred_username": "profile", "profile": "profile", "picture": "profile", "website": "profile", "gender": "profile",
	"birthdate": "profile", "zoneinfo": "profile", "locale": "profile", "updated_at": "profile",
	"email": "email", "email_verified": "email",
	"address": "address", "phone_number": "phone", "phone_number_verified": "phone",
}

// claims returns what of a user's claims goes with the granted scope. Claims that no
// scope of OpenID Connect asks for always do.
func (r *ScopeRules) claims(user Claims, granted string, anyScope, thin bool, never []string) Claims {
	have := map[string]bool{}
	for _, w := range scopes(granted) {
		have[w] = true
		for _, meant := range scopes(r.Means[w]) {
			have[meant] = true
		}
	}
	out := Claims{}
	for name, v := range user {
		scope, asked := claimScopes[name]
		if (!asked || anyScope || !thin && have[scope]) && !slices.Contains(never, name) {
			out[name] = v
		}
	}
	return out
}

// verifiedAsText writes email_verified as text, as several providers do.
func (c Claims) verifiedAsText() {
	if is, ok := c["email_verified"].(bool); ok {
		c["email_verified"] = map[bool]string{true: "true", false: "false"}[is]
	}
}

// known reports whether scope w is one of the provider's, under either of its names.
func (r *ScopeRules) known(w string) bool {
	return r.Known == nil || slices.Contains(r.Known, w) || slices.Contains(r.Known, r.original(w))
}

// original returns the scope that comes back as w.
func (r *ScopeRules) original(w string) string {
	for name, renamed := range r.Renamed {
		if renamed == w {
			return name
		}
	}
	return w
}

// unknown returns the first scope of requested that the provider does not know, or "".
func (r *ScopeRules) unknown(requested string) string {
	for _, w := range scopes(requested) {
		if !r.known(w) {
			return w
		}
	}
	return ""
}

// grant returns what a login that asks for requested is granted.
func (r *ScopeRules) grant(requested string) string {
	return strings.Join(slices.DeleteFunc(scopes(requested), func(w string) bool {
		return !r.known(w) || slices.Contains(r.Withheld, w)
	}), " ")
}

// again returns what a refresh that asks for requested is granted, after a login that was
// granted scope.
func (r *ScopeRules) again(requested, granted string) (string, *oauthError) {
	if r.Unknown != UnknownDropped {
		if w := r.unknown(requested); w != "" {
			return "", &oauthError{"invalid_scope", w + " is unknown"}
		}
	}
	asked := scopes(requested)
	for i, w := range asked {
		asked[i] = r.original(w)
		if r.Strict && !slices.Contains(scopes(granted), asked[i]) {
			return "", &oauthError{"invalid_scope", w + " was not granted"}
		}
	}
	return r.grant(strings.Join(asked, " ")), nil
}

// answered returns how the granted scope is written in an answer; false for not at all.
func (p *Profile) answered(granted string) (string, bool) {
	words := scopes(granted)
	if p.Tokens.HideOffline {
		words = slices.DeleteFunc(words, func(w string) bool { return w == "offline_access" })
	}
	for i, w := range words {
		if renamed, ok := p.Scopes.Renamed[w]; ok {
			words[i] = renamed
		}
	}
	switch p.Tokens.Scope {
	case ScopeAbsent:
		return "", false
	case ScopeCommas:
		return strings.Join(words, ","), true
	}
	return strings.Join(words, " "), true
}

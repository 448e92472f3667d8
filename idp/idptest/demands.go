package idptest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// consent is one user at one client.
type consent struct{ client, subject string }

// demands returns the error for an authorize request that lacks a parameter, or has one too many, so that the provider
// shows a page of its own and does not send the browser back. It is nil where there is none.
func (p *Profile) demands(q url.Values) *oauthError {
	a := &p.Authorize
	if w := p.Scopes.unknown(q.Get("scope")); w != "" && p.Scopes.Unknown == UnknownPage {
		return &oauthError{"invalid_scope", w + " is unknown"}
	}
	if a.Nonce && q.Get("nonce") == "" {
		return &oauthError{"invalid_request", "nonce is required"}
	}
	for _, name := range a.Params {
		if q.Get(name) == "" {
			return &oauthError{"invalid_request", name + " is required"}
		}
	}
	for _, w := range scopes(q.Get("scope")) {
		if slices.Contains(a.FormPostScopes, w) && !posts(q) {
			return &oauthError{"invalid_request", "response_mode must be form_post with the scope " + w}
		}
	}
	return nil
}

// errorPage is the page at which a login ends.
func errorPage(e *oauthError) *reply {
	r := plain(http.StatusBadRequest, "<!doctype html><title>Error</title><h1>"+e.code+"</h1><p>"+e.description)
	r.header.Set("Content-Type", "text/html; charset=utf-8")
	return r
}

// userOnce is the parameter user of Apple's first answer.
func (t *Tenant) userOnce(l *login) string {
	user := t.user(l.subject)
	about := map[string]any{}
	if name, ok := user["name"].(string); ok && slices.Contains(scopes(l.scope), "name") {
		first, last, _ := strings.Cut(name, " ")
		about["name"] = map[string]string{"firstName": first, "lastName": last}
	}
	if email, ok := user["email"]; ok && slices.Contains(scopes(l.scope), "email") {
		about["email"] = email
	}
	return string(marshal(about))
}

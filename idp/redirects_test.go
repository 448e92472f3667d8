package idp_test

import (
	"net/http"
	"testing"
)

// leads answers a path with a redirect.
func (r *rig) leads(path, to string) {
	r.handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
}

// Metadata and keys may stand behind redirects to other https addresses.
func TestRedirects_ofDocuments(t *testing.T) {
	r := newRig(t)
	r.leads(metadata, "/elsewhere")
	r.leads("https://tenant.example/elsewhere", "https://cdn.example/metadata")
	r.answerJSON("https://cdn.example/metadata", defaultMetadata())
	r.leads(jwks, "https://cdn.example/keys")
	r.answerJSON("https://cdn.example/keys", map[string]any{"keys": []any{rsaJWK("1", rsaKey())}})
	r.wantVerify("1", "ok")
}

func TestRedirects_thatAreRefused(t *testing.T) {
	for name, to := range map[string]string{
		"http":               "http://cdn.example/metadata",
		"http at a loopback": "http://127.0.0.1/metadata",
		"another scheme":     "file:///etc/passwd",
		"with a user":        "https://me:secret@cdn.example/metadata",
		"no URL":             "https://cdn.example:port/",
		"itself":             metadata,
		"nowhere":            "",
	} {
		r := newRig(t)
		r.leads(metadata, to)
		r.answerJSON("/metadata", defaultMetadata())
		r.wantVerify("1", "metadata_error")
		if n := r.count(metadata); n > 6 {
			t.Errorf("%s: %d requests, want 6 at most", name, n)
		}
		r.wantCount("/metadata", 0)
	}
}

// A scheme in capitals is the same scheme.
func TestRedirects_schemeInCapitals(t *testing.T) {
	r := newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"jwks_uri": "HTTPS://tenant.example/keys"}))
	r.leads("/keys", "http://127.0.0.1/jwks")
	r.wantVerify("1", "jwks_fetch_error")
	r.wantCount(jwks, 0)
}

// Of the statuses between 300 and 399 five send a GET on.
func TestRedirects_statuses(t *testing.T) {
	for status, want := range map[int]string{301: "ok", 302: "ok", 303: "ok", 307: "ok", 308: "ok", 300: "jwks_fetch_error", 304: "jwks_fetch_error"} {
		r := newRig(t)
		r.handle(jwks, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		r.answerJSON("/elsewhere", map[string]any{"keys": []any{rsaJWK("1", rsaKey())}})
		r.wantVerify("1", want)
	}
}

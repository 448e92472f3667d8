package idp_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp"
)

// leads answers a path with a redirect.
func (r *rig) leads(path, to string) {
	r.handle(path, moved(http.StatusFound, to))
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

// moved answers by a redirect.
func moved(status int, to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}
}

// serveMetadata answers a path with what the metadata's own address would answer.
func (r *rig) serveMetadata(path string) { r.answerJSON(path, defaultMetadata()) }

func TestRedirects_ofMetadata(t *testing.T) {
	r := newRig(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"https://cdn.example/moved", "/moved", "//cdn.example/moved#fragment"} {
			r := newRig(t)
			r.handle(metadata, moved(status, to))
			r.serveMetadata("/moved")
			m, err := r.client.Metadata(t.Context(), issuer)
			if err != nil || m.TokenEndpoint != "https://tenant.example/token" {
				t.Errorf("%d to %s: %v", status, to, err)
			}
		}
	}

	r.handle(metadata, moved(302, "https://evil.example/moved"))
	r.answerJSON("/moved", with(defaultMetadata(), map[string]any{"issuer": "https://evil.example/"}))
	if _, err := r.client.Metadata(t.Context(), issuer); verdict(err) != "metadata_error" {
		t.Errorf("another issuer behind a redirect: %v, want metadata_error", err)
	}
}

func TestRedirects_ofKeys(t *testing.T) {
	r := newRig(t)
	r.handle("https://tenant.example/jwks", moved(301, "https://keys.example/jwks"))
	r.wantVerify("1", "ok")
	r.wantCount(jwks, 2)
}

func TestRedirects_thatAreNotFollowed(t *testing.T) {
	for _, to := range []string{
		"http://tenant.example/moved", "http://127.0.0.1/moved", "http://localhost:6379/moved", "https://ada:secret@tenant.example/moved",
		"ftp://tenant.example/moved", "file:///moved", "https:moved", "https:///moved", "%zz", "javascript:alert(1)",
	} {
		r := newRig(t)
		r.handle(metadata, moved(302, to))
		r.serveMetadata("/moved")
		_, err := r.client.Metadata(t.Context(), issuer)
		if verdict(err) != "metadata_error" || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %v, want metadata_error without the address", to, err)
		}
		r.wantCount("/moved", 0)
	}
}

func TestRedirects_ofALoopbackIssuer(t *testing.T) {
	const local = "http://127.0.0.1:9"
	for to, want := range map[string]string{
		"http://localhost:9/moved": "ok", "https://cdn.example/moved": "ok", "http://cdn.example/moved": "metadata_error",
	} {
		r := newRig(t)
		r.handle(metadata, moved(302, to))
		r.answerJSON("/moved", with(defaultMetadata(), map[string]any{"issuer": local}))
		if _, err := r.client.Metadata(t.Context(), local); verdict(err) != want {
			t.Errorf("%s: %v, want %s", to, err, want)
		}
	}
	// Once at https, http is out of reach.
	r := newRig(t)
	r.handle(metadata, moved(302, "https://cdn.example/moved"))
	r.handle("/moved", moved(302, local+"/back"))
	if _, err := r.client.Metadata(t.Context(), local); verdict(err) != "metadata_error" {
		t.Errorf("from http over https to http: %v, want metadata_error", err)
	}
	r.wantCount("/back", 0)
}

func TestRedirects_haveAnEnd(t *testing.T) {
	for hops, want := range map[int]string{5: "ok", 6: "metadata_error"} {
		r := newRig(t)
		r.handle(metadata, moved(302, "/hop/1"))
		for i := 1; i < hops; i++ {
			r.handle(fmt.Sprintf("/hop/%d", i), moved(302, fmt.Sprintf("/hop/%d", i+1)))
		}
		r.serveMetadata(fmt.Sprintf("/hop/%d", hops))
		if _, err := r.client.Metadata(t.Context(), issuer); verdict(err) != want {
			t.Errorf("%d redirects: %v, want %s", hops, err, want)
		}
	}
	r := newRig(t)
	r.handle(metadata, moved(302, metadata))
	if _, err := r.client.Metadata(t.Context(), issuer); verdict(err) != "metadata_error" || !strings.Contains(fmt.Sprint(err), "redirected") {
		t.Errorf("a loop: %v, want metadata_error that says so", err)
	}
	r.wantCount(metadata, 6)
}

// What carries a secret is sent to where the metadata says, and nowhere else.
func TestRedirects_ofRequestsWithSecrets(t *testing.T) {
	r := newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), map[string]any{
		"userinfo_endpoint": "https://tenant.example/userinfo", "revocation_endpoint": "https://tenant.example/revoke",
	}))
	for _, path := range []string{token, "/par", "/revoke", "/userinfo"} {
		r.handle(path, moved(307, "https://tenant.example/moved"))
	}
	ctx := t.Context()
	_, refresh := r.client.Refresh(ctx, idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	_, code := r.client.ExchangeCode(ctx, idp.CodeExchange{Issuer: issuer, Code: codeCanary})
	_, par := r.client.PushAuthorization(ctx, issuer, nil)
	_, userinfo := r.client.UserInfo(ctx, issuer, newToken)
	for name, err := range map[string]error{
		"refresh": refresh, "code": code, "par": par, "userinfo": userinfo, "revoke": r.client.Revoke(ctx, issuer, refreshToken),
	} {
		if err == nil {
			t.Errorf("%s followed a redirect", name)
		}
	}
	r.wantCount("/moved", 0)
}

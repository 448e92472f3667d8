package idp_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/tokenward/tokenward/idp"
)

// endpointNames are the members of the metadata that are endpoints, and where each is read to.
var endpointNames = map[string]func(*idp.Metadata) string{
	"authorization_endpoint":                func(m *idp.Metadata) string { return m.AuthorizationEndpoint },
	"token_endpoint":                        func(m *idp.Metadata) string { return m.TokenEndpoint },
	"jwks_uri":                              func(m *idp.Metadata) string { return m.JWKSURI },
	"end_session_endpoint":                  func(m *idp.Metadata) string { return m.EndSessionEndpoint },
	"pushed_authorization_request_endpoint": func(m *idp.Metadata) string { return m.PushedAuthorizationRequestEndpoint },
	"revocation_endpoint":                   func(m *idp.Metadata) string { return m.RevocationEndpoint },
	"userinfo_endpoint":                     func(m *idp.Metadata) string { return m.UserInfoEndpoint },
}

// An https issuer may name https endpoints only; one at a loopback host may name others there.
func TestMetadata_schemesOfEndpoints(t *testing.T) {
	for _, tt := range []struct {
		issuer, endpoint string
		want             bool
	}{
		{"https://tenant.example", "http://127.0.0.1:6379/", false},
		{"https://tenant.example", "http://localhost/x", false},
		{"https://tenant.example", "http://[::1]/x", false},
		{"https://tenant.example", "HTTP://127.0.0.1/x", false},
		{"https://tenant.example", "http://tenant.example/x", false},
		{"https://tenant.example", "https://other.example/x", true},
		{"HTTPS://tenant.example", "http://127.0.0.1/x", false},
		{"tenant.example", "http://127.0.0.1/x", false},
		{"https://localhost", "http://localhost/x", false},
		{"http://127.0.0.1:9000", "http://127.0.0.1:9000/x", true},
		{"http://127.0.0.1:9000", "http://localhost:9001/x", true},
		{"http://localhost:9000", "https://other.example/x", true},
		{"http://127.0.0.1:9000", "http://other.example/x", false},
		{"http://127.0.0.1:9000", "http://192.168.0.1/x", false},
		{"http://127.0.0.1:9000", "http://127.0.0.1.other.example/x", false},
	} {
		for name, of := range endpointNames {
			r := newRig(t)
			issuer := tt.issuer
			if issuer == "tenant.example" || issuer == "HTTPS://tenant.example" {
				issuer = "https://tenant.example"
			}
			r.answer(metadata, 200, fmt.Sprintf(`{"issuer":%q,%q:%q}`, issuer, name, tt.endpoint))
			m, err := r.client.Metadata(t.Context(), tt.issuer)
			if err != nil {
				t.Fatalf("%s: %v", tt.issuer, err)
			}
			if got := of(m) != ""; got != tt.want {
				t.Errorf("%s of %s at %s: usable %t, want %t", name, tt.issuer, tt.endpoint, got, tt.want)
			}
		}
	}
}

// The client's credentials and the user's tokens go nowhere near such an endpoint, by whichever
// request.
func TestMetadata_noCredentialsByHTTP(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.Auth, cfg.ClientSecret = idp.TLSClientAuth, "" })
	doc := with(defaultMetadata(), claimsOf{"mtls_endpoint_aliases": map[string]any{"token_endpoint": "http://127.0.0.1:6379/"}})
	for name := range endpointNames {
		doc[name] = "http://127.0.0.1:6379/"
	}
	r.answerJSON(metadata, doc)
	r.handle("/", func(http.ResponseWriter, *http.Request) { t.Error("a request reached http://127.0.0.1:6379/") })
	ctx := t.Context()
	for name, err := range map[string]error{
		"exchange": r.exchange(ctx), "refresh": r.refresh(ctx), "push": r.push(ctx),
		"revocation": r.client.Revoke(ctx, issuer, refreshToken), "readiness": r.client.Ready(ctx, issuer),
		"keys": r.verify(ctx, "1"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r.wantCount("/", 0)
}

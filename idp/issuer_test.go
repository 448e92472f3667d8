package idp_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp"
)

const (
	login     = "https://login.example"
	alias     = login + "/organizations/v2.0"
	template  = login + "/{tenantid}/v2.0"
	contoso   = "72f988bf-0000-4000-8000-2d7cd011db47"
	fabrikam  = "0a1b2c3d-0000-4000-8000-00000000beef"
	otherside = "/elsewhere/.well-known/openid-configuration"
)

func issuerOf(tid string) string { return login + "/" + tid + "/v2.0" }

// metadataOf is what a document of that issuer says, with endpoints and keys below base.
func metadataOf(issuer, base string) map[string]any {
	return map[string]any{
		"issuer": issuer, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token",
		"jwks_uri": base + "/jwks", "end_session_endpoint": base + "/end",
	}
}

// allow lets users of these tenants sign in, and notes who was asked about.
func allow(asked *[]string, tids ...string) func(context.Context, string) bool {
	return func(_ context.Context, tid string) bool {
		*asked = append(*asked, tid)
		for _, t := range tids {
			if t == tid {
				return true
			}
		}
		return false
	}
}

// newTenants returns a client for users of several tenants, and their provider. The alias has the first
// key, contoso the second, fabrikam both.
func newTenants(t *testing.T, edit func(*idp.Config)) *rig {
	t.Helper()
	r := newRig(t, func(cfg *idp.Config) { cfg.Issuer = alias }, edit)
	r.answerJSON(alias+metadata, metadataOf(template, login+"/organizations"))
	r.answerJSON(login+"/organizations/jwks", map[string]any{"keys": []any{rsaJWK("1", rsaKey())}})
	for tid, key := range map[string]any{contoso: rsaJWK("1", rsaKey()), fabrikam: rsaJWK("1", anotherKey())} {
		r.answerJSON(issuerOf(tid)+metadata, metadataOf(issuerOf(tid), login+"/"+tid))
		r.answerJSON(login+"/"+tid+"/jwks", map[string]any{"keys": []any{key}})
	}
	return r
}

// signIn verifies an ID token as a login at issuer does.
func (r *rig) signIn(issuer, token string) (string, error) {
	of, err := r.client.TenantIssuer(r.t.Context(), issuer, token)
	if err != nil {
		return "", err
	}
	_, err = r.client.VerifyIDToken(r.t.Context(), of, token, idp.Expect{})
	return of, err
}

func tenantToken(tid any, iss string) string {
	return sign(rs256(), idClaims(map[string]any{"iss": iss, "tid": tid}), rsaKey())
}

func TestMetadataURL(t *testing.T) {
	at := func(issuer, url string) func(*idp.Config) {
		return func(cfg *idp.Config) { cfg.Issuer, cfg.MetadataURL = issuer, url }
	}
	r := newRig(t, at(issuer, "https://cdn.example"+otherside+"?p=signin"))
	r.answerJSON("https://cdn.example"+otherside+"?p=signin", defaultMetadata())
	r.wantVerify("1", "ok")
	r.wantCount(metadata, 0)
	if _, err := r.client.Metadata(t.Context(), "https://other.example/"); verdict(err) != "metadata_error" {
		t.Errorf("another issuer: %v", err)
	}
	r.wantCount(metadata, 1) // its own address

	r = newRig(t, at(issuer, "https://cdn.example"+otherside))
	r.answerJSON("https://cdn.example"+otherside, metadataOf("https://cdn.example/", "https://cdn.example"))
	_, err := r.client.Metadata(t.Context(), issuer)
	if verdict(err) != "metadata_error" || !strings.Contains(fmt.Sprint(err), `"https://cdn.example/"`) {
		t.Errorf("the metadata of another issuer: %v, want metadata_error that names it", err)
	}

	for _, bad := range []string{
		"http://cdn.example/m", "/m", "cdn.example/m", "https:///m", "https://ada@cdn.example/m", "https://cdn.example/m#x", "ftp://cdn.example/m", "%zz", " ",
	} {
		if _, err := idp.New(idp.Config{ClientID: "c", ClientSecret: "s", Issuer: issuer, MetadataURL: bad}); verdict(err) != "ConfigurationError" {
			t.Errorf("%q: %v, want a ConfigurationError", bad, err)
		}
	}
	for name, cfg := range map[string]idp.Config{
		"no issuer":            {MetadataURL: "https://cdn.example/m"},
		"tenants, no issuer":   {Tenants: allow(new([]string))},
		"a template alone":     {Issuer: template, MetadataURL: "https://cdn.example/m"},
		"a template, no place": {Issuer: template, Tenants: allow(new([]string))},
		"an issuer by http":    {Issuer: "http://tenant.example/", MetadataURL: "https://cdn.example/m"},
	} {
		cfg.ClientID, cfg.ClientSecret = "c", "s"
		if _, err := idp.New(cfg); verdict(err) != "ConfigurationError" {
			t.Errorf("%s: %v, want a ConfigurationError", name, err)
		}
	}
}

// Without the option a template is refused, and the error says what to do.
func TestTenants_areRefusedByDefault(t *testing.T) {
	r := newTenants(t, func(cfg *idp.Config) { cfg.Issuer = "" })
	_, err := r.client.Metadata(t.Context(), alias)
	if verdict(err) != "metadata_error" || !strings.Contains(fmt.Sprint(err), "ProviderConfig.Tenants") {
		t.Errorf("%v, want metadata_error that names the option", err)
	}
}

func TestTenants_signIn(t *testing.T) {
	var asked []string
	r := newTenants(t, func(cfg *idp.Config) { cfg.Tenants = allow(&asked, contoso, fabrikam) })
	for _, at := range []string{alias, alias + "/", strings.ToUpper("https") + "://LOGIN.example/organizations/v2.0"} {
		of, err := r.signIn(at, tenantToken(contoso, issuerOf(contoso)))
		if err != nil || of != issuerOf(contoso) {
			t.Errorf("at %s: %s, %v", at, of, err)
		}
	}
	// The keys are those of the tenant, not those of all.
	if _, err := r.signIn(alias, tenantToken(fabrikam, issuerOf(fabrikam))); verdict(err) != "invalid_signature" {
		t.Errorf("signed by the key of another tenant: %v, want invalid_signature", err)
	}
	// Elsewhere nothing changes.
	if of, err := r.signIn(issuer, sign(rs256(), idClaims(map[string]any{"tid": "../evil"}), rsaKey())); err != nil || of != issuer {
		t.Errorf("another issuer: %s, %v", of, err)
	}
}

func TestTenants_tokensThatAreRefused(t *testing.T) {
	const stranger = "ffffffff-0000-4000-8000-000000000000"
	tests := []struct {
		name string
		tid  any
		iss  string
		want string
	}{
		{"tid missing", absent, issuerOf(contoso), "invalid_token"},
		{"tid empty", "", issuerOf(contoso), "invalid_token"},
		{"tid null", nil, issuerOf(contoso), "invalid_token"},
		{"tid a number", 7, login + "/7/v2.0", "invalid_token"},
		{"tid a list", []any{contoso}, issuerOf(contoso), "invalid_token"},
		{"tid of another tenant", fabrikam, issuerOf(contoso), "issuer_validation_error"},
		{"iss of another host", contoso, "https://evil.example/" + contoso + "/v2.0", "issuer_validation_error"},
		{"iss of another version", contoso, login + "/" + contoso + "/v1.0", "issuer_validation_error"},
		{"iss without a path", contoso, login, "issuer_validation_error"},
		{"iss the template", "{tenantid}", template, "issuer_validation_error"},
		{"iss missing", contoso, "", "issuer_validation_error"},
		{"tenant not allowed", stranger, issuerOf(stranger), "issuer_validation_error"},
	}
	for _, tid := range []string{
		"..", ".", "../evil", "a/../b", "%2e%2e", "a%2fb", "a?b", "a#b", "a b", "a\\b", "a@evil.example", "\x00", "ä", "-a", strings.Repeat("a", 101),
	} {
		tests = append(tests, struct {
			name string
			tid  any
			iss  string
			want string
		}{fmt.Sprintf("tid %.20q", tid), tid, issuerOf(tid), "issuer_validation_error"})
	}
	for _, tt := range tests {
		var asked []string
		r := newTenants(t, func(cfg *idp.Config) { cfg.Tenants = allow(&asked, contoso, fabrikam, "../evil", "..") })
		token := tenantToken(tt.tid, tt.iss)
		_, err := r.signIn(alias, token)
		if verdict(err) != tt.want || strings.Contains(fmt.Sprint(err), token) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if tt.name == "tenant not allowed" && (len(asked) != 1 || !strings.Contains(err.Error(), "ProviderConfig.Tenants")) {
			t.Errorf("%s: asked %v, %v", tt.name, asked, err)
		}
		r.wantCount("/"+contoso+"/v2.0"+metadata, 0) // nothing is asked of a tenant before
	}

	panics := newTenants(t, func(cfg *idp.Config) { cfg.Tenants = func(context.Context, string) bool { panic("x") } })
	if _, err := panics.signIn(alias, tenantToken(contoso, issuerOf(contoso))); verdict(err) != "issuer_validation_error" {
		t.Errorf("a callback that panics: %v, want issuer_validation_error", err)
	}
}

// What the metadata names may differ from the configured issuer in the tenant alone.
func TestTenants_metadata(t *testing.T) {
	for _, tt := range []struct{ configured, named, tid, want string }{
		{alias, template, contoso, "ok"},
		{alias, template + "/", contoso, "ok"},
		{login + "/common/v2.0", template, contoso, "ok"},
		{login + "/consumers/v2.0", issuerOf(contoso), contoso, "ok"}, // an alias of one tenant
		{login + "/consumers/v2.0", issuerOf(contoso), fabrikam, "issuer_validation_error"},
		{login + "/{tenantid}/v2.0", template, contoso, "ok"},
		{login + "/" + contoso + "/v2.0", issuerOf(contoso), contoso, "ok"}, // no alias
		{alias, "https://evil.example/{tenantid}/v2.0", contoso, "metadata_error"},
		{alias, "https://{tenantid}/organizations/v2.0", contoso, "metadata_error"},
		{alias, login + "/{tenantid}/v1.0", contoso, "metadata_error"},
		{alias, login + "/{tenantid}/{tenantid}", contoso, "metadata_error"},
		{alias, login + "/{tenantid}", contoso, "metadata_error"},
		{alias, login + "/x{tenantid}/v2.0", contoso, "metadata_error"},
		{alias, login + "/../v2.0", contoso, "metadata_error"},
		{alias, "http://login.example/{tenantid}/v2.0", contoso, "metadata_error"},
		{alias, "", contoso, "metadata_error"},
		{"https://tenant.example", "https://{tenantid}", contoso, "metadata_error"},
	} {
		place := "https://cdn.example" + otherside
		r := newTenants(t, func(cfg *idp.Config) {
			cfg.Issuer, cfg.MetadataURL, cfg.Tenants = tt.configured, place, allow(new([]string), contoso, fabrikam)
		})
		r.answerJSON(place, metadataOf(tt.named, login+"/organizations"))
		if _, err := r.signIn(tt.configured, tenantToken(tt.tid, issuerOf(tt.tid))); verdict(err) != tt.want {
			t.Errorf("%s at %s: %v, want %s", tt.named, tt.configured, err, tt.want)
		}
	}
}

// A logout token of a tenant is verified by the keys that stand for all: what strangers send
// causes no request to a tenant. Whether the tenant may sign in does not matter any more.
func TestTenants_logoutTokens(t *testing.T) {
	var asked []string
	r := newTenants(t, func(cfg *idp.Config) { cfg.Tenants = allow(&asked) })
	for iss, want := range map[string]string{
		issuerOf(contoso): "ok", issuerOf(fabrikam): "ok",
		"https://evil.example/" + contoso + "/v2.0": "backchannel_logout_error issuer_validation_error",
		issuerOf(".."):      "backchannel_logout_error issuer_validation_error",
		template:            "backchannel_logout_error issuer_validation_error",
		issuerOf("a/../b"):  "backchannel_logout_error issuer_validation_error",
		login + "/" + "/v2": "backchannel_logout_error issuer_validation_error",
	} {
		token := sign(rs256(), idClaims(map[string]any{
			"iss": iss, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}), rsaKey())
		got, err := r.client.VerifyLogoutToken(t.Context(), alias, token)
		if verdict(err) != want || err == nil && got.Issuer != iss {
			t.Errorf("%s: %v, %v, want %s", iss, got.Issuer, err, want)
		}
	}
	r.wantCount("/"+contoso+"/v2.0"+metadata, 0)
	if len(asked) != 0 {
		t.Errorf("asked about %v", asked)
	}
}

func TestTenants_theIssuerOfACallback(t *testing.T) {
	r := newTenants(t, func(cfg *idp.Config) { cfg.Tenants = allow(new([]string)) })
	for iss, want := range map[string]string{
		"": "ok", issuerOf(contoso): "ok", "https://evil.example/" + contoso + "/v2.0": "issuer_validation_error", issuerOf(".."): "issuer_validation_error",
	} {
		err := r.client.CheckCallbackIssuer(t.Context(), alias, url.Values{"iss": {iss}})
		if verdict(err) != want {
			t.Errorf("iss %q: %v, want %s", iss, err, want)
		}
	}
}

// A template is the name of no issuer: an assertion is for the token endpoint.
func TestTenants_assertions(t *testing.T) {
	r := newTenants(t, func(cfg *idp.Config) {
		cfg.Tenants, cfg.SigningKey, cfg.ClientSecret = allow(new([]string)), rsaKey(), ""
	})
	r.answer(login+"/organizations/token", 200, `{"access_token":"at","expires_in":3600,"token_type":"Bearer"}`)
	if _, err := r.client.ExchangeCode(t.Context(), idp.CodeExchange{Issuer: alias, Code: codeCanary}); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(r.form.Get("client_assertion"), ".")
	var claims struct {
		Audience string `json:"aud"`
	}
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &claims); err != nil || claims.Audience != login+"/organizations/token" {
		t.Errorf("aud = %q, %v, want the token endpoint", claims.Audience, err)
	}
}

// Package providers says how an application is configured for each of the providers that
// idptest has a profile of. docs/providers.md is written from it, the table test of the root
// package signs in with it, and the demo's -provider runs it: page, test and demo are one.
package providers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
)

// Setup is how an application is configured for one provider.
type Setup struct {
	Config      tokenward.Config // all but Secrets and RedirectURI, which no provider decides
	Provider    tokenward.ProviderConfig
	Credentials tokenward.Credentials // by a key; otherwise Config has them
	// LogoutParams are for httpauth.LogoutParams or tokenward.LogoutRequest. See LogoutParamsTo.
	LogoutParams map[string]string
	// Settings are set beside issuer, client id and client secret, in the order of the
	// page.
	Settings []Setting
}

// Setting is one line of a configuration, beside issuer, client id and client secret.
type Setting struct {
	Name string // Config.Scopes, ProviderConfig.NoPKCE, Credentials.SigningKey, httpauth.LogoutParams
	Code string // in Go: the value of a field, or the call that makes an option of httpauth
}

// Options returns the options of tokenward.New.
func (s Setup) Options() []tokenward.Option {
	opts := []tokenward.Option{tokenward.WithProvider(s.Provider)}
	if s.Credentials.SigningKey != nil {
		opts = append(opts, tokenward.WithCredentials(s.Credentials))
	}
	return opts
}

// Names returns the names of the settings, separated by commas; "" for none.
func (s Setup) Names() string {
	names := make([]string, len(s.Settings))
	for i, one := range s.Settings {
		names[i] = one.Name
	}
	return strings.Join(names, ", ")
}

// LogoutParamsTo returns the parameters of a logout that leads to the URL back.
func (s Setup) LogoutParamsTo(back string) map[string]string {
	params := maps.Clone(s.LogoutParams)
	for name, value := range params {
		params[name] = strings.ReplaceAll(value, idptest.ReturnTo, back)
	}
	return params
}

// Bare returns how an application is configured that knows only the issuer of the tenant t, its
// own id and its secret, at any provider.
func Bare(t *idptest.Tenant) Setup {
	app := t.Application()
	return Setup{Config: tokenward.Config{Issuer: app.Issuer, ClientID: app.ClientID, ClientSecret: app.ClientSecret}}
}

// For returns how an application is configured for the tenant t, which plays the profile p.
func For(p idptest.Profile, t *idptest.Tenant) Setup {
	s := Bare(t)
	if host, ok := strings.CutPrefix(strings.TrimSuffix(s.Config.Issuer, "/"), "https://"); ok && p.Name == "auth0" {
		s.Config.Issuer, s.Config.Domain = "", host
	}
	at := t.Application().MetadataURL
	if p.Location.AliasOnly { // else it is below the issuer too
		s.Provider.MetadataURL = at
		s.set("ProviderConfig.MetadataURL", strconv.Quote(at))
	}
	if p.Config.TenantTemplate {
		s.Config.Issuer = strings.TrimSuffix(at, "/.well-known/openid-configuration") // the alias is an issuer's name too
		s.Provider.Tenants = func(context.Context, string) bool { return true }
		s.set("ProviderConfig.Tenants", "isCustomer")
	}
	s.authenticate(&p, t)
	s.ask(&p)
	if life := p.Tokens.Life; p.Tokens.ExpiresIn == idptest.ExpiresAbsent && p.Lacks.RefreshTokens {
		s.Provider.TokenLifetime = tokenward.AsLongAsTheSession
		s.set("ProviderConfig.TokenLifetime", "tokenward.AsLongAsTheSession")
	} else if p.Tokens.ExpiresIn == idptest.ExpiresAbsent {
		s.Provider.TokenLifetime = life
		s.set("ProviderConfig.TokenLifetime", fmt.Sprintf("%d*time.Hour", life/time.Hour))
	}
	if p.Config.NoLogoutHint {
		s.Provider.NoIDTokenHint = true
		s.set("ProviderConfig.NoIDTokenHint", "true")
	}
	if len(p.Config.LogoutParams) > 0 {
		s.LogoutParams = p.Config.LogoutParams
		s.set("httpauth.LogoutParams", "httpauth.LogoutParams("+goMap(s.LogoutParamsTo("https://app.example.com/"))+")")
	}
	return s
}

// authenticate sets how the client authenticates, where the metadata does not lead there.
func (s *Setup) authenticate(p *idptest.Profile, t *idptest.Tenant) {
	app := t.Application()
	switch auth := p.Config.Auth; {
	case auth == idptest.AuthNone:
		s.Config.ClientAuth = tokenward.PublicClient
		s.set("Config.ClientAuth", "tokenward.PublicClient")
	case auth == idptest.AuthPrivateKey:
		s.Credentials.SigningKey = app.Key
		s.set("Credentials.SigningKey", "key")
	case auth == idptest.AuthPost && byMetadata(p) != idptest.AuthPost:
		s.Config.ClientAuth = idp.ClientSecretPost
		s.set("Config.ClientAuth", "tokenward.ClientSecretPost")
	}
	if p.Config.Thumbprint {
		s.Credentials.SigningCertificate = app.Certificate
		s.set("Credentials.SigningCertificate", "certificate")
	}
	if p.Config.AssertionAudience == idptest.AudienceEndpoint {
		s.Credentials.AssertTokenEndpoint = true
		s.set("Credentials.AssertTokenEndpoint", "true")
	}
	if p.Clients.SecretJWT {
		s.Config.ClientSecret = ""
		s.Config.Credentials = func(context.Context, string, string) (tokenward.Credentials, error) {
			return tokenward.Credentials{ClientSecret: t.Application().ClientSecret}, nil
		}
		s.set("Config.Credentials", "credentials")
	}
}

// byMetadata returns how a client with a secret authenticates that goes by the metadata.
func byMetadata(p *idptest.Profile) idptest.AuthMethod {
	for _, m := range p.Metadata.AuthMethods {
		if m == idptest.AuthBasic || m == idptest.AuthPost {
			return m
		}
	}
	return idptest.AuthBasic
}

// ask sets what a login asks for and how.
func (s *Setup) ask(p *idptest.Profile) {
	cfg := &p.Config
	if cfg.Scopes != "" && cfg.Scopes != defaultScopes(p) {
		s.Config.Scopes = cfg.Scopes
		s.set("Config.Scopes", strings.ReplaceAll(strconv.Quote(cfg.Scopes), idptest.ClientID+`"`, `" + os.Getenv("CLIENT_ID")`))
	}
	params := maps.Clone(cfg.Params)
	if cfg.ResponseMode != "" {
		params = map[string]string{"response_mode": cfg.ResponseMode}
		maps.Copy(params, cfg.Params)
	}
	if len(params) > 0 {
		s.Config.AuthorizationParams = params
		s.set("Config.AuthorizationParams", goMap(params))
	}
	if cfg.NoPKCE {
		s.Provider.NoPKCE = true
		s.set("ProviderConfig.NoPKCE", "true")
	}
	switch {
	case cfg.NoNonce:
		s.Provider.Nonce = tokenward.Never
		s.set("ProviderConfig.Nonce", "tokenward.Never")
	case cfg.Nonce && slices.Contains(p.Metadata.Challenges, "S256"): // elsewhere it is sent by default
		s.Provider.Nonce = tokenward.Always
		s.set("ProviderConfig.Nonce", "tokenward.Always")
	}
	if cfg.PAR && !p.Metadata.PARRequired { // which the metadata says
		s.Provider.PushedAuthorization = true
		s.set("ProviderConfig.PushedAuthorization", "true")
	}
}

// defaultScopes returns the scopes that a login is granted when it names none.
func defaultScopes(p *idptest.Profile) string {
	listed := p.Metadata.Scopes
	known := p.Scopes.Known == nil || slices.Contains(p.Scopes.Known, "offline_access")
	if listed != nil && !slices.Contains(listed, "offline_access") || !known && p.Scopes.Unknown == idptest.UnknownDropped {
		return strings.TrimSuffix(idptest.DefaultScopes, " offline_access")
	}
	return idptest.DefaultScopes
}

func (s *Setup) set(name, code string) { s.Settings = append(s.Settings, Setting{name, code}) }

// goMap returns a map as Go writes it.
func goMap(m map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value := strconv.Quote(m[name])
		if strings.Contains(m[name], `"`) {
			value = "`" + m[name] + "`"
		}
		pairs = append(pairs, strconv.Quote(name)+": "+value)
	}
	return "map[string]string{" + strings.Join(pairs, ", ") + "}"
}

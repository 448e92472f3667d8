package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
)

// settings are what command line and environment say.
type settings struct {
	tour bool

	listen, baseURL        string
	issuer, domain         string
	clientID, clientSecret string
	clientAuth, signingKey string
	secret                 string
	audience, scope        string
	par                    bool
	store                  string
	tenant                 string
	provider               string
	logLevel               string
}

// variables are the environment variables behind the flags. A flag wins over its variable.
var variables = map[string]string{
	"listen": "DEMO_LISTEN", "base-url": "APP_BASE_URL", "issuer": "AUTH0_ISSUER", "domain": "AUTH0_DOMAIN",
	"client-id": "AUTH0_CLIENT_ID", "client-secret": "AUTH0_CLIENT_SECRET", "client-auth": "AUTH0_CLIENT_AUTH",
	"signing-key": "AUTH0_SIGNING_KEY_FILE", "secret": "AUTH0_SECRET", "audience": "AUTH0_AUDIENCE", "scope": "AUTH0_SCOPE",
	"par": "AUTH0_PAR", "store": "DEMO_STORE", "tenant": "DEMO_TENANT", "provider": "DEMO_PROVIDER", "log-level": "DEMO_LOG_LEVEL",
}

// parse reads command line and environment. Usage goes to stdout when it is asked for;
// then the error is flag.ErrHelp.
func parse(args []string, getenv func(string) string, stdout io.Writer) (settings, error) {
	var s settings
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	text := func(to *string, name, value, usage string) {
		fs.StringVar(to, name, value, usage+" [$"+variables[name]+"]")
	}
	fs.BoolVar(&s.tour, "tour", false, "play the tour, print what was measured and exit; 1 when a promise is broken")
	text(&s.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 picks a free one")
	text(&s.baseURL, "base-url", "", "`URL` where browsers reach the application (default http:// and the address)")
	text(&s.issuer, "issuer", "", "issuer `URL` of a provider; http for loopback hosts only (default a fake tenant); with -tenant, of the proxy before it")
	text(&s.domain, "domain", "", "Auth0 `domain`, the same as -issuer https://DOMAIN/")
	text(&s.clientID, "client-id", "", "client `ID` at the provider")
	text(&s.clientSecret, "client-secret", "", "client `secret` at the provider")
	text(&s.clientAuth, "client-auth", "", "`how` the client authenticates: basic, post or none (default: by the provider's metadata; basic for -domain)")
	text(&s.signingKey, "signing-key", "", "PEM `file` with the key for private_key_jwt, in place of a client secret")
	text(&s.secret, "secret", "", "sealing `secrets` of 32 bytes or more, separated by commas, the newest first (default random)")
	text(&s.audience, "audience", "", "default `audience`")
	text(&s.scope, "scope", "", "`scopes`, or a JSON object from audience to scopes")
	fs.BoolVar(&s.par, "par", false, "push authorization requests [$"+variables["par"]+"]")
	text(&s.store, "store", "", storeUsage)
	text(&s.tenant, "tenant", "", "run only a fake tenant, at this `address`: client "+demoID+", secret "+demoSecret)
	text(&s.provider, "provider", "", "`name` of a provider that the fake tenant plays, such as google or apple; the application is configured as docs/providers.md says (default auth0)")
	text(&s.logLevel, "log-level", "warn", "`level` of the log on standard error: debug, info, warn or error")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, "usage: demo [flags]")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return s, err
	case err != nil:
		return s, err
	case fs.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	fs.VisitAll(func(f *flag.Flag) {
		name := variables[f.Name]
		if name == "" || given[f.Name] || getenv(name) == "" || err != nil {
			return
		}
		if fs.Set(f.Name, getenv(name)) != nil {
			err = fmt.Errorf("invalid value %q for %s", getenv(name), name)
		}
	})
	if s.tenant != "" && !given["issuer"] {
		s.issuer = "" // the environment's is for applications
	}
	s.prefer(given)
	if err != nil || s.tour {
		return s, err
	}
	return s, s.check()
}

// prefer drops what the environment says of another provider than the flags do: -issuer, -domain and
// -provider each name one.
func (s *settings) prefer(given map[string]bool) {
	byFlag := given["issuer"] || given["domain"] || given["provider"]
	for name, value := range map[string]*string{"issuer": &s.issuer, "domain": &s.domain, "provider": &s.provider} {
		if byFlag && !given[name] && s.tenant == "" {
			*value = ""
		}
	}
	if s.provider == "" {
		return
	}
	for name, value := range map[string]*string{
		"client-id": &s.clientID, "client-secret": &s.clientSecret, "client-auth": &s.clientAuth, "signing-key": &s.signingKey,
	} {
		if !given[name] {
			*value = "" // the fake tenant knows its own client
		}
	}
}

// check returns the first setting that is wrong. It asks no server.
func (s settings) check() error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s.logLevel) {
		return fmt.Errorf("-log-level: %q is not debug, info, warn or error", s.logLevel)
	}
	if err := s.checkProvider(); err != nil || s.tenant != "" {
		return err
	}
	if _, _, err := net.SplitHostPort(s.listen); err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	if err := s.checkClient(); err != nil {
		return err
	}
	for i, secret := range s.secrets() {
		if len(secret) < 32 {
			return fmt.Errorf("-secret: number %d has %d bytes, at least 32 are needed", i+1, len(secret))
		}
	}
	if _, err := s.scopes(); err != nil {
		return err
	}
	return s.checkStore()
}

// checkClient returns an error for an issuer, or a client at it, that cannot be used.
func (s settings) checkClient() error {
	switch {
	case s.issuer != "" && s.domain != "":
		return errors.New("-issuer and -domain: give one of them")
	case !s.ownTenant() && s.clientID == "":
		return errors.New("-client-id: is needed with -issuer or -domain")
	case s.clientAuth != "" && s.clientAuth != "basic" && s.clientAuth != "post" && s.clientAuth != "none":
		return fmt.Errorf("-client-auth: %q is neither basic, post nor none", s.clientAuth)
	}
	return nil
}

// checkProvider returns an error for a -provider that cannot be used.
func (s settings) checkProvider() error {
	if s.provider == "" {
		return nil
	}
	if _, known := idptest.ProfileNamed(s.provider); !known {
		var names []string
		for _, p := range idptest.Profiles() {
			names = append(names, p.Name)
		}
		return fmt.Errorf("-provider: %q is none of %s", s.provider, strings.Join(names, ", "))
	}
	switch {
	case s.tenant == "" && !s.ownTenant():
		return errors.New("-provider: is played by the fake tenant; leave -issuer and -domain out")
	case s.clientID+s.clientSecret+s.clientAuth+s.signingKey != "":
		return errors.New("-provider: the fake tenant has a client as docs/providers.md says; leave -client-id, -client-secret, -client-auth and -signing-key out")
	}
	return nil
}

// ownTenant reports whether the application brings its provider along.
func (s settings) ownTenant() bool { return s.issuer == "" && s.domain == "" }

// secrets returns the sealing secrets, none when they are not given.
func (s settings) secrets() (all []string) {
	if s.secret == "" {
		return nil
	}
	for secret := range strings.SplitSeq(s.secret, ",") {
		all = append(all, strings.TrimSpace(secret))
	}
	return all
}

// scopes returns the scopes by audience; nil when -scope is one string for all.
func (s settings) scopes() (byAudience map[string]string, err error) {
	if !strings.HasPrefix(strings.TrimSpace(s.scope), "{") {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(s.scope), &byAudience); err != nil {
		return nil, errors.New("-scope: is not a JSON object from audience to a string of scopes")
	}
	return byAudience, nil
}

// config returns what the library is to know, all but where the application is. With -provider
// that is of setup, else of the flags; scopes, audience and -par are of the flags in both.
func (s settings) config(setup *providers.Setup) (tokenward.Config, []tokenward.Option, error) {
	app := providers.Setup{Config: tokenward.Config{
		Issuer: s.issuer, Domain: s.domain, ClientID: s.clientID, ClientSecret: s.clientSecret,
		ClientAuth: map[string]idp.AuthMethod{
			"basic": tokenward.ClientSecretBasic, "post": tokenward.ClientSecretPost, "none": tokenward.PublicClient,
		}[s.clientAuth],
	}}
	if setup != nil {
		app = *setup
	}
	cfg := app.Config
	cfg.Secrets, cfg.Audience = s.secrets(), s.audience
	byAudience, err := s.scopes()
	switch {
	case err != nil:
		return cfg, nil, err
	case byAudience != nil:
		cfg.ScopesFor, cfg.Scopes = byAudience, ""
	case s.scope != "":
		cfg.Scopes = s.scope
	}
	if s.par {
		app.Provider.PushedAuthorization = true
	}
	if s.signingKey != "" {
		text, err := os.ReadFile(s.signingKey)
		if err != nil {
			return cfg, nil, fmt.Errorf("-signing-key: %w", err)
		}
		key, err := idp.ParseSigningKey(text)
		if err != nil {
			return cfg, nil, fmt.Errorf("-signing-key: %s: %w", s.signingKey, err)
		}
		cfg.ClientAuth = idp.PrivateKeyJWT
		app.Credentials.SigningKey = key
	}
	return cfg, app.Options(), nil
}

// level returns -log-level, which was checked.
func (s settings) level() zapcore.Level {
	l, err := zapcore.ParseLevel(s.logLevel)
	if err != nil {
		return zapcore.WarnLevel
	}
	return l
}

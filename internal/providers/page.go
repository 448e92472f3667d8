package providers

import (
	"bytes"
	"fmt"
	"go/format"
	"io"
	"strconv"
	"strings"

	"github.com/tokenward/tokenward/idp/idptest"
)

// Without says, of providers at which issuer, client id and secret are enough to sign in, what
// the settings of the page bring beside that.
var Without = map[string]string{
	"google":                    noRefreshTokens,
	"google-iss-without-scheme": noRefreshTokens,
	"node-oidc-provider":        noRefreshTokens,
	"salesforce":                "an access token counts as good for an hour, whatever the administrator set",
	"slack":                     "the user has to sign in again after an hour, though the token is good",
	"workos":                    "no nonce is sent, which the provider's reference calls required",
}

const noRefreshTokens = "there are no refresh tokens"

// notes are what else has to be known of a provider.
var notes = map[string][]string{
	"auth0": {"Name the tenant by `Domain`, not by `Issuer`: then a logout goes to `/v2/logout`, and UserInfo is not asked (`ProviderConfig.UserInfo` has it asked)."},
	"entra": {"A user whose directory entry has no mail address has no claim `email`; `preferred_username` is there."},
	"entra-b2c": {
		"The addresses of the user are in the claim `emails`, a list.",
		"The client id as a scope is what gives an access token.",
	},
	"entra-organizations":       {"`isCustomer` says which tenants' users may sign in: `func(ctx context.Context, tenantID string) bool`. The aliases `common` and `consumers` work in the same way."},
	"entra-ciam":                {"The issuer has the directory's id as its host. Its metadata can be reached there too."},
	"keycloak":                  {"offline_access, which the default asks for, makes an offline session, which a logout in the browser does not end at Keycloak. `Scopes: \"openid profile email\"` makes one that it does."},
	"cognito":                   {"A logout always leads to the `logout_uri`, which must be registered."},
	"google":                    {"A refresh token comes with the consent only: without `prompt=consent` a user who has consented before brings none."},
	"google-iss-without-scheme": {"Such an iss is taken of accounts.google.com alone; the demo, whose tenant has another host, cannot play this one."},
	"apple":                     {"`credentials` returns a `ClientSecret` that is a JWT for Apple: signed with the key of the developer account by ES256, of at most six months.", "The name is in the form's field `user`, at the first login only, and not signed: `httpauth.OnLogin` gets the form."},
	"discord":                   {"Its scope `identify` stands for the profile."},
	"linkedin":                  {"Without PKCE and nonce nothing but the state binds the code to the login: a stolen code opens its owner's account. LinkedIn offers nothing else."},
	"salesforce":                {"`2*time.Hour` stands for the session timeout that the administrator set."},
	"slack":                     {"Without token rotation, which is an option of Slack's, tokens do not expire."},
	"logingov":                  {"`acr_values` is what the application is registered for.", "A logout must name a registered return address: `/auth/logout?return_to=/`."},
	"hydra":                     {"What the user's claims are is the choice of the consent app."},
	"par-required":              {"Such a provider says `require_pushed_authorization_requests` in its metadata."},
}

// WritePage writes docs/providers.md.
func WritePage(w io.Writer) error {
	var index, sections bytes.Buffer
	for _, p := range idptest.Profiles() {
		t, err := idptest.New(idptest.InProcess(), idptest.WithProfile(p))
		if err != nil {
			return err
		}
		s := For(p, t)
		t.Close()
		fmt.Fprintf(&index, "| [%s](#%s) | `%s` | %s | %s |\n", p.Title, anchor(p.Title), p.Name, settingsOf(p, s), cannotInShort(p))
		if err := section(&sections, p, s); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	_, err := fmt.Fprintf(w, head, len(idptest.Profiles()), index.String(), sections.String())
	return err
}

const head = `# Providers

How an application is configured for each of %d providers, and what the provider cannot do. ` + "`make providers`" + ` writes this page from
the profiles of [idp/idptest](../idp/idptest) and from [internal/providers](../internal/providers). The table test
([providers_test.go](../test/providers_test.go)) signs in at each of them with just this configuration: user, cached token, two refreshes, a
refused refresh, logout, back-channel logout. So the page says what was tried against the profiles, which are made of what the providers
document and of what users of many clients reported, at the date given. It does not say that it was tried at the provider itself.

The column *set beside* is what has to be set beside issuer, client id and client secret. The library reads the rest from the provider's
metadata; ` + "`Client.Provider`" + ` shows what it decided. What is set for more than to sign in is in parentheses.

In the Go below, ` + "`key`" + ` is the application's private key (` + "`idp.ParseSigningKey`" + ` reads a PEM file), ` + "`certificate`" + ` its
*x509.Certificate, ` + "`credentials`" + ` a ` + "`tokenward.CredentialSource`" + ` that returns the secret of the moment. Issuers have the form of the provider's;
yours has your own names in it. Where one server has several registrations, issuer, client id and redirect URI are those of
` + "`Config.RegistrationResolver`" + `, and what authenticates is given by ` + "`Config.Credentials`" + `; the other settings are for all of them, and
` + "`ProviderConfig.MetadataURL`" + ` and ` + "`Tenants`" + ` cannot be used there. To try one: ` + "`go run ./cmd/demo -provider NAME`" + `, with a fake tenant that plays the provider.

| provider | name | set beside | cannot |
|---|---|---|---|
%s
%s`

// settingsOf names the settings of a provider for the table.
func settingsOf(p idptest.Profile, s Setup) string {
	var all []string
	for _, one := range s.Settings {
		all = append(all, "`"+one.Name+"`")
	}
	text := strings.Join(all, ", ")
	if Without[p.Name] != "" {
		text = "(" + text + ")"
	}
	return text
}

// cannotInShort names what the provider cannot do for the table.
func cannotInShort(p idptest.Profile) string {
	if p.Refused != "" {
		return "**sign in**"
	}
	var all []string
	for _, l := range lacks(p) {
		all = append(all, l.short)
	}
	return strings.Join(all, ", ")
}

// lack is one thing that a provider cannot do.
type lack struct{ short, long string }

func lacks(p idptest.Profile) (all []lack) {
	for _, l := range []struct {
		is bool
		lack
	}{
		{p.Lacks.RefreshTokens && p.Tokens.ExpiresIn == idptest.ExpiresAbsent, lack{"refresh tokens", "There are no refresh tokens; the access token is good for as long as the session."}},
		{p.Lacks.RefreshTokens && p.Tokens.ExpiresIn != idptest.ExpiresAbsent, lack{"refresh tokens", "There are no refresh tokens: when the access token has expired, calls fail with `missing_refresh_token`, and `LoginRequired` is true."}},
		{p.Lacks.EndSession, lack{"logout", "There is no logout at the provider: the session here ends, the browser goes to the return address, and the next login may need no password."}},
		{p.Lacks.BackChannelLogout, lack{"back-channel logout", "There is no back-channel logout: a session that ends at the provider goes on here until a refresh is refused."}},
		{p.Lacks.Name && p.Lacks.Email, lack{"name, e-mail", "The user has neither name nor e-mail."}},
		{p.Lacks.Name && !p.Lacks.Email, lack{"name", "The user has no claim `name`."}},
		{p.Lacks.Email && !p.Lacks.Name, lack{"e-mail", "The user has no claim `email`."}},
	} {
		if l.is {
			all = append(all, l.lack)
		}
	}
	return all
}

// anchor returns the name that a heading has in links.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == ' ':
			return '-'
		}
		return -1
	}, title)
}

// section writes what the page says of one provider.
func section(w io.Writer, p idptest.Profile, s Setup) error {
	code, err := Code(s)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "## %s\n\nFacts of %s: %s.\n\n", p.Title, p.Facts, p.Summary)
	if p.Refused != "" {
		fmt.Fprintf(w, "**No login:** %s. The login fails with `invalid_token`, whose text says so.\n\n", p.Refused)
	}
	fmt.Fprintf(w, "```go\n%s```\n\n", code)
	if lost := Without[p.Name]; lost != "" {
		fmt.Fprintf(w, "- Without %s: %s.\n", "`"+strings.ReplaceAll(s.Names(), ", ", "`, `")+"`", lost)
	}
	if p.Refused == "" {
		for _, l := range lacks(p) {
			fmt.Fprintf(w, "- %s\n", l.long)
		}
	}
	for _, note := range notes[p.Name] {
		fmt.Fprintf(w, "- %s\n", note)
	}
	_, err = fmt.Fprintln(w)
	return err
}

// Code returns the lines of Go that configure an application, as a host writes them.
func Code(s Setup) (string, error) {
	var fields, handlers strings.Builder
	var provider, credentials []string
	line := func(name, code string) { fmt.Fprintf(&fields, "\t%s: %s,\n", name, code) }
	if s.Config.Domain != "" {
		line("Domain", strconv.Quote(s.Config.Domain))
	} else {
		line("Issuer", strconv.Quote(s.Config.Issuer))
	}
	line("ClientID", `os.Getenv("CLIENT_ID")`)
	if s.Config.ClientSecret != "" {
		line("ClientSecret", `os.Getenv("CLIENT_SECRET")`)
	}
	line("Secrets", `[]string{os.Getenv("SESSION_SECRET")}`)
	line("RedirectURI", `"https://app.example.com/auth/callback"`)
	for _, one := range s.Settings {
		switch of, field, _ := strings.Cut(one.Name, "."); of {
		case "Config":
			line(field, one.Code)
		case "ProviderConfig":
			provider = append(provider, field+": "+one.Code)
		case "Credentials":
			credentials = append(credentials, field+": "+one.Code)
		default:
			handlers.WriteString(", " + one.Code)
		}
	}
	text := "auth, err := tokenward.New(tokenward.Config{\n" + fields.String() + "}"
	if len(credentials) > 0 {
		text += ", tokenward.WithCredentials(tokenward.Credentials{" + strings.Join(credentials, ", ") + "})"
	}
	if len(provider) > 0 {
		text += ", tokenward.WithProvider(tokenward.ProviderConfig{" + strings.Join(provider, ", ") + "})"
	}
	text += ")\n"
	if handlers.Len() > 0 {
		text += "// and, where err is nil\nweb, err := httpauth.New(auth, \"https://app.example.com\"" + handlers.String() + ")\n"
	}
	out, err := format.Source([]byte(text))
	return string(out), err
}

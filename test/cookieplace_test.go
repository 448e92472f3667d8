package test_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// reachedAt is for a rig whose browsers come back to redirectURI.
func reachedAt(redirectURI string) []rigOption {
	return []rigOption{
		withTenant(idptest.WithClient("demo", "demo-secret", redirectURI)),
		withConfig(func(c *tokenward.Config) { c.RedirectURI = redirectURI }),
	}
}

// Behind a proxy that ends TLS the server sees http. The redirect URI says what browsers see.
func TestCookie_secureByTheRedirectURI(t *testing.T) {
	for _, tt := range []struct {
		cookies tokenward.Cookies
		prefix  string
	}{
		{tokenward.Cookies{}, "__Host-"},
		{tokenward.Cookies{Domain: "app.example"}, "__Secure-"},
		{tokenward.Cookies{Domain: ".App.example"}, "__Secure-"},
		{tokenward.Cookies{Domain: "www.app.example"}, "__Secure-"},
	} {
		r := newRig(t, append(reachedAt("https://www.app.example/callback"), withClient(tokenward.WithCookies(tt.cookies)))...)
		b := newBrowser(r)
		to := r.start(tokenward.LoginRequest{}, b.options())
		cookies := b.answer.Result().Cookies()
		b.took()
		back, err := r.tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.client.CompleteInteractiveLogin(t.Context(), back, b.options()); err != nil {
			t.Fatalf("%+v: %v", tt.cookies, err)
		}
		cookies = append(cookies, b.answer.Result().Cookies()...)
		for _, c := range cookies {
			if !strings.HasPrefix(c.Name, tt.prefix+"_a0_") || !c.Secure {
				t.Errorf("%+v: %s", tt.cookies, c)
			}
		}
		if len(cookies) != 3 { // the transaction's, that it is gone, and the session's
			t.Errorf("%+v: %d cookies, want 3", tt.cookies, len(cookies))
		}
	}
}

// The callback comes from the provider's site, so the cookie of a login under way is not Strict. A Path takes __Host- away.
func TestCookie_sameSiteAndPath(t *testing.T) {
	const strict, lax, none = http.SameSiteStrictMode, http.SameSiteLaxMode, http.SameSiteNoneMode
	for _, tt := range []struct {
		cookies        tokenward.Cookies
		prefix, path   string
		login, session http.SameSite
	}{
		{tokenward.Cookies{}, "__Host-", "/", lax, lax},
		{tokenward.Cookies{SameSite: strict}, "__Host-", "/", lax, strict},
		{tokenward.Cookies{SameSite: none}, "__Host-", "/", none, none},
		{tokenward.Cookies{Path: "/"}, "__Host-", "/", lax, lax},
		{tokenward.Cookies{Path: "/under"}, "__Secure-", "/under", lax, lax},
	} {
		for name, more := range map[string][]rigOption{"stateful": nil, "stateless": {withClient(tokenward.WithStatelessSessions())}} {
			opts := append(reachedAt("https://www.app.example/under/callback"), withClient(tokenward.WithCookies(tt.cookies)))
			r := newRig(t, append(opts, more...)...)
			b := newBrowser(r)
			to := r.start(tokenward.LoginRequest{}, b.options())
			begun := b.answer.Result().Cookies()
			b.took()
			back, err := r.tenant.Authorize(to)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.client.CompleteInteractiveLogin(t.Context(), back, b.options()); err != nil {
				t.Fatalf("%s, %+v: %v", name, tt.cookies, err)
			}
			for _, c := range append(begun, b.answer.Result().Cookies()...) {
				want := tt.login
				if strings.HasPrefix(c.Name, tt.prefix+"_a0_session") {
					want = tt.session
				}
				if !strings.HasPrefix(c.Name, tt.prefix+"_a0_") || c.SameSite != want || c.Path != tt.path || !c.Secure || !c.HttpOnly {
					t.Errorf("%s, %+v: %s", name, tt.cookies, c)
				}
			}
		}
	}
}

// A sibling host, or plain http, can set cookies for this host, but none with the prefix. A cookie without it signs no user
// in, least of all as the attacker who set it.
func TestCookie_withoutThePrefixIsNotRead(t *testing.T) {
	r := newRig(t, reachedAt("https://www.app.example/callback")...)
	attacker := newBrowser(r)
	to := r.start(tokenward.LoginRequest{}, attacker.options())
	attacker.took()
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	victim := newBrowser(r)
	for name, c := range attacker.others {
		victim.others[name] = &http.Cookie{Name: strings.TrimPrefix(name, "__Host-"), Value: c.Value}
	}
	_, err = r.client.CompleteInteractiveLogin(t.Context(), back, victim.options())
	wantError[*tokenward.MissingTransactionError](t, "with a tossed transaction", err, "missing_transaction_error")

	if _, err := r.client.CompleteInteractiveLogin(t.Context(), back, attacker.options()); err != nil {
		t.Fatalf("the attacker's own: %v", err)
	}
	attacker.took()
	tossed := httptest.NewRequest(http.MethodGet, "/", nil)
	tossed.AddCookie(&http.Cookie{Name: "_a0_session", Value: attacker.others["__Host-_a0_session"].Value})
	if u, err := r.client.GetUser(t.Context(), tokenward.HTTP(nil, tossed)); u != nil || err != nil {
		t.Errorf("with a tossed session: %v, %v", u, err)
	}
}

// What no browser keeps is said at once, not by a login that leads nowhere.
func TestCookie_thatNoBrowserKeepsIsRefused(t *testing.T) {
	const httpsURI, httpURI, loopback = "https://www.app.example/cb", "http://www.app.example/cb", "http://localhost:8080/cb"
	long := strings.Repeat("n", 257)
	for name, tt := range map[string]struct {
		redirectURI string
		option      tokenward.Option
		says        string // "": it is accepted
	}{
		"Secure on http":            {httpURI, tokenward.WithCookies(tokenward.Cookies{Secure: true}), "http RedirectURI"},
		"Secure on loopback":        {loopback, tokenward.WithCookies(tokenward.Cookies{Secure: true}), ""},
		"Secure on 127.0.0.1":       {"http://127.0.0.1/cb", tokenward.WithCookies(tokenward.Cookies{Secure: true}), ""},
		"Secure on [::1]":           {"http://[::1]:80/cb", tokenward.WithCookies(tokenward.Cookies{Secure: true}), ""},
		"Secure, no redirect URI":   {"", tokenward.WithCookies(tokenward.Cookies{Secure: true}), ""},
		"http":                      {httpURI, tokenward.WithCookies(tokenward.Cookies{}), ""},
		"a foreign Domain":          {httpsURI, tokenward.WithCookies(tokenward.Cookies{Domain: "other.example"}), "not that of"},
		"one that ends alike":       {httpsURI, tokenward.WithCookies(tokenward.Cookies{Domain: "pp.example"}), "not that of"},
		"a foreign Domain on http":  {httpURI, tokenward.WithCookies(tokenward.Cookies{Domain: "other.example"}), "not that of"},
		"a Domain below the host":   {httpsURI, tokenward.WithCookies(tokenward.Cookies{Domain: "a.www.app.example"}), "below"},
		"a Domain above the host":   {httpsURI, tokenward.WithCookies(tokenward.Cookies{Domain: "app.example"}), ""},
		"the host as Domain":        {httpsURI, tokenward.WithCookies(tokenward.Cookies{Domain: "www.app.example"}), ""},
		"a Domain of one label":     {httpsURI, tokenward.WithCookies(tokenward.Cookies{Domain: "example"}), "without a dot"},
		"localhost as Domain":       {loopback, tokenward.WithCookies(tokenward.Cookies{Domain: "localhost"}), "without a dot"},
		"an address as Domain":      {"http://127.0.0.1/cb", tokenward.WithCookies(tokenward.Cookies{Domain: "127.0.0.1"}), "IP address"},
		"an address and no URI":     {"", tokenward.WithCookies(tokenward.Cookies{Domain: "10.0.0.1"}), "IP address"},
		"any Domain and no URI":     {"", tokenward.WithCookies(tokenward.Cookies{Domain: "other.example"}), ""},
		"an app's own scheme":       {"com.example.app:/cb", tokenward.WithCookies(tokenward.Cookies{Domain: "other.example"}), ""},
		"a prefix by name":          {httpsURI, tokenward.WithIdentifiers("__Host-session", "tx"), "prefix"},
		"in other letters":          {httpsURI, tokenward.WithIdentifiers("session", "__sEcUrE-tx"), "prefix"},
		"one to come":               {httpURI, tokenward.WithIdentifiers("__Http-session", "tx"), "prefix"},
		"a long name":               {httpsURI, tokenward.WithIdentifiers(long, "tx"), "bytes"},
		"no name":                   {httpsURI, tokenward.WithIdentifiers("", "tx"), "empty"},
		"a name that is none":       {httpsURI, tokenward.WithIdentifiers("session", "a b"), "name of a transaction"},
		"too many chunks":           {httpsURI, tokenward.WithCookies(tokenward.Cookies{Chunks: 33}), "Chunks"},
		"fewer than none":           {httpsURI, tokenward.WithCookies(tokenward.Cookies{Chunks: -1}), "Chunks"},
		"None on https":             {httpsURI, tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteNoneMode}), ""},
		"None on http":              {httpURI, tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteNoneMode}), "None without Secure"},
		"None on loopback":          {loopback, tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteNoneMode}), "None without Secure"},
		"None, no redirect URI":     {"", tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteNoneMode}), "None without Secure"},
		"None and Secure, no URI":   {"", tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteNoneMode, Secure: true}), ""},
		"Strict":                    {httpURI, tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteStrictMode}), ""},
		"Default":                   {httpsURI, tokenward.WithCookies(tokenward.Cookies{SameSite: http.SameSiteDefaultMode}), "Lax, Strict or None"},
		"a SameSite that is none":   {httpsURI, tokenward.WithCookies(tokenward.Cookies{SameSite: 9}), "Lax, Strict or None"},
		"the Path of the callback":  {"https://app.example/a/cb", tokenward.WithCookies(tokenward.Cookies{Path: "/a"}), ""},
		"with a slash":              {"https://app.example/a/cb", tokenward.WithCookies(tokenward.Cookies{Path: "/a/"}), ""},
		"the callback itself":       {"https://app.example/a/cb", tokenward.WithCookies(tokenward.Cookies{Path: "/a/cb"}), ""},
		"a Path beside it":          {"https://app.example/a/cb", tokenward.WithCookies(tokenward.Cookies{Path: "/b"}), "does not cover"},
		"one that begins alike":     {"https://app.example/ab/cb", tokenward.WithCookies(tokenward.Cookies{Path: "/a"}), "does not cover"},
		"one below":                 {"https://app.example/a/cb", tokenward.WithCookies(tokenward.Cookies{Path: "/a/cb/"}), "does not cover"},
		"a URI without a path":      {"https://app.example", tokenward.WithCookies(tokenward.Cookies{}), ""},
		"a Path without a slash":    {httpsURI, tokenward.WithCookies(tokenward.Cookies{Path: "a"}), "begins with a slash"},
		"a Path with an attribute":  {httpsURI, tokenward.WithCookies(tokenward.Cookies{Path: "/; Domain=example"}), "begins with a slash"},
		"a Path with a query":       {httpsURI, tokenward.WithCookies(tokenward.Cookies{Path: "/?a"}), "begins with a slash"},
		"a long Path":               {httpsURI, tokenward.WithCookies(tokenward.Cookies{Path: "/" + long}), "begins with a slash"},
		"two underscores of no use": {httpsURI, tokenward.WithIdentifiers("__session", "__tx"), ""},
	} {
		cfg := wellConfigured()
		cfg.RedirectURI = tt.redirectURI
		c, err := tokenward.New(cfg, tt.option)
		if tt.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			closeClient(t, c)
			continue
		}
		if e := asError[*tokenward.ConfigurationError](t, name, err, "configuration_error"); e != nil && !strings.Contains(e.Message, tt.says) {
			t.Errorf("%s: %v, want a text with %q", name, err, tt.says)
		}
	}
}

func TestCookie_secureOnLoopbackIsAWarning(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	cfg := wellConfigured()
	cfg.RedirectURI = "http://localhost/cb"
	for _, secure := range []bool{true, false} {
		c, err := tokenward.New(cfg, tokenward.WithCookies(tokenward.Cookies{Secure: secure}), tokenward.WithLogger(zap.New(core)))
		if err != nil {
			t.Fatal(err)
		}
		closeClient(t, c)
	}
	if n := logs.FilterMessageSnippet("Safari").Len(); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

// A ceiling cuts short what a browser keeps only where that is the session itself.
func TestCookie_ceilingOfStatelessSessions(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	r.tenant.NextLogin(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
	b.login()
	for name, c := range b.others {
		if c.MaxAge != 3600 {
			t.Errorf("%s: Max-Age = %d, want 3600", name, c.MaxAge)
		}
	}
}

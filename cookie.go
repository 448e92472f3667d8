package tokenward

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tokenward/tokenward/internal/browser"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

// Cookies say how browsers keep their sessions, and for how long. Fields that are
// zero have their defaults.
type Cookies struct {
	// Secure sends cookies over https only, and puts __Host- before their names (with a
	// Domain or a Path: __Secure-), which keeps other hosts from setting them. Where the redirect URI is
	// https that is so without being told, also where a proxy ends the TLS. Where there is
	// no redirect URI, set it if browsers reach the server over https: without it cookies are Secure
	// only where the request came over TLS.
	Secure bool

	// Domain shares the session with all hosts under it: that of the redirect URI, or one above. The
	// default is with none.
	Domain string

	// Path is the path that browsers send the cookies with, and all below it, as they see it. The redirect URI
	// lies there. The default is /.
	Path string

	// SameSite says with which requests from other sites browsers send the session's cookies (RFC 6265bis section 5.6.7):
	// http.SameSiteLaxMode, the default, with links and other navigations by GET; SameSiteStrictMode with none;
	// SameSiteNoneMode with all, as pages in a frame of another site need, and only over https. With None use
	// httpauth.RefuseForgeries. With Strict a visitor who follows a link from another site comes without a session: the handlers and
	// Require of httpauth have the browser ask once more, from this site; behind Attach such a page looks signed out. The
	// cookie of a login under way is Lax then, for the callback comes from the provider's site.
	SameSite http.SameSite

	// Chunks is how many cookies, of 3 KiB each, a session of WithStatelessSessions takes at most: 5, up to
	// 32. Access tokens leave it before there would be more, and are asked for again: first those that no call
	// can get any more, then those that expire first. An access token that does not fit alone is an *AccessTokenError
	// with the code session_too_large; at a login it is left out, and then the ID token. Proxies that take
	// headers of 8 KiB only, as nginx and Apache do by default, are to be configured for more, or this
	// is 2.
	Chunks int

	// Inactivity is after how long unused a browser's session is over: 24 hours. The
	// use is noted about every twentieth of it.
	Inactivity time.Duration

	// Absolute is how long a browser's session lasts at most, counted from the login: 72
	// hours. It stands in the session: a change is for logins to come.
	Absolute time.Duration

	// Fixed gives sessions their absolute lifetime whether used or not.
	Fixed bool
}

// statelessSessions stands for the store that New makes.
type statelessSessions struct{ store.StateStore }

// WithStatelessSessions keeps sessions in the browser, in sealed cookies, in place of a
// state store. Read what cookie.States cannot promise, and prefer a store on the
// server where refresh tokens rotate or there are several processes. There is no
// back-channel logout.
func WithStatelessSessions() Option {
	return func(o *options) { o.states = statelessSessions{} }
}

// WithCookies says how browsers keep their sessions, and for how long. The
// defaults are those of the fields. The lifetimes are those of sessions that begin with
// HTTP, and are judged here, not by the browser. A ceiling that is earlier comes first.
func WithCookies(k Cookies) Option { return func(o *options) { o.cookies = k } }

func (k Cookies) orDefaults() Cookies {
	or(&k.Chunks, cookie.DefaultChunks)
	k.SameSite = cmp.Or(k.SameSite, http.SameSiteLaxMode)
	k.Path = cmp.Or(k.Path, "/")
	or(&k.Inactivity, 24*time.Hour)
	or(&k.Absolute, 72*time.Hour)
	return k
}

func (k Cookies) check() error {
	switch {
	case k.Inactivity < time.Second || k.Absolute < time.Second:
		return &ConfigurationError{Message: "WithCookies: Inactivity and Absolute must be a second or more"}
	case k.Chunks < 1 || k.Chunks > 32:
		return &ConfigurationError{Message: "WithCookies: Chunks must be 1 to 32"}
	case k.Domain != "" && (&http.Cookie{Name: "n", Domain: k.Domain}).Valid() != nil:
		return &ConfigurationError{Message: "WithCookies: Domain must be a domain name"}
	case k.SameSite < http.SameSiteLaxMode || k.SameSite > http.SameSiteNoneMode:
		return &ConfigurationError{Message: "WithCookies: SameSite must be Lax, Strict or None; a cookie without one is Lax in some browsers and None in others"}
	case !strings.HasPrefix(k.Path, "/") || len(k.Path) > maxCookiePath || strings.ContainsAny(k.Path, "?#") || (&http.Cookie{Name: "n", Path: k.Path}).Valid() != nil:
		return &ConfigurationError{Message: fmt.Sprintf("WithCookies: Path must be a path that begins with a slash, percent-encoded, of at most %d bytes", maxCookiePath)}
	}
	return nil
}

func (k Cookies) attributes() cookie.Attributes {
	return cookie.Attributes{Secure: k.Secure, Domain: k.Domain, Path: k.Path, SameSite: k.SameSite, Chunks: k.Chunks}
}

// ofLogins returns the attributes of the cookies of logins under way. The callback comes from another site, so they
// are never Strict.
func (k Cookies) ofLogins() cookie.Attributes {
	a := k.attributes()
	if a.SameSite == http.SameSiteStrictMode {
		a.SameSite = http.SameSiteLaxMode
	}
	return a
}

// Cookies returns how c has browsers keep their sessions: what WithCookies said, with the defaults, and with what the redirect URI
// decides.
func (c *Client) Cookies() Cookies { return c.opts.cookies }

// at returns k for browsers that reach the server where redirectURI says, and refuses cookies that no browser keeps
// there (RFC 6265 section 5.3).
func (k Cookies) at(redirectURI string) (Cookies, error) {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		u = nil // each login names its own
	}
	k.Secure = k.Secure || u != nil && u.Scheme == "https"
	if why := k.refusedAt(u); why != "" {
		return k, &ConfigurationError{Message: "WithCookies: " + why}
	}
	return k, nil
}

// refusedAt says why browsers refuse such cookies at u, which may be nil, "" where they keep them.
func (k Cookies) refusedAt(u *url.URL) string {
	domain := strings.ToLower(strings.TrimPrefix(k.Domain, "."))
	switch {
	case domain != "" && (!strings.Contains(domain, ".") || net.ParseIP(domain) != nil):
		return "Domain must be a domain name such as example.com; browsers share no cookies under an IP address or a name without a dot"
	case k.SameSite == http.SameSiteNoneMode && !k.Secure:
		return "SameSite None without Secure: browsers keep no such cookies; make the RedirectURI https, or set Secure"
	case u == nil:
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if why := refusesDomain(host, domain, k.Domain); why != "" {
		return why
	}
	switch {
	case k.Secure && u.Scheme == "http" && !loopback(host):
		return "Secure with an http RedirectURI: browsers keep no Secure cookies of http; make the RedirectURI https"
	case !within(u.EscapedPath(), k.Path):
		return fmt.Sprintf("Path %q does not cover %q, the path of RedirectURI, where browsers would not send the cookie of the login under way", k.Path, u.EscapedPath())
	}
	return ""
}

// within reports whether browsers send a cookie of that path with a request for path (RFC 6265 section 5.1.4).
func within(path, of string) bool {
	rest, below := strings.CutPrefix(path, of)
	return below && (rest == "" || strings.HasSuffix(of, "/") || strings.HasPrefix(rest, "/")) || path == "" && of == "/"
}

// refusesDomain says why browsers refuse cookies of domain from host, "" where they keep them. It is told as named.
func refusesDomain(host, domain, named string) string {
	switch {
	case domain == "" || domain == host || strings.HasSuffix(host, "."+domain) && net.ParseIP(host) == nil:
		return ""
	case strings.HasSuffix(domain, "."+host):
		return fmt.Sprintf("Domain %q is below %q, the host of RedirectURI, which cannot set cookies there; name that host or a domain above it", named, host)
	}
	return fmt.Sprintf("Domain %q is not that of %q, the host of RedirectURI, and browsers refuse its cookies", named, host)
}

// loopback reports whether host is this machine (RFC 6761 section 6.3), whose Secure cookies Chrome and Firefox keep over
// http, and Safari does not.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// checkCookieName refuses a name that browsers keep under conditions only, or not at all.
func checkCookieName(name, of string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return &ConfigurationError{Message: "WithIdentifiers: names must not be empty"}
	case (&http.Cookie{Name: name, Value: "x"}).Valid() != nil:
		return &ConfigurationError{Message: "WithIdentifiers: no cookie can have the name of " + of}
	case len(name) > maxCookieName:
		return &ConfigurationError{Message: fmt.Sprintf("WithIdentifiers: the name of %s has %d bytes and may have %d", of, len(name), maxCookieName)}
	case strings.HasPrefix(lower, "__host-"), strings.HasPrefix(lower, "__secure-"), strings.HasPrefix(lower, "__http-"):
		return &ConfigurationError{Message: "WithIdentifiers: the name of " + of + " must have no cookie prefix; the one that is right comes by itself"}
	}
	return nil
}

// Beside these a chunk and its other attributes have room in the 4096 bytes that browsers keep.
const (
	maxCookieName = 256
	maxCookiePath = 256
)

func (k Cookies) rules(name string) browser.Rules {
	return browser.Rules{Attributes: k.attributes(), Name: name, Inactivity: k.Inactivity, Absolute: k.Absolute, Fixed: k.Fixed}
}

// inactivity is after how long unused a session is over; 0 is never.
func (k Cookies) inactivity() time.Duration {
	if k.Fixed {
		return 0
	}
	return k.Inactivity
}

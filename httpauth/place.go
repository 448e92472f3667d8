package httpauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/tokenward/tokenward"
)

func wrong(message string) error { return &tokenward.ConfigurationError{Message: message} }

// parseBase returns a base URL without a slash at its end.
func parseBase(baseURL string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimRight(baseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" ||
		base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return nil, wrong("baseURL: must be an http or https URL without user, query or fragment")
	}
	if _, ok := ReturnPath(base.EscapedPath() + "/"); !ok {
		return nil, wrong("baseURL: its path must be without empty and dot segments")
	}
	if ascii(base.Host) != base.Host {
		return nil, wrong("baseURL: write the host as browsers send it, in ASCII (xn--, RFC 5891)")
	}
	return base, nil
}

// registration is what Register said: where the login is, or why nothing was registered.
type registration struct {
	prefix, login string
	err           error
}

// Register puts the handlers on a mux under prefix, such as /auth: login, callback (GET and POST), logout
// (GET and POST) and backchannel-logout, with ServeFrontchannelLogout frontchannel-logout, too. It decides where Require sends browsers, unless LoginPath does.
//
// The redirect URI must end with prefix and /callback, or no login could complete. Else, and for a prefix that is not
// a plain path, Register fails with a *tokenward.ConfigurationError and registers nothing; Require
// then answers every request with that error.
func (h *Handlers) Register(mux *http.ServeMux, prefix string) error {
	login, err := h.placeOf(prefix)
	h.registered.Store(&registration{prefix, login, err})
	if err != nil {
		return err
	}
	h.route(mux, prefix)
	return nil
}

// placeOf returns where browsers find the login if the handlers are registered under prefix.
func (h *Handlers) placeOf(prefix string) (login string, err error) {
	if _, ok := ReturnPath(prefix); !ok || strings.HasSuffix(prefix, "/") || strings.ContainsAny(prefix, "{}%?#") {
		return "", wrong(fmt.Sprintf("Register: the prefix %q must be a plain path such as /auth: it begins with a slash, ends without one, and has no spaces, braces, %%, ? or #", prefix))
	}
	if before := h.registered.Load(); before != nil && before.err == nil && before.prefix != prefix {
		return "", wrong(fmt.Sprintf("Register: these handlers are registered under %q already; for %q make others with New", before.prefix, prefix))
	}
	if h.redirectURI.Host == "" { // each login names its own
		return h.below(ascii(prefix) + "/login"), nil
	}
	at := h.redirectURI.Path
	if !strings.HasSuffix(at, prefix+"/callback") || !strings.HasPrefix(at, h.base.Path+"/") {
		return "", wrong(fmt.Sprintf("Register: with the prefix %q browsers find the callback at %q, and the client's RedirectURI has the path %q; change one of them",
			prefix, h.base.Path+prefix+"/callback", at))
	}
	return strings.TrimSuffix(h.redirectURI.EscapedPath(), "/callback") + "/login", nil
}

// loginPath is where browsers find the login.
func (h *Handlers) loginPath() (string, error) {
	place := h.registered.Load()
	switch {
	case place != nil && place.err != nil:
		return "", place.err
	case h.o.login != "":
		return h.below(h.o.login), nil
	case place != nil:
		return place.login, nil
	}
	return h.below("/auth/login"), nil
}

// below returns path as browsers see it, below the path of the base URL. A path that has it already stays: an
// application behind a proxy that takes it off may name either.
func (h *Handlers) below(path string) string {
	path = ascii(path)
	if rest, found := strings.CutPrefix(path, h.path); found && (rest == "" || strings.ContainsRune("/?#", rune(rest[0]))) {
		return path
	}
	return h.path + path
}

// ascii percent-encodes the characters of s outside ASCII (RFC 3987 section 3.1).
func ascii(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

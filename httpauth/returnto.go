package httpauth

import (
	"net/url"
	"strings"
)

// ReturnPath returns target when it is a path on this origin, with or without query and
// fragment, and whether it is. It refuses whatever a browser could read as another
// origin: schemes, two slashes, backslashes, control characters, dot segments.
func ReturnPath(target string) (string, bool) {
	if !strings.HasPrefix(target, "/") || len(target) > 2048 {
		return "", false
	}
	for _, r := range target {
		if r <= ' ' || r == '\\' || r == 0x7f || r == '\uFFFD' || r >= 0x80 && r < 0xA0 {
			return "", false
		}
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	path, _, _ := strings.Cut(target, "#")
	path, _, _ = strings.Cut(path, "?")
	for _, form := range []string{path, u.Path} { // as it is sent, and as it is read
		if strings.Contains(form, "//") || strings.Contains(form, `\`) {
			return "", false
		}
		for segment := range strings.SplitSeq(form, "/") {
			if segment == "." || segment == ".." {
				return "", false
			}
		}
	}
	if strings.ContainsFunc(u.Path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	return target, true
}

// returnURL makes of a path or an absolute URL on this origin an absolute URL, and of
// anything else "". A path lies below that of the base URL; a URL says it in full.
func (h *Handlers) returnURL(target string) string {
	path, below := target, h.below
	if u, err := url.Parse(target); err == nil && u.User == nil && origin(u) == h.origin {
		path, _ = strings.CutPrefix(target[len(u.Scheme+"://"):], u.Host)
		if path == "" {
			return h.origin
		}
		below = ascii
	}
	path, ok := ReturnPath(path)
	if !ok {
		return ""
	}
	return h.origin + below(path)
}

// origin returns the origin of u, which has a host, as browsers say it (RFC 6454 section 6.2).
func origin(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

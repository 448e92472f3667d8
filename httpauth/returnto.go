package httpauth

import (
	"net/url"
	"strings"
)

// ReturnPath returns target when it is a path on this origin, with or without query and
// fragment, and whether it is. It refuses all that a browser could read as another
// origin: schemes, two slashes, backslashes, control characters, dot segments.
func ReturnPath(target string) (string, bool) {
	if !strings.HasPrefix(target, "/") || len(target) > 2048 || strings.ContainsFunc(target, misreadInURL) {
		return "", false
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	path, _, _ := strings.Cut(target, "#")
	path, _, _ = strings.Cut(path, "?")
	if leavesOrigin(path) || leavesOrigin(u.Path) || strings.ContainsFunc(u.Path, isControl) { // as sent, and as read
		return "", false
	}
	return target, true
}

// misreadInURL reports whether browsers drop r from a URL or read it as something else: white space, controls (C1 among
// them), a backslash, a byte that is not UTF-8.
func misreadInURL(r rune) bool {
	return r <= ' ' || r == '\\' || r == 0x7f || r == '\uFFFD' || r >= 0x80 && r < 0xA0
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// leavesOrigin reports whether a browser could read path as another path, or as a host: by two slashes, a backslash or
// a dot segment.
func leavesOrigin(path string) bool {
	if strings.Contains(path, "//") || strings.Contains(path, `\`) {
		return true
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
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

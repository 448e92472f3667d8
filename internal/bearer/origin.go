// Package bearer has the rules of sending an access token to a resource server (RFC 6750): which servers may have it,
// and what they say when they refuse it. The rules are pure; the transports of HTTP and gRPC share them.
package bearer

import (
	"net/netip"
	"net/url"
	"strings"
)

// Origin is a scheme, a host and a port in their normal form, such as https://api.example.com:443. The empty one is none.
type Origin string

// ParseOrigin returns the origin of an absolute URL, whose path, query and fragment do not count. It says why one is wrong
// with a URL that no token may be sent to: without host, with a user, of a scheme other than https, but for http to a
// loopback host, or with a host outside ASCII.
func ParseOrigin(address string) (origin Origin, problem string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return "", "is no absolute URL such as https://api.example.com"
	case u.User != nil:
		return "", "must have no user"
	}
	origin = OriginOf(u.Scheme, u.Host)
	switch {
	case origin == "":
		return "", "needs a host in ASCII letters (an international name as xn--...), https, and a port that is a number if any"
	case strings.HasPrefix(string(origin), "http:") && !Loopback(u.Hostname()):
		return "", "must use https (http is accepted for loopback hosts only)"
	}
	return origin, ""
}

// OriginOf returns the origin of a scheme and a host, which may have a port. Letter case, a default port, a dot at the
// end of a name and the spelling of an IP address do not count. It is empty where no token can be meant to go: the scheme
// is neither http nor https, there is no host, or the host is not ASCII.
func OriginOf(scheme, hostport string) Origin {
	scheme = strings.ToLower(scheme)
	port, known := map[string]string{"http": "80", "https": "443"}[scheme]
	u := url.URL{Host: hostport}
	host := normalHost(u.Hostname())
	if p := u.Port(); p != "" {
		port = p
	}
	if !known || host == "" || port[0] == '0' {
		return ""
	}
	return Origin(scheme + "://" + host + ":" + port)
}

// normalHost returns host in lower case, "" for one that is no name or address in ASCII.
func normalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		switch addr = addr.Unmap(); {
		case addr.Zone() != "":
			return ""
		case addr.Is6():
			return "[" + addr.String() + "]"
		}
		return addr.String()
	}
	for _, c := range []byte(host) { // before ToLower, which makes ASCII of the Kelvin sign
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || '9' < c) && c != '-' && c != '.' && c != '_' {
			return ""
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Loopback reports whether host, without a port, is this machine.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

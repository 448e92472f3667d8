package session

import (
	"net"
	"net/url"
	"strings"
	"unicode/utf8"
)

// DomainOf returns how an issuer is written in State.Domain: the bare host where
// the issuer is https://host/, else the issuer URL.
func DomainOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return issuer
	}
	return u.Host
}

// IssuerOf returns the issuer URL that domain stands for: https://domain/ for a
// bare host, else domain itself.
func IssuerOf(domain string) string {
	if domain == "" || strings.Contains(domain, "://") {
		return domain
	}
	return "https://" + strings.TrimRight(domain, "/") + "/"
}

// NormalIssuer returns the form in which issuers and domains are compared: as a
// URL, scheme and host in lower case, without trailing slashes.
func NormalIssuer(issuer string) string {
	s := strings.TrimRight(IssuerOf(issuer), "/")
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	host, path, slash := strings.Cut(rest, "/")
	s = strings.ToLower(scheme) + "://" + strings.ToLower(host)
	if slash {
		s += "/" + path
	}
	return s
}

// SameIssuer reports whether a and b, issuers or domains, mean the same provider. An
// empty one means none.
func SameIssuer(a, b string) bool {
	return a != "" && b != "" && NormalIssuer(a) == NormalIssuer(b)
}

// CheckIssuer returns an error for an issuer URL that cannot be used: it must be
// absolute, without query, fragment or user, and https; http is accepted for
// loopback hosts only.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	_, rest, _ := strings.Cut(issuer, "://")
	host, _, _ := strings.Cut(rest, "/")
	switch {
	case err != nil || u.Hostname() == "" || strings.ContainsAny(host, `%"<>`) || !utf8.ValidString(issuer): // which net/url lets pass (RFC 3986 section 3.2.2)
		return &ConfigurationError{Message: "the issuer must be an absolute URL such as https://tenant.example/"}
	case u.User != nil || strings.ContainsAny(issuer, "?#"):
		return &ConfigurationError{Message: "the issuer must have no user, query or fragment"}
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return &ConfigurationError{Message: "the issuer must use https (http is accepted for loopback hosts only)"}
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

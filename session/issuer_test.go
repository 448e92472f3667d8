package session_test

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestDomainOf_andBack(t *testing.T) {
	tests := []struct{ issuer, domain, back string }{
		{"https://tenant.example/", "tenant.example", "https://tenant.example/"},
		{"https://tenant.example", "tenant.example", "https://tenant.example/"},
		{"https://tenant.example:8443/", "tenant.example:8443", "https://tenant.example:8443/"},
		{"https://id.example/realms/one", "https://id.example/realms/one", "https://id.example/realms/one"},
		{"http://127.0.0.1:9000/", "http://127.0.0.1:9000/", "http://127.0.0.1:9000/"},
		{"tenant.example", "tenant.example", "https://tenant.example/"},
		{"", "", ""},
	}
	for _, tt := range tests {
		got := session.DomainOf(tt.issuer)
		if got != tt.domain {
			t.Errorf("DomainOf(%q) = %q, want %q", tt.issuer, got, tt.domain)
		}
		if back := session.IssuerOf(got); back != tt.back {
			t.Errorf("IssuerOf(%q) = %q, want %q", got, back, tt.back)
		}
	}
}

func TestSameIssuer(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"https://Tenant.Example/", "tenant.example", true},
		{"HTTPS://tenant.example", "https://tenant.example//", true},
		{"https://id.example/Realm/", "https://ID.example/Realm", true},
		{"https://id.example/Realm", "https://id.example/realm", false},
		{"http://tenant.example/", "https://tenant.example/", false},
		{"tenant.example", "tenant.example.evil.example", false},
		{"", "", false},
		{"", "tenant.example", false},
	}
	for _, tt := range tests {
		if got := session.SameIssuer(tt.a, tt.b); got != tt.want {
			t.Errorf("SameIssuer(%q, %q) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestCheckIssuer(t *testing.T) {
	good := []string{"https://tenant.example/", "https://id.example/realms/one", "http://localhost:3000/", "http://127.0.0.1/", "http://[::1]:80/"}
	for _, issuer := range good {
		if err := session.CheckIssuer(issuer); err != nil {
			t.Errorf("CheckIssuer(%q) = %v", issuer, err)
		}
	}
	bad := []string{
		"", "tenant.example", "/path", "http://tenant.example/", "ftp://tenant.example/", "https://u:p@tenant.example/",
		"https://tenant.example/?a=b", "https://tenant.example/?", "https://tenant.example/#f", "https://:443/", "http://127.0.0.1.evil.example/", "https://%zz/",
	}
	for _, issuer := range bad {
		if err := session.CheckIssuer(issuer); !errors.Is(err, &session.ConfigurationError{}) {
			t.Errorf("CheckIssuer(%q) = %v, want a ConfigurationError", issuer, err)
		}
	}
}

func FuzzIssuer(f *testing.F) {
	for _, s := range []string{
		"https://tenant.example/", "tenant.example", "HTTPS://Tenant.Example//", "https://t.example/a/B/", "http://127.0.0.1:1/", "http://[::1%25eth0]/", "http://localhost",
		"https://u:p@t.example/", "https://t.example/?", "https://t.example/#", "https://", "//t.example", "https:///x", "https://t.example\x00", "ftp://t", "a://b://c", "https://t%2eexample/", "",
	} {
		f.Add(s, "https://tenant.example")
		f.Add(s, s+"/")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if session.SameIssuer(a, b) != session.SameIssuer(b, a) || a != "" && !session.SameIssuer(a, a) {
			t.Errorf("SameIssuer is no equality for %q and %q", a, b)
		}
		if session.CheckIssuer(a) != nil {
			return
		}
		if n := session.NormalIssuer(a); session.NormalIssuer(n) != n {
			t.Errorf("NormalIssuer(%q) = %q, and again %q", a, n, session.NormalIssuer(n))
		}
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			t.Fatalf("%q was let in", a)
		}
		if u.Scheme == "http" && u.Hostname() != "localhost" && !strings.EqualFold(u.Hostname(), "localhost") && net.ParseIP(u.Hostname()) == nil {
			t.Errorf("%q was let in without TLS", a)
		}
		if d := session.DomainOf(a); !session.SameIssuer(session.IssuerOf(d), a) {
			t.Errorf("%q is written %q, which is %q", a, d, session.IssuerOf(d))
		}
		// What counts as the same is asked at the same place.
		if other, err := url.Parse(b); session.CheckIssuer(b) == nil && session.SameIssuer(a, b) && err == nil &&
			(!strings.EqualFold(u.Host, other.Host) || strings.TrimRight(u.EscapedPath(), "/") != strings.TrimRight(other.EscapedPath(), "/")) {
			t.Errorf("%q counts as %q", a, b)
		}
	})
}

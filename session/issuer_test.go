package session_test

import (
	"errors"
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

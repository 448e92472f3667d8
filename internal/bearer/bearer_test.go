package bearer_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/bearer"
)

func TestParseOrigin(t *testing.T) {
	for address, want := range map[string]bearer.Origin{
		"https://api.example.com":            "https://api.example.com:443",
		"https://api.example.com/":           "https://api.example.com:443",
		"https://api.example.com/v1?a=b#c":   "https://api.example.com:443",
		"HTTPS://API.Example.COM:443":        "https://api.example.com:443",
		"https://api.example.com.":           "https://api.example.com:443",
		"https://api.example.com:8443/":      "https://api.example.com:8443",
		"https://xn--bcher-kva.example":      "https://xn--bcher-kva.example:443",
		"http://localhost:8080":              "http://localhost:8080",
		"http://127.0.0.1":                   "http://127.0.0.1:80",
		"http://127.1.2.3:1":                 "http://127.1.2.3:1",
		"http://[::1]:80":                    "http://[::1]:80",
		"http://[0:0::1]":                    "http://[::1]:80",
		"https://[2001:DB8::1]":              "https://[2001:db8::1]:443",
		"http://[::ffff:127.0.0.1]":          "http://127.0.0.1:80",
		"https://api.example.com:":           "https://api.example.com:443",
		"https://api_internal.example.com:1": "https://api_internal.example.com:1",

		"":                             "",
		"api.example.com":              "",
		"default":                      "",
		"urn:my:api":                   "",
		"/orders":                      "",
		"//api.example.com":            "",
		"https://":                     "",
		"https:///orders":              "",
		"https://ada@api.example.com":  "",
		"https://ada:x@api.example":    "",
		"http://api.example.com":       "",
		"http://localhost.example.com": "",
		"http://127.0.0.1.example":     "",
		"ftp://api.example.com":        "",
		"wss://api.example.com":        "",
		"https://bücher.example":       "",
		"https://api.example.com:0443": "",
		"https://a%2eexample.com":      "",
		"https://[fe80::1%25eth0]":     "",
		"https://\u212a.example":       "", // the Kelvin sign, which is k in lower case
	} {
		got, problem := bearer.ParseOrigin(address)
		if got != want || (problem == "") != (want != "") {
			t.Errorf("ParseOrigin(%q) = %q, %q; want %q", address, got, problem, want)
		}
		if strings.Contains(problem, "ada") {
			t.Errorf("%q: the problem shows what the URL holds: %s", address, problem)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		fields []string
		want   bool
	}{
		{[]string{`Bearer error="invalid_token"`}, true},
		{[]string{`bearer ERROR=invalid_token`}, true},
		{[]string{`Bearer realm="a, b", error="invalid_token", error_description="The token \"expired\""`}, true},
		{[]string{`Bearer error = "invalid_token"`}, true},
		{[]string{`Basic realm="x", Bearer realm="y",error="invalid_token"`}, true},
		{[]string{`Negotiate YWJjZA==, Bearer error="invalid_token"`}, true},
		{[]string{`Negotiate, Bearer error="invalid_token"`}, true},
		{[]string{`Negotiate YWJjZA=`, `Bearer error="invalid_token"`}, true},
		{[]string{`Basic realm="x"`, `Bearer error="invalid_token"`}, true},
		{[]string{`,, Bearer error="invalid_token",`}, true},
		{[]string{`Bearer scope="error=invalid_token", error="invalid_\token"`}, true},
		{[]string{"Bearer\trealm=\"x\",\terror=\"invalid_token\""}, true},

		{nil, false},
		{[]string{""}, false},
		{[]string{"Bearer"}, false},
		{[]string{`Bearer realm="api"`}, false},
		{[]string{`Bearer error="insufficient_scope"`}, false},
		{[]string{`Bearer error="invalid_request"`}, false},
		{[]string{`Bearer error="Invalid_Token"`}, false},
		{[]string{`Bearer error="invalid_token2"`}, false},
		{[]string{`Bearer error="insufficient_scope", error="invalid_token"`}, false},
		{[]string{`Bearer realm="error=\"invalid_token\""`}, false},
		{[]string{`Bearer realm=", error=invalid_token"`}, false},
		{[]string{`DPoP error="invalid_token"`}, false},
		{[]string{`Bearer realm="x", DPoP error="invalid_token"`}, false},
		{[]string{`MyBearer error="invalid_token"`}, false},
		{[]string{`error="invalid_token"`}, false},
		{[]string{`Bearer x_error="invalid_token"`}, false},
		{[]string{`Bearer error="invalid_token`}, false},
		{[]string{`Bearer error=`}, false},
		{[]string{`Bearer error="\`}, false},
		{[]string{`Bearer (error="invalid_token")`}, false},
	} {
		if got := bearer.Refused(tt.fields); got != tt.want {
			t.Errorf("Refused(%q) = %v, want %v", tt.fields, got, tt.want)
		}
	}
}

// Any text ends the reading, and no text is a refusal that does not have the word.
func FuzzRefused(f *testing.F) {
	f.Add(`Basic realm="x", Bearer realm="y",error="invalid_token"`)
	f.Add(`Negotiate YWJjZA==, Bearer error="invalid_\token"`)
	f.Fuzz(func(t *testing.T, field string) {
		if bearer.Refused([]string{field}) && !strings.Contains(strings.ReplaceAll(field, `\`, ""), "invalid_token") {
			t.Errorf("Refused(%q)", field)
		}
	})
}

// An origin is the origin of itself, and of an address that may be sent a token.
func FuzzOrigin(f *testing.F) {
	f.Add("https://api.example.com:8443/orders?a=b")
	f.Add("http://[::1]:80")
	f.Fuzz(func(t *testing.T, address string) {
		origin, problem := bearer.ParseOrigin(address)
		if (origin == "") == (problem == "") {
			t.Fatalf("ParseOrigin(%q) = %q, %q", address, origin, problem)
		}
		if origin == "" {
			return
		}
		u, err := url.Parse(address)
		if err != nil || u.User != nil || (u.Scheme != "https" && !bearer.Loopback(u.Hostname())) {
			t.Errorf("ParseOrigin(%q) = %q", address, origin)
		}
		if got, problem := bearer.ParseOrigin(string(origin)); problem != "" || got != origin {
			t.Errorf("ParseOrigin(%q) = %q, %q", origin, got, problem)
		}
	})
}

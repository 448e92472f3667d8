package httpauth_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/httpauth"
)

// hostile are return targets that some browser, proxy or library reads as another
// origin, or that serve nothing but to try.
var hostile = []string{
	"", "//", "///", "////", "//evil.example", "///evil.example", "////evil.example/", "//evil.example/%2e%2e",
	`\evil.example`, `\\evil.example`, `/\evil.example`, `/\/evil.example`, `\/evil.example`, `/\\evil.example`, `/path\..\..\evil`,
	"/\t/evil.example", "/\n/evil.example", "/\r\n/evil.example", "\t//evil.example", " //evil.example", " /ok", "\n/ok", "/ok\n", "/ok\r\nSet-Cookie: a=b",
	"/%0a/evil.example", "/%0d%0aSet-Cookie:a=b", "/%09/evil.example", "/%00", "/a\x00b", "/\x7f",
	"http://evil.example", "https://evil.example", "HTTPS://evil.example", "http:evil.example", "https:/evil.example", "http:///evil.example",
	"https:evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://evil.example",
	"evil.example", "evil.example/path", "www.evil.example", ".evil.example", "@evil.example", "/..//evil.example", "/.//evil.example", "/a/..//evil.example",
	"/./", "/../", "/a/../../b", "/a/./b", "/%2e%2e//evil.example", "/%2e%2e/evil", "/%2f/evil.example", "/%2fevil.example", "/%5cevil.example", "/a//evil.example",
	"/%5c%5cevil.example", "/a%2f%2fevil.example", "?next=//evil.example", "#//evil.example", ";//evil.example",
	"\u2028//evil.example", "/\u0085/evil.example", "/\ufffd", "\ufeff//evil.example", "／／evil.example", "/%zz", "https://app.example@evil.example",
	"https://app.example.evil.example/", "//app.example@evil.example", "/" + strings.Repeat("a", 4096),
}

var friendly = []string{"/", "/a", "/a/b", "/a/b/", "/a?b=c", "/a?next=https://elsewhere.example/x", "/a#b", "/a#//b", "/?q=//x", "/a%20b", "/ä", "/a:b", "/@x", "/a;b=c"}

func TestReturnPath_leavesTheOriginForNobody(t *testing.T) {
	if len(hostile) < 60 {
		t.Errorf("corpus has %d forms, want 60 or more", len(hostile))
	}
	for _, target := range hostile {
		if got, ok := httpauth.ReturnPath(target); ok {
			t.Errorf("ReturnPath(%q) = %q, true", target, got)
		}
	}
	for _, target := range friendly {
		if got, ok := httpauth.ReturnPath(target); !ok || got != target {
			t.Errorf("ReturnPath(%q) = %q, %v", target, got, ok)
		}
	}
}

func FuzzReturnPath(f *testing.F) {
	for _, target := range append(hostile, friendly...) {
		f.Add(target)
	}
	base, err := url.Parse("https://app.example/some/page")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		got, ok := httpauth.ReturnPath(target)
		if !ok {
			return
		}
		at, err := base.Parse(got)
		if err != nil || at.Scheme != "https" || at.Host != "app.example" || at.User != nil {
			t.Errorf("ReturnPath(%q) leads to %v, %v", target, at, err)
		}
		if strings.ContainsAny(got, "\r\n\t\\") || strings.HasPrefix(got, "//") {
			t.Errorf("ReturnPath(%q) = %q", target, got)
		}
	})
}

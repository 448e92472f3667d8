package session_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

func TestParseScope(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{" \t\n", ""},
		{"b a", "a b"},
		{"  b\t a\n\nb ", "a b"},
		{"A a", "A a"},
	}
	for _, tt := range tests {
		if got := session.ParseScope(tt.in).String(); got != tt.want {
			t.Errorf("ParseScope(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestScopeSet_Covers(t *testing.T) {
	tests := []struct {
		have, want string
		covers     bool
	}{
		{"a b c", "c a", true},
		{"a b c", "", true},
		{"", "", true},
		{"a", "a b", false},
		{"", "a", false},
		{"ab", "a", false},
		{"a", "ab", false},
		{"a c", "b", false},
	}
	for _, tt := range tests {
		if got := session.ParseScope(tt.have).Covers(session.ParseScope(tt.want)); got != tt.covers {
			t.Errorf("%q covers %q = %v, want %v", tt.have, tt.want, got, tt.covers)
		}
	}
}

func TestMergeScopes(t *testing.T) {
	tests := []struct {
		parts []string
		want  string
	}{
		{nil, ""},
		{[]string{"", " "}, ""},
		{[]string{"openid email", "write:admin"}, "openid email write:admin"},
		{[]string{"read:x write:x", "write:x read:y"}, "read:x write:x read:y"},
		{[]string{"", "z z  y"}, "z y"},
	}
	for _, tt := range tests {
		if got := session.MergeScopes(tt.parts...); got != tt.want {
			t.Errorf("MergeScopes(%q) = %q, want %q", tt.parts, got, tt.want)
		}
	}
}

// scopes draws a scope string as people write them: repeated, in any order, with
// any white space.
func scopes() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "b", "c", "read:x", "é"}), 0, 6).Draw(t, "scopes")
		space := rapid.SampledFrom([]string{" ", "  ", "\t", " \n"}).Draw(t, "space")
		return strings.Join(words, space)
	})
}

func TestMergeScopes_properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := scopes().Draw(t, "a"), scopes().Draw(t, "b")
		merged := session.MergeScopes(a, b)

		if again := session.MergeScopes(merged); again != merged {
			t.Errorf("merging %q again gives %q", merged, again)
		}
		if first := session.MergeScopes(a); !strings.HasPrefix(merged, first) {
			t.Errorf("MergeScopes(%q, %q) = %q does not begin with %q", a, b, merged, first)
		}
		set := session.ParseScope(merged)
		if len(set) != len(strings.Fields(merged)) {
			t.Errorf("MergeScopes(%q, %q) = %q repeats a scope", a, b, merged)
		}
		want := slices.Concat(strings.Fields(a), strings.Fields(b))
		if !set.Equal(session.ParseScope(strings.Join(want, " "))) {
			t.Errorf("MergeScopes(%q, %q) = %q is another set", a, b, merged)
		}
		if !set.Covers(session.ParseScope(b)) {
			t.Errorf("%q does not cover %q", merged, b)
		}
	})
}

func FuzzMergeScopes(f *testing.F) {
	f.Add("openid email", "email read:x")
	f.Add(" \t", "")
	f.Add("a\u00a0b", "a\x00b")
	f.Add("\xff", "é\u2003e")
	f.Fuzz(func(t *testing.T, a, b string) {
		merged := session.MergeScopes(a, b)
		if again := session.MergeScopes(merged, b, a); again != merged {
			t.Fatalf("merging %q again gives %q", merged, again)
		}
		if got, want := session.ParseScope(merged), session.ParseScope(b+" "+a); !got.Equal(want) {
			t.Fatalf("MergeScopes(%q, %q) = set %q, want %q", a, b, got, want)
		}
		set := session.ParseScope(merged)
		if !session.ParseScope(set.String()).Equal(set) {
			t.Fatalf("%q is not canonical", set.String())
		}
	})
}

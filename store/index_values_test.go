package store_test

import (
	"slices"
	"testing"

	"github.com/tokenward/tokenward/store"
)

func TestSealer_indexValues(t *testing.T) {
	s := newSealer(t, secretA)
	all := s.IndexValues("https://tenant.example/", "sid", "sub", "a@example.com")
	if len(all) != 4 {
		t.Fatalf("IndexValues = %x, want four", all)
	}
	for _, same := range []string{"https://tenant.example", "HTTPS://Tenant.Example/", "tenant.example"} {
		if got := s.IndexValues(same, "sid", "sub", " A@Example.COM"); !slices.Equal(got, all) {
			t.Errorf("IndexValues of issuer %s = %x, want %x", same, got, all)
		}
	}
	seen := map[store.IndexValue]string{all[0]: "sid", all[1]: "sub", all[2]: "issuer", all[3]: "email"}
	if len(seen) != 4 {
		t.Errorf("IndexValues = %x, want four that differ", all)
	}
	for _, other := range [][4]string{
		{"https://other.example/", "sid", "sub", "a@example.com"},
		{"https://tenant.example/sid", "x", "y", "z@example.com"},
		{"https://another.example/", "sub", "sid", "sub"},
		{"https://a-third.example/", "sidsub", "subsid", "sid"},
	} {
		for i, v := range s.IndexValues(other[0], other[1], other[2], other[3]) {
			if was, ok := seen[v]; ok {
				t.Errorf("value %d of %q is that of %s", i, other, was)
			}
		}
	}
	if one, other := s.LookupSub("tenant.example", "x"), s.LookupEmail("tenant.example", "x"); one[0] == other[0] {
		t.Error("a sub and an email have one index value")
	}
	tests := []struct {
		name             string
		issuer, sid, sub string
		want             []store.IndexValue
	}{
		{"no sid", "tenant.example", "", "sub", all[1:3]},
		{"no sub", "tenant.example", "sid", "", []store.IndexValue{all[0], all[2]}},
		{"neither", "tenant.example", "", "", all[2:3]},
		{"no issuer", "", "sid", "sub", nil},
	}
	for _, tt := range tests {
		if got := s.IndexValues(tt.issuer, tt.sid, tt.sub, ""); !slices.Equal(got, tt.want) {
			t.Errorf("%s: IndexValues = %x, want %x", tt.name, got, tt.want)
		}
	}
}

func TestSealer_lookupSurvivesRotation(t *testing.T) {
	const issuer = "https://tenant.example/"
	old := newSealer(t, secretA).IndexValues(issuer, "sid", "sub", "a@example.com")
	fresh := newSealer(t, secretB).IndexValues(issuer, "sid", "sub", "a@example.com")
	during := newSealer(t, secretB, secretA)
	if got, want := during.LookupSID(issuer, "sid"), []store.IndexValue{fresh[0], old[0]}; !slices.Equal(got, want) {
		t.Errorf("LookupSID = %x, want %x", got, want)
	}
	if got, want := during.LookupSub(issuer, "sub"), []store.IndexValue{fresh[1], old[1]}; !slices.Equal(got, want) {
		t.Errorf("LookupSub = %x, want %x", got, want)
	}
	if got, want := during.LookupIssuer(issuer), []store.IndexValue{fresh[2], old[2]}; !slices.Equal(got, want) {
		t.Errorf("LookupIssuer = %x, want %x", got, want)
	}
	if got, want := during.LookupEmail(issuer, "A@example.com "), []store.IndexValue{fresh[3], old[3]}; !slices.Equal(got, want) {
		t.Errorf("LookupEmail = %x, want %x", got, want)
	}
	if got := during.IndexValues(issuer, "sid", "sub", "a@example.com"); !slices.Equal(got, fresh) {
		t.Errorf("IndexValues = %x, want those of the first secret", got)
	}
	if got := slices.Concat(during.LookupSID(issuer, ""), during.LookupSub("", "sub"), during.LookupEmail(issuer, " "), during.LookupIssuer("")); got != nil {
		t.Errorf("lookups of nothing = %x, want none", got)
	}
}

// What an issuer ends with and what a sid begins with are told apart.
func TestSealer_indexValuesOfAnotherDivision(t *testing.T) {
	s := newSealer(t, secretA)
	one, other := s.LookupSID("https://tenant.example/a", "b"), s.LookupSID("https://tenant.example", "/ab")
	if one[0] == other[0] {
		t.Error("two sessions have one index value")
	}
}

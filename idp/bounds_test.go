package idp

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Keys that were fetched from where the metadata no longer says they are, are not kept.
func TestCache_keysOfAnotherPlace(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := newCache()
	c.put("https://tenant.example", Metadata{JWKSURI: "https://tenant.example/new"}, now)
	old, set := &keySet{}, &keySet{}
	c.putKeys("https://tenant.example", "https://tenant.example/old", old, now)
	if p, _ := c.get("https://tenant.example"); p.keys != nil {
		t.Error("keys of the old place are kept")
	}
	c.putKeys("https://tenant.example", "https://tenant.example/new", set, now)
	if p, _ := c.get("https://tenant.example"); p.keys != set || !p.keysFresh(now.Add(10*time.Minute-1)) || p.keysFresh(now.Add(10*time.Minute)) {
		t.Error("keys are kept for ten minutes")
	}
}

// What the transport says of a failure is cut to 200 characters, and of no text more than 64 KiB is looked at.
func TestScrubber_bounds(t *testing.T) {
	err := newWireError(t.Context(), errors.New(strings.Repeat("é", 1000)), scrubber{})
	if n := len([]rune(err.Error())); n != 200 {
		t.Errorf("a failure is told in %d characters, want 200", n)
	}
	if n := len(scrubber{}.scrub(strings.Repeat("a", 1<<20))); n != 64<<10 {
		t.Errorf("%d bytes are looked at, want 64 KiB", n)
	}
}

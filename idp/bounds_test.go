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

// A tenant in an issuer has 100 characters at most.
func TestTenant_length(t *testing.T) {
	if !isTenant(strings.Repeat("a", 100)) || isTenant(strings.Repeat("a", 101)) {
		t.Error("100 characters are a tenant, 101 are none")
	}
}

// A burst of as many requests as go out at once keeps its connections.
func TestNew_idleConnections(t *testing.T) {
	c, err := New(Config{ClientID: "client", ClientSecret: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.own.MaxIdleConnsPerHost != 1024 || c.own.MaxIdleConns != 0 {
		t.Errorf("%d idle connections are kept at one provider, of %d", c.own.MaxIdleConnsPerHost, c.own.MaxIdleConns)
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

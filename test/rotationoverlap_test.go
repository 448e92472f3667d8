package test_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store"
)

// New warns where the provider's overlap is shorter than it can take until what a crash cut off is
// presented again: a lease, a flight and a store deadline. Where nothing is written down there
// is nothing to warn of.
func TestRotationOverlap_isWarnedOf(t *testing.T) {
	limits := tokenward.Limits{Lease: 5 * time.Second, FlightTimeout: 10 * time.Second, StoreTimeout: 4 * time.Second}
	const need = 19 * time.Second
	for name, c := range map[string]struct {
		opts   []tokenward.Option
		memory []store.MemoryOption
		warns  bool
	}{
		"too short":                 {[]tokenward.Option{withProvider(tokenward.ProviderConfig{RotationOverlap: need - 1})}, []store.MemoryOption{store.Shared()}, true},
		"none":                      {[]tokenward.Option{withProvider(tokenward.ProviderConfig{RotationOverlap: -1})}, []store.MemoryOption{store.Shared()}, true},
		"just long enough":          {[]tokenward.Option{withProvider(tokenward.ProviderConfig{RotationOverlap: need})}, []store.MemoryOption{store.Shared()}, false},
		"not stated":                {nil, []store.MemoryOption{store.Shared()}, false},
		"a store without processes": {[]tokenward.Option{withProvider(tokenward.ProviderConfig{RotationOverlap: -1})}, nil, false},
	} {
		r := newRig(t, withClient(append(c.opts, tokenward.WithLimits(limits))...), func(rc *rigConfig) { rc.memory = c.memory })
		if got := strings.Contains(r.log.text.String(), "rotation overlap"); got != c.warns {
			t.Errorf("%s: warned %v, want %v", name, got, c.warns)
		}
	}
}

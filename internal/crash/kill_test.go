package crash_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/crash"
	"github.com/tokenward/tokenward/internal/servers"
)

func place(t *testing.T, kind crash.Kind) *crash.Place {
	t.Helper()
	p, err := crash.NewPlace(kind)
	var missing *servers.MissingError
	switch {
	case errors.As(err, &missing):
		t.Skip(missing)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestKill(t *testing.T) {
	for _, kind := range crash.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := place(t, kind)
			for _, overlap := range []time.Duration{30 * time.Second, 0} {
				r, err := crash.Campaign(t.Context(), p, crash.Plan{Kills: 10, Seed: 1, Overlap: overlap})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", r)
			}
		})
	}
}

func TestOutage(t *testing.T) {
	for _, kind := range []crash.Kind{crash.Redis, crash.Postgres} {
		t.Run(string(kind), func(t *testing.T) {
			r, err := crash.Outages(t.Context(), place(t, kind), crash.Plan{Kills: 3, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", r)
		})
	}
}

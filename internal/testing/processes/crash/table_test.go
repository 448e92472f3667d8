package crash_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/testing/processes/crash"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	err := crash.WriteTable(&out, []crash.Result{
		{Kind: crash.Bolt, Overlap: 30 * time.Second, Rounds: 3, Kills: 4, Both: 1, InFlight: 9, Window: 2, Recovered: 2, Again: 2, Took: 1500 * time.Millisecond},
		{Kind: crash.Redis, Server: true, Rounds: 1, Kills: 1, Window: 5, Recovered: 4, Lost: 1, Informed: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"store overlap rounds kills with the server in flight in the window recovered lost told presented again reuses time",
		"bolt 30s 3 4 1 9 2 2 0 0 2 0 2s",
		"redis server 1 1 0 0 5 4 1 1 0 0 0s",
		"all 4 5 1 9 7 6 1 1 2 0 2s",
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("table:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A failing round says how to repeat it.
func TestRoundError(t *testing.T) {
	cause := errors.New("why")
	for want, e := range map[string]*crash.RoundError{
		"make crash STORE=bolt OVERLAP=30s N=1 SEED=7": {Kind: crash.Bolt, Overlap: 30 * time.Second, Seed: 7, Err: cause},
		"make crash STORE=redis SERVER=1 N=1 SEED=8":   {Kind: crash.Redis, Server: true, Seed: 8, Err: cause},
	} {
		if text := e.Error(); !strings.Contains(text, want) || !errors.Is(e, cause) {
			t.Errorf("%q, want %q in it", text, want)
		}
	}
}

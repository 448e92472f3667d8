package main

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both jobs are done, and nothing is left running.
func TestActors(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	slices.Sort(lines)
	if want := []string{"client: done with a token of default", "staff: done with a token of default"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}

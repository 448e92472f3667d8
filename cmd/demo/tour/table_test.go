package tour

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWrap(t *testing.T) {
	tests := []struct {
		text  string
		width int
		want  []string
	}{
		{"", 5, nil},
		{"one two", 7, []string{"one two"}},
		{"one two", 6, []string{"one", "two"}},
		{"  one \n two  ", 9, []string{"one two"}},
		{"a abcdefgh b", 3, []string{"a", "abc", "def", "gh", "b"}},
		{"äöü äöü", 7, []string{"äöü äöü"}},
	}
	for _, tt := range tests {
		if got := wrap(tt.text, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("wrap(%q, %d) = %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}

func TestCount(t *testing.T) {
	tests := []struct {
		n    int
		want string
	}{{0, "0 calls"}, {1, "1 call"}, {999, "999 calls"}, {1000, "1,000 calls"}, {1234567, "1,234,567 calls"}}
	for _, tt := range tests {
		if got := count(tt.n, "call"); got != tt.want {
			t.Errorf("count(%d) = %q, want %q", tt.n, got, tt.want)
		}
	}
}

func TestFigures_tellTheSpreadAndTheBestTime(t *testing.T) {
	runs := []sample{
		{requests: 1, peak: 1, tokens: 1, alive: true, wall: 3 * time.Millisecond},
		{requests: 1200, peak: 1, tokens: 1, failures: 2, reuses: 1, wall: 2 * time.Millisecond},
	}
	want := "1 to 1,200 requests, at most 1 at once, 1 token, 0 to 2 failures, 0 to 1 reuse; " +
		"session revoked at the tenant in 1 of 2 runs; 2.0 ms"
	if got := figures(runs); got != want {
		t.Errorf("figures = %q, want %q", got, want)
	}
}

func TestWriteTable_alignsItsColumns(t *testing.T) {
	var out strings.Builder
	writeTable(&out, []Row{{
		Promise: "P0 a promise of several words in a row", Done: "this", Library: "that", Plain: "other", Broken: []string{"why"},
	}})
	lines := strings.Split(out.String(), "\n")
	for title, cell := range map[string]string{"what": "this", "measured": "that", "plain": "other", "result": "BROKEN"} {
		if got, want := strings.Index(lines[2], cell), strings.Index(lines[0], title); got != want {
			t.Errorf("%q stands at %d, want %d, below %q", cell, got, want, title)
		}
	}
}

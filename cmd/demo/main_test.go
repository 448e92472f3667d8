package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/cmd/demo/tour"
)

// asDemo has the test binary be the demo, for tests that want a process.
const asDemo = "DEMO_TEST_AS_DEMO"

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) != "" {
		main()
	}
	goleak.VerifyTestMain(tests{m})
}

type tests struct{ *testing.M }

// Run runs the tests and ends the servers, before anybody looks for what still runs.
func (m tests) Run() int {
	defer theRedis.Close()
	defer thePostgres.Close()
	return m.M.Run()
}

func TestTour_holdsEveryPromise(t *testing.T) {
	size := tour.Full
	size.Runs = 1
	if testing.Short() {
		size.Callers = []int{1, 100}
	}
	var out bytes.Buffer
	stops := tour.Stops(size)
	if code := guide(t.Context(), &out, stops); code != exitOK {
		t.Errorf("exit code = %d, want %d", code, exitOK)
	}
	held := 0
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 {
			t.Errorf("line of %d characters, want at most 120: %s", n, line)
		}
		if strings.HasSuffix(line, "  held\n") {
			held++
		}
	}
	if held != len(stops) {
		t.Errorf("rows that say held = %d, want %d", held, len(stops))
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestTour_exitsOneWhenAPromiseIsBroken(t *testing.T) {
	held := tour.Stop{Name: "one that holds", Play: func(context.Context) (tour.Row, error) {
		return tour.Row{Promise: "P0 holds"}, nil
	}}
	broken := tour.Stop{Name: "one that does not", Play: func(context.Context) (tour.Row, error) {
		return tour.Row{Promise: "P0 is broken", Broken: []string{"requests = 2, promised 1"}}, nil
	}}
	failing := tour.Stop{Name: "one that cannot be played", Play: func(context.Context) (tour.Row, error) {
		return tour.Row{}, errors.New("no tenant")
	}}
	tests := []struct {
		name  string
		stops []tour.Stop
		code  int
		says  string
	}{
		{"held", []tour.Stop{held, held}, exitOK, "2 of 2 held"},
		{"broken", []tour.Stop{held, broken}, exitBroken, "broken: P0 is broken: requests = 2, promised 1\n1 of 2 held"},
		{"not played", []tour.Stop{failing, held}, exitBroken, "broken: one that cannot be played: not played to the end: no tenant\n1 of 2 held"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		if code := guide(t.Context(), &out, tt.stops); code != tt.code {
			t.Errorf("%s: exit code = %d, want %d", tt.name, code, tt.code)
		}
		if !strings.Contains(out.String(), tt.says) {
			t.Errorf("%s: output lacks %q:\n%s", tt.name, tt.says, out.String())
		}
		if got := strings.Contains(out.String(), "BROKEN"); got != (tt.code == exitBroken) {
			t.Errorf("%s: a row says BROKEN = %v, want %v", tt.name, got, !got)
		}
	}
}

func TestTour_interruptedIsNotHeld(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	stop := tour.Stop{Name: "interrupted", Play: func(context.Context) (tour.Row, error) {
		interrupt()
		return tour.Row{Promise: "P0 holds"}, nil
	}}
	var out bytes.Buffer
	if code := guide(ctx, &out, []tour.Stop{stop, stop}); code != exitBroken {
		t.Errorf("exit code = %d, want %d", code, exitBroken)
	}
	if !strings.Contains(out.String(), "0 of 2 held") || strings.Contains(out.String(), "BROKEN") {
		t.Errorf("want 0 of 2 held and nothing called broken:\n%s", out.String())
	}
}

func TestFlags(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // what each contains; empty: it is empty
	}{
		{"help", []string{"-h"}, exitOK, "-tour", ""},
		{"unknown", []string{"-tuor"}, exitUsage, "", "demo: flag provided but not defined: -tuor\n"},
		{"bad value", []string{"-tour=maybe"}, exitUsage, "", `demo: invalid boolean value "maybe" for -tour`},
		{"argument", []string{"-tour", "twice"}, exitUsage, "", "demo: unexpected argument \"twice\"\n"},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), tt.args, noEnvironment, &stdout, &stderr); code != tt.code {
			t.Errorf("%s: exit code = %d, want %d", tt.name, code, tt.code)
		}
		for _, o := range []struct {
			name, got, want string
		}{{"stdout", stdout.String(), tt.stdout}, {"stderr", stderr.String(), tt.stderr}} {
			if !strings.Contains(o.got, o.want) || o.want == "" && o.got != "" {
				t.Errorf("%s: %s = %q, want %q in it", tt.name, o.name, o.got, o.want)
			}
		}
		if n := strings.Count(stderr.String(), "\n"); n > 1 {
			t.Errorf("%s: %d lines on stderr, want one at most", tt.name, n)
		}
	}
}

func noEnvironment(string) string { return "" }

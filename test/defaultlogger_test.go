package test_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
)

// standardError returns the text that do writes to standard error.
func standardError(t *testing.T, do func()) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = write
	do()
	os.Stderr = old
	_ = write.Close()
	text, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	return string(text)
}

// A host that says nothing of a logger reads the warnings all the same.
func TestLogger_theDefaultWritesWarningsToStandardError(t *testing.T) {
	r := newRig(t)
	run := func(opts ...tokenward.Option) string {
		return standardError(t, func() {
			c, err := tokenward.New(r.cfg, append([]tokenward.Option{
				tokenward.WithClock(r.clock), tokenward.WithStateStore(r.store), tokenward.WithHTTPClient(r.tenant.Client()),
			}, opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			closeClient(t, c)
		})
	}
	if text := run(); text != "" {
		t.Errorf("with nothing to warn of, standard error has %q", text)
	}
	stateless := tokenward.WithStatelessSessions()
	text := run(stateless)
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, "warn") || !strings.Contains(text, "tokenward") || !strings.Contains(text, "sessions are kept in cookies") {
		t.Errorf("standard error has %q, want one line that warns of sessions in cookies", text)
	}
	if text := run(stateless, tokenward.WithLogger(zap.NewNop())); text != "" {
		t.Errorf("with a logger that is silent, standard error has %q", text)
	}
}

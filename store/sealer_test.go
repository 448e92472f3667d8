package store_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var update = flag.Bool("update", false, "write the golden files of the current formats")

const (
	secretA = "a-test-secret-of-32-characters!!"
	secretB = "another-secret-of-32-characters!"
	secretC = "a-third-secret-with-32-characters"
)

func newSealer(tb testing.TB, secrets ...string) *store.Sealer {
	tb.Helper()
	s, err := store.NewSealer("_a0_session", nil, secrets...)
	must(tb, err)
	return s
}

func wantUnreadable(t *testing.T, doing string, err error, why store.Unreadable) {
	t.Helper()
	var u *store.UnreadableError
	if !errors.Is(err, store.ErrUnreadable) || !errors.As(err, &u) || u.Why != why {
		t.Errorf("%s: err = %v, want an UnreadableError that says %s", doing, err, why)
	}
}

func TestNewSealer_refusesSecrets(t *testing.T) {
	short := "short-but-telling"
	tests := []struct {
		name    string
		secrets []string
		want    string
	}{
		{"none", nil, "missing_required_argument_error: secret is required"},
		{"one empty", []string{""}, "missing_required_argument_error: secret is required"},
		{"short", []string{short}, "configuration_error: secret 1 of 1 has 17 bytes; it must have 32 or more, drawn at random"},
		{"31 bytes, second", []string{secretA, secretB[:31]}, "configuration_error: secret 2 of 2 has 31 bytes; it must have 32 or more, drawn at random"},
		{"empty, first", []string{"", secretA}, "configuration_error: secret 1 of 2 has 0 bytes; it must have 32 or more, drawn at random"},
	}
	for _, tt := range tests {
		s, err := store.NewSealer("_a0_session", nil, tt.secrets...)
		if s != nil || err == nil || err.Error() != tt.want {
			t.Errorf("%s: NewSealer = %v, %v, want the error %q", tt.name, s, err, tt.want)
		}
	}
	_, err := store.NewSealer("_a0_session", nil)
	var missing *session.MissingRequiredArgumentError
	if !errors.As(err, &missing) || missing.Argument != "secret" {
		t.Errorf("without a secret: err = %#v, want a MissingRequiredArgumentError of secret", err)
	}
	_, err = store.NewSealer("_a0_session", nil, short)
	var config *session.ConfigurationError
	if !errors.As(err, &config) {
		t.Errorf("with a short secret: err = %#v, want a ConfigurationError", err)
	}
}

func TestSealer_opensWhatItSealed(t *testing.T) {
	s := newSealer(t, secretA)
	for _, plain := range [][]byte{nil, {0}, []byte("a state"), bytes.Repeat([]byte{7}, 1<<20)} {
		got, err := s.Open("here", s.Seal("here", plain))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("Open of %d sealed bytes = %d bytes, %v", len(plain), len(got), err)
		}
	}
	if a, b := s.Seal("here", []byte("same")), s.Seal("here", []byte("same")); bytes.Equal(a, b) {
		t.Error("the same value sealed twice gives the same bytes")
	}
}

func TestSealer_noticesEveryChangedByte(t *testing.T) {
	s := newSealer(t, secretA)
	sealed := s.Seal("here", []byte("a state"))
	for i := range sealed {
		for _, flip := range []byte{1, 0x80, 0xff} {
			changed := bytes.Clone(sealed)
			changed[i] ^= flip
			if got, err := s.Open("here", changed); !errors.Is(err, store.ErrUnreadable) {
				t.Errorf("byte %d changed by %#x: Open = %q, %v, want %v", i, flip, got, err, store.ErrUnreadable)
			}
		}
	}
	for n := range sealed {
		_, err := s.Open("here", sealed[:n])
		wantUnreadable(t, fmt.Sprintf("cut off after %d bytes", n), err, store.Corrupt)
	}
	_, err := s.Open("here", append(bytes.Clone(sealed), 0))
	wantUnreadable(t, "with a byte more", err, store.Corrupt)
}

func TestSealer_tellsReasonsApart(t *testing.T) {
	s := newSealer(t, secretA)
	sealed := s.Seal("here", []byte("a state"))

	newer := bytes.Clone(sealed)
	newer[0] = 2
	_, err := s.Open("here", newer)
	wantUnreadable(t, "a newer format", err, store.NewerFormat)
	var u *store.UnreadableError
	if errors.As(err, &u) && u.Format != 2 {
		t.Errorf("a newer format: Format = %d, want 2", u.Format)
	}
	_, err = s.Open("here", []byte{200})
	wantUnreadable(t, "a newer format of one byte", err, store.NewerFormat)
	_, err = newSealer(t, secretB).Open("here", sealed)
	wantUnreadable(t, "another secret", err, store.UnknownKey)
	_, err = s.Open("there", sealed)
	wantUnreadable(t, "moved", err, store.Corrupt)
	_, err = s.Open("here", []byte{0, 1, 2})
	wantUnreadable(t, "format 0", err, store.Corrupt)

	if !errors.Is(err, &store.UnreadableError{Why: store.Corrupt}) || errors.Is(err, &store.UnreadableError{Why: store.UnknownKey}) {
		t.Errorf("%v does not match by its reason", err)
	}
}

func TestSealer_bindsToTheIdentifier(t *testing.T) {
	other, err := store.NewSealer("_other_session", nil, secretA)
	must(t, err)
	_, err = other.Open("here", newSealer(t, secretA).Seal("here", []byte("a state")))
	wantUnreadable(t, "under another identifier", err, store.UnknownKey)
}

// The way to a new secret: second everywhere, then first, then alone. At each step
// every process opens what every other seals.
func TestSealer_rotation(t *testing.T) {
	steps := []*store.Sealer{
		newSealer(t, secretA),
		newSealer(t, secretA, secretB),
		newSealer(t, secretB, secretA),
		newSealer(t, secretB),
	}
	for i := range steps[1:] {
		for _, pair := range [][2]*store.Sealer{{steps[i], steps[i+1]}, {steps[i+1], steps[i]}} {
			if _, err := pair[1].Open("here", pair[0].Seal("here", []byte("a state"))); err != nil {
				t.Errorf("between step %d and the next: %v", i, err)
			}
		}
	}
	old := steps[0].Seal("here", []byte("a state"))
	if _, err := steps[2].Open("here", old); err != nil {
		t.Errorf("with the old secret second: %v", err)
	}
	_, err := steps[3].Open("here", old)
	wantUnreadable(t, "when the old secret is dropped", err, store.UnknownKey)
}

func TestSealer_printsNoSecret(t *testing.T) {
	s := newSealer(t, secretA, secretB)
	_, err := store.NewSealer("_a0_session", nil, secretA, secretB[:20])
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %d %x %q", s, s, s, s, s, s, s), fmt.Sprint(err), fmt.Sprintf("%#v", err),
	} {
		for _, secret := range []string{secretA[:8], secretB[:8], hex.EncodeToString([]byte(secretA[:4]))} {
			if strings.Contains(text, secret) {
				t.Errorf("%q holds a piece of a secret", text)
			}
		}
	}
}

func TestSealer_randomThatFailsIsReplaced(t *testing.T) {
	s, err := store.NewSealer("_a0_session", strings.NewReader("too short"), secretA)
	must(t, err)
	a, b := s.Seal("here", []byte("same")), s.Seal("here", []byte("same"))
	if bytes.Equal(a, b) {
		t.Error("without random numbers the same value sealed twice gives the same bytes")
	}
	if _, err := s.Open("here", a); err != nil {
		t.Error(err)
	}
}

// Every release opens what the releases before it sealed.
func TestSealer_opensEveryFormatThereWas(t *testing.T) {
	const binding = "session:golden"
	counting := strings.NewReader("nonce of twenty-four byte")
	s, err := store.NewSealer("_a0_session", io.Reader(counting), secretA)
	must(t, err)
	golden(t, "envelope-1.hex", s.Seal(binding, []byte(`{"golden":1}`)))
	for name, sealed := range goldens(t, "envelope-*.hex") {
		got, err := s.Open(binding, sealed)
		if err != nil || string(got) != `{"golden":1}` {
			t.Errorf("%s: Open = %q, %v", name, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := newSealer(f, secretA, secretB)
	f.Add([]byte(nil))
	f.Add([]byte{1})
	f.Add(s.Seal("elsewhere", []byte("a state")))
	f.Add(newSealer(f, secretC).Seal("here", nil))
	for _, sealed := range goldens(f, "envelope-*.hex") {
		f.Add(sealed)
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plain, err := s.Open("here", sealed); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("Open of what was never sealed = %q, %v", plain, err)
		}
	})
}

func BenchmarkSealer(b *testing.B) {
	s := newSealer(b, secretA)
	plain := make([]byte, 4096)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := s.Open("here", s.Seal("here", plain)); err != nil {
			b.Fatal(err)
		}
	}
}

// golden compares got to the golden file, which -update writes when it does not exist:
// the envelope of an earlier release is never written again.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if _, err := os.Stat(path); *update && errors.Is(err, os.ErrNotExist) {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o644))
	}
	if want := goldens(t, name)[path]; !bytes.Equal(got, want) {
		t.Errorf("%s: got %x, want %x; a change of format needs a new number and a new file", name, got, want)
	}
}

func goldens(tb testing.TB, pattern string) map[string][]byte {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	must(tb, err)
	if len(names) == 0 {
		tb.Fatalf("no golden file %s", pattern)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(tb, err)
		files[name], err = hex.DecodeString(strings.TrimSpace(string(text)))
		must(tb, err)
	}
	return files
}

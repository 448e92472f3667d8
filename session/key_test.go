package session_test

import (
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tokenward/tokenward/session"
)

func TestKeyOf(t *testing.T) {
	k := session.KeyOf("_a0_session", "abc")
	if k != session.KeyOf("_a0_session", "abc") {
		t.Error("the key of one session differs from call to call")
	}
	for _, other := range []session.Key{
		session.KeyOf("_a0_session", "abd"),
		session.KeyOf("_a0_sessiona", "bc"), // where one ends and the other begins matters
		session.KeyOf("other", "abc"),
	} {
		if k == other {
			t.Error("two sessions have one key")
		}
	}
	if s := k.String(); len(s) != 64 || strings.Contains(s, "abc") {
		t.Errorf("String() = %q", s)
	}
	if k.IsZero() || !(session.Key{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestDraws_differ(t *testing.T) {
	v, w := session.NewVersion(rand.Reader), session.NewVersion(rand.Reader)
	if v == w || v.IsZero() || len(v.String()) != 32 {
		t.Errorf("versions %v, %v", v, w)
	}
	i, j := session.NewIncarnation(rand.Reader), session.NewIncarnation(rand.Reader)
	if i == j || i.IsZero() || len(i.String()) != 32 {
		t.Errorf("incarnations %v, %v", i, j)
	}
	if !(session.Version{}).IsZero() || !(session.Incarnation{}).IsZero() {
		t.Error("the zero value is not zero")
	}
}

// cycle reads the bytes 0 to 255 over and over.
type cycle struct{ next byte }

func (c *cycle) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.next
		c.next++
	}
	return len(b), nil
}

func TestRandomString_hasNoBias(t *testing.T) {
	const turns = 100
	count := map[rune]int{}
	for _, r := range session.RandomString(&cycle{}, 248*turns) {
		count[r]++
	}
	if len(count) != 62 {
		t.Errorf("%d different characters, want 62", len(count))
	}
	for r, n := range count {
		if n != 4*turns {
			t.Errorf("%c came %d times, want %d", r, n, 4*turns)
		}
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", r) {
			t.Errorf("%c is not a letter or digit", r)
		}
	}
}

func TestRandomString_length(t *testing.T) {
	for _, n := range []int{0, 1, 32, 64} {
		if s := session.RandomString(iotest.OneByteReader(rand.Reader), n); len(s) != n {
			t.Errorf("RandomString(%d) has %d characters", n, len(s))
		}
	}
}

func TestDraws_panicWithoutRandomness(t *testing.T) {
	broken := iotest.ErrReader(errors.New("broken"))
	for name, draw := range map[string]func(io.Reader){
		"version":     func(r io.Reader) { session.NewVersion(r) },
		"incarnation": func(r io.Reader) { session.NewIncarnation(r) },
		"string":      func(r io.Reader) { session.RandomString(r, 8) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			draw(broken)
		}()
	}
}

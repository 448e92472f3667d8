package cookie

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

func testSealer(t *testing.T) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer("_a0_session", nil, strings.Repeat("a secret of 32 bytes or more ", 2))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Room is made of what a browser has. What no browser has stays, up to twice the number.
func TestStates_makeRoom(t *testing.T) {
	s := NewStates(testSealer(t), clock.NewFake(time.Unix(1_800_000_000, 0)), "_a0_session", Attributes{})
	s.max = 100
	key := func(n int) session.Key { return session.KeyOf("_a0_session", fmt.Sprint(n)) }
	add := func(from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			if err := s.Replace(t.Context(), key(n), store.Record{TTL: time.Hour}, store.Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, 150)
	if n := s.Len(); n != 150 {
		t.Errorf("%d sessions are held that no browser has, want 150", n)
	}
	for n := range 50 {
		s.held[key(n)].carried = 1
	}
	add(150, 200)
	if n := s.Len(); n > 150 || s.held[key(60)] == nil || s.held[key(0)] != nil {
		t.Errorf("%d sessions are held, of which browsers had 50", n)
	}
	add(200, 400)
	if n := s.Len(); n > 200 {
		t.Errorf("%d sessions are held, want 200 at most", n)
	}
}

// Which transactions were taken is remembered of the latest 100,000.
func TestTransactions_takenAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := NewTransactions(testSealer(t), clock.NewFake(now), "_a0_tx", Attributes{})
	tx := &transaction{stamp: 1, expires: now.Add(time.Hour).UnixMicro()}
	for n := range 100_010 {
		if !s.take(fmt.Sprint(n), tx, now) {
			t.Fatalf("transaction %d was taken before", n)
		}
	}
	if len(s.used) != 100_000 || len(s.order) != 100_000 || s.take("100009", tx, now) {
		t.Errorf("%d and %d are remembered, want the latest 100,000", len(s.used), len(s.order))
	}
}

// countingAnswer counts how often each cookie is looked up.
type countingAnswer struct {
	header
	asked map[string]int
}

func (c countingAnswer) find(name string) (string, bool) {
	c.asked[name]++
	return c.header.find(name)
}

// A browser may send as many cookies as the server's limit on headers lets through. They are gone through once, however many
// values are begun among them.
func TestStates_goThroughTheCookiesOnce(t *testing.T) {
	const tag = "AAAAAAAA."
	r := &http.Request{Header: make(http.Header)}
	for n := range maxFirsts {
		first := fmt.Sprintf("%s%d.%d", tag, maxChunks*chunkSize, n)
		r.AddCookie(&http.Cookie{Name: "s.0", Value: first + strings.Repeat("A", chunkSize-len(first))})
	}
	for n := 1; n < maxChunks; n++ {
		r.AddCookie(&http.Cookie{Name: chunkName("s", n), Value: tag + strings.Repeat("A", chunkSize-len(tag))})
	}
	to := countingAnswer{header(make(http.Header)), make(map[string]int)}
	if values := (Attributes{}).join(to, r, "s"); len(values) != 0 {
		t.Errorf("%d values, of which none is whole", len(values))
	}
	for name, n := range to.asked {
		if n > 1 {
			t.Errorf("%s was looked for %d times, want once", name, n)
		}
	}
}

// A chunk is known by exactly its name.
func TestChunkNumber(t *testing.T) {
	for n := range maxChunks {
		if got, ok := chunkNumber("s", chunkName("s", n)); !ok || got != n {
			t.Errorf("chunk %d: got %d, %v", n, got, ok)
		}
	}
	for _, other := range []string{"s", "s.", "s.00", "s.+0", "s.-0", "s.-1", "s.01", "s.0.0", "s.0x", "s.1e0", "s.32", "s.99999999999999999999", "S.0", "ss.0", "t.0", ".0"} {
		if n, ok := chunkNumber("s", other); ok {
			t.Errorf("%q is taken for chunk %d", other, n)
		}
	}
}

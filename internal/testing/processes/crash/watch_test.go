package crash

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// answers is a provider that answers nothing of interest.
type answers struct{}

func (answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// A refresh token may be spent once the store has acknowledged it, and not before.
func TestWatch_spendsNothingUnsaved(t *testing.T) {
	var said []report
	w, err := newWatch(func(r report) { said = append(said, r) }, "")
	if err != nil {
		t.Fatal(err)
	}
	s := watchedStore{store.NewMemory(clock.System(), store.Shared()), w}
	spend := func(token string) {
		t.Helper()
		to := &transport{w, "1", answers{}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", strings.NewReader("refresh_token="+token))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := to.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	record := func(token string, version byte) store.Record {
		t.Helper()
		r, err := w.reader.codec.Encode(keyOf(0), &session.State{RefreshToken: token}, session.Version{version}, session.Incarnation{1})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	wrong := func(n int) {
		t.Helper()
		if len(said) != n {
			t.Errorf("said = %+v, want %d reports", said, n)
		}
	}
	opt := store.Options{}
	if err := s.Replace(t.Context(), keyOf(0), record("R0", 1), opt); err != nil {
		t.Fatal(err)
	}
	spend("R0")
	wrong(0)
	spend("R1")
	wrong(1)
	if err := s.Update(t.Context(), keyOf(0), session.Version{9}, record("R1", 2), opt); err == nil {
		t.Fatal("an update of another version has succeeded")
	}
	spend("R1")
	wrong(2)
	if err := s.Update(t.Context(), keyOf(0), session.Version{1}, record("R1", 2), opt); err != nil {
		t.Fatal(err)
	}
	spend("R1")
	wrong(2)
}

// A watched store has the abilities of the store inside, and no others.
func TestWatch_abilities(t *testing.T) {
	w, err := newWatch(func(report) {}, "")
	if err != nil {
		t.Fatal(err)
	}
	s := watchedStore{store.NewMemory(clock.System(), store.Shared()), w}
	if _, ok := store.As[store.Leaser](s); !ok {
		t.Error("no leases where the store has them")
	}
	if _, ok := store.As[store.Intents](s); !ok {
		t.Error("no intents where the store has them")
	}
	if l, ok := store.As[store.Leaser](watchedStore{bare{s}, w}); ok || l != nil {
		t.Errorf("leases where the store has none: %v", l)
	}
	if _, ok := store.As[store.ChangeFeed](s); !ok {
		t.Error("no feed where the store has one")
	}
}

// bare has no abilities.
type bare struct{ store.StateStore }

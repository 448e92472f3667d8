package store_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

func withConnections(s *session.State) {
	s.ConnectionTokenSets = []session.ConnectionTokenSet{
		{Connection: "spent", AccessToken: "a spent connection token", ExpiresAt: 1_000},
		{Connection: "google", AccessToken: "a connection token", ExpiresAt: 1_100},
		{Connection: "github", AccessToken: "another connection token", ExpiresAt: 4_600},
	}
}

func TestCodec_saysInClearWhetherConnectionTokensAreHeld(t *testing.T) {
	c := store.Codec{Sealer: newSealer(t, secretA)}
	for _, held := range []bool{false, true} {
		s := aState()
		if held {
			withConnections(s)
		}
		r, err := c.Encode(keyOf(1), s, session.Version{1}, session.Incarnation{2})
		must(t, err)
		if r.Connections != held {
			t.Errorf("Connections = %v, want %v", r.Connections, held)
		}
	}
}

func TestCodec_remainder(t *testing.T) {
	c := store.Codec{Sealer: newSealer(t, secretA), Domain: "configured.example"}
	key, now := keyOf(1), time.Unix(1_000, 0)
	r, err := c.EncodeRemainder(key, aState(withConnections), session.Version{7}, now)
	must(t, err)
	if r.Version != (session.Version{7}) || r.TTL != time.Hour {
		t.Errorf("Version = %v, TTL = %v, want what was given and an hour", r.Version, r.TTL)
	}
	rec, err := c.Encode(key, aState(withConnections), session.Version{}, session.Incarnation{})
	must(t, err)
	if !slices.Equal(r.Index, rec.Index) || len(r.Index) != 3 {
		t.Errorf("Index = %x, want that of the record, %x", r.Index, rec.Index)
	}
	left, err := c.DecodeRemainder(key, r)
	must(t, err)
	want := &session.State{
		User: session.User{"sub": "auth0|alice"}.Raw(), Domain: "tenant.example",
		ConnectionTokenSets: aState(withConnections).ConnectionTokenSets[1:],
		Internal:            session.Internal{SID: "a sid", CreatedAt: 1},
	}
	if !reflect.DeepEqual(left, want) {
		t.Errorf("DecodeRemainder = %+v, want %+v", left, want)
	}
	again, err := c.EncodeRemainder(key, left, session.Version{8}, now.Add(200*time.Second))
	must(t, err)
	if !slices.Equal(again.Index, r.Index) || again.TTL != 3_400*time.Second {
		t.Errorf("a remainder of a remainder has the values %x for %v", again.Index, again.TTL)
	}
	none, err := c.EncodeRemainder(key, left, session.Version{9}, now.Add(time.Hour))
	if none != nil || err != nil {
		t.Errorf("when all have expired: %+v, %v, want none", none, err)
	}
}

// A remainder must not be put in the place of the record, nor the other way round.
func TestCodec_remainderIsNoRecord(t *testing.T) {
	c := store.Codec{Sealer: newSealer(t, secretA)}
	key := keyOf(1)
	r, err := c.EncodeRemainder(key, aState(withConnections), session.Version{7}, time.Unix(1_000, 0))
	must(t, err)
	if bytes.Contains(r.Sealed, []byte("token")) {
		t.Error("the remainder shows a token")
	}
	_, err = c.Decode(key, store.Record{Sealed: r.Sealed})
	wantUnreadable(t, "a remainder as a record", err, store.Corrupt)
	rec, err := c.Encode(key, aState(withConnections), session.Version{}, session.Incarnation{})
	must(t, err)
	_, err = c.DecodeRemainder(key, &store.Remainder{Sealed: rec.Sealed})
	wantUnreadable(t, "a record as a remainder", err, store.Corrupt)
	_, err = c.DecodeRemainder(keyOf(2), r)
	wantUnreadable(t, "under another key", err, store.Corrupt)
}

// A tombstone of the releases before this one does not say whose it is: only an end of any
// incarnation changes it.
func TestEnding_overATombstoneOfAnEarlierRelease(t *testing.T) {
	old := &store.GoneError{Reason: session.ReasonCeiling, Stands: time.Minute}
	of := session.Incarnation{1}
	logout := store.Ending{Reason: session.ReasonLogout}
	if next, err := logout.Over(of, nil, old); next != nil || err != nil {
		t.Errorf("a logout of one incarnation: %v, %v, want no change", next, err)
	}
	if next, err := logout.Over(session.Incarnation{}, nil, old); next == nil || next.Reason != session.ReasonLogout || err != nil {
		t.Errorf("a logout of any: %v, %v, want its tombstone", next, err)
	}
}

func TestEnding_life(t *testing.T) {
	left := &store.Remainder{TTL: 3 * time.Hour}
	tests := []struct {
		e    store.Ending
		want time.Duration
	}{
		{store.Ending{Reason: session.ReasonLogout}, time.Minute},
		{store.Ending{Reason: session.ReasonLogout, Stands: time.Hour}, time.Hour},
		{store.Ending{Reason: session.ReasonCeiling, Stands: time.Hour, Remainder: left}, 3 * time.Hour},
		{store.Ending{Reason: session.ReasonCeiling, Stands: 4 * time.Hour, Remainder: left}, 4 * time.Hour},
		{store.Ending{Reason: session.ReasonLogout, Remainder: left}, time.Minute},
	}
	for _, tt := range tests {
		if got := tt.e.Life(time.Minute); got != tt.want {
			t.Errorf("%+v stands for %v, want %v", tt.e, got, tt.want)
		}
	}
}

func TestGoneError(t *testing.T) {
	err := error(&store.GoneError{Reason: session.ReasonCeiling, Remainder: &store.Remainder{Sealed: []byte("sealed")}})
	if !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) || err.Error() != "store: the session has ended: ceiling" {
		t.Errorf("err = %v", err)
	}
	leased := error(&store.LeasedError{Owner: "a", Left: time.Second})
	if !errors.Is(leased, store.ErrLeased) || errors.Is(leased, store.ErrNotFound) {
		t.Errorf("err = %v, want one that matches %v", leased, store.ErrLeased)
	}
}

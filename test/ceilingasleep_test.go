package test_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// What a process left behind that died before the ceiling ends on time in the next.
func TestCeiling_ofSessionsLeftBehind(t *testing.T) {
	r := newRig(t)
	past, soon, far := r.login(until(time.Hour)), r.login(until(3*time.Hour)), r.login(until(9*time.Hour))
	closeClient(t, r.client)
	r.clock.Advance(90 * time.Minute)
	r.client = r.newClient()
	r.settle()
	if n := r.store.Ends(); n != 1 || r.store.Ends(key(past)) != 1 {
		t.Errorf("deletes at the start = %d, want the past one's", n)
	}
	for range 100 { // windows of five minutes are asked for every two
		r.advance(time.Minute)
	}
	if n := r.store.Ends(key(soon)); n != 1 {
		t.Errorf("deletes of the next = %d, want 1", n)
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(far)); u == nil || err != nil {
		t.Errorf("the one that may live on: %v, %v", u, err)
	}
}

// A session that is out of memory ends to the second.
func TestCeiling_ofASleepingSession(t *testing.T) {
	for name, wrap := range map[string]func(store.StateStore) store.StateStore{
		"with an index":    func(s store.StateStore) store.StateStore { return s },
		"without an index": storetest.Without[store.Index],
	} {
		r := newRig(t)
		r.restart(tokenward.WithStateStore(wrap(r.store)))
		id := r.login(until(2 * time.Hour))
		for range 119 {
			r.clock.Advance(time.Minute)
			r.settle()
		}
		if n := r.client.Stats().Resident; n != 0 {
			t.Errorf("%s: resident = %d, want 0", name, n)
		}
		r.clock.Advance(29 * time.Second)
		r.settle()
		if n := r.store.Ends(); n != 0 {
			t.Errorf("%s: deletes a second before = %d, want 0", name, n)
		}
		r.clock.Advance(time.Second)
		r.settle()
		if n := r.store.Ends(key(id)); n != 1 || r.memory.Len() != 0 {
			t.Errorf("%s: deletes = %d, sessions = %d, want 1 and 0", name, n, r.memory.Len())
		}
		r.clock.Advance(10 * time.Minute)
		r.settle()
		if n := r.store.Ends(key(id)); n != 1 {
			t.Errorf("%s: deletes in the end = %d, want 1", name, n)
		}
	}
}

// A hundred thousand sessions whose ceilings spread over an hour, few of them in memory:
// each is deleted once, none early, none late.
func TestCeiling_aHundredThousandSessions(t *testing.T) {
	const (
		sessions = 100_000
		resident = 3_000
		woken    = 5_000 // so that some have to leave again
		spread   = 3_600 // seconds
	)
	if testing.Short() {
		t.Skip("it takes long")
	}
	r := newRig(t, withClient(tokenward.WithLimits(tokenward.Limits{Resident: resident, PassivateAfter: 2 * time.Hour})))
	ceilingOf := func(i int) int64 { return t0.Unix() + 600 + int64(i*7919%spread) }
	deadlineOf := func(i int) int { return int(ceilingOf(i) - 30 - t0.Unix()) } // seconds from now
	name := func(i int) string { return fmt.Sprint("session ", i) }
	due := make([]int, 600+spread) // how many ceilings come with each second
	at := make([]int, 600+spread)  // one of them
	for i := range sessions {
		due[deadlineOf(i)]++
		at[deadlineOf(i)] = i
	}
	keys := make(map[session.Key]int, sessions)
	for i := range sessions {
		keys[key(name(i))] = i
		opened := i < woken || at[deadlineOf(i)] == i
		r.plant(name(i), session.Ceiling(ceilingOf(i)), opened)
	}
	for i := range woken {
		if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(name(i))); u == nil || err != nil {
			t.Fatalf("session %d: %v, %v", i, u, err)
		}
	}
	r.settle()

	var mu sync.Mutex
	deleted := make([]int, sessions)
	early, total := 0, 0
	r.store.OnCall(func(c storetest.Call) {
		if c.Op != storetest.OpEnd {
			return
		}
		i, now := keys[c.Key], r.clock.Now().Unix()
		mu.Lock()
		defer mu.Unlock()
		deleted[i]++
		total++
		if now < ceilingOf(i)-30 {
			early++
		}
	})
	defer r.store.OnCall(nil)
	gone := 0
	for second := 1; second < len(due); second++ {
		r.clock.Advance(time.Second)
		gone += due[second]
		if due[second] > 0 && second%10 == 0 { // before anything has come to rest
			_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(name(at[second])))
			if !errors.Is(err, tokenward.ErrSessionExpired) {
				t.Fatalf("a session at its ceiling: err = %v", err)
			}
		}
		r.settle()
		if total != gone || second%300 == 0 && r.memory.Len() != sessions-gone {
			t.Fatalf("after %d s: deletes = %d, sessions = %d, want %d, %d", second, total, r.memory.Len(), gone, sessions-gone)
		}
	}
	if gone != sessions || early != 0 {
		t.Errorf("due %d, early %d, want %d, 0", gone, early, sessions)
	}
	for i, n := range deleted {
		if n != 1 {
			t.Fatalf("session %d: deletes = %d, want 1", i, n)
		}
	}
	if n := r.client.Stats().Ceilings; n != sessions {
		t.Errorf("Stats.Ceilings = %d, want %d", n, sessions)
	}
}

// plant puts a session into the store. One that will not be opened has no contents.
func (r *rig) plant(id string, c session.Ceiling, opened bool) {
	r.t.Helper()
	rec := store.Record{
		Version: session.NewVersion(randomness{}), Incarnation: session.NewIncarnation(randomness{}),
		Ceiling: c, Sealed: []byte("never opened"),
	}
	if opened {
		now := r.clock.Now().Unix()
		var err error
		rec, err = r.codec().Encode(key(id), &session.State{
			User: session.User{"sub": "ada"}.Raw(), RefreshToken: "r", Domain: r.tenant.Issuer(),
			TokenSets: []session.TokenSet{{Audience: "default", AccessToken: "a", ExpiresAt: now + 100_000}},
			Internal:  session.Internal{SID: id, CreatedAt: now, Ceiling: c},
		}, rec.Version, rec.Incarnation)
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.memory.Replace(r.t.Context(), key(id), rec, store.Options{}); err != nil {
		r.t.Fatal(err)
	}
}

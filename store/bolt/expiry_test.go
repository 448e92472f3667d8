package bolt_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// entries are the buckets that must be empty when nothing is left.
var entries = [][]byte{bolt.SessionBucket, bolt.ValueIndex, bolt.CeilingIndex, bolt.SessionExpiries, bolt.IntentBucket, bolt.TransactionBucket}

// fill makes n sessions with everything that a session can have, and a transaction for each,
// all of which lapse in time.
func fill(t *testing.T, s *bolt.Store, n int) {
	t.Helper()
	errs := make([]error, n)
	together(n, func(i int) {
		rec := store.Record{Ceiling: 2_000_000_000, Index: []store.IndexValue{{1}, {2, byte(i)}}, TTL: time.Minute}
		errs[i] = errors.Join(
			s.Replace(t.Context(), key(i), rec, opt),
			intend(t.Context(), s, key(i), store.Intent{}),
			s.Transactions().Put(t.Context(), fmt.Sprint(i), nil, time.Minute, opt),
		)
		if i%3 == 0 {
			errs[i] = errors.Join(errs[i], s.End(t.Context(), key(i), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
		}
	})
	must(t, errors.Join(errs...))
	must(t, s.Verify())
}

// Each write clears away more than it can leave behind.
func TestExpiry_isClearedAwayWithWrites(t *testing.T) {
	clk := clock.NewFake(t0)
	s := open(t, newPath(t), bolt.Clock(clk))
	const n = 600
	fill(t, s, n)
	clk.Advance(store.DefaultTombstoneLife + time.Minute)
	for _, bucket := range entries {
		if s.Keys(bucket) == 0 {
			t.Errorf("%s is empty before anybody writes", bucket)
		}
	}
	for i := range n {
		must(t, s.Replace(t.Context(), key(n), store.Record{Version: version(i)}, opt))
	}
	for _, bucket := range entries {
		want := 0
		if string(bucket) == string(bolt.SessionBucket) {
			want = 1
		}
		if got := s.Keys(bucket); got != want {
			t.Errorf("%s has %d keys, want %d", bucket, got, want)
		}
	}
	must(t, s.Verify())
}

// What lapsed while the file was not open goes in batches, without a write.
func TestExpiry_isClearedAwayAfterOpening(t *testing.T) {
	clk := clock.NewFake(t0)
	path := newPath(t)
	s, err := bolt.Open(path, bolt.Clock(clk))
	must(t, err)
	const n = 2*bolt.SweepMost + 10
	fill(t, s, n)
	must(t, s.Close())
	clk.Advance(store.DefaultTombstoneLife + time.Minute)

	s = open(t, path, bolt.Clock(clk))
	for s.Keys(bolt.SessionBucket)+s.Keys(bolt.TransactionBucket) > 0 {
		if t.Context().Err() != nil {
			t.Fatalf("%d sessions are left", s.Keys(bolt.SessionBucket))
		}
		runtime.Gosched()
	}
	must(t, s.Replace(t.Context(), key(0), store.Record{}, opt))
	for _, bucket := range entries[1:] {
		if got := s.Keys(bucket); got != 0 {
			t.Errorf("%s has %d keys, want none", bucket, got)
		}
	}
	must(t, s.Verify())
}

// A record that lives on is listed where it was until that comes, so that a save
// touches no index.
func TestExpiry_movesLate(t *testing.T) {
	clk := clock.NewFake(t0)
	s := open(t, newPath(t), bolt.Clock(clk))
	other := func() { must(t, s.Replace(t.Context(), key(1), store.Record{}, opt)) } // sweeps
	living := func(want bool) {
		t.Helper()
		_, err := s.Load(t.Context(), key(0), opt)
		if want && err != nil || !want && !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("Load: %v, want it living: %v", err, want)
		}
		must(t, s.Verify())
	}
	must(t, s.Replace(t.Context(), key(0), store.Record{TTL: time.Minute}, opt))
	for range 5 {
		clk.Advance(50 * time.Second)
		must(t, s.Update(t.Context(), key(0), session.Version{}, store.Record{TTL: 2 * time.Minute}, opt))
		other()
		living(true)
		if n := s.Keys(bolt.SessionExpiries); n != 1 {
			t.Fatalf("it is listed %d times", n)
		}
	}
	must(t, s.Touch(t.Context(), key(0), 0, opt))
	clk.Advance(time.Hour)
	other()
	living(true)
	if n := s.Keys(bolt.SessionExpiries); n != 0 {
		t.Errorf("what does not expire is listed %d times", n)
	}
	must(t, s.Touch(t.Context(), key(0), time.Hour, opt))
	must(t, s.Touch(t.Context(), key(0), time.Minute, opt)) // sooner than it is listed
	living(true)
	clk.Advance(time.Minute)
	living(false)
	clk.Advance(time.Minute)
	other()
	if n := s.Keys(bolt.SessionBucket); n != 1 {
		t.Errorf("%d sessions are kept, want 1", n)
	}
}

func TestExpiry_slots(t *testing.T) {
	const minute = int64(60_000_000)
	for _, instant := range []int64{0, 1, minute - 1, minute, minute + 1, -1, -minute, -minute - 1, 1 << 60, -1 << 60} {
		slot := bolt.SlotOf(instant)
		if begins := slot * minute; begins <= instant || begins-minute > instant {
			t.Errorf("SlotOf(%d) = %d, which begins at %d", instant, slot, begins)
		}
	}
	var places [][]byte
	for _, n := range []int64{-1 << 63, -5, -1, 0, 1, 255, 256, 1 << 40, 1<<63 - 1} {
		for i := range 2 {
			b := bolt.PlaceKey(n, key(i))
			if got, k, ok := bolt.Place(b); got != n || k != key(i) || !ok {
				t.Errorf("Place(PlaceKey(%d)) = %d, %v, %v", n, got, k, ok)
			}
			places = append(places, b)
		}
	}
	if !slices.IsSortedFunc(places, slices.Compare) {
		t.Error("the keys of places are not in the order of the places")
	}
}

// The suite's times are of this century; a clock need not be.
func TestExpiry_atTheEndsOfTime(t *testing.T) {
	for _, now := range []time.Time{{}, time.Unix(-90, 0), time.Unix(0, 0), time.Unix(9_999_999_999, 0), time.Unix(1<<40, 0)} {
		clk := clock.NewFake(now)
		s := open(t, newPath(t), bolt.Clock(clk))
		must(t, s.Replace(t.Context(), key(1), store.Record{Ceiling: 1, TTL: time.Hour}, opt))
		clk.Advance(59 * time.Minute)
		must(t, s.Replace(t.Context(), key(2), store.Record{}, opt))
		refs, err := s.ClaimDue(t.Context(), 100, 10, time.Hour, opt)
		if err != nil || len(refs) != 1 {
			t.Errorf("at %v: ClaimDue = %v, %v, want one session", now, refs, err)
		}
		clk.Advance(2 * time.Minute)
		must(t, s.Replace(t.Context(), key(2), store.Record{}, opt))
		if n := s.Keys(bolt.SessionBucket); n != 1 {
			t.Errorf("at %v: %d sessions are kept, want 1", now, n)
		}
		must(t, s.Verify())
	}
}

func TestTombstones_standAsLongAsTheStoreIsTold(t *testing.T) {
	clk := clock.NewFake(t0)
	for _, life := range []time.Duration{time.Hour, 0} {
		s := open(t, newPath(t), bolt.Clock(clk), bolt.TombstoneLife(life))
		must(t, s.Replace(t.Context(), key(1), store.Record{Ceiling: 5, TTL: time.Hour}, opt))
		must(t, s.End(t.Context(), key(1), session.Incarnation{}, store.Ending{Reason: session.ReasonCeiling}, opt))
		must(t, s.Verify())
		clk.Advance(life - 1)
		var gone *store.GoneError
		if _, err := s.Load(t.Context(), key(1), opt); errors.As(err, &gone) != (life > 0) {
			t.Errorf("a life of %v, a moment before its end: err = %v", life, err)
		}
		clk.Advance(1)
		if _, err := s.Load(t.Context(), key(1), opt); !errors.Is(err, store.ErrNotFound) || errors.As(err, &gone) {
			t.Errorf("a life of %v, at its end: err = %v", life, err)
		}
	}
}

func TestTransactions_makeRoom(t *testing.T) {
	clk := clock.NewFake(t0)
	path := newPath(t)
	s := open(t, path, bolt.Clock(clk), bolt.MaxTransactions(3))
	tx := s.Transactions()
	for i, ttl := range []time.Duration{5, 9, 2, 7, 8, 6} {
		must(t, tx.Put(t.Context(), fmt.Sprint(i), nil, ttl*time.Minute, opt))
		must(t, s.Verify())
	}
	must(t, tx.Put(t.Context(), "4", nil, 8*time.Minute, opt)) // takes no more room
	for i, want := range []bool{false, true, false, false, true, true} {
		if _, err := tx.Get(t.Context(), fmt.Sprint(i), opt); (err == nil) != want {
			t.Errorf("Get(%d): err = %v, want it kept: %v", i, err, want)
		}
	}
	must(t, s.Close())
	s = open(t, path, bolt.Clock(clk), bolt.MaxTransactions(1))
	must(t, s.Transactions().Put(t.Context(), "last", nil, time.Hour, opt))
	if n := s.Keys(bolt.TransactionBucket); n != 1 {
		t.Errorf("%d transactions are kept, want 1", n)
	}
	must(t, s.Verify())
}

func TestClaims_areForgottenOnceLapsed(t *testing.T) {
	clk := clock.NewFake(t0)
	s := open(t, newPath(t), bolt.Clock(clk))
	const n = 1100
	errs := make([]error, n)
	together(n, func(i int) { errs[i] = s.Replace(t.Context(), key(i), store.Record{Ceiling: 7}, opt) })
	must(t, errors.Join(errs...))
	for range 5 {
		refs, err := s.ClaimDue(t.Context(), 100, n, time.Minute, opt)
		if err != nil || len(refs) != n {
			t.Fatalf("%d sessions claimed, %v, want %d", len(refs), err, n)
		}
		clk.Advance(time.Minute)
	}
	together(n, func(i int) {
		errs[i] = s.End(t.Context(), key(i), session.Incarnation{}, store.Ending{Reason: session.ReasonCeiling}, opt)
	})
	must(t, errors.Join(errs...))
	for i := range 3 * n { // others come and are claimed
		errs[i%n] = nil
		if i%n == 0 {
			together(n, func(j int) { errs[j] = s.Replace(t.Context(), key(i+n+j), store.Record{Ceiling: 8}, opt) })
			must(t, errors.Join(errs...))
			_, err := s.ClaimDue(t.Context(), 100, 5*n, time.Second, opt)
			must(t, err)
			clk.Advance(time.Second)
		}
	}
	if got := s.Claims(); got > 4*n {
		t.Errorf("%d claims are kept, of which at most %d stand", got, 3*n)
	}
}

// A restart frees claimed sessions, and keeps everything else.
func TestReopen(t *testing.T) {
	clk := clock.NewFake(t0)
	path := newPath(t)
	s, err := bolt.Open(path, bolt.Clock(clk))
	must(t, err)
	user := store.IndexValue{7}
	rec := store.Record{
		Version: version(1), Incarnation: session.Incarnation{1}, Epoch: 3, Ceiling: 50,
		Index: []store.IndexValue{user}, Sealed: []byte("sealed"), TTL: time.Hour,
	}
	must(t, s.Replace(t.Context(), key(1), rec, opt))
	must(t, s.Replace(t.Context(), key(2), rec, opt))
	must(t, s.End(t.Context(), key(2), session.Incarnation{}, store.Ending{Reason: session.ReasonBackchannelLogout}, opt))
	in := store.Intent{Token: [32]byte{1}, At: 99}
	must(t, intend(t.Context(), s, key(1), in))
	must(t, s.Transactions().Put(t.Context(), "state", []byte("data"), time.Hour, opt))
	must(t, s.Transactions().Put(t.Context(), "taken", []byte("data"), time.Hour, opt))
	_, err = s.Transactions().Take(t.Context(), "taken", opt)
	must(t, err)
	refs, err := s.ClaimDue(t.Context(), 100, 10, time.Hour, opt)
	wantRefs(t, "ClaimDue", refs, err, []session.Key{key(1)})
	must(t, s.Close())

	s = open(t, path, bolt.Clock(clk))
	got, err := s.Load(t.Context(), key(1), opt)
	rec.TTL = 0
	if must(t, err); fmt.Sprint(got) != fmt.Sprint(rec) {
		t.Errorf("Load = %v, want %v", got, rec)
	}
	var gone *store.GoneError
	if _, err := s.Load(t.Context(), key(2), opt); !errors.As(err, &gone) || gone.Reason != session.ReasonBackchannelLogout {
		t.Errorf("Load of what was deleted: err = %v", err)
	}
	refs, err = s.Find(t.Context(), []store.IndexValue{user}, opt)
	wantRefs(t, "Find", refs, err, []session.Key{key(1)})
	refs, err = s.ClaimDue(t.Context(), 100, 10, time.Hour, opt)
	wantRefs(t, "ClaimDue", refs, err, []session.Key{key(1)})
	stale, err := s.StaleIntents(t.Context(), 10, opt)
	if err != nil || !slices.Equal(stale, []store.StaleIntent{{Key: key(1), Intent: in}}) {
		t.Errorf("StaleIntents = %v, %v", stale, err)
	}
	_, err = s.Transactions().Take(t.Context(), "taken", opt)
	wantErr(t, err, store.ErrNotFound)
	data, err := s.Transactions().Take(t.Context(), "state", opt)
	if err != nil || string(data) != "data" {
		t.Errorf("Take = %q, %v", data, err)
	}
	clk.Advance(time.Hour)
	_, err = s.Load(t.Context(), key(1), opt)
	wantErr(t, err, store.ErrNotFound)
	must(t, s.Verify())
}

// Index scans go on over the end of one transaction, and look at their context.
func TestScan_inManySteps(t *testing.T) {
	s := open(t, newPath(t), bolt.Clock(clock.NewFake(t0)))
	const n = 2*bolt.ScanLen + 7
	user := store.IndexValue{7}
	errs := make([]error, n)
	together(n, func(i int) {
		errs[i] = s.Replace(t.Context(), key(i), store.Record{Ceiling: 50, Index: []store.IndexValue{user, {8}}}, opt)
	})
	must(t, errors.Join(errs...))
	refs, err := s.Find(t.Context(), []store.IndexValue{user, {8}, user}, opt)
	if err != nil || len(refs) != n {
		t.Errorf("Find: %d sessions, %v, want %d", len(refs), err, n)
	}
	refs, err = s.Due(t.Context(), -5, 51, store.Ref{}, n+1, opt)
	if err != nil || len(refs) != n {
		t.Errorf("Due: %d sessions, %v, want %d", len(refs), err, n)
	}
	for _, limit := range []int{0, -1} {
		due, err := s.Due(t.Context(), 1, 51, store.Ref{}, limit, opt)
		claimed, errClaim := s.ClaimDue(t.Context(), 51, limit, 1, opt)
		if errors.Join(err, errClaim) != nil || len(due)+len(claimed) != 0 {
			t.Errorf("limit %d: Due = %v, %v, ClaimDue = %v, %v", limit, due, err, claimed, errClaim)
		}
	}
}

package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// A process that was paused while it held the lease finds everything refused that it
// still wanted to do.
func TestLease_fencesAPausedProcess(t *testing.T) {
	a := driven(t, nil)
	b := again(t, a)
	redis.Driven(b)
	key, rec := login(t, a)

	old, err := lease(t.Context(), a, key, "a", time.Minute)
	must(t, err)
	must(t, intend(t.Context(), a, key, "a", store.Intent{Token: [32]byte{1}}))
	lapse(t, time.Hour)

	epoch, err := lease(t.Context(), b, key, "b", time.Minute)
	must(t, err)
	if epoch <= old {
		t.Fatalf("epochs = %d, %d, want them to grow", old, epoch)
	}
	late := next(rec)
	late.Epoch = old
	wantErr(t, "the late Update", a.Update(t.Context(), key, rec.Version, late, opt), store.ErrConflict)
	must(t, a.Release(t.Context(), key, "a", old, opt)) // which gives nothing back
	_, err = lease(t.Context(), a, key, "a", time.Minute)
	wantErr(t, "the late Begin", err, store.ErrLeased)

	other := next(rec)
	other.Epoch = epoch
	must(t, b.Update(t.Context(), key, rec.Version, other, opt))
	must(t, b.Release(t.Context(), key, "b", epoch, opt))
	late.Version, late.Epoch = next(rec).Version, old
	wantErr(t, "an Update with the right version", a.Update(t.Context(), key, other.Version, late, opt), store.ErrConflict)
}

// The epoch of a session that ended is remembered for as long as its tombstone stands, so
// that a login under the same key is safe from late writers too.
func TestLease_epochOutlivesTheRecord(t *testing.T) {
	s := driven(t, nil)
	key, rec := login(t, s)
	old, err := lease(t.Context(), s, key, "a", time.Minute)
	must(t, err)
	must(t, s.Release(t.Context(), key, "a", old, opt))
	epoch, err := lease(t.Context(), s, key, "b", time.Minute)
	must(t, err)
	must(t, s.Release(t.Context(), key, "b", epoch, opt))
	must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: "logout"}, opt))
	lapse(t, store.DefaultTombstoneLife+time.Minute)
	_, err = s.Load(t.Context(), key, opt)
	if !errors.Is(err, store.ErrNotFound) || errors.As(err, new(*store.GoneError)) {
		t.Fatalf("Load: err = %v, want %v", err, store.ErrNotFound)
	}
	must(t, s.Replace(t.Context(), key, rec, opt))
	late := next(rec)
	late.Epoch = old
	wantErr(t, "Update of the first owner", s.Update(t.Context(), key, rec.Version, late, opt), store.ErrConflict)
}

// Even a server that lost everything it had gives higher epochs than before.
func TestLease_epochsGrowThoughEverythingIsLost(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL())
	key, _ := login(t, s)
	var last int64
	for range 3 {
		epoch, err := lease(t.Context(), s, key, "a", time.Hour)
		must(t, err)
		if epoch <= last {
			t.Errorf("after the loss the epoch is %d, want more than %d", epoch, last)
		}
		last = epoch
		r.Kill()
		must(t, r.Restart())
		_, err = s.Load(t.Context(), key, opt)
		wantErr(t, "Load", err, store.ErrNotFound)
	}
}

func wantErr(t *testing.T, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: err = %v, want %v", doing, err, want)
	}
}

// Package pebble measures what saves cost on Pebble, beside the store on bbolt and
// bbolt's own Batch.
package pebble

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// The load: so many sessions, of which each saver has its share, and
// saves one after the other.
const (
	sessions  = 4096
	sealedLen = 4096
	savers    = 64
	rounds    = 10 // in which each contender has a turn with all savers, and ten alone
	turn      = 40 // saves of each saver in one turn
	loneTurn  = 10 // saves of the one in one turn
)

// contender is a way to save sessions durably. They take turns, and the best of each counts:
// other load on the machine hits all alike.
type contender struct {
	name   string
	put    func(key session.Key, r store.Record) error
	save   func(key session.Key, prev session.Version, r store.Record) error // put, where prev is there
	latest []session.Version
	best   map[int]time.Duration // of one save by each of so many savers
}

func contenders(tb testing.TB) []*contender {
	list := []*contender{newBolt(tb), newBatch(tb), newPebble(tb)}
	for _, c := range list {
		c.latest = make([]session.Version, sessions)
		c.best = make(map[int]time.Duration)
	}
	return list
}

func newBolt(tb testing.TB) *contender {
	s, err := bolt.Open(filepath.Join(tb.TempDir(), "store.db"))
	must(tb, err)
	tb.Cleanup(func() { must(tb, s.Close()) })
	return &contender{
		name: "bolt",
		put: func(key session.Key, r store.Record) error {
			return s.Replace(tb.Context(), key, r, store.Options{})
		},
		save: func(key session.Key, prev session.Version, r store.Record) error {
			return s.Update(tb.Context(), key, prev, r, store.Options{})
		},
	}
}

func newBatch(tb testing.TB) *contender {
	db, err := bbolt.Open(filepath.Join(tb.TempDir(), "batch.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	must(tb, err)
	tb.Cleanup(func() { must(tb, db.Close()) })
	name := []byte("sessions")
	must(tb, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(name); return err }))
	return &contender{
		name: "Batch",
		put: func(key session.Key, r store.Record) error {
			value := store.MarshalRecord(r)
			return db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(name).Put(key[:], value) })
		},
		save: func(key session.Key, prev session.Version, r store.Record) error {
			value := store.MarshalRecord(r)
			return db.Batch(func(tx *bbolt.Tx) error {
				if err := is(tx.Bucket(name).Get(key[:]), prev); err != nil {
					return err
				}
				return tx.Bucket(name).Put(key[:], value)
			})
		},
	}
}

// newPebble judges and writes under a lock of the key, as a store on Pebble would.
func newPebble(tb testing.TB) *contender {
	db, err := pebble.Open(filepath.Join(tb.TempDir(), "pebble"), &pebble.Options{Logger: silent{}})
	must(tb, err)
	tb.Cleanup(func() { must(tb, db.Close()) })
	var locks [256]sync.Mutex
	return &contender{
		name: "Pebble",
		put: func(key session.Key, r store.Record) error {
			return db.Set(key[:], store.MarshalRecord(r), pebble.Sync)
		},
		save: func(key session.Key, prev session.Version, r store.Record) error {
			value := store.MarshalRecord(r)
			lock := &locks[key[0]]
			lock.Lock()
			defer lock.Unlock()
			have, done, err := db.Get(key[:])
			if err != nil {
				return err
			}
			if err := errors.Join(is(have, prev), done.Close()); err != nil {
				return err
			}
			return db.Set(key[:], value, pebble.Sync)
		},
	}
}

// is fails unless the record in b has that version.
func is(b []byte, v session.Version) error {
	r, err := store.UnmarshalRecord(b)
	if err == nil && r.Version != v {
		err = store.ErrConflict
	}
	return err
}

func record(v session.Version) store.Record {
	return store.Record{
		Version: v, Ceiling: 2_000_000_000, Index: []store.IndexValue{{1}, {2}}, TTL: 24 * time.Hour,
		Sealed: bytes.Repeat([]byte("0123456789abcdef"), sealedLen/16),
	}
}

func number(n int) (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return b
}

func keyOf(i int) session.Key {
	b := number(i)
	return sha256.Sum256(b[:])
}

// All of them judge the version; else it would not be one thing that is measured.
func TestContenders(t *testing.T) {
	for _, c := range contenders(t) {
		t.Run(c.name, func(t *testing.T) {
			key, first, second := keyOf(1), session.Version(number(1)), session.Version(number(2))
			must(t, c.put(key, record(first)))
			must(t, c.save(key, first, record(second)))
			if err := c.save(key, first, record(second)); !errors.Is(err, store.ErrConflict) {
				t.Errorf("a stale save: err = %v, want %v", err, store.ErrConflict)
			}
			must(t, c.save(key, second, record(first)))
		})
	}
}

// BenchmarkSavers compares the three with 64 savers and with one. Batch alone waits 10 ms
// for others.
func BenchmarkSavers(b *testing.B) {
	list := contenders(b)
	for _, c := range list {
		errs := make([]error, sessions)
		together(sessions, func(i int) { errs[i] = c.put(keyOf(i), record(session.Version{})) })
		must(b, errors.Join(errs...))
	}
	for b.Loop() {
		for range rounds {
			for _, c := range list {
				c.turn(b, savers, turn)
			}
			for range 10 {
				for _, c := range list {
					c.turn(b, 1, loneTurn)
				}
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, c := range list {
		b.ReportMetric(savers/c.best[savers].Seconds(), c.name+"-saves/s-64")
		b.ReportMetric(1/c.best[1].Seconds(), c.name+"-saves/s-1")
	}
}

// turn has so many savers make n saves each, and keeps the time if it is the best.
func (c *contender) turn(b *testing.B, savers, n int) {
	clk := clock.System()
	errs := make([]error, savers)
	began := clk.Now()
	together(savers, func(i int) {
		r := record(session.Version{})
		for k := range n {
			at := (i + k*savers) % sessions
			r.Version = number(int(began.UnixNano()) + k)
			if errs[i] = c.save(keyOf(at), c.latest[at], r); errs[i] != nil {
				return
			}
			c.latest[at] = r.Version
		}
	})
	took := clk.Now().Sub(began) / time.Duration(n)
	must(b, errors.Join(errs...))
	if best, ok := c.best[savers]; !ok || took < best {
		c.best[savers] = took
	}
}

// together calls f on n goroutines and waits for all of them.
func together(n int, f func(i int)) {
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() { f(i) })
	}
	done.Wait()
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// silent is a logger that says nothing.
type silent struct{}

// Infof implements pebble.Logger.
func (silent) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (silent) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger.
func (silent) Fatalf(format string, _ ...any) { panic("pebble: " + format) }

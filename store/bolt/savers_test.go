package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// What BenchmarkSavers measures: so many sessions are there, of which each saver has its
// share, and saves one after the other.
const (
	saverSessions = 4096
	sealedLen     = 4096
	saverRounds   = 20 // in which each contender has a turn with 64 savers, and ten alone
	saverTurn     = 40 // saves of each of the 64 in one turn
	loneTurn      = 10 // saves of the one in one turn
)

// contender is a way to save sessions durably.
type contender struct {
	// save writes r in place of the version prev, and returns when that is on disk.
	save func(key session.Key, prev session.Version, r store.Record) error
	best map[int]time.Duration // of one save by each of so many savers
}

// turn has so many savers make so many saves each, and keeps the time if it is the best.
func (c *contender) turn(b *testing.B, savers, saves int, latest []session.Version) {
	clk := clock.System()
	errs := make([]error, savers)
	began := clk.Now()
	together(savers, func(i int) {
		r := saverRecord()
		for n := range saves {
			at := (i + n*savers) % saverSessions
			prev := latest[at]
			r.Version = version(int(began.UnixNano()) + n)
			if err := c.save(saverKey(at), prev, r); err != nil {
				errs[i] = err
				return
			}
			latest[at] = r.Version
		}
	})
	took := clk.Now().Sub(began) / time.Duration(saves)
	must(b, errors.Join(errs...))
	if best, ok := c.best[savers]; !ok || took < best {
		c.best[savers] = took
	}
}

// rate returns the saves in a second, of the best turn.
func (c *contender) rate(savers int) float64 {
	return float64(savers) / c.best[savers].Seconds()
}

// saverKey returns a key that is as evenly spread as hashes are.
func saverKey(i int) session.Key { return bolt.HashOf(fmt.Sprint(i)) }

func saverRecord() store.Record {
	return store.Record{
		Ceiling: 2_000_000_000, Index: []store.IndexValue{{1}, {2}}, TTL: 24 * time.Hour,
		Sealed: bytes.Repeat([]byte("0123456789abcdef"), sealedLen/16),
	}
}

// BenchmarkSavers compares this store with what bbolt has: its Batch, and a transaction of
// its own for each save. They take turns in one run, and the best turn of each counts:
// whatever else the machine does hits all alike. All do what a save is: they
// look whether the version is still the one they replace, and write the record
// under its key.
func BenchmarkSavers(b *testing.B) {
	s := open(b, newPath(b))
	ours := newOurs(b, s)
	batch := newPlain(b, (*bbolt.DB).Batch)
	bare := newPlain(b, (*bbolt.DB).Update)
	all := []*contender{ours, batch, bare}
	latest := make([][]session.Version, len(all))
	for i, c := range all {
		latest[i] = make([]session.Version, saverSessions)
		c.best = make(map[int]time.Duration)
	}
	commits, saves := 0, 0
	for b.Loop() {
		for range saverRounds {
			before := s.Commits()
			ours.turn(b, 64, saverTurn, latest[0])
			commits += s.Commits() - before
			saves += 64 * saverTurn
			batch.turn(b, 64, saverTurn, latest[1])
			for range 10 {
				ours.turn(b, 1, loneTurn, latest[0])
				bare.turn(b, 1, loneTurn, latest[2])
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours.rate(64), "saves/s-64")
	b.ReportMetric(batch.rate(64), "Batch-saves/s-64")
	b.ReportMetric(ours.rate(64)/batch.rate(64), "times-Batch-64")
	b.ReportMetric(float64(saves)/float64(commits), "saves/commit-64")
	b.ReportMetric(ours.rate(1), "saves/s-1")
	b.ReportMetric(bare.rate(1), "bare-saves/s-1")
	b.ReportMetric(float64(ours.best[1])/float64(bare.best[1]), "of-bare-time-1")
}

func newOurs(b *testing.B, s *bolt.Store) *contender {
	errs := make([]error, saverSessions)
	together(saverSessions, func(i int) { errs[i] = s.Replace(b.Context(), saverKey(i), saverRecord(), opt) })
	must(b, errors.Join(errs...))
	return &contender{save: func(key session.Key, prev session.Version, r store.Record) error {
		return s.Update(b.Context(), key, prev, r, opt)
	}}
}

// newPlain returns a store of one bucket, with the options that ours has.
func newPlain(b *testing.B, update func(*bbolt.DB, func(*bbolt.Tx) error) error) *contender {
	db, err := bbolt.Open(newPath(b), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	must(b, err)
	b.Cleanup(func() { must(b, db.Close()) })
	name := []byte("sessions")
	must(b, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(name); return err }))
	errs := make([]error, saverSessions)
	together(saverSessions, func(i int) {
		k := saverKey(i)
		errs[i] = db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(name).Put(k[:], store.MarshalRecord(saverRecord())) })
	})
	must(b, errors.Join(errs...))
	return &contender{save: func(key session.Key, prev session.Version, r store.Record) error {
		value := store.MarshalRecord(r)
		return update(db, func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(name)
			have, err := store.UnmarshalRecord(bucket.Get(key[:]))
			switch {
			case err != nil:
				return err
			case have.Version != prev:
				return store.ErrConflict
			}
			return bucket.Put(key[:], value)
		})
	}}
}

var _ store.StateStore = (*bolt.Store)(nil)

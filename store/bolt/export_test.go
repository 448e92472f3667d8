package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const (
	FileFormat   = fileFormat
	ValueFormat  = valueFormat
	KindRecord   = kindRecord
	KindIntent   = kindIntent
	MaxBatch     = maxBatch
	MaxNoted     = maxNoted
	ScanLen      = scanLen
	SweepMost    = sweepMost
	StageTaken   = stageTaken
	StageApplied = stageApplied
)

var (
	MetaBucket        = metaBucket
	SessionBucket     = sessionBucket
	IntentBucket      = intentBucket
	TransactionBucket = transactionBucket
	ValueIndex        = valueIndex
	CeilingIndex      = ceilingIndex
	SessionExpiries   = sessionExpiries
	FormatKey         = formatKey
	HashOf            = hashOf
)

type Stage = stage

// WithHook has f called by the writing goroutine.
func WithHook(f func(Stage)) Option { return func(s *Store) { s.hook = f } }

// Waiting returns how many requests were not taken yet.
func (s *Store) Waiting() int { return s.queue.len() }

// Commits returns how many transactions were ever committed to the file.
func (s *Store) Commits() (n int) {
	must(s.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }))
	return n
}

// Cursors returns how many cursors this opening of the file has used.
func (s *Store) Cursors() int64 {
	stats := s.db.Stats()
	return stats.TxStats.GetCursorCount()
}

// Edit changes the file behind the store's back.
func (s *Store) Edit(f func(tx *bbolt.Tx) error) { must(s.db.Update(f)) }

// Keys returns the number of keys in a bucket.
func (s *Store) Keys(bucket []byte) (n int) {
	must(s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, _ []byte) error { n++; return nil })
	}))
	return n
}

// Claims returns how many claims are kept.
func (s *Store) Claims() int {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	return len(s.claims.byKey)
}

// Verify fails unless the pages of the file are in order, every value can be read, and
// every index says what the values say.
func (s *Store) Verify() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		want := make(map[string]bool)
		v := view{tx: tx}
		must(tx.Bucket(sessionBucket).ForEach(func(k, _ []byte) error {
			key := session.Key(k)
			f := v.session(key)
			if f.err != nil {
				errs = append(errs, fmt.Errorf("session %s: %w", key, f.err))
				return nil
			}
			for _, x := range f.values() {
				want[string(valueIndex)+string(valueKey(x, key))] = true
			}
			if f.record.Ceiling > 0 {
				want[string(ceilingIndex)+string(placeKey(int64(f.record.Ceiling), key))] = true
			}
			if f.listed != forever {
				want[string(sessionExpiries)+string(placeKey(f.listed, key))] = true
			}
			if f.listed > slotOf(f.expires) {
				errs = append(errs, fmt.Errorf("session %s is listed too late", key))
			}
			return nil
		}))
		transactions := 0
		must(tx.Bucket(transactionBucket).ForEach(func(k, _ []byte) error {
			transactions++
			f := v.read(transactionBucket, session.Key(k))
			if f.err != nil || f.kind != kindTransaction {
				errs = append(errs, fmt.Errorf("a transaction: %w", f.err))
			}
			want[string(transactionExpires)+string(placeKey(f.listed, session.Key(k)))] = true
			return nil
		}))
		if n := tx.Bucket(transactionBucket).Sequence(); int(n) != transactions {
			errs = append(errs, fmt.Errorf("%d transactions counted, want %d", n, transactions))
		}
		for _, bucket := range [][]byte{valueIndex, ceilingIndex, sessionExpiries, transactionExpires} {
			must(tx.Bucket(bucket).ForEach(func(k, _ []byte) error {
				entry := string(bucket) + string(k)
				if !want[entry] {
					errs = append(errs, fmt.Errorf("index %q has an entry that nothing has: %x", bucket, k))
				}
				delete(want, entry)
				return nil
			}))
		}
		for entry := range want {
			errs = append(errs, fmt.Errorf("an index lacks the entry %q", entry))
		}
		must(tx.Bucket(intentBucket).ForEach(func(k, _ []byte) error {
			if _, err := v.intent(session.Key(k)); err != nil {
				errs = append(errs, fmt.Errorf("an intent: %w", err))
			}
			if f := v.session(session.Key(k)); f.kind != kindRecord {
				errs = append(errs, errors.New("an intent without a record"))
			}
			return nil
		}))
		return errors.Join(errs...)
	})
}

// TombstoneBody returns how a tombstone is kept; KindEnded is its kind.
func TombstoneBody(gone *store.GoneError, now int64) []byte { return marshalTombstone(gone, now) }

const KindEnded = kindEnded

// Decoded is what decode returns.
type Decoded struct {
	Kind                  byte
	Body                  []byte
	Used, Expires, Listed int64
}

// Encode returns the stored value of d.
func Encode(key session.Key, d Decoded) []byte {
	return newDraft(key, d.Kind, d.Body).finish(d.Used, d.Expires, d.Listed)
}

// Decode is the inverse.
func Decode(key session.Key, b []byte) (Decoded, error) {
	v, err := decode(key, b)
	return Decoded{v.kind, bytes.Clone(v.body), v.used, v.expires, v.listed}, err
}

// DecodeAll decodes b as everything that a value can be.
func DecodeAll(key session.Key, b []byte) error {
	v, err := decode(key, b)
	f := stored{value: v, there: true, err: err}.session()
	if (err != nil || v.kind != kindRecord && v.kind != kindTombstone && v.kind != kindEnded) && !errors.Is(f.err, store.ErrUnreadable) {
		return fmt.Errorf("a value of kind %d was read as a session: %w, %w", v.kind, err, f.err)
	}
	return nil
}

// SlotOf and PlaceKey are of the expiry index.
func SlotOf(instant int64) int64 { return slotOf(instant) }

func PlaceKey(n int64, key session.Key) []byte { return slices.Clone(placeKey(n, key)) }

func Place(b []byte) (int64, session.Key, bool) { return place(b) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

package postgres_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

func keyOf(i int) session.Key {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(i))
	return sha256.Sum256(b[:])
}

// record returns a new record, changed by each of the functions.
func record(change ...func(*store.Record)) store.Record {
	r := store.Record{
		Version:     session.NewVersion(rand.Reader),
		Incarnation: session.NewIncarnation(rand.Reader),
		Sealed:      []byte("sealed"),
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// next is r as its next writer writes it.
func next(r store.Record) store.Record {
	r.Version = session.NewVersion(rand.Reader)
	return r
}

// add appends b to the state under key, and tries again for as long as others are
// faster.
func add(t testing.TB, s *postgres.Store, key session.Key, b byte) error {
	for {
		r, err := s.Load(t.Context(), key, store.Options{})
		if err != nil {
			return err
		}
		prev := r.Version
		r = next(r)
		r.Sealed = append(r.Sealed, b)
		if err = s.Update(t.Context(), key, prev, r, store.Options{}); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// addAll has n writers add to one record at once, and fails unless all of it is there.
func addAll(t testing.TB, stores []*postgres.Store, key session.Key, n int) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = add(t, stores[i%len(stores)], key, byte(i)) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	r, err := stores[0].Load(t.Context(), key, store.Options{})
	must(t, err)
	for i := range n {
		if bytes.Count(r.Sealed[len("sealed"):], []byte{byte(i)}) != 1 {
			t.Errorf("what writer %d wrote is there %d times, want once", i, bytes.Count(r.Sealed, []byte{byte(i)}))
		}
	}
}

package postgres

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Load implements store.StateStore.
func (s *Store) Load(ctx context.Context, key session.Key, _ store.Options) (store.Record, error) {
	var (
		r                    store.Record
		version, incarnation []byte
		values               [][]byte
		gone                 *string
	)
	err := s.row(ctx, opLoad, []any{key[:]}, &version, &incarnation, &r.Epoch, &r.Ceiling, &values, &r.Sealed, &gone)
	if err != nil {
		return store.Record{}, err
	}
	if gone != nil {
		return store.Record{}, &store.GoneError{Reason: session.Reason(*gone)}
	}
	readable := read(r.Version[:], version) && read(r.Incarnation[:], incarnation)
	for _, v := range values {
		var value store.IndexValue
		readable = readable && read(value[:], v)
		r.Index = append(r.Index, value)
	}
	if !readable {
		return store.Record{}, &store.UnreadableError{Why: store.Corrupt}
	}
	return r, nil
}

// read copies a value of fixed size, and reports whether it has that size.
func read(to, from []byte) bool {
	copy(to, from)
	return len(to) == len(from)
}

// Replace implements store.StateStore.
func (s *Store) Replace(ctx context.Context, key session.Key, r store.Record, _ store.Options) error {
	defer s.wrote()
	return s.row(ctx, opReplace, []any{
		key[:], r.Version[:], r.Incarnation[:], r.Epoch, int64(r.Ceiling), valuesOf(r), notNil(r.Sealed), microseconds(r.TTL),
	}, nil)
}

// Update implements store.StateStore.
func (s *Store) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, _ store.Options) error {
	var word string
	var reason *string
	err := s.row(ctx, opUpdate, []any{
		key[:], prev[:], r.Version[:], r.Incarnation[:], r.Epoch, int64(r.Ceiling), valuesOf(r), notNil(r.Sealed), microseconds(r.TTL),
	}, &word, &reason)
	if err != nil {
		return err
	}
	return outcome(word, reason)
}

// Delete implements store.StateStore.
func (s *Store) Delete(ctx context.Context, key session.Key, only session.Incarnation, why session.Reason, _ store.Options) error {
	defer s.wrote()
	which := []byte{} // any
	if !only.IsZero() {
		which = only[:]
	}
	return s.row(ctx, opDelete, []any{key[:], which, string(why), microseconds(max(s.tombstones, 1))}, nil)
}

// Touch implements store.Toucher.
func (s *Store) Touch(ctx context.Context, key session.Key, ttl time.Duration, _ store.Options) error {
	return s.row(ctx, opTouch, []any{key[:], microseconds(ttl)}, nil)
}

func valuesOf(r store.Record) [][]byte {
	values := make([][]byte, len(r.Index))
	for i := range r.Index {
		values[i] = r.Index[i][:]
	}
	return values
}

// End implements store.StateStore. For the moment it is Delete, and leaves no remainder.
func (s *Store) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	return s.Delete(ctx, key, only, e.Reason, o)
}

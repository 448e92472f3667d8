package postgres

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Load implements store.StateStore.
func (s *Store) Load(ctx context.Context, key session.Key, _ store.Options) (store.Record, error) {
	var r recordRow
	var g tombstoneRow
	err := s.row(ctx, opLoad, []any{key[:]}, append(r.columns(), g.columns()...)...)
	switch {
	case err != nil:
		return store.Record{}, err
	case g.reason != nil:
		return store.Record{}, g.tombstone(r.values)
	}
	return r.record()
}

// recordRow is a record as the server keeps it.
type recordRow struct {
	version, incarnation, sealed []byte
	epoch, ceiling               *int64
	connections                  *bool
	values                       [][]byte
}

// columns returns where to scan version, incarnation, epoch, ceiling, index_values, connections and sealed.
func (r *recordRow) columns() []any {
	return []any{&r.version, &r.incarnation, &r.epoch, &r.ceiling, &r.values, &r.connections, &r.sealed}
}

// record fails with a *store.UnreadableError.
func (r *recordRow) record() (out store.Record, err error) {
	readable := read(out.Version[:], r.version) && read(out.Incarnation[:], r.incarnation) && r.epoch != nil && r.ceiling != nil && r.connections != nil
	if out.Index, readable = readValues(r.values, readable); !readable {
		return store.Record{}, &store.UnreadableError{Why: store.Corrupt}
	}
	out.Epoch, out.Ceiling, out.Connections, out.Sealed = *r.epoch, session.Ceiling(*r.ceiling), *r.connections, r.sealed
	return out, nil
}

// readValues returns index values, and whether they can be read and readable is true.
func readValues(from [][]byte, readable bool) (values []store.IndexValue, ok bool) {
	for _, v := range from {
		var value store.IndexValue
		readable = readable && read(value[:], v)
		values = append(values, value)
	}
	return values, readable
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
		key[:], r.Version[:], r.Incarnation[:], r.Epoch, int64(r.Ceiling), valuesOf(r.Index), r.Connections, notNil(r.Sealed), microseconds(r.TTL),
	}, nil)
}

// Update implements store.StateStore.
func (s *Store) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, _ store.Options) error {
	var word string
	var reason *string
	err := s.row(ctx, opUpdate, []any{
		key[:], prev[:], r.Version[:], r.Incarnation[:], r.Epoch, int64(r.Ceiling), valuesOf(r.Index), r.Connections,
		notNil(r.Sealed), microseconds(r.TTL), r.Release, r.KeepIntent,
	}, &word, &reason)
	if err != nil {
		return err
	}
	return outcome(word, reason)
}

// Touch implements store.Toucher.
func (s *Store) Touch(ctx context.Context, key session.Key, ttl time.Duration, _ store.Options) error {
	return s.row(ctx, opTouch, []any{key[:], microseconds(ttl)}, nil)
}

func valuesOf(index []store.IndexValue) [][]byte {
	values := make([][]byte, len(index))
	for i := range index {
		values[i] = index[i][:]
	}
	return values
}

package store_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var goldenRecord = store.Record{
	Version:     session.Version{1, 2, 3},
	Incarnation: session.Incarnation{4, 5, 6},
	Epoch:       7,
	Ceiling:     9_999_999_999,
	Index:       []store.IndexValue{{8, 9}, {10, 11}},
	Connections: true, // as format 1 is read, which does not say
	Sealed:      []byte("sealed"),
}

func TestMarshalRecord(t *testing.T) {
	more := goldenRecord
	more.TTL, more.Release = time.Hour, "owner"
	golden(t, "record-2.hex", store.MarshalRecord(more))
	for name, b := range goldens(t, "record-*.hex") {
		if got, err := store.UnmarshalRecord(b); err != nil || !reflect.DeepEqual(got, goldenRecord) {
			t.Errorf("%s: UnmarshalRecord = %+v, %v, want %+v", name, got, err, goldenRecord)
		}
	}
	if got, err := store.UnmarshalRecord(store.MarshalRecord(store.Record{})); err != nil || !reflect.DeepEqual(got, store.Record{}) {
		t.Errorf("the empty record comes back as %+v, %v", got, err)
	}
}

func TestUnmarshalRecord_keepsNothingOfWhatItReads(t *testing.T) {
	b := store.MarshalRecord(goldenRecord)
	got, err := store.UnmarshalRecord(b)
	must(t, err)
	clear(b)
	if !reflect.DeepEqual(got, goldenRecord) {
		t.Errorf("after the bytes changed: %+v, want %+v", got, goldenRecord)
	}
}

func TestUnmarshalRecord_refuses(t *testing.T) {
	whole := store.MarshalRecord(goldenRecord)
	newer := bytes.Clone(whole)
	newer[0]++
	flags := len(whole) - len(goldenRecord.Sealed) - 1
	flagged := bytes.Clone(whole)
	flagged[flags] = 2
	tests := []struct {
		name string
		b    []byte
		want store.Unreadable
	}{
		{"nothing", nil, store.Corrupt},
		{"format 0", make([]byte, 100), store.Corrupt},
		{"a newer format", newer, store.NewerFormat},
		{"a piece", whole[:40], store.Corrupt},
		{"a piece of the index", whole[:60], store.Corrupt},
		{"no flags", whole[:flags], store.Corrupt},
		{"a flag that this release does not know", flagged, store.Corrupt},
		{"a huge index", append(bytes.Clone(whole[:49]), 0xff, 0xff, 0xff, 0xff, 0), store.Corrupt},
	}
	for _, tt := range tests {
		_, err := store.UnmarshalRecord(tt.b)
		wantUnreadable(t, tt.name, err, tt.want)
	}
}

func FuzzUnmarshalRecord(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(store.MarshalRecord(store.Record{}))
	for _, b := range goldens(f, "record-*.hex") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := store.UnmarshalRecord(b)
		if err != nil {
			if !errors.Is(err, store.ErrUnreadable) {
				t.Errorf("err = %v, want %v", err, store.ErrUnreadable)
			}
			return
		}
		again := store.MarshalRecord(r)
		if b[0] == again[0] && !bytes.Equal(again, b) {
			t.Errorf("%x was read, and is written as %x", b, again)
		}
		if same, err := store.UnmarshalRecord(again); err != nil || !reflect.DeepEqual(same, r) {
			t.Errorf("%+v was written, and is read as %+v, %v", r, same, err)
		}
	})
}

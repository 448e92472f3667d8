package bolt_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

var golden = bolt.Decoded{
	Kind: bolt.KindRecord, Body: []byte("a body"), Used: 1_893_495_600_000_000, Expires: 1_893_499_200_000_000, Listed: 31_558_321,
}

// Every release reads what this one writes, and what the releases before wrote.
func TestValue_golden(t *testing.T) {
	for format := 1; format <= bolt.ValueFormat; format++ {
		text, err := os.ReadFile(fmt.Sprintf("testdata/value.%d.hex", format))
		must(t, err)
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		must(t, err)
		want := golden
		if format == bolt.ValueFormat {
			if got := bolt.Encode(key(1), golden); !bytes.Equal(got, b) {
				t.Errorf("the format has changed: %x, want %x", got, b)
			}
		} else {
			want.Used = 0
		}
		got, err := bolt.Decode(key(1), b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("format %d: Decode = %+v, %v, want %+v", format, got, err, want)
		}
	}
}

// Any one bit is missed, and a value under another key too.
func TestValue_everyBitCounts(t *testing.T) {
	b := bolt.Encode(key(1), golden)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if _, err := bolt.Decode(key(1), b); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("bit %d flipped: err = %v, want %v", i, err, store.ErrUnreadable)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for n := range len(b) {
		if _, err := bolt.Decode(key(1), b[:n]); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%d bytes of %d: err = %v, want %v", n, len(b), err, store.ErrUnreadable)
		}
	}
	if _, err := bolt.Decode(key(2), b); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("under another key: err = %v, want %v", err, store.ErrUnreadable)
	}
	if _, err := bolt.Decode(key(1), b); err != nil {
		t.Error(err)
	}
}

func FuzzValue(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 22))
	f.Add(bolt.Encode(key(1), golden))
	f.Add(bolt.Encode(key(1), bolt.Decoded{Kind: bolt.KindRecord, Body: store.MarshalRecord(store.Record{Index: []store.IndexValue{{}}, Sealed: []byte("x")})}))
	f.Add(bolt.Encode(key(1), bolt.Decoded{Kind: 't', Body: []byte(session.ReasonLogout)}))
	f.Add(bolt.Encode(key(1), bolt.Decoded{Kind: bolt.KindEnded, Body: bolt.TombstoneBody(errGolden, 0)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := key(1)
		// As it comes, and with a checksum that fits: the latter gets further.
		if len(b) >= 22 {
			d := bolt.Decoded{Kind: b[1], Body: b[2 : len(b)-20], Expires: int64(len(b)), Listed: -1}
			fits := bolt.Encode(k, d)
			got, err := bolt.Decode(k, fits)
			if err != nil || got.Kind != d.Kind || !bytes.Equal(got.Body, d.Body) || got.Expires != d.Expires || got.Listed != d.Listed {
				t.Fatalf("Decode = %+v, %v, want %+v", got, err, d)
			}
			must(t, bolt.DecodeAll(k, fits))
		}
		must(t, bolt.DecodeAll(k, b))
		got, err := bolt.Decode(k, b)
		if err != nil {
			wantErr(t, err, store.ErrUnreadable)
			return
		}
		if !bytes.Equal(bolt.Encode(k, got), b) {
			t.Fatalf("%x is read as %+v, and written as %x", b, got, bolt.Encode(k, got))
		}
	})
}

package bolt_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// An intent that the first releases wrote is read, and one that was never presented again is
// still written as they did.
func TestIntent_ofTheFirstReleases(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	must(t, s.Replace(t.Context(), key(1), store.Record{Version: version(1), Incarnation: session.Incarnation{1}}, opt))
	body, err := hex.DecodeString("05" + zeros(31) + "0000000000000003" + "000000006553f100")
	must(t, err)
	old := bolt.Encode(key(1), bolt.Decoded{Kind: bolt.KindIntent, Body: body, Expires: math.MaxInt64, Listed: math.MaxInt64})
	in := store.Intent{Token: [32]byte{5}, Epoch: 3, At: 1_700_000_000}
	k := key(1)
	written := func() (b []byte) {
		s.Edit(func(tx *bbolt.Tx) error { b = bytes.Clone(tx.Bucket(bolt.IntentBucket).Get(k[:])); return nil })
		return b
	}

	s.Edit(func(tx *bbolt.Tx) error { return tx.Bucket(bolt.IntentBucket).Put(k[:], old) })
	found, err := s.StaleIntents(t.Context(), 10, opt)
	if must(t, err); !slices.Equal(found, []store.StaleIntent{{Key: k, Intent: in}}) {
		t.Errorf("StaleIntents = %v, want %v", found, in)
	}
	must(t, s.ClearIntent(t.Context(), k, in, opt))
	must(t, intend(t.Context(), s, k, in))
	copy(body[32:40], make([]byte, 8)) // without leases the epoch is 0
	want := bolt.Encode(key(1), bolt.Decoded{Kind: bolt.KindIntent, Body: body, Expires: math.MaxInt64, Listed: math.MaxInt64})
	if got := written(); !bytes.Equal(got, want) {
		t.Errorf("written as %x, want %x", got, want)
	}

	in.Tries, in.Next = 2, 1_700_000_010
	must(t, intend(t.Context(), s, k, in))
	if got, err := bolt.Decode(k, written()); err != nil || hex.EncodeToString(got.Body[len(body):]) != "0000000000000002"+"000000006553f10a" {
		t.Errorf("tries are written as %x, %v", got.Body[len(body):], err)
	}
}

func zeros(n int) string { return hex.EncodeToString(make([]byte, n)) }

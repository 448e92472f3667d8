package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// RunTransactions holds a store to the contract of store.TransactionStore. For each
// test newStore returns an empty store that lives by c, and closes it with t.Cleanup.
func RunTransactions(t *testing.T, newStore func(t *testing.T, c clock.Clock) store.TransactionStore) {
	t.Helper()
	RunTransactionsTraits(t, Traits{}, newStore)
}

// RunTransactionsTraits is RunTransactions for a store with other traits, of which it
// uses Lapse, Short, NoExpiry and MaxTransaction.
func RunTransactionsTraits(t *testing.T, traits Traits, newStore func(t *testing.T, c clock.Clock) store.TransactionStore) {
	t.Helper()
	traits = traits.withDefaults()
	for _, s := range transactionStories {
		t.Run(s.name, func(t *testing.T) {
			c := clock.NewFake(t0)
			r := &transactionRig{rig: &rig{T: t, traits: traits, clock: c}, store: newStore(t, c)}
			s.tell(r)
		})
	}
}

type transactionRig struct {
	*rig
	store store.TransactionStore
}

var transactionStories = []struct {
	name string
	tell func(r *transactionRig)
}{
	{"what was put is read, and taken once", func(r *transactionRig) {
		key, data := r.put(long)
		for range 2 {
			r.wantData(r.store.Get, key, data)
		}
		r.wantData(r.store.Take, key, data)
		r.wantNone(key)
	}},
	{"absence is ErrNotFound", func(r *transactionRig) {
		r.put(long)
		r.wantNone("_a0_tx:" + rand.Text())
		r.wantNone("")
	}},
	{"a key is put again", func(r *transactionRig) {
		key, _ := r.put(long)
		r.must(r.store.Put(r.Context(), key, []byte("again"), long, opt))
		r.wantData(r.store.Take, key, []byte("again"))
		r.wantNone(key)
	}},
	{"of many takers one gets it", func(r *transactionRig) {
		key, data := r.put(long)
		got := make([][]byte, 50)
		errs := make([]error, len(got))
		together(len(got), func(i int) { got[i], errs[i] = r.store.Take(r.Context(), key, opt) })
		taken := 0
		for i, err := range errs {
			if err == nil {
				taken++
				if !bytes.Equal(got[i], data) {
					r.Errorf("Take = %q, want %q", got[i], data)
				}
				continue
			}
			r.wantErr("Take", err, store.ErrNotFound)
		}
		if taken != 1 {
			r.Errorf("%d calls got it, want 1", taken)
		}
	}},
	{"a transaction lapses", func(r *transactionRig) {
		if r.traits.NoExpiry {
			r.Skip("the store does not expire")
		}
		lapsing, _ := r.put(r.traits.Short)
		alsoLapsing, _ := r.put(r.traits.Short)
		kept, data := r.put(20 * r.traits.Short)
		never, _ := r.put(0)
		r.wantNone(never)
		r.lapse(r.traits.Short)
		_, err := r.store.Take(r.Context(), lapsing, opt)
		r.wantErr("Take", err, store.ErrNotFound)
		r.wantNone(alsoLapsing)
		r.wantData(r.store.Get, kept, data)
	}},
	{"the store and its callers share no memory", func(r *transactionRig) {
		key, data := r.put(long)
		want := bytes.Clone(data)
		data[0]++
		r.wantData(r.store.Get, key, want)
		got, err := r.store.Get(r.Context(), key, opt)
		r.must(err)
		got[0]++
		r.wantData(r.store.Take, key, want)
	}},
	{"data may be anything", func(r *transactionRig) {
		for i, data := range [][]byte{{0}, []byte("\x00\xff\"'\r\n"), bytes.Repeat([]byte{0xa5}, r.traits.MaxTransaction)} {
			key := "_a0_tx:ÿ %/\\:" + string(rune('a'+i))
			r.must(r.store.Put(r.Context(), key, data, long, opt))
			r.wantData(r.store.Take, key, data)
		}
	}},
	{"a call whose context has ended does nothing", func(r *transactionRig) {
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		key, data := r.put(long)
		r.wantErr("Put", r.store.Put(ended, key, []byte("again"), long, opt), context.Canceled)
		_, err := r.store.Get(ended, key, opt)
		r.wantErr("Get", err, context.Canceled)
		_, err = r.store.Take(ended, key, opt)
		r.wantErr("Take", err, context.Canceled)
		r.wantData(r.store.Take, key, data)
	}},
}

func (r *transactionRig) put(ttl time.Duration) (key string, data []byte) {
	r.Helper()
	key, data = "_a0_tx:"+rand.Text(), []byte("data of "+rand.Text())
	r.must(r.store.Put(r.Context(), key, data, ttl, opt))
	return key, data
}

func (r *transactionRig) wantData(read func(context.Context, string, store.Options) ([]byte, error), key string, want []byte) {
	r.Helper()
	got, err := read(r.Context(), key, opt)
	r.must(err)
	if !bytes.Equal(got, want) {
		r.Fatalf("got %.48q, want %.48q", got, want)
	}
}

func (r *transactionRig) wantNone(key string) {
	r.Helper()
	_, errGet := r.store.Get(r.Context(), key, opt)
	_, errTake := r.store.Take(r.Context(), key, opt)
	if !errors.Is(errGet, store.ErrNotFound) || !errors.Is(errTake, store.ErrNotFound) {
		r.Fatalf("Get: err = %v, Take: err = %v, want %v", errGet, errTake, store.ErrNotFound)
	}
}

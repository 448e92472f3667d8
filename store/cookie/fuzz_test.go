package cookie_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

// An envelope of ours may still be of another version of us, before or after this one.

func FuzzSealedSession(f *testing.F) {
	clk, b := clock.NewFake(t0), newBrowser()
	seal := reproducible(f)
	s := cookie.NewStates(seal, clk, name, cookie.Attributes{})
	if err := s.Replace(f.Context(), session.KeyOf(name, "id"), record(1, 40), store.Options{}); err != nil {
		f.Fatal(err)
	}
	w, r := b.request()
	if err := s.WriteResponse(w, r, "id", cookie.Incoming{}, time.Hour, true, nil); err != nil {
		f.Fatal(err)
	}
	b.took(w)
	value := b.jar[name+".0"][strings.LastIndexByte(b.jar[name+".0"], '.')+1:]
	good, err := cookie.Open(seal, name, value)
	if err != nil {
		f.Fatal(err)
	}
	for n := range good {
		f.Add(good[:n])
	}
	for i := range min(len(good), 60) {
		f.Add([]byte(string(good[:i]) + "\xff" + string(good[i+1:])))
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, plain []byte) {
		other := cookie.NewStates(seal, clk, name, cookie.Attributes{})
		w, r := newBrowser().request()
		text := cookie.Seal(seal, name, plain)
		if len(text) > 3000 {
			return // more than one chunk
		}
		r.AddCookie(&http.Cookie{Name: name + ".0", Value: chunkTag(text) + strconv.Itoa(len(text)) + "." + text})
		got := readRequest(other, w, r)
		if got.ID == "" {
			return
		}
		if _, err := other.Load(t.Context(), session.KeyOf(name, got.ID), store.Options{}); err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Load: %v", err)
		}
		if err := other.WriteResponse(w, r, got.ID, got, time.Hour, true, nil); err != nil {
			t.Errorf("WriteResponse: %v", err)
		}
	})
}

func FuzzSealedTransaction(f *testing.F) {
	clk, b := clock.NewFake(t0), newBrowser()
	seal := reproducible(f)
	s := cookie.NewTransactions(seal, clk, "_a0_tx", cookie.Attributes{})
	if err := (inBrowser{s, b}).Put(f.Context(), "k", []byte("data"), time.Hour, store.Options{}); err != nil {
		f.Fatal(err)
	}
	var at string
	for n, value := range b.cookies() {
		at = n
		good, err := cookie.Open(seal, n, value)
		if err != nil {
			f.Fatal(err)
		}
		for n := range len(good) + 1 {
			f.Add(good[:n])
		}
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		other := cookie.NewTransactions(seal, clk, "_a0_tx", cookie.Attributes{})
		w, r := newBrowser().request()
		r.AddCookie(&http.Cookie{Name: at, Value: cookie.Seal(seal, at, plain)})
		o := store.Options{Request: r, Response: w}
		first, err := other.Take(t.Context(), "k", o)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("Take: %v", err)
		}
		if second, err := other.Take(t.Context(), "k", o); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("taken twice: %q, %q, %v", first, second, err)
		}
	})
}

package cookie_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
	"github.com/tokenward/tokenward/store/storetest"
)

func newTransactions(t testing.TB, c clock.Clock, secrets ...string) *cookie.Transactions {
	return cookie.NewTransactions(sealer(t, secrets...), c, "_a0_tx", cookie.Attributes{})
}

// inBrowser makes every call a request of one browser.
type inBrowser struct {
	s store.TransactionStore
	b *browser
}

func (s inBrowser) Put(ctx context.Context, key string, data []byte, ttl time.Duration, _ store.Options) error {
	return s.b.call(func(o store.Options) error { return s.s.Put(ctx, key, data, ttl, o) })
}

func (s inBrowser) Get(ctx context.Context, key string, _ store.Options) (data []byte, err error) {
	err = s.b.call(func(o store.Options) error { data, err = s.s.Get(ctx, key, o); return err })
	return data, err
}

func (s inBrowser) Take(ctx context.Context, key string, _ store.Options) (data []byte, err error) {
	err = s.b.call(func(o store.Options) error { data, err = s.s.Take(ctx, key, o); return err })
	return data, err
}

func TestTransactions(t *testing.T) {
	t.Run("in a browser", func(t *testing.T) {
		storetest.RunTransactionsTraits(t, storetest.Traits{MaxTransaction: 2800}, func(t *testing.T, c clock.Clock) store.TransactionStore {
			return inBrowser{newTransactions(t, c, secretA), newBrowser()}
		})
	})
	t.Run("without one", func(t *testing.T) {
		storetest.RunTransactions(t, func(t *testing.T, c clock.Clock) store.TransactionStore {
			return newTransactions(t, c, secretA)
		})
	})
}

func TestTransactions_oneCookieForEach(t *testing.T) {
	s, b := newTransactions(t, clock.NewFake(t0), secretA), newBrowser()
	one, two := "_a0_tx:"+rand.Text(), "_a0_tx:"+rand.Text()
	tx := inBrowser{s, b}
	for _, key := range []string{one, two} {
		if err := tx.Put(t.Context(), key, []byte(key), time.Hour, store.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	name := regexp.MustCompile(`^_a0_tx\.[A-Za-z0-9_-]{24}$`)
	for n, v := range b.cookies() {
		if !name.MatchString(n) || strings.Contains(v, one) {
			t.Errorf("cookie %s", n)
		}
	}
	// Two tabs: each finds its own.
	for _, key := range []string{two, one} {
		if got, err := tx.Take(t.Context(), key, store.Options{}); err != nil || string(got) != key {
			t.Errorf("Take = %q, %v", got, err)
		}
	}
	if n := len(b.cookies()); n != 0 {
		t.Errorf("%d cookies are left, want 0", n)
	}
	w, r := b.request()
	if err := s.Put(t.Context(), one, []byte("x"), time.Hour, store.Options{Request: r, Response: w}); err != nil {
		t.Fatal(err)
	}
	c := w.Result().Cookies()[0]
	if c.MaxAge != 3600 || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("cookie = %v", c)
	}
}

// A callback may arrive in another process, and under a newer secret.
func TestTransactions_inAnotherProcess(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	key := "_a0_tx:" + rand.Text()
	if err := (inBrowser{newTransactions(t, clk, secretA), b}).Put(t.Context(), key, []byte("x"), time.Hour, store.Options{}); err != nil {
		t.Fatal(err)
	}
	later := inBrowser{newTransactions(t, clk, secretB, secretA), b}
	if got, err := later.Take(t.Context(), key, store.Options{}); err != nil || string(got) != "x" {
		t.Errorf("Take = %q, %v", got, err)
	}
}

// Of a hundred callbacks at once, all with the same cookie, one gets it; and no other
// later who kept a copy.
func TestTransactions_aCopyIsTakenOnce(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	s := newTransactions(t, clk, secretA)
	key := "_a0_tx:" + rand.Text()
	if err := (inBrowser{s, b}).Put(t.Context(), key, []byte("x"), time.Hour, store.Options{}); err != nil {
		t.Fatal(err)
	}
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			w, r := b.request()
			if _, err := s.Take(t.Context(), key, store.Options{Request: r, Response: w}); err == nil {
				got.Add(1)
			} else if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Take: %v", err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d of 100 took it, want 1", got.Load())
	}
	_, r := b.request()
	for _, read := range []func(context.Context, string, store.Options) ([]byte, error){s.Get, s.Take} {
		if _, err := read(t.Context(), key, store.Options{Request: r}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a copy, later: %v, want %v", err, store.ErrNotFound)
		}
	}
}

// What this process cannot read is of another release.
func TestTransactions_leaveAloneWhatTheyCannotRead(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	key := "_a0_tx:" + rand.Text()
	if err := (inBrowser{newTransactions(t, clk, secretB), b}).Put(t.Context(), key, []byte("x"), time.Hour, store.Options{}); err != nil {
		t.Fatal(err)
	}
	before := b.cookies()
	here := inBrowser{newTransactions(t, clk, secretA), b}
	if _, err := here.Take(t.Context(), key, store.Options{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Take: %v, want %v", err, store.ErrNotFound)
	}
	for i := range 20 {
		if err := here.Put(t.Context(), fmt.Sprint("k", i), make([]byte, 700), time.Hour, store.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range before {
		if b.cookies()[name] != value {
			t.Errorf("%s was touched", name)
		}
	}
}

func TestTransactions_everyByteCounts(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	s := newTransactions(t, clk, secretA)
	key := "_a0_tx:" + rand.Text()
	if err := (inBrowser{s, b}).Put(t.Context(), key, []byte("x"), time.Hour, store.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, value := range b.cookies() {
		for i := range len(value) {
			other := []byte(value)
			if other[i]++; other[i] == value[i] || !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", rune(other[i])) {
				other[i] = 'A'
				if value[i] == 'A' {
					other[i] = 'B'
				}
			}
			b.jar[name] = string(other)
			if _, err := (inBrowser{s, b}).Take(t.Context(), key, store.Options{}); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("byte %d changed: %v, want %v", i, err, store.ErrNotFound)
			}
			b.jar[name] = value[:i]
			if _, err := (inBrowser{s, b}).Take(t.Context(), key, store.Options{}); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("cut at %d: %v, want %v", i, err, store.ErrNotFound)
			}
		}
		b.jar[name] = value
		// Nor does it open under another name.
		b.jar[name[:len(name)-1]+"A"] = value
	}
	if _, err := (inBrowser{s, b}).Take(t.Context(), key, store.Options{}); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// Two hundred logins that are not completed leave the newest few.
func TestTransactions_prefetchedLogins(t *testing.T) {
	for _, size := range []int{100, 600, 2500} {
		s, b := newTransactions(t, clock.NewFake(t0), secretA), newBrowser()
		tx := inBrowser{s, b}
		for i := range 200 {
			if err := tx.Put(t.Context(), fmt.Sprint("_a0_tx:", i), make([]byte, size), time.Hour, store.Options{}); err != nil {
				t.Fatal(err)
			}
			if n := b.size(); n > 6<<10 {
				t.Fatalf("%d bytes each, after %d: a header of %d bytes", size, i+1, n)
			}
		}
		n := len(b.cookies())
		for i := 199; i > 199-n; i-- {
			if _, err := tx.Get(t.Context(), fmt.Sprint("_a0_tx:", i), store.Options{}); err != nil {
				t.Errorf("%d bytes each: number %d is gone, of %d kept", size, i, n)
			}
		}
	}
}

// A lapsed transaction goes with the next login.
func TestTransactions_clearAway(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	tx := inBrowser{newTransactions(t, clk, secretA), b}
	put := func(key string) {
		if err := tx.Put(t.Context(), key, []byte("x"), time.Hour, store.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	put("old")
	b.jar["_a0_tx.mine"], b.jar["_a0_txt"] = "x", "y"
	clk.Advance(time.Hour)
	put("new")
	if n := len(b.cookies()); n != 3 {
		t.Errorf("%d cookies, want the new one and the host's two", n)
	}
	put("new")
	if err := tx.Put(t.Context(), "new", nil, 0, store.Options{}); err != nil {
		t.Fatal(err)
	}
	if n := len(b.cookies()); n != 2 {
		t.Errorf("%d cookies, want the host's two", n)
	}
}

func TestTransactions_tooLarge(t *testing.T) {
	tx := inBrowser{newTransactions(t, clock.NewFake(t0), secretA), newBrowser()}
	err := tx.Put(t.Context(), "k", make([]byte, 3000), time.Hour, store.Options{})
	var invalid *session.InvalidArgumentError
	if !errors.As(err, &invalid) || invalid.Argument != "app_state" || !strings.Contains(err.Error(), "WithTransactionStore") {
		t.Errorf("err = %v, want an InvalidArgumentError that says what to do", err)
	}
}

func FuzzTransactionCookie(f *testing.F) {
	clk, b := clock.NewFake(t0), newBrowser()
	s := cookie.NewTransactions(reproducible(f), clk, "_a0_tx", cookie.Attributes{})
	if err := (inBrowser{s, b}).Put(f.Context(), "k", []byte("x"), time.Hour, store.Options{}); err != nil {
		f.Fatal(err)
	}
	var good []string
	for name, value := range b.cookies() {
		good = append(good, value)
		for _, header := range []string{"=" + value, "=", "=AQ", "=" + value[:20], "=" + value + "A", "=\"" + value + "\"", "=x; " + name + "=" + value} {
			f.Add(name + header)
		}
	}
	f.Add("_a0_tx.; _a0_tx=; ;;=")
	f.Fuzz(func(t *testing.T, header string) {
		w, r := newBrowser().request()
		r.Header.Set("Cookie", header)
		o := store.Options{Request: r, Response: w}
		got, err := s.Get(t.Context(), "k", o)
		switch {
		case err == nil && (string(got) != "x" || !slices.ContainsFunc(good, func(v string) bool { return strings.Contains(header, v) })):
			t.Errorf("Get = %q", got)
		case err != nil && !errors.Is(err, store.ErrNotFound):
			t.Errorf("Get: %v", err)
		}
		if err := s.Put(t.Context(), "other", []byte("y"), time.Hour, o); err != nil {
			t.Errorf("Put: %v", err)
		}
	})
}

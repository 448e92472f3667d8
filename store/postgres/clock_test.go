package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// Everything lapses by the server's clock, not before its time, and whatever the clocks of
// two processes say.
func TestServerClock(t *testing.T) {
	const short = 300 * time.Millisecond
	h := newHome(t)
	s := h.open(postgres.Clock(clock.NewFake(time.Unix(0, 0))), postgres.TombstoneLife(short))
	other := h.open(postgres.Clock(clock.NewFake(time.Unix(9_999_999_999, 0))))
	var opt store.Options
	var claimed []store.Ref
	tests := []struct {
		name  string
		begin func(key session.Key) error
		over  func(key session.Key) (bool, error)
	}{
		{"a lease", func(key session.Key) error {
			_, err := lease(t.Context(), s, key, "a", short)
			return err
		}, func(key session.Key) (bool, error) {
			_, err := lease(t.Context(), other, key, "b", short)
			if errors.Is(err, store.ErrLeased) {
				return false, nil
			}
			return true, err
		}},
		{"a record", func(key session.Key) error {
			return s.Replace(t.Context(), key, record(func(r *store.Record) { r.TTL = short }), opt)
		}, func(key session.Key) (bool, error) {
			_, err := other.Load(t.Context(), key, opt)
			return absent(err), unlessAbsent(err)
		}},
		{"a touched record", func(key session.Key) error {
			return errors.Join(s.Replace(t.Context(), key, record(), opt), s.Touch(t.Context(), key, short, opt))
		}, func(key session.Key) (bool, error) {
			_, err := other.Load(t.Context(), key, opt)
			return absent(err), unlessAbsent(err)
		}},
		{"a tombstone", func(key session.Key) error {
			return errors.Join(s.Replace(t.Context(), key, record(), opt),
				s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
		}, func(key session.Key) (bool, error) {
			_, err := other.Load(t.Context(), key, opt)
			var gone *store.GoneError
			return absent(err) && !errors.As(err, &gone), unlessAbsent(err)
		}},
		{"a claim", func(key session.Key) (err error) {
			err = s.Replace(t.Context(), key, record(func(r *store.Record) { r.Ceiling = 1 }), opt)
			claimed, _ = s.ClaimDue(t.Context(), 2, 10, short, opt)
			return err
		}, func(session.Key) (bool, error) {
			refs, err := other.ClaimDue(t.Context(), 2, 10, short, opt)
			return len(refs) == len(claimed), err
		}},
		{"a transaction", func(session.Key) error {
			return s.Transactions().Put(t.Context(), "state", []byte("data"), short, opt)
		}, func(session.Key) (bool, error) {
			_, err := other.Transactions().Get(t.Context(), "state", opt)
			return absent(err), unlessAbsent(err)
		}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key := keyOf(i)
			begun := h.now()
			must(t, tt.begin(key))
			await.Eventually(t, "its end", func() bool {
				over, err := tt.over(key)
				must(t, err)
				return over
			})
			if stood := h.now().Sub(begun); stood < short {
				t.Errorf("it stood for %v by the server's clock, want %v at least", stood, short)
			}
		})
	}
}

func (h *home) now() time.Time { return query[time.Time](h, "SELECT clock_timestamp()") }

func absent(err error) bool { return errors.Is(err, store.ErrNotFound) }

func unlessAbsent(err error) error {
	if absent(err) {
		return nil
	}
	return err
}

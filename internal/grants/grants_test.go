package grants_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/grants"
	"github.com/tokenward/tokenward/session"
)

// rig is a cache whose requests are made on goroutines of their own.
type rig struct {
	*grants.Cache
	clock  *clock.Fake
	closed atomic.Bool
	asked  sync.WaitGroup
}

func newRig(l session.Limits) *rig {
	r := &rig{clock: clock.NewFake(time.Unix(1_800_000_000, 0))}
	l.FlightTimeout = time.Minute
	r.Cache = grants.New(grants.Config{
		Clock: r.clock, Limits: l, Closed: r.closed.Load, Stopped: make(chan struct{}),
		Ask: func(_ string, _ bool, ask func(context.Context) error, answered func(error)) {
			r.asked.Go(func() {
				_ = ask(context.Background())
				answered(nil)
			})
		},
	})
	return r
}

// A crowd that wants more tokens than are kept: of one source and query one request is under way at any time, and an answer
// is that of its query, whatever leaves memory.
func TestCache_crowdBeyondTheLimit(t *testing.T) {
	r := newRig(session.Limits{GrantedTokens: 16, QueuedQueries: 64})
	const sources, scopes = 40, 3
	var underWay [sources][scopes]atomic.Int32
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for n := range 300 {
				k := (i*7 + n*13) % (sources * scopes)
				source, scope := k/scopes, k%scopes
				call := &grants.Call{
					Source:  grants.Source{Subject: [32]byte{byte(source)}},
					Query:   session.Policy{}.Query("api", fmt.Sprint("scope", scope)),
					Failure: session.MachineFailure,
				}
				want := fmt.Sprint(source, "/", scope)
				call.Fetch = func(context.Context) (session.TokenResponse, error) {
					if underWay[source][scope].Add(1) != 1 {
						t.Error("two requests for one token at once")
					}
					defer underWay[source][scope].Add(-1)
					if n%10 == 9 {
						return session.TokenResponse{}, errors.New("refused")
					}
					return session.TokenResponse{AccessToken: want, ExpiresIn: int64(n % 3 * 60), HasExpiresIn: true}, nil
				}
				got, err := r.Get(t.Context(), call)
				if err == nil && got.AccessToken != want {
					t.Errorf("got %s, want %s", got.AccessToken, want)
				}
				if n%50 == 0 {
					r.clock.Advance(time.Minute)
					r.Forget(call)
				}
			}
		})
	}
	callers.Wait()
	r.asked.Wait()
}

// A panic of what makes the request ends its flight with internal_error.
func TestCache_panic(t *testing.T) {
	r := newRig(session.Limits{GrantedTokens: 16, QueuedQueries: 64})
	call := &grants.Call{Query: session.Policy{}.Query("", ""), Failure: session.MachineFailure}
	call.Fetch = func(context.Context) (session.TokenResponse, error) { panic("a secret") }
	_, err := r.Get(t.Context(), call)
	if !errors.Is(err, session.ErrInternal) || strings.Contains(err.Error(), "a secret") {
		t.Errorf("err = %v", err)
	}
	r.asked.Wait()
}

// machine is a call of one application for an audience.
func machine(audience int, fetched func()) *grants.Call {
	return &grants.Call{
		Query: session.Policy{}.Query(fmt.Sprint("api", audience), ""), Failure: session.MachineFailure,
		Fetch: func(context.Context) (session.TokenResponse, error) {
			fetched()
			return session.TokenResponse{AccessToken: fmt.Sprint("token", audience), ExpiresIn: 3600, HasExpiresIn: true}, nil
		},
	}
}

// The limit is one for all: an application may use the whole of it, and so may one user.
func TestCache_keepsWhatTheLimitAllows(t *testing.T) {
	r := newRig(session.Limits{GrantedTokens: 10_000, QueuedQueries: 64})
	var requests atomic.Int64
	const audiences = 8000
	for range 3 {
		for i := range audiences {
			if _, err := r.Get(t.Context(), machine(i, func() { requests.Add(1) })); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.asked.Wait()
	if n := requests.Load(); n != audiences {
		t.Errorf("%d requests for %d tokens that fit in", n, audiences)
	}
}

// Flights are not dropped, however many there are; once they have ended, what is too much leaves, and what is in use stays.
func TestCache_flightsBeyondTheLimit(t *testing.T) {
	const most, audiences = 100, 2000
	r := newRig(session.Limits{GrantedTokens: most, QueuedQueries: 64})
	var callers sync.WaitGroup
	var requests atomic.Int64
	release := make(chan struct{})
	for i := range audiences {
		callers.Go(func() {
			got, err := r.Get(t.Context(), machine(i, func() { requests.Add(1); <-release }))
			if want := fmt.Sprint("token", i); err != nil || got.AccessToken != want {
				t.Errorf("%v, %v, want %s", got, err, want)
			}
		})
	}
	for requests.Load() < audiences {
		runtime.Gosched()
	}
	close(release)
	callers.Wait()
	r.asked.Wait()
	if n := requests.Load(); n != audiences {
		t.Errorf("%d requests, want one for each of %d tokens", n, audiences)
	}
	kept := func() (n int) {
		for i := range 2 * audiences {
			if _, ok := r.Cached(machine(i, nil)); ok {
				n++
			}
		}
		return n
	}
	if n := kept(); n == 0 || n > most {
		t.Errorf("%d tokens are kept, want %d at most", n, most)
	}
	for i := range 10 * most {
		for _, audience := range []int{audiences, audiences + 1 + i} {
			if _, err := r.Get(t.Context(), machine(audience, func() { requests.Add(1) })); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.asked.Wait()
	if n := requests.Load() - audiences; n != 10*most+1 {
		t.Errorf("%d requests, want one for the token in use, and %d", n, 10*most)
	}
	if n := kept(); n == 0 || n > most {
		t.Errorf("%d tokens are kept in the end, want %d at most", n, most)
	}
}

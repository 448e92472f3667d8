package grants_test

import (
	"context"
	"errors"
	"fmt"
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
// is that of its question, whatever leaves memory.
func TestCache_crowdBeyondTheLimit(t *testing.T) {
	r := newRig(session.Limits{GrantedTokens: 16, QueuedQuestions: 64})
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
	r := newRig(session.Limits{GrantedTokens: 16, QueuedQuestions: 64})
	call := &grants.Call{Query: session.Policy{}.Query("", ""), Failure: session.MachineFailure}
	call.Fetch = func(context.Context) (session.TokenResponse, error) { panic("a secret") }
	_, err := r.Get(t.Context(), call)
	if !errors.Is(err, session.ErrInternal) || strings.Contains(err.Error(), "a secret") {
		t.Errorf("err = %v", err)
	}
	r.asked.Wait()
}

package tour

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward"
)

// answers are what the callers of one burst got.
type answers struct {
	tokens []string
	errs   []error // nil where there is a token
	wall   time.Duration
}

// burst has n callers ask at once, and returns when all of them have an answer.
func burst(n int, ask func(i int) (string, error)) answers { return launch(n, ask)() }

// launch is burst in two halves: it returns when the callers are on their way, and
// the function it returns gathers what they got.
func launch(n int, ask func(i int) (string, error)) (gather func() answers) {
	a := answers{tokens: make([]string, n), errs: make([]error, n)}
	start := make(chan struct{})
	var g errgroup.Group
	for i := range n {
		g.Go(func() error {
			<-start
			a.tokens[i], a.errs[i] = ask(i)
			return a.errs[i]
		})
	}
	begin := time.Now()
	close(start)
	return func() answers {
		_ = g.Wait() // the first error; errs has all of them
		a.wall = time.Since(begin)
		return a
	}
}

func (a answers) failed() int {
	n := 0
	for _, err := range a.errs {
		if err != nil {
			n++
		}
	}
	return n
}

func (a answers) served() int { return len(a.errs) - a.failed() }

// distinct returns how many different tokens were handed out.
func (a answers) distinct() int {
	seen := map[string]bool{}
	for i, t := range a.tokens {
		if a.errs[i] == nil {
			seen[t] = true
		}
	}
	return len(seen)
}

// coded returns how many errors have this code.
func (a answers) coded(code tokenward.Code) int {
	n := 0
	for _, err := range a.errs {
		var typed *tokenward.AccessTokenError
		if errors.As(err, &typed) && typed.Code == code {
			n++
		}
	}
	return n
}

// ms writes d in milliseconds.
func ms(d time.Duration) string {
	digits := 1
	if d < time.Millisecond {
		digits = 3
	}
	return fmt.Sprintf("%.*f ms", digits, float64(d.Nanoseconds())/1e6)
}

// lineup tells when callers have begun to wait for an answer: when they look at the
// Done channel of the context it gave them.
type lineup chan struct{}

func newLineup(n int) lineup { return make(lineup, n) }

// caller returns a context for one caller.
func (l lineup) caller(ctx context.Context) context.Context {
	return waiter{ctx, sync.OnceFunc(func() { l <- struct{}{} })}
}

// wait returns when every caller waits.
func (l lineup) wait(ctx context.Context) error {
	for n := range cap(l) {
		select {
		case <-l:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d callers wait: %w", n, cap(l), ctx.Err())
		}
	}
	return nil
}

type waiter struct {
	context.Context
	waits func()
}

// Done implements context.Context.
func (w waiter) Done() <-chan struct{} {
	w.waits()
	return w.Context.Done()
}

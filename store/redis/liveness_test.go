package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store/redis"
)

// pinged is a connection that a liveness watches.
type pinged struct {
	redis.Liveness
	clock *clock.Fake
	pings chan struct{}
	ended chan error
	err   error // of the pings
}

func newPinged(t *testing.T) *pinged {
	t.Helper()
	p := &pinged{clock: clock.NewFake(time.Unix(0, 0)), pings: make(chan struct{}, 1), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.ended <- redis.WatchLiveness(ctx, &p.Liveness, p.clock, time.Second, func(context.Context) error {
			p.pings <- struct{}{}
			return p.err
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return p
}

// turn lets the interval pass, after which a ping is sent.
func (p *pinged) turn(t *testing.T) {
	t.Helper()
	must(t, p.clock.WaitTimers(t.Context(), 1))
	p.clock.Advance(time.Second)
	within(t, "a ping", p.pings)
}

func (p *pinged) hear(f func() bool) { redis.Pass(&p.Liveness, f) }

func TestLiveness_anAnswerIsEnough(t *testing.T) {
	p := newPinged(t)
	for range 5 {
		p.turn(t)
		p.hear(func() bool { return true })
	}
	must(t, p.clock.WaitTimers(t.Context(), 1))
}

func TestLiveness_aPingWithoutAnswer(t *testing.T) {
	p := newPinged(t)
	p.turn(t)
	p.hear(func() bool { return true })
	p.turn(t)
	must(t, p.clock.WaitTimers(t.Context(), 1))
	p.clock.Advance(time.Second)
	if err := within(t, "the end", p.ended); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want one that says that it is dead", err)
	}
	if n := p.clock.Waiting(); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}

func TestLiveness_fromTheFirstPingOn(t *testing.T) {
	p := newPinged(t)
	p.turn(t)
	must(t, p.clock.WaitTimers(t.Context(), 1))
	p.clock.Advance(time.Second)
	if err := within(t, "the end", p.ended); err == nil {
		t.Error("err = nil, want one that says that it is dead")
	}
}

// While a caller takes its time nothing is read, so pings have no answer: that says nothing of
// the connection.
func TestLiveness_waitsForTheCaller(t *testing.T) {
	p := newPinged(t)
	passing, goOn, passed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		p.hear(func() bool { close(passing); <-goOn; return true })
		close(passed)
	}()
	within(t, "what is passed on", passing)
	for range 5 {
		p.turn(t)
	}
	close(goOn)
	within(t, "that it was passed on", passed)
	p.turn(t) // the answers to those pings may still be on their way
	must(t, p.clock.WaitTimers(t.Context(), 1))
	p.clock.Advance(time.Second)
	if err := within(t, "the end", p.ended); err == nil {
		t.Error("err = nil, want one that says that it is dead")
	}
}

func TestLiveness_aPingThatFails(t *testing.T) {
	p := newPinged(t)
	p.err = errors.New("broken pipe")
	p.turn(t)
	wantErr(t, "watch", within(t, "the end", p.ended), p.err)
}

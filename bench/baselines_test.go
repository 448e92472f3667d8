package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// Each contender does its job: any number of callers share one refresh.
func TestEntrants_shareOneRefresh(t *testing.T) {
	for _, e := range crowds {
		c := e.make(20, 5*time.Millisecond)
		for round := range 3 {
			c.expire()
			if _, failed := c.crowd(10, Request{}); failed != 0 {
				t.Errorf("%s, round %d: %d calls failed", e.name, round, failed)
			}
			if n := c.provider.Refreshes(); n != 20 {
				t.Errorf("%s, round %d: refreshes = %d, want 20", e.name, round, n)
			}
		}
		if _, failed := c.crowd(10, Request{}); failed != 0 || c.provider.Refreshes() != 0 {
			t.Errorf("%s: with a token in the cache: %d calls failed, or there was a refresh", e.name, failed)
		}
		c.close()
	}
}

// The tokens of four audiences cost four refreshes, one after the other: all but the
// classic, which spends one refresh token four times.
func TestEntrants_spendOneAfterTheOther(t *testing.T) {
	for _, e := range crowds {
		if e.name == "ReuseTokenSource" {
			continue // knows no audiences
		}
		c := e.make(1, 5*time.Millisecond)
		_, failed := c.crowd(40, audiences()...)
		refreshes, refused := c.provider.Refreshes(), c.provider.Refused()
		switch {
		case e.name == "singleflight" && refused == 0:
			t.Errorf("%s: no refresh token came twice: then it is better than README.md says", e.name)
		case e.name != "singleflight" && (refreshes != 4 || refused != 0 || failed != 0):
			t.Errorf("%s: refreshes = %d, refused %d, failed %d, want 4, 0, 0", e.name, refreshes, refused, failed)
		}
		c.close()
	}
}

func TestEntrants_saveBeforeTheyAnswer(t *testing.T) {
	for _, e := range crowds {
		c := e.make(1, 0)
		for range 3 {
			c.expire()
			c.crowd(1, Request{})
			if c.stored == nil {
				continue
			}
			if got, want := c.stored(c.ids[0]), c.provider.Newest(0); got != want {
				t.Errorf("%s: the store has %s, want %s", e.name, got, want)
			}
		}
		c.close()
	}
}

func TestHandwritten_whoLeavesDoesNotEndTheFlight(t *testing.T) {
	p := NewProvider(1, time.Hour)
	sessions := Sessions(p, 1, time.Hour)
	held, released := make(chan struct{}), make(chan struct{})
	p.Hold = func(int) <-chan struct{} {
		close(held)
		return released
	}
	h := NewHandwritten(p.Client(), sessions)
	h.Expire(sessions[0].ID)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := h.Token(ctx, sessions[0].ID, Request{})
		gaveUp <- err
	}()
	<-held
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller whose context ended got %v, want %v", err, context.Canceled)
	}
	close(released)
	if tok, err := h.Token(t.Context(), sessions[0].ID, Request{}); err != nil || tok.AccessToken == "" {
		t.Errorf("who stayed got %v", err)
	}
	if n := p.Refreshes(); n != 1 {
		t.Errorf("refreshes = %d, want 1", n)
	}
}

func TestHandwritten_refuses(t *testing.T) {
	p := NewProvider(1, time.Hour)
	sessions := Sessions(p, 1, time.Hour)
	h := NewHandwritten(p.Client(), sessions)
	if _, err := h.Token(t.Context(), "nobody", Request{}); !errors.Is(err, errNoSession) {
		t.Errorf("without a session: %v, want %v", err, errNoSession)
	}
	h.find(sessions[0].ID).ceiling = time.Now().Unix() + 29
	if _, err := h.Token(t.Context(), sessions[0].ID, Request{}); !errors.Is(err, errExpired) {
		t.Errorf("at the ceiling: %v, want %v", err, errExpired)
	}
}

func TestHit_allocatesNothing(t *testing.T) {
	l := newLibrary(1, 0, century, clock.System())
	defer l.Close()
	h := newHandwritten(1, 0)
	one := ids(l.sessions)
	loops := map[string]func([]string, int){
		"tokenward":   l.hits(tokenward.TokenRequest{}),
		"by handle":   l.handleHits(one),
		"handwritten": func(_ []string, n int) { h.hits(h.ids, n) },
	}
	for i := range 20 { // few queries are found in one way, many in another
		name := fmt.Sprintf("audience %d", i)
		loops[name] = l.hits(tokenward.TokenRequest{Audience: name, Scope: "read:x"})
	}
	for name, hits := range loops {
		hits(one, 1)
		if n := testing.AllocsPerRun(100, func() { hits(one, 100) }); n > 0 {
			t.Errorf("%s: %v allocations in 100 hits, want none", name, n)
		}
	}
}

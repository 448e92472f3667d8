package test_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// asleep puts n sessions into the store that no process has in memory. They are due from after on:
// half of them in one second, the others in the seconds around it.
func (r *rig) asleep(n int, after time.Duration) (ids []string, due map[time.Duration]int) {
	r.t.Helper()
	due = make(map[time.Duration]int)
	for i := range n {
		d := after + 3*time.Second
		if i%2 == 1 {
			d = after + time.Duration(i/2%7)*time.Second
		}
		id := fmt.Sprint("asleep ", i)
		r.plant(id, session.Ceiling(r.clock.Now().Add(d+session.CeilingLeeway).Unix()), i%3 > 0)
		ids = append(ids, id)
		due[d]++
	}
	return ids, due
}

// wantEnded checks that each session was deleted once, by one of the processes.
func wantEnded(r *rig, p []process, ids []string) {
	r.t.Helper()
	for _, id := range ids {
		n := 0
		for _, p := range p {
			n += p.store.Ends(key(id))
		}
		if n != 1 {
			r.t.Errorf("%s: deletes = %d, want 1", id, n)
		}
		r.wantGone(id)
	}
}

// Sessions that sleep end in the second in which they are due, each by the hand of one process.
func TestSleeping_endOnceThoughTwoProcessesSeeThem(t *testing.T) {
	processes(t, 2, nil, func(_ *testing.T, r *rig, _ string, p []process) {
		const n, after = 200, 4 * time.Minute
		living := r.memory.Len()
		ids, due := r.asleep(n, after)
		r.pass(int(after/time.Second) - 1)
		r.want("sessions before the first is due", r.memory.Len(), living+n)
		left := n
		for d := after; left > 0 && len(due) > 0; d += time.Second {
			r.clock.Advance(time.Second)
			r.rest()
			left -= due[d]
			delete(due, d)
			r.want(fmt.Sprint("sessions after ", d), r.memory.Len(), living+left)
		}
		wantEnded(r, p, ids)
		claimed := int(p[0].Stats().Ceilings + p[1].Stats().Ceilings)
		r.want("sessions ended by either", claimed, n)
		r.pass(300)
		wantEnded(r, p, ids)
	})
}

// A process dies that had claimed all that is due and deleted nothing. Its claim lapses in a
// minute, and the next process that lists due sessions finds them.
func TestSleeping_endThoughWhoClaimedThemDied(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, _ string, p []process) {
		const n, after = 200, 4 * time.Minute
		living := r.memory.Len()
		ids, _ := r.asleep(n, after)
		p[0].store.Hold(storetest.OpEnd)
		p[1].store.Inject(storetest.Fault{Op: storetest.OpClaimDue, Err: storetest.ErrFault}) // it comes second
		r.pass(int(after/time.Second) + 7)
		r.want("sessions", r.memory.Len(), living+n)
		if claimed := int(p[0].Stats().Ceilings); claimed != n {
			t.Fatalf("the first process has claimed %d, want %d", claimed, n)
		}
		now, cancel := context.WithCancel(context.Background())
		cancel()
		var cut *tokenward.CloseError
		if err := p[0].Close(now); !errors.As(err, &cut) {
			t.Fatalf("Close = %v, want a CloseError", err)
		}
		p[1].store.Heal()
		r.pass(30)
		r.want("sessions while the claim stands", r.memory.Len(), living+n)
		r.pass(60 + 120) // the claim, and until it looks for what is past
		wantEnded(r, p[1:], ids)
		r.want("sessions", r.memory.Len(), living)
	})
}

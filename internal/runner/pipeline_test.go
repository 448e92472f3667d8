package runner

import (
	"context"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

func newTestRunner(t *testing.T) *Runner {
	r := New(session.Limits{ProviderRequests: 10}, &directory.Pending{}, NewAdmission(AdmissionConfig{Clock: clock.System(), Permits: 8, Waiting: 10, Stats: &directory.Stats{}}))
	t.Cleanup(func() { <-r.workers.end() })
	return r
}

// box is as much of a mailbox as a pipeline sees: one turn at a time, from any number of senders.
type box struct {
	pipeline *pipeline
	mu       sync.Mutex
	messages []func()
	running  bool
}

func (b *box) post(message func()) {
	b.mu.Lock()
	b.messages = append(b.messages, message)
	was := b.running
	b.running = true
	b.mu.Unlock()
	if !was {
		b.pipeline.Schedule(b.turn)
	}
}

func (b *box) turn() {
	for {
		b.mu.Lock()
		if len(b.messages) == 0 {
			b.running = false
			b.mu.Unlock()
			return
		}
		message := b.messages[0]
		b.messages = b.messages[1:]
		b.mu.Unlock()
		message()
	}
}

// A flight is carried through by one worker, whatever it consists of.
func TestPipeline_oneWorkerCarriesAFlight(t *testing.T) {
	r := newTestRunner(t)
	b := &box{pipeline: &pipeline{r: r}}
	delivered := make(chan struct{})
	var steps []string
	step := func(name string) {
		steps = append(steps, name)
		if n := r.workers.running.Load(); n != 1 {
			t.Errorf("%s: workers = %d, want 1", name, n)
		}
	}
	work := func(name string) func(context.Context) any {
		return func(context.Context) any { step(name); return name }
	}
	b.post(func() {
		step("asked")
		b.pipeline.Run(actors.ProviderWork, work("request"), func(any) {
			b.post(func() {
				step("answered")
				b.pipeline.Run(actors.StoreWork, work("write"), func(any) {
					b.post(func() {
						step("written")
						close(delivered)
					})
				})
			})
		})
	})
	<-delivered
	if len(steps) != 5 {
		t.Errorf("steps = %q", steps)
	}
}

// Of two jobs that one turn starts neither waits for the other.
func TestPipeline_twoJobsOfOneTurn(t *testing.T) {
	r := newTestRunner(t)
	b := &box{pipeline: &pipeline{r: r}}
	met := make(chan struct{})
	var done sync.WaitGroup
	done.Add(2)
	b.post(func() {
		b.pipeline.Run(actors.ProviderWork, func(context.Context) any { met <- struct{}{}; return nil }, func(any) { b.post(done.Done) })
		b.pipeline.Run(actors.StoreWork, func(context.Context) any { <-met; return nil }, func(any) { b.post(done.Done) })
	})
	done.Wait()
}

// A message that comes from elsewhere during a delivery is handled too.
func TestPipeline_messageDuringADelivery(t *testing.T) {
	r := newTestRunner(t)
	b := &box{pipeline: &pipeline{r: r}}
	handled := make(chan string, 2)
	b.post(func() {
		b.pipeline.Run(actors.ProviderWork, func(context.Context) any { return nil }, func(any) {
			posted := make(chan struct{})
			go func() {
				b.post(func() { handled <- "a stranger's" })
				close(posted)
			}()
			<-posted
			b.post(func() { handled <- "our own" })
		})
	})
	if got := <-handled; got != "a stranger's" {
		t.Errorf("handled %s message first", got)
	}
	<-handled
}

// Whatever is posted and delivered at once, every message is handled, one at a time, and
// everything comes to rest.
func TestPipeline_everythingAtOnce(t *testing.T) {
	r := newTestRunner(t)
	r.store.free, r.turns.free = 2, 2
	const boxes, posts = 20, 50
	var all sync.WaitGroup
	for range boxes {
		b := &box{pipeline: &pipeline{r: r}}
		handled := 0 // by one turn at a time, else the race detector says so
		for range posts {
			all.Add(2)
			go b.post(func() {
				handled++
				done := func(any) { b.post(func() { handled++; all.Done() }) }
				b.pipeline.Run(actors.ProviderWork, func(context.Context) any { return nil }, done)
				b.pipeline.Run(actors.StoreWork, func(context.Context) any { return nil }, done)
			})
		}
	}
	all.Wait()
	for r.pending.Count() != 0 {
		<-r.pending.Rest()
	}
	<-r.workers.end()
	if n := r.store.free; n != 2 {
		t.Errorf("free places for store work = %d, want 2", n)
	}
	if n := r.turns.free; n != 2 {
		t.Errorf("free places for turns = %d, want 2", n)
	}
}

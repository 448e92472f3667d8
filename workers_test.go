package tokenward

import (
	"sync"
	"testing"
)

// As many workers come as jobs wait, and no more stay than were to.
func TestWorkers_comeAndGo(t *testing.T) {
	var w workers
	w.init()
	const jobs = 100
	var started, done sync.WaitGroup
	release := make(chan struct{})
	for range jobs {
		started.Add(1)
		done.Add(1)
		w.do(func() {
			started.Done()
			<-release
			done.Done()
		})
	}
	started.Wait()
	if n := w.running.Load(); n != jobs {
		t.Errorf("workers = %d, want %d", n, jobs)
	}
	close(release)
	done.Wait()
	quiet := w.end()
	<-quiet
	if n := w.running.Load(); n != 0 {
		t.Errorf("workers at the end = %d", n)
	}

	late := make(chan struct{})
	w.do(func() { close(late) })
	<-late
	<-w.end()
}

// Jobs that find the gate closed start in order, each in the place of one that ended.
func TestGate_keepsOrder(t *testing.T) {
	g := gate{free: 2}
	var got []int
	for i := range 5 {
		if entered := g.enter(func() { got = append(got, i) }); entered != (i < 2) {
			t.Errorf("job %d entered: %v", i, entered)
		}
	}
	for range 5 {
		if next := g.leave(); next != nil {
			next()
		}
	}
	if len(got) != 3 || got[0] != 2 || got[1] != 3 || got[2] != 4 {
		t.Errorf("kept jobs started in the order %v", got)
	}
	if g.free != 2 {
		t.Errorf("free = %d, want 2", g.free)
	}
}

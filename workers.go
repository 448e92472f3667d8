package tokenward

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// workers are goroutines that do one job after another, each with the stack that the
// last one needed: a new goroutine has to grow its own. A few of them stay when there is
// nothing to do.
type workers struct {
	jobs chan func()   // to one who is idle
	over chan struct{} // closed when nobody stays idle any more
	once sync.Once
	most int32 // idle ones

	idle    atomic.Int32
	running atomic.Int64
	quiet   atomic.Pointer[chan struct{}] // closed when nobody is running
}

func (w *workers) init() {
	w.jobs, w.over = make(chan func()), make(chan struct{})
	w.most = int32(4 * runtime.GOMAXPROCS(0))
}

// do has a worker do job, now.
func (w *workers) do(job func()) {
	select {
	case w.jobs <- job:
	default:
		w.running.Add(1)
		go w.work(job)
	}
}

func (w *workers) work(job func()) {
	defer w.leave()
	for {
		job()
		if w.idle.Add(1) > w.most {
			w.idle.Add(-1)
			return
		}
		select {
		case job = <-w.jobs:
			w.idle.Add(-1)
		case <-w.over:
			return
		}
	}
}

func (w *workers) leave() {
	if w.running.Add(-1) == 0 {
		if quiet := w.quiet.Swap(nil); quiet != nil {
			close(*quiet)
		}
	}
}

// end sends the idle home. It returns a channel that is closed when no worker is left.
func (w *workers) end() <-chan struct{} {
	w.once.Do(func() { close(w.over) })
	quiet := make(chan struct{})
	w.running.Add(1)
	w.quiet.Store(&quiet)
	w.leave()
	return quiet
}

// gate lets a number of jobs be under way at once. Who waits costs no goroutine.
type gate struct {
	mu      sync.Mutex
	free    int
	waiting []func()
}

// pass reports whether a job may start.
func (g *gate) pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free == 0 {
		return false
	}
	g.free--
	return true
}

// enter reports whether job may start. Else it is kept, and some leave returns it.
func (g *gate) enter(job func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return true
	}
	g.waiting = append(g.waiting, job)
	return false
}

// leave says that a job is done. The one it returns, if any, starts in its place.
func (g *gate) leave() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.waiting = nil
		g.free++
		return nil
	}
	next := g.waiting[0]
	g.waiting[0] = nil
	g.waiting = g.waiting[1:]
	return next
}

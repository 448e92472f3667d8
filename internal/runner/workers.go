package runner

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// workers are goroutines that do one job after another, each with the stack that the
// last one needed: a new goroutine has to grow its own. A few of them stay when there is
// nothing to do.
type workers struct {
	jobs chan func()   // taken by an idle goroutine
	over chan struct{} // closed when none may stay idle any more
	once sync.Once
	most int32 // idle goroutines kept at most

	idle    atomic.Int32
	running atomic.Int64
	quiet   atomic.Pointer[chan struct{}] // closed when none is running
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
	defer w.done()
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

func (w *workers) done() {
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
	w.done()
	return quiet
}

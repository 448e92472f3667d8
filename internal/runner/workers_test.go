package runner

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

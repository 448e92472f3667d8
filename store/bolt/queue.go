package bolt

import (
	"container/list"
	"context"
	"runtime"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// request is one change that a caller waits for.
type request struct {
	ctx   context.Context
	key   session.Key
	apply func(*change) error // its error is the caller's, and no error of the file
	err   error               // what apply said
	done  chan error          // cap 1
	waits *list.Element       // its place in the queue; nil once it was taken
}

// A batch is what one transaction carries: so many requests, as many as one fsync
// can be shared by without making the first wait for the work on the last.
const maxBatch = 1024

// queue holds the requests that were not taken yet, in the order in which they came.
type queue struct {
	mu     sync.Mutex
	list   list.List     // of *request
	closed bool          // nothing is added any more
	wake   chan struct{} // cap 1: something was added, or it was closed

	// Keys that are being written though their callers have gone, and a channel that is
	// closed when that has ended, well or badly.
	left     map[session.Key]struct{}
	leftOver chan struct{}
}

func (q *queue) init() { q.wake = make(chan struct{}, 1) }

func (q *queue) add(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	r.waits = q.list.PushBack(r)
	q.signal()
	return nil
}

// withdraw takes r back, unless it was taken already.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.waits == nil {
		return false
	}
	q.list.Remove(r.waits)
	r.waits = nil
	return true
}

// leave notes that no caller waits any more for r, which was taken, and reports whether it is
// still being written.
func (q *queue) leave(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(r.done) > 0 {
		return false
	}
	if q.left == nil {
		q.left, q.leftOver = make(map[session.Key]struct{}), make(chan struct{})
	}
	q.left[r.key] = struct{}{}
	return true
}

// answered notes that all callers of a batch have been answered.
func (q *queue) answered() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left != nil {
		close(q.leftOver)
		q.left = nil
	}
}

// awaitLeft waits until no write under key is left whose caller has gone.
func (q *queue) awaitLeft(ctx context.Context, key session.Key) error {
	q.mu.Lock()
	_, is := q.left[key]
	over := q.leftOver
	q.mu.Unlock()
	if !is {
		return nil
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.list.Len()
}

// take returns what waits. If nothing does it waits itself, or with idle set returns
// nothing. It is not open when the queue is closed and empty.
func (q *queue) take(idle bool) (batch []*request, open bool) {
	for {
		batch := q.join(maxBatch)
		switch {
		case len(batch) > 0:
			return batch, true
		case q.ended():
			return nil, false
		case idle:
			return nil, true
		}
		<-q.wake
	}
}

// join returns what waits, up to so many. First it lets those who are about to ask do so:
// a goroutine that was just answered and is ready to run, runs. That takes no time when there is none.
func (q *queue) join(most int) (batch []*request) {
	for n := -1; n < min(most, q.len()); {
		n = q.len()
		runtime.Gosched()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(batch) < most && q.list.Len() > 0 {
		r := q.list.Remove(q.list.Front()).(*request)
		r.waits = nil
		batch = append(batch, r)
	}
	return batch
}

// ended reports whether nothing waits nor ever will.
func (q *queue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.list.Len() == 0
}

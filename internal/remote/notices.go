package remote

import (
	"sync"

	"github.com/tokenward/tokenward/session"
)

// MaxNotices is how far a watcher may lag behind. One that lags further is told that it lost
// notices.
const MaxNotices = 4096

// Notice says which version of a session was written; the zero one: it has ended.
type Notice struct {
	Key     session.Key
	Version session.Version
}

// Notices wait here for one watcher, for whom no writer and no connection ever waits.
type Notices struct {
	mu      sync.Mutex
	notices []Notice
	lost    bool
	wake    chan struct{} // cap 1
}

// NewNotices returns an empty queue, which begins with a gap: earlier writes are not in it.
func NewNotices() *Notices { return &Notices{lost: true, wake: make(chan struct{}, 1)} }

// Add puts a notice into the queue.
func (q *Notices) Add(n Notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.notices) >= MaxNotices {
		q.notices, q.lost = nil, true
	}
	q.notices = append(q.notices, n)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Take empties the queue. A gap comes before the notices.
func (q *Notices) Take() (notices []Notice, gap bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	notices, gap = q.notices, q.lost
	q.notices, q.lost = nil, false
	return notices, gap
}

// Pass calls changed for each notice and lost for each gap, one at a time, until stop is closed.
func (q *Notices) Pass(stop <-chan struct{}, changed func(session.Key, session.Version), lost func()) {
	for {
		notices, gap := q.Take()
		if gap {
			lost()
		}
		for _, n := range notices {
			select {
			case <-stop:
				return
			default:
				changed(n.Key, n.Version)
			}
		}
		if gap || len(notices) > 0 {
			continue
		}
		select {
		case <-q.wake:
		case <-stop:
			return
		}
	}
}

// Package hooks tells the application what has happened to its sessions, away from the actors: an event is put into a
// queue, which never waits, and the application's function runs on another goroutine. The events of one session come in
// order. A nil *Queue tells nothing.
package hooks

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Event is what has happened to a session.
type Event struct {
	Kind Kind
	Key  session.Key

	// Ended: why, and whose session it was (session.State.Named); nil where that is not known.
	Reason session.Reason
	Named  *session.State

	// Refreshed, RefreshFailed: the query that was asked, and what came of it.
	Query   *session.TokenQuery
	Expires time.Time // of the token
	Err     error
	Lost    bool // the refresh token was lost in a crash
}

// Kind is a kind of event.
type Kind uint8

// The kinds of events.
const (
	Ended Kind = iota
	Refreshed
	RefreshFailed
)

const (
	shards = 16     // that are worked off beside each other; a session is always in the same one
	queued = 10_000 // events that wait in a shard, then further ones are dropped
)

// Queue holds the events that the application has not been told of yet.
type Queue struct {
	run     func(job func()) // does job on another goroutine, now
	tell    func(Event)      // one at a time of each shard
	pending func(n int64)    // counts what is to be told
	dropped *atomic.Int64

	shards [shards]shard
}

type shard struct {
	mu      sync.Mutex
	waiting []Event
	busy    bool
}

// New returns an empty queue. It has run do its work, counts what waits by pending, and what it had no room for in dropped.
func New(run func(job func()), tell func(Event), pending func(n int64), dropped *atomic.Int64) *Queue {
	return &Queue{run: run, tell: tell, pending: pending, dropped: dropped}
}

// Tell has the application told of e, soon. It never waits: where too many events wait, e is dropped, and counted.
func (q *Queue) Tell(e Event) {
	if q == nil {
		return
	}
	l := &q.shards[e.Key[0]%shards]
	q.pending(1)
	switch added, idle := l.add(e); {
	case !added:
		q.pending(-1)
		q.dropped.Add(1)
	case idle:
		q.run(func() { q.work(l) })
	}
}

// add puts e at the end, if there is room, and reports whether the shard is to be worked off: it was idle.
func (l *shard) add(e Event) (added, idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= queued {
		return false, false
	}
	l.waiting, idle, l.busy = append(l.waiting, e), !l.busy, true
	return true, idle
}

// work tells of all that waits in l.
func (q *Queue) work(l *shard) {
	for e, some := l.next(); some; e, some = l.next() {
		q.tellOf(e, l)
	}
}

// next takes the first event, if there is one. Else the shard is idle.
func (l *shard) next() (e Event, some bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.busy, l.waiting = false, nil
		return Event{}, false
	}
	e = l.waiting[0]
	l.waiting = l.waiting[1:]
	return e, true
}

// tellOf tells of e. Where the application's function ends its goroutine (runtime.Goexit, as t.FailNow does), another one works
// off what waits in l.
func (q *Queue) tellOf(e Event, l *shard) {
	returned := false
	defer func() {
		q.pending(-1)
		if !returned {
			q.run(func() { q.work(l) })
		}
	}()
	q.tell(e)
	returned = true
}

package directory

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// Freshness decides, where other processes write to the store, what this process may show without
// asking the store, when it may ask, and when it may recover what another process has left behind. All of a
// client shares one. Its times are readings of the monotonic clock (clock.Clock.Mono).
//
// It has three parts. The feed epoch says whether other processes' writes are told. The circuit breaker says
// whether the store answers. The grace period after an outage is for the owners of lapsed leases.
type Freshness struct {
	Shared  bool          // other processes write to the store
	Age     time.Duration // how long after it was read a snapshot is shown where there is no feed
	Outage  time.Duration // how long after it was read a snapshot is shown while the store does not answer
	Attempt time.Duration // the longest that one attempt to ask the store takes
	Missing time.Duration // how long it is remembered that there is no session
	Grace   time.Duration // a lease plus one retry; 0: there are no leases, so no grace period
	Stats   *Stats

	feed    feedEpoch
	breaker breaker
	grace   gracePeriod
}

// MayShow reports whether what e shows may be handed out without asking the store. It may if one of these
// holds: the store is exclusive; the change feed has run without a gap since the snapshot was read (the same feed
// epoch); there is no feed, and the snapshot was read less than Age ago and since the last gap; or the breaker is
// open, and it was read less than Outage ago.
func (f *Freshness) MayShow(e *Entry, c clock.Clock) bool {
	if !f.Shared || f.feed.fromFeedSince(e) {
		return true
	}
	now := c.Mono()
	if f.feed.untoldSince(e) && e.age(now) < f.Age {
		return true
	}
	if !f.breaker.open(now) || !f.MayServe(e, now) {
		return false
	}
	f.Stats.Stale.Add(1)
	return true
}

// Overtaken reports whether the feed has begun or ended an epoch since e was read, however lately that was.
func (f *Freshness) Overtaken(e *Entry) bool {
	return f.Shared && e.epoch.Load() != f.feed.number.Load()
}

// MayServe reports whether e was read so lately that its snapshot may be shown while the store does not answer.
func (f *Freshness) MayServe(e *Entry, now time.Duration) bool { return e.age(now) < f.Outage }

// MayAsk reports whether the caller is to ask the store. It always is while the breaker is closed. Otherwise one
// caller at a time is; the answer comes as Answered or Failed.
func (f *Freshness) MayAsk(now time.Duration) bool {
	return f.breaker.probe(now, now+f.Attempt+askAgain)
}

// MayRecover returns how long the grace period still lasts. It is 0 when the intents of other processes may be recovered.
func (f *Freshness) MayRecover(now time.Duration) (wait time.Duration) { return f.grace.left(now) }

// Answered says that the store answered.
func (f *Freshness) Answered() { f.breaker.close() }

// Failed says that the store did not answer a question that MayAsk allowed.
func (f *Freshness) Failed(now time.Duration) { f.breaker.trip(now + askAgain) }

// AnsweredSince reports whether a new feed epoch has begun since a question that was asked at that reading: the store
// answers by then, whatever came of the question.
func (f *Freshness) AnsweredSince(asked Reading) bool {
	now := f.feed.number.Load()
	return fromFeed(now) && now != asked.epoch
}

// FeedReset begins a new feed epoch: writes are told from now on, and some before may not have been. So the store answers.
func (f *Freshness) FeedReset(now time.Duration) {
	f.feed.next(true, now)
	f.breaker.close()
}

// FeedDown ends the feed epoch: writes are not told any more.
func (f *Freshness) FeedDown(now time.Duration) { f.feed.next(false, now) }

// OutageUntil says that the store does not answer, or begins to again, until the given time. The grace period lasts from then.
func (f *Freshness) OutageUntil(at time.Duration) {
	if f.Grace > 0 {
		f.grace.until.Store(int64(at + f.Grace))
	}
}

// Remembers reports whether e still says that there is no session, or that one has ended.
func (f *Freshness) Remembers(e *Entry, c clock.Clock) bool {
	s := e.Snapshot()
	return c.Now().Before(s.Until) && (s.Phase != Missing || e.age(c.Mono()) < f.Missing)
}

// Stood reports whether the record of e is known to have stood less than age ago: it was read or written here then, or
// every write until then was told.
func (f *Freshness) Stood(e *Entry, now, age time.Duration) bool {
	if f.feed.fromFeedSince(e) || e.age(now) < age {
		return true
	}
	past := f.feed.past.Load()
	return past != nil && past.number == e.epoch.Load() && now-past.ended < age
}

// Reading returns the note of a read that is sent to the store now.
func (f *Freshness) Reading(now time.Duration) Reading { return Reading{f.feed.number.Load(), now} }

// Reading is when the store was asked for a record: at least what it held then is known.
type Reading struct {
	epoch uint64
	at    time.Duration
}

// noEpoch is that of an entry which was never read, or is outdated.
const noEpoch = math.MaxUint64

// Read notes that the store held what e shows, or is about to show, at that reading.
func (e *Entry) Read(r Reading) {
	e.epoch.Store(r.epoch)
	e.read.Store(int64(r.at))
}

// ReadAs notes that what e shows is as new as what other shows.
func (e *Entry) ReadAs(other *Entry) {
	e.epoch.Store(other.epoch.Load())
	e.read.Store(other.read.Load())
}

// Unread notes that the store is to be asked before e is shown, also while it does not answer.
func (e *Entry) Unread() {
	e.epoch.Store(noEpoch)
	e.read.Store(math.MinInt64 / 2)
}

// Outdate notes that the store holds something newer than e shows, or may. It is not shown any more until it was
// read, but for an outage.
func (e *Entry) Outdate() { e.epoch.Store(noEpoch) }

// age returns how long ago the store held what e shows, as far as is known.
func (e *Entry) age(now time.Duration) time.Duration { return now - time.Duration(e.read.Load()) }

// feedEpoch numbers the epochs of the change feed. In an odd one every write is told; in an even one none is. The zero feedEpoch
// is before the first.
type feedEpoch struct {
	number atomic.Uint64
	past   atomic.Pointer[pastEpoch] // the last odd epoch that has ended; nil: none
}

// pastEpoch is a feed epoch that has ended.
type pastEpoch struct {
	number uint64
	ended  time.Duration
}

func fromFeed(epoch uint64) bool { return epoch%2 == 1 }

// next begins an epoch in which writes are told, or are not. Only the watcher of the feed calls it.
func (f *feedEpoch) next(tell bool, now time.Duration) {
	old := f.number.Load()
	if fromFeed(old) {
		f.past.Store(&pastEpoch{old, now})
	}
	switch {
	case fromFeed(old) && tell:
		f.number.Store(old + 2)
	case fromFeed(old) || tell:
		f.number.Store(old + 1)
	}
}

// fromFeedSince reports whether every write since e was read was told.
func (f *feedEpoch) fromFeedSince(e *Entry) bool {
	now := f.number.Load()
	return fromFeed(now) && e.epoch.Load() == now
}

// untoldSince reports whether no writes are told, and none were since e was read.
func (f *feedEpoch) untoldSince(e *Entry) bool {
	now := f.number.Load()
	return !fromFeed(now) && e.epoch.Load() == now
}

// breaker keeps callers from a store that does not answer. Closed: every caller asks. Open: none does. Half open, once its time
// has passed: the next caller asks, and for all others it stays open.
type breaker struct {
	until atomic.Int64 // it is open; 0: it is closed
}

// askAgain is how long the breaker is open after a failure.
const askAgain = time.Second

func (b *breaker) open(now time.Duration) bool {
	until := b.until.Load()
	return until != 0 && int64(now) < until
}

// probe reports whether the caller is to ask; if not closed, the breaker is open for the others until the given time.
func (b *breaker) probe(now, until time.Duration) bool {
	was := b.until.Load()
	return was == 0 || int64(now) >= was && b.until.CompareAndSwap(was, int64(until))
}

func (b *breaker) trip(until time.Duration) { b.until.Store(int64(until)) }

func (b *breaker) close() {
	if b.until.Load() != 0 {
		b.until.Store(0)
	}
}

// gracePeriod follows an outage. Leases have lapsed in it whose owners live and have a new refresh token in hand, which the
// store lacks. They save first: before recovery, and before callers of this process for whom the old one would be spent.
type gracePeriod struct {
	until atomic.Int64 // 0: there was no outage
}

func (g *gracePeriod) left(now time.Duration) time.Duration {
	until := g.until.Load()
	if until == 0 {
		return 0
	}
	return max(0, time.Duration(until)-now)
}

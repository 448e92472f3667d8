package directory

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

const (
	snapshotAge = 30 * time.Second
	outage      = 5 * time.Minute
	attempt     = 5 * time.Second
	grace       = 11 * time.Second
)

// shared returns the Freshness of a store that other processes write to, with a session that was read now.
func shared() (*Freshness, *Entry, *clock.Fake) {
	c := clock.NewFake(time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC))
	c.Advance(time.Hour)
	f := &Freshness{
		Shared: true, Age: snapshotAge, Outage: outage, Attempt: attempt, Missing: time.Second, Grace: grace, Stats: &Stats{},
	}
	e := NewEntry("id", session.Key{}, &Snapshot{})
	e.Read(f.Reading(c.Mono()))
	return f, e, c
}

// When a snapshot may be shown, by the events since its read.
func TestFreshness_mayShow(t *testing.T) {
	tests := []struct {
		name string
		then func(f *Freshness, e *Entry, c *clock.Fake)
		want bool
	}{
		{"just read, no feed", func(*Freshness, *Entry, *clock.Fake) {}, true},
		{"the snapshot age is not over", func(_ *Freshness, _ *Entry, c *clock.Fake) { c.Advance(snapshotAge - 1) }, true},
		{"the snapshot age is over", func(_ *Freshness, _ *Entry, c *clock.Fake) { c.Advance(snapshotAge) }, false},
		{"the feed begins", func(f *Freshness, _ *Entry, c *clock.Fake) { f.FeedReset(c.Mono()) }, false},
		{"the feed was never there and fails again", func(f *Freshness, _ *Entry, c *clock.Fake) { f.FeedDown(c.Mono()) }, true},
		{"read in the epoch, long ago", func(f *Freshness, e *Entry, c *clock.Fake) {
			f.FeedReset(c.Mono())
			e.Read(f.Reading(c.Mono()))
			c.Advance(time.Hour)
		}, true},
		{"a gap while the feed runs", func(f *Freshness, e *Entry, c *clock.Fake) {
			f.FeedReset(c.Mono())
			e.Read(f.Reading(c.Mono()))
			f.FeedReset(c.Mono())
		}, false},
		{"the feed ends", func(f *Freshness, e *Entry, c *clock.Fake) {
			f.FeedReset(c.Mono())
			e.Read(f.Reading(c.Mono()))
			f.FeedDown(c.Mono())
		}, false},
		{"read after the feed has ended", func(f *Freshness, e *Entry, c *clock.Fake) {
			f.FeedReset(c.Mono())
			f.FeedDown(c.Mono())
			e.Read(f.Reading(c.Mono()))
			f.FeedDown(c.Mono())
			c.Advance(snapshotAge - 1)
		}, true},
		{"read before the feed is back", func(f *Freshness, e *Entry, c *clock.Fake) {
			f.FeedReset(c.Mono())
			f.FeedDown(c.Mono())
			e.Read(f.Reading(c.Mono()))
			f.FeedReset(c.Mono())
		}, false},
		{"a question that a gap has overtaken", func(f *Freshness, e *Entry, c *clock.Fake) {
			f.FeedReset(c.Mono())
			r := f.Reading(c.Mono())
			f.FeedReset(c.Mono())
			e.Read(r)
		}, false},
		{"outdated", func(_ *Freshness, e *Entry, _ *clock.Fake) { e.Outdate() }, false},
		{"outdated, and writes are told", func(f *Freshness, e *Entry, c *clock.Fake) {
			f.FeedReset(c.Mono())
			e.Read(f.Reading(c.Mono()))
			e.Outdate()
		}, false},
		{"outdated, and the store does not answer", func(f *Freshness, e *Entry, c *clock.Fake) { e.Outdate(); f.Failed(c.Mono()) }, true},
		{"unread, and the store does not answer", func(f *Freshness, e *Entry, c *clock.Fake) { e.Unread(); f.Failed(c.Mono()) }, false},
		{"never read", func(f *Freshness, e *Entry, c *clock.Fake) {
			e.ReadAs(NewEntry("", session.Key{}, &Snapshot{}))
			f.Failed(c.Mono())
		}, false},
		{"the store does not answer", func(f *Freshness, _ *Entry, c *clock.Fake) {
			c.Advance(outage - askAgain)
			f.Failed(c.Mono())
			c.Advance(askAgain - 1)
		}, true},
		{"the store does not answer, and the outage limit is over", func(f *Freshness, _ *Entry, c *clock.Fake) { c.Advance(outage); f.Failed(c.Mono()) }, false},
		{"the store is to be asked again", func(f *Freshness, _ *Entry, c *clock.Fake) {
			c.Advance(snapshotAge)
			f.Failed(c.Mono())
			c.Advance(askAgain)
		}, false},
		{"another caller asks it again", func(f *Freshness, _ *Entry, c *clock.Fake) {
			c.Advance(snapshotAge)
			f.Failed(c.Mono())
			c.Advance(askAgain)
			f.MayAsk(c.Mono())
			c.Advance(attempt)
		}, true},
		{"the store answers again", func(f *Freshness, _ *Entry, c *clock.Fake) { c.Advance(snapshotAge); f.Failed(c.Mono()); f.Answered() }, false},
		{"the feed says that the store answers again", func(f *Freshness, _ *Entry, c *clock.Fake) { f.Failed(c.Mono()); f.FeedReset(c.Mono()) }, false},
	}
	for _, tt := range tests {
		f, e, c := shared()
		tt.then(f, e, c)
		if got := f.MayShow(e, c); got != tt.want {
			t.Errorf("%s: MayShow = %v, want %v", tt.name, got, tt.want)
		}
		f.Shared = false
		if !f.MayShow(e, c) {
			t.Errorf("%s: of an exclusive store: MayShow = false", tt.name)
		}
	}
}

// A read is overtaken by each gap and by the end of the feed, not by time.
func TestFreshness_overtaken(t *testing.T) {
	f, e, c := shared()
	c.Advance(time.Hour)
	if f.Overtaken(e) {
		t.Error("overtaken by time")
	}
	for name, gap := range map[string]func(time.Duration){"a gap": f.FeedReset, "the end of the feed": f.FeedDown} {
		f.FeedReset(c.Mono())
		e.Read(f.Reading(c.Mono()))
		if gap(c.Mono()); !f.Overtaken(e) {
			t.Errorf("not overtaken by %s", name)
		}
	}
}

// While the store does not answer, one caller at a time asks it.
func TestFreshness_mayAsk(t *testing.T) {
	f, _, c := shared()
	want := func(what string, want bool) {
		t.Helper()
		if got := f.MayAsk(c.Mono()); got != want {
			t.Errorf("%s: MayAsk = %v, want %v", what, got, want)
		}
	}
	want("closed", true)
	want("closed, another caller", true)
	f.Failed(c.Mono())
	want("open", false)
	c.Advance(askAgain - 1)
	want("open, nearly a second later", false)
	c.Advance(1)
	want("half open", true)
	want("half open, another caller", false)
	c.Advance(attempt + askAgain - 1)
	want("half open, and the attempt is nearly given up", false)
	c.Advance(1)
	want("half open, and the attempt has brought nothing", true)
	f.Answered()
	want("closed again", true)
	want("closed again, another caller", true)
}

// Nothing is recovered from the beginning of an outage until the owners of lapsed leases have had their turn.
func TestFreshness_mayRecover(t *testing.T) {
	f, _, c := shared()
	want := func(what string, want time.Duration) {
		t.Helper()
		if got := f.MayRecover(c.Mono()); got != want {
			t.Errorf("%s: %v until recovery, want %v", what, got, want)
		}
	}
	want("no outage", 0)
	f.OutageUntil(c.Mono() + 10*time.Second)
	want("an outage of 10 s at most", 10*time.Second+grace)
	c.Advance(5 * time.Second)
	f.OutageUntil(c.Mono())
	want("its end", grace)
	c.Advance(grace)
	want("the end of the grace period", 0)

	f.Grace = 0
	f.OutageUntil(c.Mono() + time.Hour)
	want("without leases", 0)
}

// A wall clock that is set moves nothing: neither freshness, nor when the store may be asked, nor when recovery begins.
func TestFreshness_wallClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		f, e, c := shared()
		f.Failed(c.Mono())
		f.OutageUntil(c.Mono())
		c.SetWall(c.Now().Add(by))
		if !f.MayShow(e, c) || f.MayAsk(c.Mono()) || f.MayRecover(c.Mono()) != grace {
			t.Errorf("set by %v: shown %v, asked %v, recovery in %v; want it shown, not asked, %v", by, f.MayShow(e, c), f.MayAsk(c.Mono()), f.MayRecover(c.Mono()), grace)
		}
		c.Advance(snapshotAge)
		if f.MayShow(e, c) || !f.MayAsk(c.Mono()) || f.MayRecover(c.Mono()) != 0 {
			t.Errorf("set by %v, and half a minute later: it is shown, or not asked for, or recovery has not begun", by)
		}
	}
}

// That there is no session is remembered for a moment, also by a wall clock that is set back.
func TestFreshness_remembers(t *testing.T) {
	f, e, c := shared()
	e.Publish(NewSnapshot(Missing, Outcome{Until: c.Now().Add(f.Missing)}))
	c.SetWall(c.Now().Add(-time.Hour))
	if c.Advance(f.Missing - 1); !f.Remembers(e, c) {
		t.Error("forgotten within the second")
	}
	if c.Advance(1); f.Remembers(e, c) {
		t.Error("remembered after the second, for the wall clock was set back")
	}
}

// Whether the store must have the record of a session still.
func TestFreshness_stood(t *testing.T) {
	const age = time.Minute
	f, e, c := shared()
	want := func(what string, want bool) {
		t.Helper()
		if got := f.Stood(e, c.Mono(), age); got != want {
			t.Errorf("%s: Stood = %v, want %v", what, got, want)
		}
	}
	c.Advance(age - 1)
	want("read lately", true)
	c.Advance(1)
	want("read long ago", false)

	f.FeedReset(c.Mono())
	e.Read(f.Reading(c.Mono()))
	c.Advance(time.Hour)
	want("no write was told", true)
	f.FeedDown(c.Mono())
	c.Advance(age - 1)
	f.FeedReset(c.Mono())
	want("none was told until lately", true)
	c.Advance(1)
	want("none was told until long ago", false)
}

// Package clock has the time that the library goes by: the system's, or in tests a Fake, by which a test drives every deadline.
// Nothing else in the library reads time.
//
// There are two kinds of time. The wall clock, Now, is for promises of other parties: the
// ceiling of a session, the life of a token. It can be set, also back. The monotonic clock, Mono,
// is for waits of this process: retries, idle times, the age of a snapshot. Setting
// the wall clock moves none of them.
package clock

import "time"

// Clock tells the time and runs functions later. It is safe for concurrent use.
type Clock interface {
	// Now returns the present instant by the wall clock.
	Now() time.Time

	// Mono returns a reading of the monotonic clock: the time since an instant that is fixed
	// for the life of the Clock. Only the difference of two readings means anything.
	// It never goes back, however the wall clock is set.
	Mono() time.Duration

	// AfterFunc arranges for f to be called once d has passed, or at once when d is
	// zero or negative. System calls f on a goroutine of its own. Fake calls it on
	// the goroutine that moves the clock; for d zero or negative on the goroutine
	// that arms the timer, before AfterFunc returns. So f must neither block nor
	// take a lock that is held where timers are armed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is one armed call. Its methods are safe for concurrent use.
type Timer interface {
	// Stop disarms the timer. It reports whether the call was still to come.
	Stop() bool
	// Reset arms the timer again, d from now, whether or not it has fired. It
	// reports whether the call was still to come.
	Reset(d time.Duration) bool
}

// At arranges for f to be called once c shows t, or at once where t has passed; see AfterFunc. By a Fake it is called at t, even
// if the Fake is being moved while the timer is armed.
func At(c Clock, t time.Time, f func()) Timer {
	if fake, ok := c.(*Fake); ok {
		return fake.at(t, f)
	}
	return c.AfterFunc(Until(c, t), f)
}

// Until returns how long it is from now to t by c, negative when t has passed.
// It cuts a time that a Duration cannot hold, some 292 years, to the longest one: a
// timer for it fires early, and its owner looks again and arms the rest.
func Until(c Clock, t time.Time) time.Duration { return t.Sub(c.Now()) }

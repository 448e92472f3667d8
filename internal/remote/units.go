package remote

import (
	"math"
	"time"
)

// Units returns how many units d is, rounded up; 0 where it is not positive.
func Units(d, unit time.Duration) int64 {
	n := int64(max(0, d) / unit)
	if d > 0 && d%unit > 0 {
		n++
	}
	return n
}

// Duration returns n units; not more than a Duration holds.
func Duration(n int64, unit time.Duration) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(unit))) * unit
}

// OrEmpty returns id, or no bytes where it is zero.
func OrEmpty(id []byte) []byte {
	for _, b := range id {
		if b != 0 {
			return id
		}
	}
	return []byte{}
}

package session

import "time"

// Ceiling is the latest moment the upstream identity provider lets a session
// live, in seconds since the Unix epoch (a NumericDate, RFC 7519 section 2).
// The zero Ceiling means none was asserted.
type Ceiling int64

// CeilingLeeway is how early a session counts as over, to absorb clock skew.
const CeilingLeeway = 30 * time.Second

// Deadline returns the first instant at which c counts as reached.
func (c Ceiling) Deadline() time.Time { return time.Unix(int64(c)-int64(CeilingLeeway/time.Second), 0) }

// Reached reports whether c has been reached at now, counting CeilingLeeway.
func (c Ceiling) Reached(now time.Time) bool { return c != 0 && !now.Before(c.Deadline()) }

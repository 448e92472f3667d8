package session

import (
	"encoding/json"
	"time"
)

// Ceiling is the latest moment the upstream identity provider lets a session
// live, in seconds since the Unix epoch (a NumericDate, RFC 7519 section 2).
// The zero Ceiling means none was asserted.
type Ceiling int64

// CeilingLeeway is how early a session counts as over, to absorb clock skew.
const CeilingLeeway = 30 * time.Second

const leewaySeconds = int64(CeilingLeeway / time.Second)

// endOfSeconds is the first number that is not taken for seconds since the epoch:
// a larger one is milliseconds, or a mistake.
const endOfSeconds = 10_000_000_000

// ParseCeiling returns the ceiling that the claim session_expiry asserts. It fails
// open: whatever is not a JSON number with an integral value, 0 < v <
// 10,000,000,000, is no ceiling. Claims are best decoded with json.Number, for a
// number such as 1e400 has no other form.
func ParseCeiling(claim any) Ceiling {
	switch v := claim.(type) {
	case json.Number:
		return Ceiling(wholeSeconds(string(v)))
	case float64:
		if v > 0 && v < endOfSeconds && v == float64(int64(v)) {
			return Ceiling(v)
		}
	case int64:
		return Ceiling(v).sanitised()
	case int:
		return Ceiling(v).sanitised()
	}
	return 0
}

// Legal reports whether c is a ceiling at all: 0 < c < 10,000,000,000.
func (c Ceiling) Legal() bool { return 0 < c && c < endOfSeconds }

func (c Ceiling) sanitised() Ceiling {
	if c.Legal() {
		return c
	}
	return 0
}

// Deadline returns the first instant at which c counts as reached. It may lie
// further away than a time.Duration can say.
func (c Ceiling) Deadline() time.Time { return time.Unix(int64(c)-leewaySeconds, 0) }

// Reached reports whether c has been reached at now, counting CeilingLeeway. No ceiling,
// and one that is not legal, is never reached.
func (c Ceiling) Reached(now time.Time) bool {
	return c.Legal() && now.Unix() >= int64(c)-leewaySeconds // whole seconds: nothing is lost
}

// PastAtLogin reports whether a login with ceiling c comes too late, counting
// CeilingLeeway. It is judged by the later of now (in whole seconds) and iat, the
// ID token's claim, which is ignored where it is no legal number of seconds.
func PastAtLogin(c Ceiling, iat any, now time.Time) bool {
	return c.Legal() && int64(c) <= max(int64(ParseCeiling(iat)), now.Unix())+leewaySeconds
}

// wholeSeconds returns the value of a JSON number (RFC 8259 section 6) if it is
// integral and in 1..9,999,999,999, else 0. It reads the text once and expands no
// exponent, so that 1e1000000000 costs no more than its twelve characters.
func wholeSeconds(s string) int64 {
	var d decimal
	whole := digits(s)
	if whole == 0 || (s[0] == '0' && whole > 1) { // also all that is negative
		return 0
	}
	d.read(s[:whole])
	s = s[whole:]

	fraction := 0
	if s != "" && s[0] == '.' {
		if fraction = digits(s[1:]); fraction == 0 {
			return 0
		}
		d.read(s[1 : 1+fraction])
		s = s[1+fraction:]
	}
	exponent, ok := parseExponent(s)
	if !ok || d.tooLong || d.value == 0 {
		return 0
	}

	v := d.value
	for power := exponent - int64(fraction) + d.zeros; power != 0; power-- {
		if v *= 10; power < 0 || v >= endOfSeconds {
			return 0
		}
	}
	return v
}

// decimal is a run of digits as value × 10^zeros, value not ending in 0.
type decimal struct {
	value   int64
	zeros   int64
	tooLong bool // more digits that matter than any number of seconds has
}

func (d *decimal) read(digits string) {
	for i := 0; i < len(digits) && !d.tooLong; i++ {
		if digits[i] == '0' {
			if d.value != 0 {
				d.zeros++
			}
			continue
		}
		for ; d.zeros >= 0 && d.value < endOfSeconds; d.zeros-- {
			d.value *= 10
		}
		d.tooLong = d.value >= endOfSeconds
		d.zeros = 0
		d.value += int64(digits[i] - '0')
	}
}

// digits returns how many decimal digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// parseExponent reads the exponent part of a JSON number, "" meaning 0. A value
// that no text of this length could make up for is cut off.
func parseExponent(s string) (int64, bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if s == "" || digits(s) != len(s) {
		return 0, false
	}
	var e int64
	for i := 0; i < len(s) && e < 1<<50; i++ {
		e = e*10 + int64(s[i]-'0')
	}
	if negative {
		e = -e
	}
	return e, true
}

package session_test

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

func TestParseCeiling(t *testing.T) {
	num := func(s string) any { return json.Number(s) }
	tests := []struct {
		name  string
		claim any
		want  session.Ceiling
	}{
		{"seconds", num("1900000000"), 1900000000},
		{"largest", num("9999999999"), 9999999999},
		{"smallest", num("1"), 1},
		{"text", "1900000000", 0},
		{"word", "not-a-number", 0},
		{"empty text", "", 0},
		{"fraction", num("1.5"), 0},
		{"array", []any{num("1900000000")}, 0},
		{"object", map[string]any{}, 0},
		{"beyond int64", num("99999999999999999999"), 0},
		{"one too many", num("10000000000"), 0},
		{"milliseconds", num("1748566800000"), 0},
		{"zero", num("0"), 0},
		{"negative", num("-5"), 0},
		{"true", true, 0},
		{"false", false, 0},
		{"null or absent", nil, 0},
		{"beyond float64", num("1e400"), 0},
		{"whole fraction", num("1900000000.0"), 1900000000},
		{"exponent", num("1.9e9"), 1900000000},

		{"capital and sign in the exponent", num("19.00E+8"), 1900000000},
		{"negative exponent", num("19000000000000e-4"), 1900000000},
		{"leading zeros in the fraction", num("0.00019e13"), 1900000000},
		{"fraction that an exponent nearly hides", num("1900000000.1e0"), 0},
		{"zero with an exponent", num("0e9"), 0},
		{"minus zero", num("-0"), 0},
		{"many small digits", num("1900000000.00000000000000001"), 0},
		{"no digits", num(""), 0},
		{"point only", num("1."), 0},
		{"exponent without digits", num("1e"), 0},
		{"leading zero", num("01900000000"), 0},
		{"hexadecimal", num("0x10"), 0},
		{"not a number", num("NaN"), 0},
		{"trailing text", num("19 "), 0},

		{"float64", 1900000000.0, 1900000000},
		{"float64 fraction", 1.5, 0},
		{"float64 milliseconds", 1893456000000.0, 0},
		{"float64 not a number", math.NaN(), 0},
		{"float64 infinity", math.Inf(1), 0},
		{"float64 negative", -1.0, 0},
		{"int64", int64(1900000000), 1900000000},
		{"int64 too large", int64(math.MaxInt64), 0},
		{"int64 negative", int64(math.MinInt64), 0},
		{"int", 1900000000, 1900000000},
	}
	for _, tt := range tests {
		if got := session.ParseCeiling(tt.claim); got != tt.want {
			t.Errorf("%s: ParseCeiling(%v) = %d, want %d", tt.name, tt.claim, got, tt.want)
		}
	}
}

// Each of these would take hours, or gigabytes, to write out in full.
func TestParseCeiling_doesBoundedWork(t *testing.T) {
	megabyte := strings.Repeat("0", 1<<20)
	tests := []struct {
		name  string
		claim string
		want  session.Ceiling
	}{
		{"vast exponent", "1e1000000000", 0},
		{"vast negative exponent", "1e-1000000000", 0},
		{"exponent beyond int64", "1e99999999999999999999999", 0},
		{"zero to a vast power", "0e1000000000", 0},
		{"megabyte of digits", strings.Repeat("1", 1<<20), 0},
		{"megabyte of exponent", "1e1" + megabyte, 0},
		{"megabyte of zeros after the point", "1900000000." + megabyte, 1900000000},
		{"megabyte of zeros taken back", "19" + megabyte + "e-1048568", 1900000000},
		{"megabyte of zeros before the digits", "0." + megabyte + "19e1048586", 1900000000},
	}
	for _, tt := range tests {
		if got := session.ParseCeiling(json.Number(tt.claim)); got != tt.want {
			t.Errorf("%s: ParseCeiling = %d, want %d", tt.name, got, tt.want)
		}
	}
}

func FuzzParseCeiling(f *testing.F) {
	for _, s := range []string{"1900000000", "1.9e9", "1900000000.0", "1e400", "-5", "0.00019e13", "10000000000", "1e-3", "", "00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := session.ParseCeiling(json.Number(s))
		if got != 0 && !got.Legal() {
			t.Fatalf("ParseCeiling(%q) = %d, which is not legal", s, got)
		}
		if !json.Valid([]byte(s)) || strings.TrimSpace(s) != s || strings.Trim(s, "0123456789+-.eE") != "" {
			if got != 0 {
				t.Fatalf("ParseCeiling(%q) = %d, want 0: not a JSON number", s, got)
			}
			return
		}
		if e := strings.IndexAny(s, "eE"); e >= 0 && len(s)-e > 5 {
			return // too large for the plain way below
		}
		var want session.Ceiling
		if r, ok := new(big.Rat).SetString(s); ok && r.IsInt() && r.Num().IsInt64() {
			if c := session.Ceiling(r.Num().Int64()); c.Legal() {
				want = c
			}
		}
		if got != want {
			t.Fatalf("ParseCeiling(%q) = %d, want %d", s, got, want)
		}
	})
}

func TestCeiling_Reached(t *testing.T) {
	const c = session.Ceiling(1900000000)
	tests := []struct {
		name    string
		ceiling session.Ceiling
		now     time.Time
		want    bool
	}{
		{"31 s before", c, time.Unix(1900000000-31, 0), false},
		{"a nanosecond before the leeway", c, time.Unix(1900000000-31, 999999999), false},
		{"30 s before", c, time.Unix(1900000000-30, 0), true},
		{"29 s before", c, time.Unix(1900000000-29, 0), true},
		{"long after", c, time.Unix(3900000000, 0), true},
		{"none", 0, time.Unix(3900000000, 0), false},
		{"not legal", -5, time.Unix(3900000000, 0), false},
		{"milliseconds", 1748566800000, time.Unix(3900000000, 0), false},
		{"largest, clock at the epoch", 9999999999, time.Unix(0, 0), false},
		{"largest, a second before", 9999999999, time.Unix(9999999999-31, 0), false},
		{"largest", 9999999999, time.Unix(9999999999-30, 0), true},
		{"smallest, clock at the epoch", 1, time.Unix(0, 0), true},
	}
	for _, tt := range tests {
		if got := tt.ceiling.Reached(tt.now); got != tt.want {
			t.Errorf("%s: Reached = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPastAtLogin(t *testing.T) {
	now := time.Unix(1700000000, 999999999)
	num := func(s string) any { return json.Number(s) }
	tests := []struct {
		name    string
		ceiling session.Ceiling
		iat     any
		want    bool
	}{
		{"now + 30", 1700000030, num("1700000000"), true},
		{"now + 31", 1700000031, num("1700000000"), false},
		{"no iat, now + 30", 1700000030, nil, true},
		{"no iat, now + 31", 1700000031, nil, false},
		{"iat ahead of now, iat + 30", 1700000050, num("1700000020"), true},
		{"iat ahead of now, iat + 31", 1700000051, num("1700000020"), false},
		{"ceiling between iat and now", 1699999900, num("1699999000"), true},
		{"iat long ago, now + 31", 1700000031, num("1"), false},
		{"iat in milliseconds is ignored", 1700000031, num("1700000000000"), false},
		{"iat of text is ignored", 1700000031, "1800000000", false},
		{"iat with a fraction is ignored", 1700000031, num("1800000000.5"), false},
		{"iat at the end of seconds", 9999999999, num("9999999999"), true},
		{"none", 0, num("1700000000"), false},
		{"not legal", -1, num("1700000000"), false},
		{"1 is long past", 1, nil, true},
	}
	for _, tt := range tests {
		if got := session.PastAtLogin(tt.ceiling, tt.iat, now); got != tt.want {
			t.Errorf("%s: PastAtLogin(%d, %v) = %v, want %v", tt.name, tt.ceiling, tt.iat, got, tt.want)
		}
	}
}

// A session accepted at the last second lives for exactly that second.
func TestPastAtLogin_leavesOneSecond(t *testing.T) {
	now := time.Unix(1700000000, 0)
	c := session.Ceiling(now.Unix() + 31)
	if session.PastAtLogin(c, nil, now) || c.Reached(now) {
		t.Error("refused at the login that it should survive by a second")
	}
	if !c.Reached(now.Add(time.Second)) {
		t.Error("alive a second later")
	}
}

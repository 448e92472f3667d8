package logins

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// A process that shares its store with no other remembers the latest 10,000 completed logins, each for an
// hour, and none with an app state of more than 4,096 bytes.
func TestCompletions_areBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := func(n int) session.Key { return session.Key{byte(n >> 16), byte(n >> 8), byte(n)} }
	var l completions
	l.init()
	has := func(n int, at time.Time) bool {
		_, ok := l.find(key(n), at)
		return ok
	}
	for n := range 10_000 {
		l.add(key(n), Completion{AppState: json.RawMessage(`{}`)}, now)
	}
	if !has(0, now) || !has(9_999, now) {
		t.Error("of 10,000 logins one is forgotten")
	}
	l.add(key(10_000), Completion{}, now)
	if has(0, now) || !has(1, now) || !has(10_000, now) {
		t.Error("it is not the oldest that goes")
	}
	if !has(10_000, now.Add(time.Hour-1)) || has(10_000, now.Add(time.Hour)) {
		t.Error("it is not remembered for an hour")
	}
	for n, length := range map[int]int{20_000: 4096, 20_001: 4097} {
		l.add(key(n), Completion{AppState: json.RawMessage(strings.Repeat("1", length))}, now)
	}
	if !has(20_000, now) || has(20_001, now) {
		t.Error("an app state of 4,096 bytes is kept, of 4,097 not")
	}
}

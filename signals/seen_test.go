package signals

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// An id is remembered for its time and no longer. Of a flood of long ones the latest are, in a memory that does not grow with them.
func TestSeen(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var s seen
	if !s.add("a", now, now.Add(eventLife)) || s.add("a", now, now.Add(eventLife)) || !s.has("a", now.Add(eventLife-1)) || s.has("a", now.Add(eventLife)) {
		t.Error("an id is not remembered for 24 hours")
	}
	if s.drop("a", now); s.has("a", now) || !s.add("a", now, now.Add(eventLife)) {
		t.Error("an id that was dropped is not new")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	long := strings.Repeat("x", maxName-20)
	const flood = maxSeen + maxSeen/2
	for i := range flood {
		s.add(fmt.Sprint(long, i), now, now.Add(eventLife))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if s.has(fmt.Sprint(long, 0), now) || !s.has(fmt.Sprint(long, flood-maxSeen), now) || !s.has(fmt.Sprint(long, flood-1), now) || len(s.until) > maxSeen || len(s.order) > maxSeen {
		t.Errorf("%d and %d are remembered", len(s.until), len(s.order))
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("they take %d MiB", grown>>20)
	}
	runtime.KeepAlive(&s)
}

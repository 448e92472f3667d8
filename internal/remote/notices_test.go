package remote

import (
	"slices"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestNotices_aWatcherThatLagsIsToldOfAGap(t *testing.T) {
	q := NewNotices()
	want := func(n int, lost bool) {
		t.Helper()
		if notices, gap := q.Take(); len(notices) != n || gap != lost {
			t.Errorf("%d notices, gap %v, want %d and %v", len(notices), gap, n, lost)
		}
	}
	want(0, true)
	want(0, false)
	for range MaxNotices {
		q.Add(Notice{})
	}
	want(MaxNotices, false)
	for range MaxNotices + 10 {
		q.Add(Notice{})
	}
	want(10, true)
	want(0, false)
}

func TestNotices_passInOrderUntilStopped(t *testing.T) {
	q, stop := NewNotices(), make(chan struct{})
	for i := range 3 {
		q.Add(Notice{Version: session.Version{byte(i)}})
	}
	var seen []string
	q.Pass(stop, func(_ session.Key, v session.Version) {
		if seen = append(seen, v.String()[:2]); len(seen) == 3 {
			close(stop)
		}
	}, func() { seen = append(seen, "gap") })
	if want := []string{"gap", "00", "01"}; !slices.Equal(seen, want) {
		t.Errorf("seen: %v, want %v, and nothing once it is stopped", seen, want)
	}
}

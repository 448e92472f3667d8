package postgres

import (
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestNotices_whoLagsIsToldOfAGap(t *testing.T) {
	q := &notices{lost: true, wake: make(chan struct{}, 1)}
	want := func(notices int, lost bool) {
		t.Helper()
		if told, gap := q.take(); len(told) != notices || gap != lost {
			t.Errorf("%d notices, gap %v, want %d and %v", len(told), gap, notices, lost)
		}
	}
	want(0, true)
	want(0, false)
	for range maxNotices {
		q.add(notice{})
	}
	want(maxNotices, false)
	for range maxNotices + 10 {
		q.add(notice{})
	}
	want(10, true)
	want(0, false)
}

func FuzzParseNotice(f *testing.F) {
	f.Add("")
	f.Add("probe:ABC")
	f.Add(notice{key: session.Key{1}, version: session.Version{2}}.payload())
	f.Fuzz(func(t *testing.T, payload string) {
		n, ok := parseNotice(payload)
		if again, _ := parseNotice(n.payload()); ok && again != n {
			t.Errorf("parseNotice(%q) = %v, which reads as %v", payload, n, again)
		}
	})
}

func (n notice) payload() string { return n.key.String() + ":" + n.version.String() }

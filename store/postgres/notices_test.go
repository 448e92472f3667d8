package postgres

import (
	"testing"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
)

func FuzzParseNotice(f *testing.F) {
	f.Add("")
	f.Add("probe:ABC")
	f.Add(payload(remote.Notice{Key: session.Key{1}, Version: session.Version{2}}))
	f.Fuzz(func(t *testing.T, text string) {
		n, ok := parseNotice(text)
		if again, _ := parseNotice(payload(n)); ok && again != n {
			t.Errorf("parseNotice(%q) = %v, which reads as %v", text, n, again)
		}
	})
}

func payload(n remote.Notice) string { return n.Key.String() + ":" + n.Version.String() }

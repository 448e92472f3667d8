package test_test

import (
	"regexp"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// watchedLog is where every client of a rig logs, at the most talkative level. When the
// test is over nothing secret may stand in it (P10).
type watchedLog struct {
	text syncBuffer

	mu      sync.Mutex
	secrets map[string]bool
}

func newWatchedLog(r *rig) *watchedLog {
	w := &watchedLog{secrets: make(map[string]bool)}
	r.t.Cleanup(func() {
		text := w.text.String()
		found := r.tenant.SecretsIn(text)
		if secret := w.secretIn(text); secret != "" {
			found = append(found, secret)
		}
		if len(found) > 0 {
			r.t.Errorf("the log shows %q:\n%.10000s", found, text)
		}
	})
	return w
}

// logger returns a logger that writes to w.
func (w *watchedLog) logger() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), &w.text, zap.DebugLevel))
}

// knows notes secrets. Short ones are names of the test's own, and may stand anywhere.
func (w *watchedLog) knows(secrets ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= 8 {
			w.secrets[s] = true
		}
	}
}

// secretIn returns something in text that is secret, or looks it, "" when nothing does.
func (w *watchedLog) secretIn(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.secrets {
		if strings.Contains(text, s) {
			return s
		}
	}
	return randomIn(text)
}

// A run of letters and digits as long as the shortest of ours: session ids, states,
// nonces and verifiers, whatever is sealed, and JWTs.
var (
	longRun = regexp.MustCompile(`[0-9A-Za-z_-]{32,}`)
	digit   = regexp.MustCompile(`[0-9]`)
	capital = regexp.MustCompile(`[A-Z]`)
	small   = regexp.MustCompile(`[a-z]`)
)

// randomIn returns the first run in text that looks drawn at random, as a key's
// hexadecimal digits and Go's names do not.
func randomIn(text string) string {
	for _, run := range longRun.FindAllString(text, -1) {
		if digit.MatchString(run) && capital.MatchString(run) && small.MatchString(run) {
			return run
		}
	}
	return ""
}

// count returns how many lines of the log have text in them.
func (w *watchedLog) count(text string) (n int) {
	for line := range strings.Lines(w.text.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

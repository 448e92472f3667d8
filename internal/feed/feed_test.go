package feed

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
)

// The log says at one level that the feed is away, and that it is back: once for each time, and nothing where it was not away.
func TestWatcher_saysWhenTheFeedIsBack(t *testing.T) {
	core, log := observer.New(zap.WarnLevel)
	clk := clock.NewFake(time.Unix(1_800_000_000, 0))
	w := &Watcher{Env: &actors.Env{Log: zap.New(core), Clock: clk, Fresh: &directory.Freshness{Stats: &directory.Stats{}}}, said: -saidAgain}
	const away, back = "the store does not tell of other processes' writes; it is asked again", "the store tells of other processes' writes again"
	var want []string
	check := func(when string, says ...string) {
		t.Helper()
		want = append(want, says...)
		var got []string
		for _, e := range log.All() {
			got = append(got, e.Message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the log has %q, want %q", when, got, want)
		}
	}
	w.reset()
	check("at the start")
	for range 2 {
		w.down(errors.New("broken"))
		w.down(errors.New("broken"))
		check("away", away)
		clk.Advance(saidAgain)
		w.down(errors.New("broken"))
		check("still away", away)
		w.reset()
		check("back", back)
		w.reset()
		check("a gap")
	}
}

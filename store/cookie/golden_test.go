package cookie_test

import (
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// Cookies that browsers have today: every later release reads them.
func TestGolden(t *testing.T) {
	b := &browser{jar: map[string]string{
		"_a0_session.0":                   "4JSVqnms.187.AaXpY5u0hVWZAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACT4l1rdz0UCb5OGkW_xVjSs7S6xRtQ2aYCWlWU8h7bXxX2OVnYkGk1vZcPdCmkLEJmZjh3Pj0_0Vf3Ih5oC2hnsvDHYucP3KgBvUqKAaBMXSelNBWtvf9cwTpcrorJtBffmaLhz5W-yd9Jg",
		"_a0_tx.glTDKakoUPbVOd03b0gW7idk": "AaXpY5u0hVWZAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACThiiChoF6Wb5OGIfas1jFP_ymvPWcfSOogen7TMDplg",
	}}
	clk := clock.NewFake(t0)
	p := newProcess(t, clk, secretA)
	if got := p.visit(b); got.ID != "id" || !got.Seen.Equal(t0) {
		t.Errorf("session = %+v", got)
	}
	p.has("the session", 1)
	got, err := (inBrowser{newTransactions(t, clk, secretA), b}).Take(t.Context(), "k", store.Options{})
	if err != nil || string(got) != "x" {
		t.Errorf("transaction = %q, %v", got, err)
	}
}

package lookup

import (
	"context"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// A flight that was joined as its session left memory is answered by none: its caller tells the end, also one who leaves at
// that moment.
func TestToken_aFlightThatWasNeverAskedHasAnEnd(t *testing.T) {
	for name, kind := range map[string]Kind{"the caller looks again": Gone, "the caller leaves": ContextEnded} {
		starts, ends := 0, map[string]int{}
		now := clock.NewFake(time.Unix(1e9, 0))
		listener := observe.Observer{Flight: func(context.Context, observe.Flight) (context.Context, func(observe.FlightEnd)) {
			starts++
			return nil, func(e observe.FlightEnd) { ends[e.Outcome]++ }
		}}
		ctx, cancel := context.WithCancel(t.Context())
		l := &Lookup{
			Directory: directory.NewDirectory(), Clock: now, MaxFlights: 1, Fresh: &directory.Freshness{}, Send: func(*actor.PID, any) {},
			Telemetry: telemetry.New([]observe.Observer{listener}, now, session.Policy{}, zap.NewNop(), func() {}),
		}
		l.Supervisor = &actor.PID{}
		e := directory.NewEntry("id", l.Key("id"), directory.NewReady(1, session.Incarnation{}, &session.State{RefreshToken: "rt"}))
		l.Directory.Put(e)
		l.Await = func(context.Context, Wait) Event {
			select {
			case <-e.Gone(): // the second wait
				cancel()
				return Event{Kind: ContextEnded}
			default:
			}
			e.Retire()
			if kind == ContextEnded {
				cancel()
			}
			return Event{Kind: kind}
		}
		var token session.Token
		if err := l.Token(&Caller{Ctx: ctx, ID: "id"}, session.Policy{}.Query("", ""), &token); err == nil {
			t.Errorf("%s: there is a token", name)
		}
		if starts != 1 || ends[observe.Unasked] != 1 || len(ends) != 1 {
			t.Errorf("%s: %d starts, ends %v; want one of each", name, starts, ends)
		}
		cancel()
	}
}

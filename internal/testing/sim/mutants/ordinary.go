package main

// ordinary are the defects outside the engine. Keep an anchor as short as it can be told from all
// other code by.
var ordinary = []defect{
	{
		name: "backchannel-replay", what: "handled logout tokens are remembered for 30 s instead of an hour",
		old: `handledLife = time.Hour`, bad: `handledLife = 30 * time.Second`, test: "TestBackchannel_aSessionsTokenIsReplayed",
	},
	{
		name: "question-kept", what: "what was answered with an error is kept among the questions",
		old: "if err == nil {\n\t\tc.queries.Keep(", bad: "{\n\t\tc.queries.Keep(", test: "TestHits_strangersLeaveNothing",
	},
	{
		name: "flight-closed-first", what: "a flight's channel is closed before it leaves the list",
		old: `defer close(f.done)`, bad: `close(f.done)`, test: "TestComplete_offTheListBeforeDoneIsClosed",
	},
}

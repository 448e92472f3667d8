// Package messages holds what actors say to each other. It is for this module alone; no compatibility is promised. The memory
// that actors share with callers is in internal/directory.
//
// Commands order, events report. A message is not changed once it was sent, and prints nothing of
// its contents, since the actor library logs whole messages.
//
// A message behind which a call waits is an Awaited: an actor that cannot handle it refuses it, so no call hangs. A message
// from the supervisor to a session actor is a Command, and is counted, so that a session is never released while
// one is on its way.
//
// The supervisor gets:
//
//	OpenSession     from a call       Reply: the entry, nil where there is no room; the load ends its Call
//	NeedToken       from a call       where the session has no actor: activates it, and passes the message on
//	ReplaceSession  from a login      passes it on, to an actor that knows nothing where there was none
//	EndSession      from a call       the same
//	UpdateSession   from a call       passes it on, to a session in memory; else ends its Call: look for the session again
//	CeilingReached  from a read       passes it on; a session that is not in memory is read anyway: ends the Call
//	ReadRecord          from a call       the same
//	Changed         from the feed     marks an idle session as outdated, else tells its actor to read it
//	Close           from the client   Done is closed when every session is at rest
//	Abort           from the client   Reply: the sessions that knew more than the store
//	AtRest, Busy, SessionBegan, SessionEnded, SessionFailed  from a session actor: reports, no answer
//
// A session actor gets, from the supervisor unless it says otherwise:
//
//	Adopt           first of all      the session is the actor's
//	NeedToken       also from a call  completes the flight
//	ReplaceSession  Call ends once the store has the login, or has failed
//	UpdateSession   Call ends once the store has the values, or has failed; or with the newest, where another was first
//	EndSession      Call ends when the deletion was tried once; a deletion that failed is tried again
//	CeilingReached  the same, where the ceiling is reached and the generation is the present one
//	ReadRecord          Call ends when the record was read, with an error when the store did not answer
//	RecoverIntent   no answer; the next look for intents finds one that was not recovered
//	Passivate       AtRest or Busy
//	Finish          AtRest, once its flight is completed and saved
//	Recover         after SessionFailed: starts again from the store
//
// A refused message ends its Call, its flight or its Reply with the error: internal_error after a defect, closed
// while the client closes, overloaded where there is no room.
package messages

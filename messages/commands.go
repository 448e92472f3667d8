package messages

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Awaited is a message whose sender, or a caller of it, waits for the outcome. Refuse tells them
// that there is none, and why: an actor that cannot handle a message refuses it, so that no
// caller hangs. Lookup sends nothing but an Awaited, so a message without Refuse does not compile there.
type Awaited interface{ Refuse(err error) }

// Command is a message from the supervisor to a session actor. The actor counts the commands
// that it has seen (AtRest.Handled), so that the supervisor knows whether one is still on
// its way. The set is sealed.
type Command interface {
	Awaited
	toSession()
}

// OpenSession asks the supervisor for the entry of a session, loading it where it
// is not resident. Reply (capacity 1) gets the entry, or nil when there is no room.
// First, if not nil, is a flight that the session handles before anything else, its
// ceiling included.
type OpenSession struct {
	Redacted
	ID    string
	Key   session.Key
	Call  *directory.Call // lends context and options to the load
	First *directory.Flight
	Stale *directory.Entry // what was found, and is not to be trusted any more; nil: nothing was
	Reply chan<- *directory.Entry
}

// Refuse implements Awaited: the caller is told that there is no room.
func (m *OpenSession) Refuse(err error) {
	m.Call.End(err)
	if len(m.Reply) == 0 {
		m.Reply <- nil
	}
}

// NeedToken asks a session to answer a flight that its sender was the first to join, at Entry. It goes to the
// session's actor, or to the supervisor where the session has none: that activates it. The flight is answered
// once, however often it is asked for.
type NeedToken struct {
	Redacted
	Entry  *directory.Entry
	Flight *directory.Flight
}

// Refuse implements Awaited: everyone who has joined the flight is answered.
func (m *NeedToken) Refuse(err error) {
	if m.Entry != nil {
		m.Entry.Complete(m.Flight, m.Flight.Refusal(err))
	}
}

// ReplaceSession orders a login to be written, whatever was there before. Call is
// answered once the store has it, or has failed.
type ReplaceSession struct {
	Redacted
	ID          string
	Key         session.Key
	State       *session.State
	Incarnation session.Incarnation
	Call        *directory.Call
}

// Refuse implements Awaited.
func (m *ReplaceSession) Refuse(err error) { m.Call.End(err) }

func (*ReplaceSession) toSession() {}

// UpdateSession orders the values that the application keeps in a session to become To, if the session is that incarnation
// and its values are From. Call, which lends nothing, is answered once the store has them, or has failed; with an
// *OvertakenError, which brings the newest, where they are others; with ErrMissingSession where the session does not live.
//
// With StepUpAfter it leaves the values, and the session wants a sign-in later than that (session.State.WithStepUp). Call is then
// answered with an *OvertakenError where another process has written first: it is to be sent again.
type UpdateSession struct {
	Redacted
	Key         session.Key
	Incarnation session.Incarnation
	From, To    session.RawData
	StepUpAfter int64
	Call        *directory.Call
}

// Refuse implements Awaited.
func (m *UpdateSession) Refuse(err error) { m.Call.End(err) }

func (*UpdateSession) toSession() {}

// EndSession orders a session to end and its record to be deleted: that
// incarnation only, or any when zero. Call, which may be nil, is answered when the
// deletion was tried once; a failed deletion is tried again until it succeeds.
type EndSession struct {
	Redacted
	ID   string // empty when the sender knows the key only
	Key  session.Key
	Only session.Incarnation
	Why  session.Reason
	Call *directory.Call

	Named   *session.State  // whose it is, where the sender has read that it lives (session.State.Named); nil: it has not
	Ceiling session.Ceiling // at which the session was due, of a deletion at its ceiling that has failed
	InStore bool            // the store has this end already: where the session is not in memory all is done
	Failed  error           // of a deletion that was tried just now: it is tried again after a while; nil: it is tried at once
}

// Refuse implements Awaited.
func (m *EndSession) Refuse(err error) { m.Call.End(err) }

func (*EndSession) toSession() {}

// CeilingReached tells a session to end if its ceiling is reached. Call, which may
// be nil, is a reader who found that out and is answered like that of EndSession. It
// is harmless when early, repeated or of an older generation.
type CeilingReached struct {
	Redacted
	Key        session.Key
	Generation session.Generation
	Call       *directory.Call
}

// Refuse implements Awaited.
func (m *CeilingReached) Refuse(err error) { m.Call.End(err) }

func (*CeilingReached) toSession() {}

// ReadRecord tells a session that the store may hold something newer than it knows. Call,
// which may be nil, is answered once that has been read, with an error when the store did not
// answer.
type ReadRecord struct {
	Redacted
	Key     session.Key
	Version session.Version // what was written, zero when that is not known or the record was deleted
	Recent  bool            // a reading that is under way will do
	Call    *directory.Call
}

// Refuse implements Awaited.
func (m *ReadRecord) Refuse(err error) { m.Call.End(err) }

func (*ReadRecord) toSession() {}

// Changed tells the supervisor of a write, by this process or another: Version is the record's new
// version, zero when it was deleted.
type Changed struct {
	Redacted
	Key     session.Key
	Version session.Version
}

// RecoverIntent tells a session of an intent whose lease has lapsed: a refresh token was about to be spent, and the
// outcome is not known. Unless this process is at it, the session presents that token once.
type RecoverIntent struct {
	Redacted
	Key    session.Key
	Intent store.Intent
}

// Refuse implements Awaited. No call waits: the next look for intents finds it again.
func (*RecoverIntent) Refuse(error) {}

func (*RecoverIntent) toSession() {}

// Passivate asks a session to give up its entry if nothing is under way. It is
// answered with AtRest or Busy.
type Passivate struct{ Redacted }

// Refuse implements Awaited. No call waits: the supervisor hears of the failure.
func (*Passivate) Refuse(error) {}

func (*Passivate) toSession() {}

// Finish tells a session that the client closes: the flight that is out completes and is saved, those
// in the queue are answered with closed. It is answered with AtRest when that is done.
type Finish struct{ Redacted }

// Refuse implements Awaited. No call waits: the supervisor hears of the failure.
func (*Finish) Refuse(error) {}

func (*Finish) toSession() {}

// Recover tells a session that failed to start again from the store.
type Recover struct{ Redacted }

// Close orders the supervisor to close. Done is closed when every session is at rest.
type Close struct {
	Redacted
	Done chan<- struct{}
}

// Refuse implements Awaited. Done stays open: the sender waits with a deadline of its own, and then sends Abort.
func (*Close) Refuse(error) {}

// Abort orders the supervisor to stop every session as it is. Reply (capacity 1) gets
// the keys of those that knew something the store does not.
type Abort struct {
	Redacted
	Reply chan<- []session.Key
	Rest  *AbortedRest // filled in before the reply; nil: not asked for
}

// Refuse implements Awaited: the sender is told of none.
func (m *Abort) Refuse(error) {
	if len(m.Reply) == 0 {
		m.Reply <- nil
	}
}

// AbortedRest says more of the sessions that Abort found not at rest.
type AbortedRest struct {
	Undeleted []session.Key // of the reply: those that have ended, and whose deletion is still to be done
	Waiting   []session.Key // beside the reply: those with nothing to save, and with work that has not ended
}

// AtRest reports that a session has nothing under way and gives up its entry.
// Handled is how many commands of the supervisor it has seen: had more been sent,
// they will wake it, and the report is void.
type AtRest struct {
	Redacted
	Key     session.Key
	Handled uint64
	Version session.Version // of the record, where the session lives: the store holds what the entry shows
	Held    *session.Held   // tokens it had before, for the next Adopt; nil: none

	Demanded *session.Demanded // for the next Adopt; nil: none
}

// Busy reports that a session will not be passivated now.
type Busy struct {
	Redacted
	Key session.Key
}

// SessionBegan reports a new generation, and its ceiling for the supervisor to watch.
type SessionBegan struct {
	Redacted
	Key        session.Key
	Generation session.Generation
	Ceiling    session.Ceiling
}

// SessionEnded reports that a session ended, and why; its record may still be on
// its way out of the store.
type SessionEnded struct {
	Redacted
	Key    session.Key
	Reason session.Reason
	Named  *session.State // whose it was (session.State.Named); nil: not known
}

// SessionFailed reports a defect that was contained. It is answered with Recover,
// at once or after a quarantine.
type SessionFailed struct {
	Redacted
	Key session.Key
}

// Adopt gives an actor its session. Where the entry shows one that lives, the store holds the same, as Version:
// the actor goes on from there. Where it shows none, nothing is known of the session yet.
type Adopt struct {
	Redacted
	Entry   *directory.Entry
	Version session.Version
	Held    *session.Held // nil: none

	Demanded *session.Demanded // nil: none
}

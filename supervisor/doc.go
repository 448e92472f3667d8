// Package supervisor holds the supervisor actor. It is for this module alone; no compatibility is promised.
//
// The supervisor brings sessions into memory and lets them go, watches their
// deadlines, decides what follows a defect, and closes. Every session has exactly one
// owner at a time: its actor, or the supervisor while it is idle. Callers only read, by way
// of internal/directory.
//
// # The states of a session
//
// Nothing at all (absent), or a resident (supervisor.go), which is in one of five states:
//
//   - loading: its record is being read, and its entry says opening;
//   - idle: it lives and has no actor, and the supervisor is the one writer of its entry;
//   - active: it has an actor, which is the one writer of its entry;
//   - ending: its ceiling has ended it without an actor, and its deletion is under way;
//   - marker: for a moment it is remembered that there was no session, or that it has ended.
//
// One message is handled at a time, so each cell of this table is a plain function, and a race of two events is their order in
// the mailbox:
//
//	| event | absent | loading | idle | active | ending | marker |
//	|---|---|---|---|---|---|---|
//	| OpenSession | load | its entry | its entry | its entry | its entry | its entry; once outdated as absent |
//	| NeedToken | look again | look again | activate, pass on | pass on | look again | look again |
//	| ReplaceSession, EndSession | activate, pass on | void the load, activate, pass on | activate, pass on | pass on | activate, pass on | drop, as absent |
//	| UpdateSession | missing_session | missing_session | activate, pass on | pass on | missing_session | missing_session |
//	| CeilingReached, ReadRecord | done | done | activate, pass on | pass on | done | done |
//	| a stale intent | load, then pass on | pass on once loaded | activate, pass on | pass on | – | –; once outdated as absent |
//	| Changed | – | callers load anew | outdated, but for its own version | pass on as ReadRecord | – | drop |
//	| its ceiling | claimed, deleted | – | ended, deleted; with connection tokens activate | pass on | – | – |
//	| unused, or too many | – | – | leaves memory | released first, then leaves | – | – |
//	| AtRest | – | – | – | idle; where it has ended gone; with a command under way active | – | – |
//	| SessionFailed | – | – | – | starts again, after the third in a minute later | – | – |
//	| Close | – | closed | gone | Finish, gone once at rest | gone once deleted | gone |
//
// An EndSession that the store has carried out already (InStore) needs no actor where the session is absent.
//
// "Activate" spawns the actor, and its first message hands it the entry (Adopt). "Pass on" counts the message: AtRest says how many the
// actor has seen, so an actor is never stopped with a command under way.
package supervisor

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
//   - ending: its ceiling has ended it without an actor, and its deletion is under way. Where that fails it becomes active: an actor tries
//     again after a while, or at once where the store has found connection tokens that remain;
//   - marker: for a moment it is remembered that there was no session, or that it has ended.
//
// One message is handled at a time, so each cell of this table is a plain function, and a race of two events is their order in
// the mailbox. Semicolons part the cases of a cell; each but the first begins with its condition. Behind "then" stands what follows once
// the store has answered. A dash says that nothing changes. TestTable drives every case.
//
//	| event | absent | loading | idle | active | ending | marker |
//	|---|---|---|---|---|---|---|
//	| OpenSession | load | its entry | its entry | its entry | its entry | its entry; outdated: drop, load |
//	| NeedToken | look again | look again | activate, pass on | pass on | look again | look again |
//	| ReplaceSession | activate, pass on | void the load, activate, pass on | activate, pass on | pass on | activate, EndSession, pass on | drop, activate, pass on |
//	| EndSession | activate, pass on; in the store already: done | void the load, activate, pass on | activate, pass on | pass on | activate, EndSession, pass on | drop, activate, pass on |
//	| UpdateSession | missing_session | missing_session | activate, pass on | pass on | missing_session | missing_session |
//	| CeilingReached, ReadRecord | done | done | activate, pass on | pass on | done | done |
//	| a stale intent | load; the store has it: load, then activate, RecoverIntent | then activate, RecoverIntent | activate, RecoverIntent | RecoverIntent | – | –; outdated: drop, load |
//	| Changed | – | drop, look again | outdated; its own version: – | ReadRecord | – | drop |
//	| its ceiling | –; the store's index has it: claim, then delete | – | ending; with connection tokens: activate, CeilingReached | CeilingReached | – | – |
//	| unused, too many | – | – | drop | Passivate, then drop | – | – |
//	| its timer | – | – | – | Passivate | – | drop |
//	| SessionBegan | – | – | – | ceiling watched | – | – |
//	| SessionEnded | – | – | – | ceiling forgotten | – | – |
//	| Busy | – | – | – | –; asked already: asked again | – | – |
//	| AtRest | – | – | – | idle; it has ended: drop; a command is on its way: – | – | – |
//	| SessionFailed | – | – | – | Recover; the third in a minute: – | – | – |
//	| Close | – | drop, closed | drop | Finish, Recover, then drop | –, then delete, drop | drop |
//	| Abort | – | drop | drop | drop | drop | drop |
//
// The words of the cells:
//
//   - activate: the actor is spawned, and its first message hands it the entry (Adopt);
//   - pass on: the event goes to the actor. It is counted: AtRest says how many the actor has seen, so an actor is never stopped with
//     one under way. The name of a message says that the actor gets that one instead;
//   - load: an entry that says opening is made, and its record is read. To void a load is to drop its answer;
//   - drop: the resident is forgotten, and who waits for its entry looks again;
//   - look again, done, closed, missing_session: the answer to the call or the flight;
//   - outdated: the next caller has the record read;
//   - asked again: the actor is asked once more later whether it is at rest.
package supervisor

// Package supervisor holds the supervisor actor and the directory of sessions.
//
// The supervisor brings sessions into memory and lets them go, watches their
// deadlines, decides what follows a defect, and closes. Every session has exactly one
// owner at a time: its actor, or the supervisor while it sleeps. Others only read: the
// directory says where a session is.
package supervisor

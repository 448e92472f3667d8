// Package supervisor holds the supervisor actor. It is for this module alone; no compatibility is promised.
//
// The supervisor brings sessions into memory and lets them go, watches their
// deadlines, decides what follows a defect, and closes. Every session has exactly one
// owner at a time: its actor, or the supervisor while it is idle. Callers only read, by way
// of internal/directory.
package supervisor

// Package session holds the values of a user's session and the rules about them. Applications use package tokenward, which has
// what they need of it. Stores need Key, Version, Incarnation and Reason; of the rest no compatibility is promised.
//
// What a session is (State), when it is over (Ceiling), which token answers which
// query (Policy, TokenQuery, TokenCache) and what the provider's answer changes
// (ApplyRefresh, ApplyConnection) are decided here, and nowhere else. There is no
// clock, store or network: the time and the source of randomness are arguments.
// Values that hold tokens print, log and marshal without them.
package session

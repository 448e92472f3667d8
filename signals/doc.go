// Package signals ends sessions when another party says so: an identity provider, or a security team.
//
// A [Logout] is an endpoint for universal logout (Global Token Revocation, draft-parecki-oauth-global-token-revocation),
// which Okta's Universal Logout calls: it names a user, whose sessions all end.
//
// A [Receiver] takes security events of the Shared Signals Framework 1.0: Security Event Tokens (RFC 8417) that a
// transmitter pushes (RFC 8935, [Receiver.Push]) or that are polled (RFC 8936, [Receiver.Poll]). Each type of event has a
// [Reaction], which the host chooses. An event is acknowledged after its sessions were ended in the store. It ends only
// sessions that began by its time and 30 seconds: that it comes twice, late, in any order or after a restart does no
// harm.
//
// Both end sessions by [tokenward.Client.EndSessions]: in all processes, those that are not in memory and logins
// under way too. The state store needs an index (store.Index). Neither logs or quotes a token, or whom it
// names.
package signals

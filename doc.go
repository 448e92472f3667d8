// Package tokenward keeps users of a Go server signed in: it holds their sessions
// and hands out access tokens, from the cache while they last, refreshed when they
// don't. Any number of concurrent calls for one session cost one refresh, and a
// session ends when its ceiling (the claim session_expiry) is reached, without a call.
// One actor per session spends the refresh token, one request at a time.
//
// The operations are those of the Auth0 server SDKs, for any OpenID Connect provider:
//
//   - construct: [New] with a [Config] and options; [WithActorSystem] runs the actors in the host's own system
//   - keep sessions: [WithStateStore] with package store/bolt, store/redis or store/postgres; [WithStatelessSessions]; the default is in memory
//   - sign in: [Client.StartInteractiveLogin], [Client.CompleteInteractiveLogin]; package httpauth has the HTTP handlers
//   - read: [Client.GetUser], [Client.GetSession], [Client.GetSessionData], [Client.UpdateSession]
//   - tokens: [Client.GetAccessToken], [Client.GetAccessTokenForConnection], [Client.ExchangeToken], [Client.MachineToken]
//   - calls to APIs: [Client.Session], [Client.SessionOf], [Client.ContextSession], [Handle.Client], [Client.MachineTransport]
//   - end: [Client.Logout], [Client.HandleBackchannelLogout], [Client.HandleFrontchannelLogout], [Client.EndSessions], [Client.AskStepUp]
//   - administrate: [Client.Sessions], [Client.CountSessions], [Client.EndSession]; packages admin and signals
//   - observe: [Client.Stats], [Client.Ready], [WithObserver], [WithSlog], [WithHooks]
//   - test: [WithClock], [Client.Settle]; packages tokenwardtest, idp/idptest and clock
//
// The session of a call is named by its context or by [StoreOptions]: [HTTP] for a request, [SessionID] for a worker.
// [Client.Close] saves changes under way and stops.
//
// Errors have a [Code], which [CodeOf] returns, and a type for errors.As. [LoginRequired] says whether the user must sign in again.
package tokenward

// Package tokenward keeps users of a Go server signed in: it holds their sessions
// and hands out access tokens, refreshed once for all callers. A session ends when
// its ceiling (the claim session_expiry) is reached, without a call.
//
//   - construct: [New] with a [Config]; [Option] lists all options by subject
//   - sessions: [WithStateStore], [WithStatelessSessions]; by default in memory
//   - sign in: [Client.StartInteractiveLogin], [Client.CompleteInteractiveLogin]
//   - read: [Client.GetUser], [Client.GetSession], [Client.UpdateSession]
//   - tokens: [Client.GetAccessToken], [Client.GetAccessTokenForConnection],
//     [Client.ExchangeToken], [Client.MachineToken]
//   - calls to APIs: [Client.Session], [Handle.Client], [Client.MachineTransport]
//   - end: [Client.Logout], [Client.HandleBackchannelLogout], [Client.EndSessions]
//   - operate: [Client.Sessions], [Client.EndSession]; packages admin and signals
//   - observe: [Client.Stats], [Client.Ready], [WithObserver], [WithSlog], [WithHooks];
//     modules that observe: observe/otel, observe/prometheus
//   - test: [WithClock], [Client.Settle]; packages tokenwardtest, idp/idptest, clock
//
// A context or [StoreOptions] ([HTTP], [SessionID]) say whose session a call is for. An
// error has a [Code] ([CodeOf]); [LoginRequired] says whether to sign in again.
package tokenward

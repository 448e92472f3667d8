// Package tokenward keeps users of a Go server signed in: it holds their sessions
// and hands out access tokens, from the cache while they last, refreshed when they
// don't. Any number of concurrent calls for one session cost one refresh, and a
// session ends when its ceiling (the claim session_expiry) is reached, without a call.
//
// One actor per session owns its state; everything that spends the refresh token goes
// through it, one at a time. Calls read what it has published, without a message.
//
// The operations are those of the Auth0 server SDKs: StartInteractiveLogin,
// CompleteInteractiveLogin, GetUser, GetSession, GetAccessToken,
// GetAccessTokenForConnection, Logout, HandleBackchannelLogout. Any OpenID Connect
// provider will do. MachineToken and ExchangeToken get tokens that cost no refresh token: of
// the application itself, and in exchange for the user's.
package tokenward

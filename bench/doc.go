// Package bench measures tokenward beside what one would write without it, in the
// same run: a sharded map with one flight for each session, oauth2.ReuseTokenSource,
// a map with singleflight, and a plain actor that is asked by RequestFuture.
//
// The contenders are here in full, as ordinary code, so that they can be judged
// (and bettered). All of them spend refresh tokens with the same idp.Client, at the same
// Provider in this process, which answers at once: a benchmark measures the work around
// the request. Run it as README.md says.
package bench

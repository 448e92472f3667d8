// Package bench measures tokenward beside what one would write without it, in the
// same run: a sharded map with one flight for each session, oauth2.ReuseTokenSource,
// a map with singleflight, and a plain actor that is asked by RequestFuture.
//
// What is compared with is here in full, as ordinary code, so that it can be judged
// (and bettered). All of it spends refresh tokens with the same idp.Client, at the same
// Provider in this process, which answers at once: what is measured is what
// surrounds the request. Run it as README.md says.
package bench

// Package test has the end-to-end stories: each drives a client from outside, as a caller
// would, against the doubles that are public (clock.Fake, idp/idptest, store/storetest). One
// file holds one subject. rig_test.go has the client, tenant and store on one fake clock that
// most of them begin with.
package test

// Module gooidc compares our checks with those of go-oidc, and is no part of the
// library.
module github.com/tokenward/tokenward/peers/gooidc

go 1.25.0

replace github.com/tokenward/tokenward => ../..

require (
	github.com/coreos/go-oidc/v3 v3.21.0
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/tokenward/tokenward v0.0.0
)

require (
	github.com/go-jose/go-jose/v4 v4.1.4 // indirect
	golang.org/x/oauth2 v0.36.0 // indirect
	golang.org/x/text v0.41.0 // indirect
)

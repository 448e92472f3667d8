package idptest

import (
	"crypto"
	"crypto/subtle"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// client is a registered application.
type client struct {
	id, secret   string
	key          crypto.PublicKey // of client assertions; nil when it uses the secret
	redirectURIs []string
}

// WithClient adds a client that authenticates by secret; with an empty secret it is
// a public one. It may redirect to redirectURIs and to every loopback address.
// The client ClientID is always there, unless this replaces it.
func WithClient(id, secret string, redirectURIs ...string) Option {
	return withClient(client{id: id, secret: secret, redirectURIs: redirectURIs})
}

// WithClientKey adds a client that authenticates by assertions (private_key_jwt)
// signed with the private half of key, an *rsa.PublicKey or *ecdsa.PublicKey, and
// in no other way.
func WithClientKey(id string, key crypto.PublicKey, redirectURIs ...string) Option {
	return withClient(client{id: id, key: key, redirectURIs: redirectURIs})
}

func withClient(c client) Option {
	return func(cfg *config) {
		cfg.clients = maps.Clone(cfg.clients)
		cfg.clients[c.id] = c
	}
}

// AuthMethod is how a client authenticated.
type AuthMethod string

// The ways in which a client authenticates (RFC 6749 section 2.3.1, RFC 7523
// section 2.2).
const (
	AuthNone       AuthMethod = "none"
	AuthBasic      AuthMethod = "client_secret_basic"
	AuthPost       AuthMethod = "client_secret_post"
	AuthPrivateKey AuthMethod = "private_key_jwt"
	AuthSeveral    AuthMethod = "several" // which is an error
)

// authMethod tells how c authenticates.
func authMethod(c *call) AuthMethod {
	var found []AuthMethod
	if c.req.Header.Get("Authorization") != "" {
		found = append(found, AuthBasic)
	}
	if c.form.Has("client_secret") {
		found = append(found, AuthPost)
	}
	if c.form.Has("client_assertion") {
		found = append(found, AuthPrivateKey)
	}
	switch len(found) {
	case 0:
		return AuthNone
	case 1:
		return found[0]
	}
	return AuthSeveral
}

// authenticate finds the client of c and checks that it is the one.
func (t *Tenant) authenticate(c *call) (client, *oauthError) {
	failed := &oauthError{"invalid_client", "Client authentication failed."}
	id, password := c.form.Get("client_id"), c.form.Get("client_secret")
	method := authMethod(c)
	switch method {
	case AuthSeveral:
		return client{}, &oauthError{"invalid_request", "The client authenticates in several ways."}
	case AuthPrivateKey:
		return t.asserted(c)
	case AuthBasic:
		user, pass, ok := c.req.BasicAuth()
		user, err1 := url.QueryUnescape(user)
		pass, err2 := url.QueryUnescape(pass)
		if !ok || err1 != nil || err2 != nil || id != "" && id != user {
			return client{}, failed
		}
		id, password = user, pass
	}
	cl, ok := t.config().clients[id]
	if !ok || cl.key != nil || subtle.ConstantTimeCompare([]byte(cl.secret), []byte(password)) != 1 {
		return client{}, failed
	}
	return cl, nil
}

// denied answers a client that is not the one. Where it came with HTTP authentication it
// is asked for that again (RFC 6749 section 5.2).
func (c *call) denied(e *oauthError) *reply {
	r := e.reply()
	if r.status == http.StatusUnauthorized && authMethod(c) == AuthBasic {
		r.header.Set("WWW-Authenticate", `Basic realm="tenant"`)
	}
	return r
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// asserted checks a client assertion (RFC 7523 section 3). Each is good once.
func (t *Tenant) asserted(c *call) (client, *oauthError) {
	failed := func(why string) (client, *oauthError) {
		return client{}, &oauthError{"invalid_client", "The client assertion is not accepted: " + why + "."}
	}
	if c.form.Get("client_assertion_type") != assertionType {
		return failed("client_assertion_type must be " + assertionType)
	}
	var cl client
	claims := &jwt.RegisteredClaims{}
	_, err := jwt.ParseWithClaims(c.form.Get("client_assertion"), claims,
		func(*jwt.Token) (any, error) {
			cl = t.config().clients[claims.Issuer]
			return cl.key, nil
		},
		jwt.WithValidMethods([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}),
		jwt.WithTimeFunc(t.clock.Now), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	id := c.form.Get("client_id")
	switch {
	case err != nil:
		return failed(err.Error())
	case claims.Subject != claims.Issuer || id != "" && id != claims.Issuer:
		return failed("iss, sub and client_id differ")
	case !slices.ContainsFunc(claims.Audience, func(aud string) bool {
		return aud == t.issuer || aud == t.URL(pathToken) || aud == t.URL(pathPAR) && c.kind == PAR // RFC 9126 section 2
	}):
		return failed("aud is not this tenant")
	case claims.ID == "":
		return failed("it has no jti")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.jtis[claims.ID] {
		return failed("its jti was used before")
	}
	t.jtis[claims.ID] = true
	return cl, nil
}

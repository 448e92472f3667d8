package idptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
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
// signed with the private half of key, and in no other way. key is an *rsa.PublicKey,
// *ecdsa.PublicKey or ed25519.PublicKey, which is what Public of a private key returns.
// With anything else New fails, and Set panics.
func WithClientKey(id string, key crypto.PublicKey, redirectURIs ...string) Option {
	if !verifies(key) {
		err := fmt.Errorf("idptest: WithClientKey(%q): a %T, want an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", id, key)
		return func(cfg *config) { cfg.wrong = err }
	}
	return withClient(client{id: id, key: key, redirectURIs: redirectURIs})
}

// verifies reports whether client assertions can be checked by key.
func verifies(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key != nil
	case *ecdsa.PublicKey:
		return key != nil
	case ed25519.PublicKey:
		return len(key) == ed25519.PublicKeySize
	}
	return false
}

// WithRedirectURI lets the client ClientID redirect to uris too, in whatever way it
// authenticates.
func WithRedirectURI(uris ...string) Option {
	return func(cfg *config) {
		c := cfg.clients[ClientID]
		c.redirectURIs = append(slices.Clone(c.redirectURIs), uris...)
		withClient(c)(cfg)
	}
}

func withClient(c client) Option {
	return func(cfg *config) {
		cfg.clients = maps.Clone(cfg.clients)
		cfg.clients[c.id] = c
	}
}

// AuthMethod is how a client authenticated (RFC 6749 section 2.3.1, RFC 7523 section 2.2): [AuthNone], [AuthBasic], [AuthPost],
// [AuthPrivateKey], or [AuthSeveral], which is an error.
type AuthMethod string

// The ways in which a client authenticates.
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
	cfg := t.config()
	rules := &cfg.profile.Clients
	method := authMethod(c)
	switch {
	case method == AuthSeveral:
		return client{}, &oauthError{"invalid_request", "The client authenticates in several ways."}
	case !rules.takes(method):
		return client{}, &oauthError{"invalid_client", "The method " + string(method) + " is not accepted."}
	case method == AuthPrivateKey:
		return t.asserted(c)
	}
	id, password, ok := credentials(c, rules.RawBasic)
	cl, known := cfg.clients[id]
	good := ok && known
	switch {
	case good && rules.SecretJWT && cl.key != nil:
		good = t.secretIsJWT(cl, password)
	case good:
		good = cl.key == nil && subtle.ConstantTimeCompare([]byte(cl.secret), []byte(password)) == 1
	}
	if !good {
		return client{}, &oauthError{"invalid_client", "Client authentication failed."}
	}
	return cl, nil
}

// takes reports whether a client may authenticate so.
func (r *ClientRules) takes(method AuthMethod) bool {
	if r.Methods == nil {
		return method == AuthBasic || method == AuthPost
	}
	return slices.Contains(r.Methods, method)
}

// credentials returns the client id and the secret of c, and whether they make sense.
// With raw the header is taken as it is, without form-decoding.
func credentials(c *call, raw bool) (id, password string, ok bool) {
	id, password = c.form.Get("client_id"), c.form.Get("client_secret")
	if authMethod(c) != AuthBasic {
		return id, password, true
	}
	user, pass, ok := c.req.BasicAuth()
	if ok && !raw {
		var err1, err2 error
		user, err1 = url.QueryUnescape(user)
		pass, err2 = url.QueryUnescape(pass)
		ok = err1 == nil && err2 == nil
	}
	return user, pass, ok && (id == "" || id == user)
}

// secretIsJWT checks a secret that is a JWT (ClientRules.SecretJWT).
func (t *Tenant) secretIsJWT(cl client, password string) bool {
	now := t.clock.Now()
	claims := &jwt.RegisteredClaims{}
	token, err := jwt.ParseWithClaims(password, claims, func(*jwt.Token) (any, error) { return cl.key, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithTimeFunc(t.clock.Now), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithAudience(t.issuer), jwt.WithSubject(cl.id))
	return err == nil && token.Header["kid"] != nil && claims.Issuer != "" && !claims.ExpiresAt.After(now.Add(secretLife))
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
	rules := t.profile().Clients
	claims := &jwt.RegisteredClaims{}
	token, err := jwt.ParseWithClaims(c.form.Get("client_assertion"), claims,
		func(*jwt.Token) (any, error) {
			cl = t.config().clients[claims.Issuer]
			return cl.key, nil
		},
		jwt.WithValidMethods([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}),
		jwt.WithTimeFunc(t.clock.Now), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	id := c.form.Get("client_id")
	switch {
	case err != nil:
		return failed(err.Error())
	case claims.Subject != claims.Issuer || id != "" && id != claims.Issuer:
		return failed("iss, sub and client_id differ")
	case !slices.ContainsFunc(claims.Audience, func(aud string) bool { return t.isAudience(c, rules.Audience, aud) }):
		return failed("aud is not this tenant")
	case rules.Thumbprint && token.Header["x5t"] == nil && token.Header["x5t#S256"] == nil:
		return failed("its header has neither x5t nor x5t#S256")
	case rules.Thumbprint && !thumbprintOf(cl, token.Header):
		return failed("its header names another certificate")
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

// isAudience reports whether an assertion for aud is for the request c.
func (t *Tenant) isAudience(c *call, want Audience, aud string) bool {
	loc := t.profile().Location
	asked := loc.Token
	switch c.kind {
	case PAR:
		asked = loc.PAR
	case Revocation:
		asked = loc.Revocation
	}
	here := aud == t.endpoint(asked, false) || aud == t.endpoint(asked, true)
	switch want {
	case AudienceIssuer:
		return aud == t.issuer
	case AudienceEndpoint:
		return here
	}
	return here || aud == t.issuer || aud == t.endpoint(loc.Token, false) // RFC 9126 section 2
}

// thumbprintOf reports whether a header has the thumbprint of the certificate of cl. Only
// that of the client ClientID is known; of others any will do.
func thumbprintOf(cl client, header map[string]any) bool {
	if cl.id != ClientID {
		return true
	}
	der := selfSigned(applicationRSA()).Raw
	short, long := sha1.Sum(der), sha256.Sum256(der) //nolint:gosec // RFC 7515 section 4.1.7
	return header["x5t"] == base64.RawURLEncoding.EncodeToString(short[:]) ||
		header["x5t#S256"] == base64.RawURLEncoding.EncodeToString(long[:])
}

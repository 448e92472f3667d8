package idp

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/tokenward/tokenward/session"
)

// AuthMethod says how the client authenticates at the token endpoint, in the
// words of OpenID Connect Core section 9.
type AuthMethod string

// Methods of client authentication.
const (
	ClientSecretBasic AuthMethod = "client_secret_basic" // HTTP Basic, client_id also in the body
	ClientSecretPost  AuthMethod = "client_secret_post"  // both in the body
	PrivateKeyJWT     AuthMethod = "private_key_jwt"     // an assertion signed by SigningKey
)

// authParams are the parameters of client authentication. Only authenticate sets
// them; what a caller supplies under these names is dropped.
var authParams = []string{"client_secret", "client_assertion", "client_assertion_type"}

// credentials authenticates the client. It is the one place that decides what a
// form request carries for that, and it prints without the secret.
type credentials struct {
	method   AuthMethod
	clientID string
	secret   string
	basic    string  // of ClientSecretBasic
	signer   *signer // of PrivateKeyJWT
}

func newCredentials(cfg Config) (credentials, error) {
	c := credentials{method: cfg.Auth, clientID: cfg.ClientID, secret: cfg.ClientSecret}
	switch {
	case cfg.SigningKey != nil && (c.method == "" || c.method == PrivateKeyJWT):
		c.method, c.secret = PrivateKeyJWT, ""
		c.signer = &signer{clientID: cfg.ClientID, key: cfg.SigningKey, keyID: cfg.SigningKeyID, clock: cfg.Clock, rand: cfg.Rand}
		return c, c.signer.use(cfg.SigningAlg)
	case cfg.SigningKey != nil:
		return credentials{}, &session.ConfigurationError{Message: "SigningKey: Auth says that it is not to be used"}
	case c.method == PrivateKeyJWT:
		return credentials{}, &session.ConfigurationError{Message: "SigningKey is required for private_key_jwt"}
	case cfg.SigningAlg != "" || cfg.SigningKeyID != "":
		return credentials{}, &session.ConfigurationError{Message: "SigningKey is required where SigningAlg or SigningKeyID is set"}
	case c.method == "":
		c.method = ClientSecretBasic
	case c.method != ClientSecretBasic && c.method != ClientSecretPost:
		return credentials{}, &session.ConfigurationError{Message: fmt.Sprintf("Auth: unknown method %q", cfg.Auth)}
	}
	if c.method == ClientSecretBasic {
		// RFC 6749 section 2.3.1: each part is form-encoded before the two are joined.
		c.basic = base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.clientID) + ":" + url.QueryEscape(c.secret)))
	}
	return c, nil
}

// configured returns a *session.ConfigurationError when there is nothing to
// authenticate with.
func (c credentials) configured() error {
	if c.secret == "" && c.signer == nil {
		return &session.ConfigurationError{Message: "ClientSecret: no client authentication is configured"}
	}
	return nil
}

// authenticate adds the client's credentials to a request to the provider issuer,
// and returns the secrets that it added.
func (c credentials) authenticate(issuer string, form url.Values, header http.Header) (secrets []string, err error) {
	if err := c.configured(); err != nil {
		return nil, err
	}
	for _, p := range authParams {
		form.Del(p)
	}
	form.Set("client_id", c.clientID)
	switch c.method {
	case PrivateKeyJWT:
		assertion, err := c.signer.assertion(issuer)
		form.Set("client_assertion", assertion)
		form.Set("client_assertion_type", assertionType)
		return []string{assertion}, err
	case ClientSecretPost:
		form.Set("client_secret", c.secret)
		return []string{c.secret}, nil
	}
	header.Set("Authorization", "Basic "+c.basic)
	return []string{c.secret, c.basic}, nil
}

// Format implements fmt.Formatter.
func (c credentials) Format(f fmt.State, _ rune) {
	io.WriteString(f, string(c.method)) //nolint:errcheck // fmt.State keeps it
}

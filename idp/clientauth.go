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
}

func newCredentials(cfg Config) (credentials, error) {
	c := credentials{method: cfg.Auth, clientID: cfg.ClientID, secret: cfg.ClientSecret}
	switch c.method {
	case "":
		c.method = ClientSecretBasic
	case ClientSecretBasic, ClientSecretPost:
	default:
		return credentials{}, &session.ConfigurationError{Message: fmt.Sprintf("Auth: unknown method %q", cfg.Auth)}
	}
	return c, nil
}

// configured returns a *session.ConfigurationError when there is nothing to
// authenticate with.
func (c credentials) configured() error {
	if c.secret == "" {
		return &session.ConfigurationError{Message: "ClientSecret: no client authentication is configured"}
	}
	return nil
}

// authenticate adds the client's credentials to a request, and returns the
// secrets that it added.
func (c credentials) authenticate(form url.Values, header http.Header) (secrets []string, err error) {
	if err := c.configured(); err != nil {
		return nil, err
	}
	for _, p := range authParams {
		form.Del(p)
	}
	form.Set("client_id", c.clientID)
	if c.method == ClientSecretPost {
		form.Set("client_secret", c.secret)
		return []string{c.secret}, nil
	}
	// RFC 6749 section 2.3.1: each part is form-encoded before the two are joined.
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.clientID) + ":" + url.QueryEscape(c.secret)))
	header.Set("Authorization", "Basic "+basic)
	return []string{c.secret, basic}, nil
}

// Format implements fmt.Formatter.
func (c credentials) Format(f fmt.State, _ rune) {
	io.WriteString(f, string(c.method)) //nolint:errcheck // fmt.State keeps it
}

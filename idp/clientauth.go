package idp

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/tokenward/tokenward/session"
)

// AuthMethod says how the client authenticates at the token endpoint, in the
// words of OpenID Connect Core section 9: [ClientSecretBasic], [ClientSecretPost], [PrivateKeyJWT], [PublicClient], [TLSClientAuth] or
// [SelfSignedTLSClientAuth].
type AuthMethod string

// Methods of client authentication. Each request carries client_id in its body.
const (
	ClientSecretBasic AuthMethod = "client_secret_basic" // HTTP Basic (RFC 6749 section 2.3.1)
	ClientSecretPost  AuthMethod = "client_secret_post"  // the secret in the body
	PrivateKeyJWT     AuthMethod = "private_key_jwt"     // an assertion signed by SigningKey (RFC 7523)
	PublicClient      AuthMethod = "none"                // no authentication: PKCE protects the code (RFC 6749 section 2.1)

	// Mutual TLS (RFC 8705): the certificate of HTTPClient's transport authenticates the
	// client, issued by an authority (section 2.1) or self-signed (section 2.2). Requests
	// go to the metadata's mtls_endpoint_aliases where there are some (section 5).
	TLSClientAuth           AuthMethod = "tls_client_auth"
	SelfSignedTLSClientAuth AuthMethod = "self_signed_tls_client_auth"
)

// UsesCertificate reports whether m authenticates by a TLS certificate.
func (m AuthMethod) UsesCertificate() bool {
	return m == TLSClientAuth || m == SelfSignedTLSClientAuth
}

// usesSecret reports whether m sends a client secret.
func (m AuthMethod) usesSecret() bool { return m == ClientSecretBasic || m == ClientSecretPost }

// authParams are the parameters of client authentication. Only authenticate sets
// them; what a caller supplies under these names is dropped.
var authParams = []string{"client_secret", "client_assertion", "client_assertion_type"}

// credentials authenticates the client. It is the one place that decides what a
// form request carries for that, and it prints without the secret.
type credentials struct {
	method   AuthMethod
	chosen   bool // by the host: the provider's metadata does not matter
	clientID string
	secret   string  // of ClientSecretBasic and ClientSecretPost
	signer   *signer // of PrivateKeyJWT
}

func newCredentials(cfg Config) (credentials, error) {
	c := credentials{method: cfg.Auth, chosen: cfg.Auth != "" || !cfg.ReadMetadata, clientID: cfg.ClientID, secret: cfg.ClientSecret}
	if c.method == "" {
		c.method = ClientSecretBasic
		if cfg.SigningKey != nil {
			c.method = PrivateKeyJWT
		}
	}
	if c.method == PrivateKeyJWT && cfg.SigningKey != nil {
		c.secret = ""
		c.signer = &signer{
			clientID: cfg.ClientID, key: cfg.SigningKey, keyID: cfg.SigningKeyID, toTokenEndpoint: cfg.AssertTokenEndpoint,
			certificate: cfg.SigningCertificate, clock: cfg.Clock, rand: cfg.Rand,
		}
		return c, c.signer.use(cfg.SigningAlg)
	}
	return c, c.check(cfg)
}

// check returns an error for credentials that sign nothing and cannot be used.
func (c credentials) check(cfg Config) error {
	wrong := ""
	switch {
	case cfg.SigningKey != nil:
		wrong = "SigningKey: ClientAuth says that it is not to be used"
	case c.method == PrivateKeyJWT:
		wrong = "SigningKey is required for private_key_jwt"
	case cfg.SigningAlg != "" || cfg.SigningKeyID != "" || cfg.SigningCertificate != nil:
		wrong = "SigningKey is required where SigningAlg, SigningKeyID or SigningCertificate is set"
	case c.method == PublicClient || c.method.UsesCertificate():
		if c.secret != "" {
			wrong = fmt.Sprintf("ClientSecret: is not used with %s; leave it out", c.method)
		}
	case !c.method.usesSecret():
		wrong = fmt.Sprintf("ClientAuth: unknown method %q", cfg.Auth)
	}
	if wrong != "" {
		return &session.ConfigurationError{Message: wrong}
	}
	return nil
}

// methodAt returns the method for a provider. Where the host chose none, a secret is sent in
// the form to a provider that lists only that (OpenID Connect Discovery section 3).
func (c credentials) methodAt(m *Metadata) AuthMethod {
	methods := m.TokenEndpointAuthMethodsSupported
	if !c.chosen && c.method == ClientSecretBasic &&
		slices.Contains(methods, string(ClientSecretPost)) && !slices.Contains(methods, string(ClientSecretBasic)) {
		return ClientSecretPost
	}
	return c.method
}

// AuthMethod returns how the client authenticates at a provider.
func (c *Client) AuthMethod(m *Metadata) AuthMethod { return c.auth.methodAt(m) }

// authenticate adds the client's credentials to a request to a provider, and returns the
// secrets that it added.
func (c credentials) authenticate(m *Metadata, form url.Values, header http.Header) (secrets []string, err error) {
	for _, p := range authParams {
		form.Del(p)
	}
	form.Set("client_id", c.clientID)
	method := c.methodAt(m)
	switch {
	case method == PrivateKeyJWT:
		assertion, err := c.signer.assertion(m)
		form.Set("client_assertion", assertion)
		form.Set("client_assertion_type", assertionType)
		return []string{assertion}, err
	case !method.usesSecret():
		return nil, nil
	case c.secret == "":
		return nil, &session.ConfigurationError{Message: "ClientSecret: no client authentication is configured"}
	case method == ClientSecretPost:
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

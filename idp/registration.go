package idp

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tokenward/tokenward/session"
)

// Credentials authenticate one registered application. Each field is what the Config field of that name
// is; without any, the application can begin a login and send users to a logout, but request nothing.
type Credentials struct {
	ClientSecret string
	Auth         AuthMethod

	SigningKey          crypto.PrivateKey
	SigningAlg          string
	SigningKeyID        string
	SigningCertificate  *x509.Certificate
	AssertTokenEndpoint bool

	HTTPClient *http.Client // see tokenward.Credentials; nil: Config.HTTPClient
}

// Format implements fmt.Formatter; it leaves the secrets out.
func (a Credentials) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "idp.Credentials{Auth: %q}", string(a.Auth))
}

// MarshalJSON implements json.Marshaler; it leaves the secrets out.
func (a Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(a)) }

// For returns a Client for another application, in all else like c: the two share the cache of providers, so
// that metadata and keys are requested once for all applications at an issuer. It lives as long as c, makes no
// request and is cheap: a signing key is looked at, but not tried as New does.
//
// It fails with a *session.ConfigurationError that names the field.
func (c *Client) For(clientID string, a Credentials) (*Client, error) {
	if clientID == "" {
		return nil, &session.ConfigurationError{Message: "ClientID is required"}
	}
	auth, err := newCredentials(Config{
		ClientID: clientID, ClientSecret: a.ClientSecret, Auth: a.Auth,
		SigningKey: a.SigningKey, SigningAlg: a.SigningAlg, SigningKeyID: a.SigningKeyID,
		SigningCertificate: a.SigningCertificate, AssertTokenEndpoint: a.AssertTokenEndpoint,
		ReadMetadata: c.readMetadata, Clock: c.clock, Rand: c.rand,
	})
	if err != nil {
		return nil, err
	}
	other := &Client{clientID: clientID, auth: auth, http: c.http, common: c.common}
	if a.HTTPClient != nil {
		other.http = careful(a.HTTPClient)
	}
	return other, nil
}

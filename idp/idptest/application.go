package idptest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Application is what the tenant's client ClientID is configured with: the parts of
// Profile.Config that depend on the tenant.
type Application struct {
	// Issuer is the URL that the application names. It ends in {tenantid}… where
	// Config.TenantTemplate is set.
	Issuer string
	// MetadataURL is where the metadata is, if not below Issuer; else empty.
	MetadataURL string
	ClientID    string
	// ClientSecret is empty where the client has none. Where Profile.Clients.SecretJWT is
	// set it is good for six months on the tenant's clock: ask for it each time.
	ClientSecret string
	// Key signs client assertions, or client secrets that are JWTs, and Certificate is of
	// its public half. Both are nil where the client authenticates in another way.
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// Application returns what an application is configured with to use this tenant.
func (t *Tenant) Application() Application {
	cfg := t.config()
	p := cfg.profile
	app := Application{Issuer: t.issuer, ClientID: ClientID, ClientSecret: cfg.clients[ClientID].secret}
	if p.Config.Issuer != "" {
		app.Issuer = t.place(p.Config.Issuer)
	}
	if p.Config.SeparateMetadata {
		app.MetadataURL = t.place(p.Location.Alias) + pathDiscovery
	}
	if p.Config.Auth == AuthPrivateKey || p.Clients.SecretJWT {
		app.Key = p.applicationKey()
		app.Certificate = selfSigned(app.Key)
	}
	if p.Clients.SecretJWT {
		app.ClientSecret = t.secretJWT(app.Key)
	}
	return app
}

// secretLife is the longest life of a secret that is a JWT, as Apple documents it.
const secretLife = 15777000 * time.Second

// secretJWT returns a client secret as Apple wants it.
func (t *Tenant) secretJWT(key crypto.Signer) string {
	now := t.clock.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "TEAM000000", "sub": ClientID, "aud": t.issuer, "iat": now.Unix(), "exp": now.Add(secretLife).Unix(),
	})
	token.Header["kid"] = "KEY0000000"
	signed, err := token.SignedString(key)
	if err != nil {
		panic(fmt.Sprintf("idptest: %v", err))
	}
	return signed
}

// applicationKey returns the key of the client ClientID: of every tenant in this process.
func (p *Profile) applicationKey() crypto.Signer {
	if p.Clients.SecretJWT {
		return pooledFor("ES256", aside)
	}
	return applicationRSA()
}

// aside is the number in the pool of the keys that no tenant signs with.
const aside = -1

var (
	applicationRSA = sync.OnceValue(newRSA)
	decoyRSA       = sync.OnceValue(newRSA)
)

func newRSA() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Sprintf("idptest: %v", err))
	}
	return k
}

// decoyKey returns a key for the kind of alg that signs no token.
func decoyKey(alg string) crypto.Signer {
	if isRSA(alg) {
		return decoyRSA()
	}
	return pooledFor(alg, aside)
}

// Package zitadel runs the example server of zitadel/oidc, an OpenID provider that
// others wrote and certified, for the library and the demo to be tried against.
package zitadel

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// Who may sign in, and the client that the provider knows.
const (
	Username     = "test-user@localhost"
	Password     = "verysecure"
	ClientID     = "tokenward"
	ClientSecret = "a secret: with +%&/ in it"
	ClientKeyID  = "client-key"
)

// Settings say what the provider is like. The zero value is a provider on a free
// loopback port whose client authenticates by HTTP Basic.
type Settings struct {
	Listen  string // address: 127.0.0.1 and a free port
	Path    string // of the issuer, such as /tenants/one
	Wrapped bool   // served by the second of the two servers that the module has

	App         string          // where the application is: its callback is App + /auth/callback
	ClientAuth  oidc.AuthMethod // client_secret_basic
	ClientKey   *rsa.PublicKey  // of a client that authenticates by private_key_jwt
	AccessToken AccessToken

	Around func(http.Handler) http.Handler // sees every request
}

// AccessToken is a form of access tokens.
type AccessToken int

// Access tokens are opaque, or JWTs whose audience is the client.
const (
	Opaque AccessToken = iota
	JWT
)

// Provider is a provider that serves.
type Provider struct {
	Issuer string

	store  *store
	server *http.Server
	ended  chan error // what serving ended with
}

// Start starts a provider.
func Start(s Settings) (*Provider, error) {
	at, err := net.ResolveTCPAddr("tcp", cmp.Or(s.Listen, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	if !at.IP.IsLoopback() {
		return nil, fmt.Errorf("provider: %s is no loopback address", at)
	}
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	p := &Provider{Issuer: "http://" + l.Addr().String() + s.Path, ended: make(chan error, 1)}
	p.store = newStore(s)
	var h http.Handler = exampleop.SetupServer(p.Issuer, p.store, nil, s.Wrapped)
	if path := strings.TrimSuffix(s.Path, "/"); path != "" {
		mux := http.NewServeMux()
		mux.Handle(path+"/", http.StripPrefix(path, h))
		mux.Handle("/login/", h) // where its form leads, whatever the path
		h = mux
	}
	if s.Around != nil {
		h = s.Around(h)
	}
	p.server = &http.Server{Handler: h}
	go func() { p.ended <- p.server.Serve(l) }()
	return p, nil
}

// Close stops the provider, once. It returns why it had stopped before, if it had.
func (p *Provider) Close() error {
	err := p.server.Close()
	if ended := <-p.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// RotateKey makes the provider sign with a new key, and forget the old one.
func (p *Provider) RotateKey() { p.store.rotate() }

// store is the example's, with a client and keys of ours.
type store struct {
	*storage.Storage

	settings Settings

	mu   sync.Mutex
	keys *storage.Storage // whose key signs
}

// users are the example's, who take their names from the host of an issuer.
func users() storage.UserStore { return storage.NewUserStore("http://localhost:9998") }

func newStore(s Settings) *store {
	clients := map[string]*storage.Client{ClientID: storage.WebClient(ClientID, ClientSecret)}
	first := storage.NewStorageWithClients(users(), clients)
	return &store{Storage: first, settings: s, keys: first}
}

func (s *store) rotate() {
	next := storage.NewStorageWithClients(users(), nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = next
}

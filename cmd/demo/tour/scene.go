package tour

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const (
	clientID     = "demo"
	clientSecret = "demo-secret"
	redirectURI  = "http://127.0.0.1/auth/callback"
)

// scene is where a stop is played: a tenant, a client of the library with its store,
// and the plain client.
type scene struct {
	tenant *idptest.Tenant
	store  *storetest.Faulty
	config tokenward.Config
	opts   []tokenward.Option
	client *tokenward.Client
	plain  *plainClient

	sockets *http.Transport // of the browser and of the plain client
	logins  int
}

// open sets a scene on the clock c. Requests go over loopback HTTP.
func open(c clock.Clock, tenant ...idptest.Option) (*scene, error) {
	return setScene(c, false, tenant...)
}

// openWithoutSockets is open with the token requests of both clients going to the
// tenant in-process. The browser still goes over loopback HTTP.
func openWithoutSockets(c clock.Clock, tenant ...idptest.Option) (*scene, error) {
	return setScene(c, true, tenant...)
}

func setScene(c clock.Clock, inProcess bool, opts ...idptest.Option) (*scene, error) {
	t, err := idptest.New(append([]idptest.Option{
		idptest.WithClock(c), idptest.WithClient(clientID, clientSecret, redirectURI),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	s := &scene{
		tenant:  t,
		store:   storetest.NewFaulty(store.NewMemory(c)),
		sockets: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024}, // as many as the library keeps
		config: tokenward.Config{
			Issuer: t.Issuer(), ClientID: clientID, ClientSecret: clientSecret,
			Secrets: []string{rand.Text() + rand.Text()}, RedirectURI: redirectURI,
		},
	}
	s.opts = []tokenward.Option{tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(c), tokenward.WithStateStore(s.store)}
	s.plain = newPlainClient(t, c, &http.Client{Transport: s.sockets})
	if inProcess {
		s.opts = append(s.opts, tokenward.WithHTTPClient(t.Client()))
		s.plain.http = t.Client()
	}
	if s.client, err = tokenward.New(s.config, s.opts...); err != nil {
		t.Close()
		return nil, err
	}
	return s, nil
}

// close ends the scene, adding to *err what could not be ended well.
func (s *scene) close(err *error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	*err = errors.Join(*err, s.client.Close(ctx))
	s.sockets.CloseIdleConnections()
	s.tenant.Close()
}

// account is a user who is signed in.
type account struct {
	subject string // who, at the tenant
	id      string // of the session
}

// key is that of the record in the store.
func (a account) key() session.Key { return session.KeyOf("_a0_session", a.id) }

func (a account) options() tokenward.StoreOptions { return tokenward.SessionID(a.id) }

// signIn signs a new user in at the library.
func (s *scene) signIn(ctx context.Context) (account, error) {
	subject := s.newcomer("library")
	to, err := s.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{
		AuthorizationParams: map[string]string{"login_hint": subject},
	}, tokenward.StoreOptions{})
	if err != nil {
		return account{}, fmt.Errorf("start of the login: %w", err)
	}
	back, err := s.browse(ctx, to)
	if err != nil {
		return account{}, err
	}
	login, err := s.client.CompleteInteractiveLogin(ctx, back, tokenward.StoreOptions{})
	if err != nil {
		return account{}, fmt.Errorf("end of the login: %w", err)
	}
	return account{subject, login.SessionID}, nil
}

// signInPlain signs a new user in at the plain client.
func (s *scene) signInPlain(ctx context.Context) (account, error) {
	subject := s.newcomer("plain")
	to, verifier := s.plain.startLogin(subject)
	back, err := s.browse(ctx, to)
	if err != nil {
		return account{}, err
	}
	id, err := s.plain.completeLogin(ctx, back, verifier)
	if err != nil {
		return account{}, fmt.Errorf("login of the plain client: %w", err)
	}
	return account{subject, id}, nil
}

// signInBoth signs one newcomer in at each.
func (s *scene) signInBoth(ctx context.Context, claims idptest.Claims) (library, plain account, err error) {
	s.tenant.NextLogin(claims)
	if library, err = s.signIn(ctx); err != nil {
		return library, plain, err
	}
	s.tenant.NextLogin(claims)
	plain, err = s.signInPlain(ctx)
	return library, plain, err
}

// expiring makes the access token of the next two logins expire at once.
func (s *scene) expiring() {
	s.tenant.Script(idptest.CodeExchange, idptest.ExpiresIn(0).Times(2))
}

func (s *scene) newcomer(client string) string {
	s.logins++
	return fmt.Sprintf("%s-%d", client, s.logins)
}

// browse goes to the tenant as a browser does, and returns where that sent it.
func (s *scene) browse(ctx context.Context, to string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return "", err
	}
	resp, err := s.sockets.RoundTrip(req) // which follows no redirects
	if err != nil {
		return "", fmt.Errorf("browser: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		return "", fmt.Errorf("browser: the tenant answered %s", resp.Status)
	}
	return resp.Header.Get("Location"), nil
}

// ask is one call of GetAccessToken.
func (s *scene) ask(ctx context.Context, a account, r tokenward.TokenRequest) (string, error) {
	t, err := s.client.GetAccessToken(ctx, r, a.options())
	return t.AccessToken, err
}

// refreshes returns how many refreshes arrived for a.
func (s *scene) refreshes(a account) int { return s.tenant.Requests(idptest.Refresh.Of(a.subject)) }

// aliveness tells in words whether a login's refresh tokens are still good.
func aliveness(f idptest.Family) string {
	if f.Alive {
		return "session alive at the tenant"
	}
	return "session revoked at the tenant"
}

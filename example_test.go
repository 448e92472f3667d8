package tokenward_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// demo is a client of a tenant that signs users in by itself.
func demo(opts ...idptest.Option) (*tokenward.Client, *idptest.Tenant, func()) {
	return demoWith(nil, opts...)
}

func demoWith(options []tokenward.Option, opts ...idptest.Option) (*tokenward.Client, *idptest.Tenant, func()) {
	tenant, err := idptest.New(opts...)
	if err != nil {
		panic(err)
	}
	client, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "http://127.0.0.1:3000/callback",
	}, options...)
	if err != nil {
		panic(err)
	}
	return client, tenant, func() {
		_ = client.Close(context.Background())
		tenant.Close()
	}
}

// signIn does what a browser does, and returns the session's id.
func signIn(client *tokenward.Client, tenant *idptest.Tenant) string {
	ctx := context.Background()
	to, err := client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		panic(err)
	}
	callback, err := tenant.Authorize(to)
	if err != nil {
		panic(err)
	}
	login, err := client.CompleteInteractiveLogin(ctx, callback, tokenward.StoreOptions{})
	if err != nil {
		panic(err)
	}
	return login.SessionID
}

func ExampleNew() {
	client, err := tokenward.New(tokenward.Config{
		Domain:       "tenant.eu.auth0.com",
		ClientID:     "my-client",
		ClientSecret: "its secret",
		Secrets:      []string{"drawn at random, 32 bytes or more"},
		RedirectURI:  "https://app.example/callback",
		Audience:     "https://api.example.com",
	}, tokenward.WithRefreshBuffer(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()
	fmt.Println(client)
	// Output: tokenward.Client{Issuer: "https://tenant.eu.auth0.com/", ClientID: "my-client"}
}

func ExampleNew_wrong() {
	_, err := tokenward.New(tokenward.Config{Domain: "tenant.eu.auth0.com", ClientID: "my-client"})
	fmt.Println(err)
	// Output: missing_required_argument_error: secret is required
}

// A client that asks for more than the metadata of its provider says.
func ExampleWithProvider() {
	tenant, err := idptest.New()
	if err != nil {
		panic(err)
	}
	defer tenant.Close()
	client, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "http://127.0.0.1:3000/callback",
	}, tokenward.WithProvider(tokenward.ProviderConfig{
		Nonce:           tokenward.Always, // also where PKCE is promised
		RotationOverlap: 30 * time.Second, // as it is set at the tenant: until then a token may be presented again
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()

	to, err := client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	u, _ := url.Parse(to)
	fmt.Println(u.Query().Has("nonce"), u.Query().Has("code_challenge"))
	// Output: true true
}

// An application without a secret, which signs an assertion for each request.
func ExampleWithCredentials() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // at work: idp.ParseSigningKey, of a PEM file
	if err != nil {
		panic(err)
	}
	tenant, err := idptest.New(idptest.WithClientKey("my-client", &key.PublicKey))
	if err != nil {
		panic(err)
	}
	defer tenant.Close()
	client, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: "my-client", Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "http://127.0.0.1:3000/callback",
	}, tokenward.WithCredentials(tokenward.Credentials{SigningKey: key, SigningKeyID: "2026"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()

	signIn(client, tenant)
	fmt.Println(tenant.LastAuth(idptest.CodeExchange))
	// Output: private_key_jwt
}

// The provider's metadata decides what the application leaves open.
func ExampleClient_Provider() {
	client, _, done := demo()
	defer done()

	p, err := client.Provider(context.Background(), tokenward.StoreOptions{})
	fmt.Println(p.ClientAuth, p.Algorithms, p.PKCE, p.Nonce, p.Logout, err)
	// Output: client_secret_basic [RS256] true false end_session_endpoint <nil>
}

// A hook says who may sign in, and what the session begins with.
func ExampleWithHooks() {
	roles := map[string]string{"auth0|ada": "author"}
	client, tenant, end := demoWith([]tokenward.Option{tokenward.WithHooks(tokenward.Hooks{
		AfterLogin: func(_ context.Context, l *tokenward.Login) error {
			role, known := roles[l.User.Sub()]
			if !known {
				return errors.New("no account here")
			}
			return l.Data.Set("role", role)
		},
	})})
	defer end()
	data, err := client.GetSessionData(context.Background(), tokenward.SessionID(signIn(client, tenant)))
	fmt.Printf("%s %v\n", data["role"], err)
	// Output: "author" <nil>
}

// Two customers of one server, each with an application of its own at the same provider.
func ExampleRegistrationResolver() {
	tenant, err := idptest.New(idptest.WithClient("of red", "red's secret"), idptest.WithClient("of blue", "blue's secret"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tenant.Close()
	customers := map[string]tokenward.Registration{ // by host
		"red.example":  {Issuer: tenant.Issuer(), ClientID: "of red", RedirectURI: "https://red.example/auth/callback"},
		"blue.example": {Issuer: tenant.Issuer(), ClientID: "of blue", RedirectURI: "https://blue.example/auth/callback"},
	}
	secrets := map[string]string{"of red": "red's secret", "of blue": "blue's secret"} // by client id
	client, err := tokenward.New(tokenward.Config{
		RegistrationResolver: func(_ context.Context, o store.Options) (tokenward.Registration, error) {
			if o.Request == nil {
				return tokenward.Registration{}, errors.New("the call has no request")
			}
			r, ok := customers[o.Request.Host]
			if !ok {
				return r, errors.New("no customer has this host")
			}
			return r, nil
		},
		Credentials: func(_ context.Context, _, clientID string) (tokenward.Credentials, error) {
			secret, ok := secrets[clientID]
			if !ok {
				return tokenward.Credentials{}, errors.New("no customer has this application")
			}
			return tokenward.Credentials{ClientSecret: secret}, nil
		},
		Secrets: []string{"drawn at random, 32 bytes or more"},
	}, tokenward.WithCookies(tokenward.Cookies{Secure: true})) // which redirect URIs of registrations do not say
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()

	for _, host := range []string{"red.example", "blue.example", "green.example"} {
		r := httptest.NewRequest(http.MethodGet, "https://"+host+"/auth/login", nil)
		to, err := client.StartInteractiveLogin(r.Context(), tokenward.LoginRequest{}, tokenward.HTTP(httptest.NewRecorder(), r))
		if err != nil {
			fmt.Println(err)
			continue
		}
		u, _ := url.Parse(to)
		fmt.Println(u.Query().Get("client_id"), "comes back to", u.Query().Get("redirect_uri"))
	}
	// Output:
	// of red comes back to https://red.example/auth/callback
	// of blue comes back to https://blue.example/auth/callback
	// domain_resolver_error: the domain resolver failed: no customer has this host
}

// A host that would rather wait than fail, and leaves a provider alone that does not work.
func ExampleWithRetry() {
	client, err := tokenward.New(tokenward.Config{
		Domain: "tenant.eu.auth0.com", ClientID: "my-client", ClientSecret: "its secret",
		Secrets: []string{"drawn at random, 32 bytes or more"},
	},
		tokenward.WithRetry(tokenward.RetryPolicy{Attempts: 3, Within: 10 * time.Second}),
		tokenward.WithProvider(tokenward.ProviderConfig{RotationOverlap: 30 * time.Second}), // as it is set at the tenant: until then a token may be presented again
		tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 10}),
	)
	if err != nil {
		panic(err)
	}
	defer func() { _ = client.Close(context.Background()) }()

	_, err = client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID("a session"))
	var open *tokenward.BreakerOpenError
	if errors.As(err, &open) {
		fmt.Println("the provider is down, next try at", open.Until)
	}
	fmt.Println(tokenward.LoginRequired(err), client.Stats().BreakersOpen)
	// Output: true 0
}

func ExampleWithEarlyRefresh() {
	client, err := tokenward.New(tokenward.Config{
		Domain: "tenant.eu.auth0.com", ClientID: "my-client", ClientSecret: "its secret",
		Secrets: []string{"drawn at random, 32 bytes or more"},
	}, tokenward.WithEarlyRefresh(time.Minute)) // so no caller waits for a token that is in use
	if err != nil {
		panic(err)
	}
	defer func() { _ = client.Close(context.Background()) }()

	// A resource server has refused a token (401, invalid_token): one refresh for all who name it.
	_, err = client.GetAccessToken(context.Background(), tokenward.TokenRequest{Refused: "the token that was sent"}, tokenward.SessionID("a session"))
	fmt.Println(tokenward.LoginRequired(err))

	// A job of some minutes wants a token that lasts.
	_, err = client.GetAccessToken(context.Background(), tokenward.TokenRequest{MinRemaining: 5 * time.Minute}, tokenward.SessionID("a session"))
	fmt.Println(tokenward.LoginRequired(err))
	// Output:
	// true
	// true
}

func ExampleClient_Ready() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	tenant.Script(idptest.Discovery, idptest.Status(http.StatusServiceUnavailable))

	var e *tokenward.NotReadyError
	err := client.Ready(ctx)
	fmt.Println(errors.As(err, &e) && e.Store == nil && e.Provider != nil)
	fmt.Println(client.Ready(ctx))
	// Output:
	// true
	// <nil>
}

func ExampleClient_Stats() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	id := signIn(client, tenant)
	if _, err := client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: "https://orders.example.com"}, tokenward.SessionID(id)); err != nil {
		fmt.Println(err)
		return
	}

	s := client.Stats()
	fmt.Println("sessions in memory:", s.Resident, "refresh tokens spent:", s.TokenFlights)
	// Output: sessions in memory: 1 refresh tokens spent: 1
}

func ExampleClient_Settle() {
	clk := clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	tenant, err := idptest.New(idptest.WithClock(clk))
	if err != nil {
		panic(err)
	}
	defer tenant.Close()
	client, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "http://127.0.0.1:3000/callback",
	}, tokenward.WithClock(clk))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	defer func() { _ = client.Close(ctx) }()
	tenant.NextLogin(idptest.Claims{"session_expiry": clk.Now().Add(time.Hour).Unix()})
	signIn(client, tenant)

	clk.Advance(time.Hour)                    // in a test: time passes,
	err = client.Settle(ctx)                  // what it set going comes to rest,
	fmt.Println(client.Stats().Ceilings, err) // and the session has ended with nobody asking
	// Output: 1 <nil>
}

func ExampleClient_Close() {
	client, _, end := demo()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	fmt.Println(client.Close(ctx))
	_, err := client.GetUser(ctx, tokenward.SessionID("any"))
	fmt.Println(errors.Is(err, tokenward.ErrClosed))
	// Output:
	// <nil>
	// true
}

// An observer counts the requests that callers have shared. observe/otel and observe/prometheus have ready ones.
func ExampleWithObserver() {
	var refreshes atomic.Int64
	client, tenant, done := demoWith([]tokenward.Option{tokenward.WithObserver(observe.Observer{
		Flight: func(context.Context, observe.Flight) (context.Context, func(observe.FlightEnd)) {
			return nil, func(observe.FlightEnd) { refreshes.Add(1) }
		},
	})})
	defer done()
	ctx, session := context.Background(), tokenward.SessionID(signIn(client, tenant))
	for range 3 { // one refresh: the tenant's token for this API is in the cache then
		if _, err := client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: "https://orders.example.com"}, session); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(refreshes.Load())
	// Output: 1
}

// A program that has an actor system lets the client live in it, and closes the client first.
func ExampleWithActorSystem() {
	system := actor.NewActorSystem()
	client, tenant, done := demoWith([]tokenward.Option{tokenward.WithActorSystem(system)})
	user, err := client.GetUser(context.Background(), tokenward.SessionID(signIn(client, tenant)))
	fmt.Println(user["name"], err)
	done()
	system.Shutdown()
	// Output: Ada Lovelace <nil>
}

// Sessions outlive a client where its store does. A program has store/bolt, store/redis or store/postgres in place of this one.
func ExampleWithStateStore() {
	sessions := store.NewMemory(clock.System(), store.Survives())
	client, tenant, done := demoWith([]tokenward.Option{tokenward.WithStateStore(sessions)})
	defer done()
	id := signIn(client, tenant)
	again, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "http://127.0.0.1:3000/callback",
	}, tokenward.WithStateStore(sessions))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = again.Close(context.Background()) }()
	user, err := again.GetUser(context.Background(), tokenward.SessionID(id))
	fmt.Println(user.Name(), err)
	// Output: Ada Lovelace <nil>
}

// Without a store on the server the browser keeps the session, sealed in cookies.
func ExampleWithStatelessSessions() {
	client, tenant, done := demoWith([]tokenward.Option{tokenward.WithStatelessSessions()})
	defer done()
	begun, ended := httptest.NewRecorder(), httptest.NewRecorder()
	to, err := client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{}, tokenward.HTTP(begun, httptest.NewRequest(http.MethodGet, "/login", nil)))
	if err != nil {
		fmt.Println(err)
		return
	}
	callback, _ := tenant.Authorize(to) // the user signs in
	r := httptest.NewRequest(http.MethodGet, callback, nil)
	for _, c := range begun.Result().Cookies() {
		r.AddCookie(c)
	}
	login, err := client.CompleteInteractiveLogin(context.Background(), callback, tokenward.HTTP(ended, r))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range ended.Result().Cookies() {
		if c.Name == "_a0_session.0" { // and as many more as it takes
			fmt.Println(login.Session.User.Name(), "is in a cookie")
		}
	}
	// Output: Ada Lovelace is in a cookie
}

// Warnings go to a log/slog logger of the program, with the context of the call that they are about.
func ExampleWithSlog() {
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	_, _, done := demoWith([]tokenward.Option{tokenward.WithSlog(logger)})
	done()
	// Output:
}

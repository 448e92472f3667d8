package tokenward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func ExampleClient_GetAccessToken() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	id := signIn(client, tenant)

	orders := tokenward.TokenRequest{Audience: "https://orders.example.com", Scope: "read:orders"}
	first, err := client.GetAccessToken(ctx, orders, tokenward.SessionID(id))
	if err != nil {
		fmt.Println(err)
		return
	}
	second, _ := client.GetAccessToken(ctx, orders, tokenward.SessionID(id))
	fmt.Println(first.Audience, first.Scope)
	fmt.Println("from the cache:", first == second, "requests:", tenant.Refreshes())
	// Output:
	// https://orders.example.com read:orders
	// from the cache: true requests: 1
}

func ExampleClient_GetAccessToken_ceiling() {
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
	defer func() { _ = client.Close(context.Background()) }()
	tenant.NextLogin(idptest.Claims{"session_expiry": clk.Now().Add(time.Hour).Unix()})
	id := signIn(client, tenant)

	clk.Advance(time.Hour)
	_, err = client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
	var e *tokenward.AccessTokenError
	fmt.Println(errors.Is(err, tokenward.ErrSessionExpired), errors.As(err, &e) && e.Code == "session_expired")
	// Output: true true
}

func ExampleClient_GetAccessTokenForConnection() {
	client, tenant, end := demo(idptest.WithConnection("google-oauth2", "ada@gmail.example"))
	defer end()
	id := signIn(client, tenant)

	token, err := client.GetAccessTokenForConnection(context.Background(), tokenward.ConnectionRequest{
		Connection: "google-oauth2", LoginHint: "ada@gmail.example",
	}, tokenward.SessionID(id))
	fmt.Println(token.Connection, token.LoginHint, err)
	// Output: google-oauth2 ada@gmail.example <nil>
}

func ExampleClient_Session() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()

	s := client.Session(signIn(client, tenant)) // once, for many calls
	for range 1000 {
		if _, err := s.GetAccessToken(ctx, tokenward.TokenRequest{}); err != nil {
			fmt.Println(err)
			return
		}
	}
	token, err := s.TokenSource(ctx, tokenward.TokenRequest{}).Token() // for golang.org/x/oauth2
	fmt.Println(token.Type(), err, tenant.Refreshes())
	// Output: Bearer <nil> 0
}

func ExampleHandle_Client() {
	client, tenant, end := demo()
	defer end()
	orders := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "with a token: ", r.Header.Get("Authorization") != "")
	}))
	defer orders.Close()

	api := client.Session(signIn(client, tenant)).Client(tokenward.TokenRequest{Scope: "read:orders"}, orders.URL)
	resp, err := api.Get(orders.URL + "/open")
	if err != nil { // an *AccessTokenError where there is no token: the user has signed out, for example
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(text))
	// Output: 200 with a token: true
}

// One transport for all users: each request is of the session in its context.
func ExampleClient_ContextSession() {
	client, tenant, end := demo()
	defer end()
	orders := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer orders.Close()
	api := client.ContextSession().Client(tokenward.TokenRequest{}, orders.URL)

	ctx := tokenward.ContextWith(context.Background(), tokenward.SessionID(signIn(client, tenant))) // as httpauth's Attach does
	for _, ctx := range []context.Context{ctx, context.Background()} {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, orders.URL, http.NoBody)
		resp, err := api.Do(req)
		if err != nil {
			fmt.Println(tokenward.CodeOf(err))
			continue
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// 200 OK
	// invalid_argument
}

// A token of the application itself, for work that no user asks for: one request for all who want it.
func ExampleClient_MachineToken() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()

	for range 1000 {
		token, err := client.MachineToken(ctx, tokenward.MachineRequest{Audience: "https://billing.example.com", Scope: "write:invoices"})
		if err != nil { // an *AccessTokenError: the provider has not granted the application this API, for example
			fmt.Println(err)
			return
		}
		_ = token.AccessToken
	}
	fmt.Println(tenant.Requests(idptest.ClientCredentials))
	// Output: 1
}

func ExampleClient_MachineTransport() {
	client, _, end := demo()
	defer end()
	billing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "with a token: ", r.Header.Get("Authorization") != "")
	}))
	defer billing.Close()

	api := &http.Client{Transport: client.MachineTransport(tokenward.MachineRequest{Scope: "write:invoices"}, nil, billing.URL)}
	resp, err := api.Get(billing.URL + "/invoices")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(text))
	// Output: 200 with a token: true
}

// The user's token for this API becomes one for another API, on behalf of the same user.
func ExampleClient_ExchangeToken() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()

	o := tokenward.SessionID(signIn(client, tenant))
	for range 1000 {
		if _, err := client.ExchangeToken(ctx, tokenward.ExchangeRequest{
			SubjectAudience: "https://gateway.example.com", Audience: "https://orders.example.com", Scope: "read:orders",
		}, o); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(tenant.Requests(idptest.TokenExchange))

	if _, err := client.Logout(ctx, tokenward.LogoutRequest{}, o); err != nil {
		fmt.Println(err)
	}
	_, err := client.ExchangeToken(ctx, tokenward.ExchangeRequest{Audience: "https://orders.example.com"}, o)
	fmt.Println(tokenward.CodeOf(err))
	// Output:
	// 1
	// missing_refresh_token
}

// A handler that asks several times opens the browser's cookie once.
func ExampleClient_SessionOf() {
	client, tenant, done := demo()
	defer done()
	id := signIn(client, tenant)
	handler := func(w http.ResponseWriter, r *http.Request) {
		session, err := client.SessionOf(r.Context(), tokenward.StoreOptions{})
		if err != nil { // no session; or httpauth's Attach and Require were forgotten
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		user, _ := session.GetUser(r.Context())
		_, err = session.GetAccessToken(r.Context(), tokenward.TokenRequest{})
		fmt.Println(user["name"], err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	handler(httptest.NewRecorder(), r.WithContext(tokenward.ContextWith(r.Context(), tokenward.SessionID(id)))) // as the middleware does
	// Output: Ada Lovelace <nil>
}

// A handler hands work for its user to a worker, which may be another process on the same store.
func ExampleHandle_SessionID() {
	client, tenant, done := demo()
	defer done()
	r := httptest.NewRequest(http.MethodPost, "/export", nil)
	r = r.WithContext(tokenward.ContextWith(r.Context(), tokenward.SessionID(signIn(client, tenant)))) // as the middleware does
	session, err := client.SessionOf(r.Context(), tokenward.StoreOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	job := session.SessionID() // a secret: seal it where it waits

	_, err = client.Session(job).GetAccessToken(context.Background(), tokenward.TokenRequest{})
	fmt.Println(err)
	// Output: <nil>
}

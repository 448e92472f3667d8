package tokenward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func ExampleClient_StartInteractiveLogin() {
	client, _, end := demo()
	defer end()
	login := func(w http.ResponseWriter, r *http.Request) {
		to, err := client.StartInteractiveLogin(r.Context(), tokenward.LoginRequest{
			AppState: map[string]string{"then": "/orders"},
		}, tokenward.HTTP(w, r))
		if err != nil {
			http.Error(w, "login failed", http.StatusBadGateway)
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	}

	w := httptest.NewRecorder()
	login(w, httptest.NewRequest(http.MethodGet, "/login", nil))
	to, _ := url.Parse(w.Header().Get("Location"))
	fmt.Println(w.Code, to.Path)
	fmt.Println(to.Query().Get("scope"))
	// Output:
	// 302 /authorize
	// openid profile email offline_access
}

func ExampleClient_CompleteInteractiveLogin() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	to, err := client.StartInteractiveLogin(ctx, tokenward.LoginRequest{AppState: "/orders"}, tokenward.StoreOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	callback, _ := tenant.Authorize(to) // the user signs in
	login, err := client.CompleteInteractiveLogin(ctx, callback, tokenward.SessionID("the host's own id"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(login.Session.User.Name(), "goes to", string(login.AppState))

	_, err = client.CompleteInteractiveLogin(ctx, callback, tokenward.SessionID("the host's own id"))
	fmt.Println(tokenward.CodeOf(err))
	// Output:
	// Ada Lovelace goes to "/orders"
	// missing_transaction_error
}

func ExampleClient_GetUser() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	id := signIn(client, tenant)

	user, err := client.GetUser(ctx, tokenward.SessionID(id))
	fmt.Println(user.Name(), user.Email(), err)
	missing, err := client.GetUser(ctx, tokenward.SessionID("unknown"))
	fmt.Println(missing == nil, err)
	// Output:
	// Ada Lovelace ada@example.com <nil>
	// true <nil>
}

func ExampleClient_GetSession() {
	client, tenant, end := demo()
	defer end()
	id := signIn(client, tenant)

	s, err := client.GetSession(context.Background(), tokenward.SessionID(id))
	if err != nil || s == nil {
		fmt.Println("not signed in", err)
		return
	}
	fmt.Println(s.User.Sub(), len(s.TokenSets), s.TokenSets[0].Scope)
	// Output: auth0|ada 1 openid profile email offline_access
}

func ExampleClient_UpdateSession() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	session := tokenward.SessionID(signIn(client, tenant))

	err := client.UpdateSession(ctx, func(data tokenward.SessionData) error {
		var cart []string
		if _, err := data.Get("cart", &cart); err != nil {
			return err
		}
		return data.Set("cart", append(cart, "tea"))
	}, session)
	data, _ := client.GetSessionData(ctx, session)
	fmt.Printf("%s %v\n", data["cart"], err)
	// Output: ["tea"] <nil>
}

func ExampleClient_Logout() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	id := signIn(client, tenant)

	to, err := client.Logout(ctx, tokenward.LogoutRequest{ReturnTo: "https://app.example/"}, tokenward.SessionID(id))
	if err != nil {
		fmt.Println(err)
		return
	}
	u, _ := url.Parse(to) // send the browser there
	fmt.Println(u.Path, u.Query().Get("post_logout_redirect_uri"))
	user, err := client.GetUser(ctx, tokenward.SessionID(id))
	fmt.Println(user == nil, err)
	// Output:
	// /oidc/logout https://app.example/
	// true <nil>
}

func ExampleClient_HandleBackchannelLogout() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	phone, laptop := signIn(client, tenant), signIn(client, tenant)

	err := client.HandleBackchannelLogout(ctx, tenant.LogoutToken(idptest.Subject, ""), tokenward.StoreOptions{})
	fmt.Println(err)
	for _, id := range []string{phone, laptop} {
		user, err := client.GetUser(ctx, tokenward.SessionID(id))
		fmt.Println(user == nil, err)
	}
	// Output:
	// <nil>
	// true <nil>
	// true <nil>
}

func ExampleClient_Sessions() {
	client, tenant, done := demo()
	defer done()
	signIn(client, tenant)
	signIn(client, tenant)
	ctx := context.Background()
	query := tokenward.SessionQuery{Subject: idptest.Subject}

	for s, err := range client.Sessions(ctx, query, tokenward.StoreOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.Subject, s.Name, s.Issuer == tenant.Issuer())
	}
	n, err := client.CountSessions(ctx, query, 1000, tokenward.StoreOptions{}) // up to a thousand are counted
	fmt.Println(n, err)
	// Output:
	// auth0|ada Ada Lovelace true
	// auth0|ada Ada Lovelace true
	// 2 <nil>
}

func ExampleClient_EndSessions() {
	client, tenant, done := demo()
	defer done()
	id := signIn(client, tenant)
	ctx := context.Background()

	n, err := client.EndSessions(ctx, tokenward.EndRequest{Issuer: tenant.Issuer(), Email: "ada@example.com"}, tokenward.StoreOptions{})
	fmt.Println(n, err)
	user, _ := client.GetUser(ctx, tokenward.SessionID(id))
	fmt.Println(user == nil)
	// Output:
	// 1 <nil>
	// true
}

// All users of one provider, as after an incident there.
func ExampleClient_EndSessionsOf() {
	client, tenant, done := demo()
	defer done()
	id := signIn(client, tenant)
	ctx := context.Background()

	n, err := client.EndSessionsOf(ctx, tenant.Issuer(), tokenward.StoreOptions{})
	fmt.Println(n, err)
	user, _ := client.GetUser(ctx, tokenward.SessionID(id))
	fmt.Println(user == nil)
	// Output:
	// 1 <nil>
	// true
}

// What httpauth.ServeFrontchannelLogout does with a request of the provider's logout page.
func ExampleClient_HandleFrontchannelLogout() {
	client, tenant, end := demo()
	defer end()
	ctx := context.Background()
	id := signIn(client, tenant)

	request := httptest.NewRequest(http.MethodGet, tenant.FrontchannelLogoutURL("/auth/frontchannel-logout", tenant.Family(idptest.Subject).SID), nil)
	query := request.URL.Query()
	if err := client.HandleFrontchannelLogout(ctx, query.Get("iss"), query.Get("sid"), tokenward.StoreOptions{}); err != nil {
		fmt.Println(err)
	}
	user, err := client.GetUser(ctx, tokenward.SessionID(id))
	fmt.Println(user, err)
	// Output: map[] <nil>
}

// An operator ends one session of a list.
func ExampleClient_EndSession() {
	client, tenant, done := demo()
	defer done()
	id := signIn(client, tenant)
	ctx := context.Background()

	for s, err := range client.Sessions(ctx, tokenward.SessionQuery{Subject: idptest.Subject}, tokenward.StoreOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := client.EndSession(ctx, s.Key, tokenward.StoreOptions{}); err != nil {
			fmt.Println(err)
		}
	}
	user, err := client.GetUser(ctx, tokenward.SessionID(id))
	fmt.Println(user == nil, err)
	// Output: true <nil>
}

// A payment needs a sign-in of the last five minutes. httpauth's RequireStepUp does the same for a page, and leads to the login.
func ExampleClient_CheckStepUp() {
	client, tenant, done := demo()
	defer done()
	ctx := context.Background()
	user, err := client.GetUser(ctx, tokenward.SessionID(signIn(client, tenant)))
	if err != nil {
		panic(err)
	}
	need := tokenward.StepUp{MaxAge: 5 * time.Minute}
	var again *tokenward.StepUpError
	if errors.As(client.CheckStepUp(user, need), &again) { // the provider has not said when the user signed in
		fmt.Println("begin a login with", again.Need.AuthorizationParams())
	}
	// Output: begin a login with map[max_age:300]
}

// The security team has seen something: who signed in before that signs in again before the next payment. Security events
// (package signals) do the same. Until then CheckStepUp and httpauth's RequireStepUp ask for it.
func ExampleClient_AskStepUp() {
	client, tenant, done := demo()
	defer done()
	ctx := context.Background()
	id := signIn(client, tenant)
	user, err := client.GetUser(ctx, tokenward.SessionID(id))
	if err != nil {
		panic(err)
	}
	fmt.Println(client.CheckStepUp(user, tokenward.StepUp{}))

	asked, err := client.AskStepUp(ctx, tokenward.EndRequest{Issuer: tenant.Issuer(), Subject: user.Sub()}, tokenward.StoreOptions{})
	fmt.Println(asked, err)
	if user, err = client.GetUser(ctx, tokenward.SessionID(id)); err != nil {
		panic(err)
	}
	fmt.Println(client.CheckStepUp(user, tokenward.StepUp{}))
	// Output:
	// <nil>
	// 1 <nil>
	// insufficient_user_authentication: the user must sign in once more, as this asks for
}

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

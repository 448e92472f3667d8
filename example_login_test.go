package tokenward_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/tokenward/tokenward"
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
	nobody, err := client.GetUser(ctx, tokenward.SessionID("of nobody"))
	fmt.Println(nobody == nil, err)
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

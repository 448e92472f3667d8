package idptest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/tokenward/tokenward/idp/idptest"
)

// A test starts a tenant by NewTenant(t), which closes itself. What the application
// would do is done by hand here.
func Example() {
	tenant, err := idptest.New()
	if err != nil {
		panic(err)
	}
	defer tenant.Close()
	tenant.SetUser("grace", idptest.Claims{"session_expiry": 1900000000})

	// The application sends the browser to the authorize URL, and it comes back
	// with a code.
	callback, err := tenant.Authorize(authorizeURL(tenant, "grace"))
	if err != nil {
		panic(err)
	}
	u, _ := url.Parse(callback)
	login := token(tenant, url.Values{
		"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")},
		"redirect_uri": {"http://localhost:3000/callback"}, "code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
	})

	// The refresh takes effect, but the answer says that it failed. Who tries again
	// with the same refresh token loses the session.
	tenant.Script(idptest.Refresh, idptest.OAuthError("server_error", "").AfterGrant())
	again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {login["refresh_token"].(string)}}
	fmt.Println(token(tenant, again)["error"])
	fmt.Println(token(tenant, again)["error"])

	fmt.Println(tenant.Refreshes(), "refreshes, presented:", tenant.Family("grace").Serials())
	fmt.Println("alive:", tenant.FamilyAlive("grace"))
	// Output:
	// server_error
	// invalid_grant
	// 2 refreshes, presented: [0 0]
	// alive: false
}

// A request can be held while the test looks around, or does something that must not
// disturb it.
func ExampleTenant_Hold() {
	tenant, err := idptest.New(idptest.InProcess())
	if err != nil {
		panic(err)
	}
	defer tenant.Close()

	hold := tenant.Hold(idptest.Discovery, idptest.BeforeGrant)
	done := make(chan int)
	go func() {
		resp, err := tenant.Client().Get(tenant.URL("/.well-known/openid-configuration"))
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		done <- resp.StatusCode
	}()

	if err := hold.Wait(context.Background(), 1); err != nil {
		panic(err)
	}
	fmt.Println("in flight:", tenant.InFlight(idptest.Discovery))
	hold.Release()
	fmt.Println("answer:", <-done)
	// Output:
	// in flight: 1
	// answer: 200
}

func authorizeURL(tenant *idptest.Tenant, hint string) string {
	return tenant.URL("/authorize") + "?" + url.Values{
		"client_id":             {idptest.ClientID},
		"redirect_uri":          {"http://localhost:3000/callback"},
		"response_type":         {"code"},
		"scope":                 {"openid offline_access"},
		"login_hint":            {hint},
		"code_challenge":        {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
		"code_challenge_method": {"S256"},
	}.Encode()
}

// token posts to the token endpoint.
func token(tenant *idptest.Tenant, form url.Values) map[string]any {
	form.Set("client_id", idptest.ClientID)
	form.Set("client_secret", idptest.ClientSecret)
	resp, err := tenant.Client().PostForm(tenant.URL("/oauth/token"), form)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		panic(err)
	}
	return body
}

// A profile makes the tenant another provider. Its Config says how an application is set
// up for it, Lacks what cannot be had there.
func ExampleWithProfile() {
	p, _ := idptest.ProfileNamed("google")
	tenant, err := idptest.New(idptest.InProcess(), idptest.WithProfile(p))
	if err != nil {
		panic(err)
	}
	defer tenant.Close()

	fmt.Println(tenant.Application().Issuer, p.Config.Params["access_type"], p.Lacks.EndSession)
	_, err = tenant.Callback("https://accounts.google.com/o/oauth2/v2/auth?" + url.Values{
		"client_id": {idptest.ClientID}, "redirect_uri": {"http://localhost:3000/callback"}, "response_type": {"code"},
		"scope": {idptest.DefaultScopes},
	}.Encode())
	fmt.Println(strings.Contains(err.Error(), "offline_access is unknown"))
	// Output:
	// https://accounts.google.com offline true
	// true
}

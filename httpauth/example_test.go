package httpauth_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

// Add sign-in to a server.
func Example() {
	auth, err := tokenward.New(tokenward.Config{
		Domain:       "tenant.eu.auth0.com", // or Issuer: any OpenID Connect provider
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		Secrets:      []string{os.Getenv("SESSION_SECRET")}, // 32 bytes or more
		RedirectURI:  "https://app.example.com/auth/callback",
	})
	if err != nil {
		log.Fatal(err)
	}
	web, err := httpauth.New(auth, "https://app.example.com")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	if err := web.Register(mux, "/auth"); err != nil { // login, callback, logout, backchannel-logout
		log.Fatal(err)
	}
	mux.Handle("/", web.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := auth.GetAccessToken(r.Context(), tokenward.TokenRequest{Audience: "https://api.example.com"}, tokenward.StoreOptions{})
		if err != nil { // where the user must sign in again, a page that leads there and back; to programs 401
			httpauth.WriteError(w, r, err)
			return
		}
		fmt.Fprintln(w, "a token until", token.ExpiresAt)
	})))
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", mux)) //nolint:gosec // behind a proxy that has timeouts
}

// A router of the host's mounts one handler: chi by r.Mount("/auth", auth), echo by e.Any("/auth/*", echo.WrapHandler(auth)), gin by
// r.Any("/auth/*any", gin.WrapH(auth)). Here it is http.ServeMux. The pages refuse what another site's page has a browser change.
func ExampleHandlers_Handler() {
	auth, err := tokenward.New(tokenward.Config{
		Domain:       "tenant.eu.auth0.com",
		ClientID:     "CLIENT_ID",
		ClientSecret: "CLIENT_SECRET",
		Secrets:      []string{"a secret of at least thirty-two bytes"},
		RedirectURI:  "https://app.example.com/auth/callback",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close(context.Background()) //nolint:errcheck // it holds nothing
	web, err := httpauth.New(auth, "https://app.example.com", httpauth.RefuseForgeries())
	if err != nil {
		log.Fatal(err)
	}
	routes, err := web.Handler()
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/auth/", routes)
	mux.Handle("/", web.Require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })))

	r := httptest.NewRequest(http.MethodGet, "https://app.example.com/reports", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 302 /auth/login?return_to=%2Freports
}

// A page that needs a sign-in of the last five minutes, with a second factor. A program learns that from the challenge.
func ExampleHandlers_RequireStepUp() {
	auth, err := tokenward.New(tokenward.Config{
		Domain: "tenant.eu.auth0.com", ClientID: "CLIENT_ID", ClientSecret: "CLIENT_SECRET",
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: "https://app.example.com/auth/callback",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close(context.Background()) //nolint:errcheck // it holds nothing
	web, err := httpauth.New(auth, "https://app.example.com")
	if err != nil {
		log.Fatal(err)
	}
	need := tokenward.StepUp{MaxAge: 5 * time.Minute, ACRValues: []string{"http://schemas.openid.net/pape/policies/2007/06/multi-factor"}}
	mux := http.NewServeMux()
	mux.Handle("/transfer", web.RequireStepUp(need, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "done") })))

	user := tokenward.User{"sub": "ada", "acr": "pwd"} // as GetUser returns it
	fmt.Println(auth.CheckStepUp(user, need))
	// Output: insufficient_user_authentication: the user must sign in once more, as this asks for
}

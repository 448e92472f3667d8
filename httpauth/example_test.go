package httpauth_test

import (
	"fmt"
	"log"
	"net/http"
	"os"

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

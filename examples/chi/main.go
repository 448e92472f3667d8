// Command chi signs users in to an application on github.com/go-chi/chi.
package main

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/examples/internal/local"
	"github.com/tokenward/tokenward/httpauth"
)

func main() { local.Main(app) }

func app(auth *tokenward.Client, base string) (http.Handler, error) {
	web, err := httpauth.New(auth, base, httpauth.RefuseForgeries())
	if err != nil {
		return nil, err
	}
	routes, err := web.Handler()
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Mount("/auth", routes)
	r.Group(func(r chi.Router) {
		r.Use(web.Require)
		r.Get("/me", func(w http.ResponseWriter, r *http.Request) {
			user, err := auth.GetUser(r.Context(), tokenward.StoreOptions{}) // the session of the request
			if err != nil {
				httpauth.WriteError(w, r, err)
				return
			}
			fmt.Fprintln(w, user["name"])
		})
		r.Get("/token", func(w http.ResponseWriter, r *http.Request) {
			if _, err := auth.GetAccessToken(r.Context(), tokenward.TokenRequest{}, tokenward.StoreOptions{}); err != nil {
				httpauth.WriteError(w, r, err) // 401, or a page that leads to the login, where the user must sign in again
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
		r.Get("/stream", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "one")
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, "two")
		})
		r.Get("/raw", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		})
		r.Get("/teapot", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintln(w, `{"error": "a teapot"}`)
		})
		r.Post("/change", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	})
	return r, nil
}

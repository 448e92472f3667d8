package admin_test

import (
	"errors"
	"net/http"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/admin"
	"github.com/tokenward/tokenward/httpauth"
)

func ExampleNew() {
	var client *tokenward.Client // the application's
	var web *httpauth.Handlers   // its handlers
	mux := http.NewServeMux()

	operators, err := admin.New(client, func(r *http.Request) error {
		user, err := client.GetUser(r.Context(), tokenward.StoreOptions{})
		if err == nil && user.OrgID() != "our-staff" {
			err = errors.New("no operator")
		}
		return err
	})
	if err != nil {
		return
	}
	mux.Handle("/admin/", web.Require(http.StripPrefix("/admin", operators))) // Require tells the client whose session the request has
}

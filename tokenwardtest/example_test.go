package tokenwardtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/tokenwardtest"
)

// orders is an application: it says for whom orders are listed, and asks for a token first.
func orders(auth *tokenward.Client, web *httpauth.Handlers) http.Handler {
	return web.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := auth.GetAccessToken(r.Context(), tokenward.TokenRequest{Audience: "https://orders.example.com"}, tokenward.StoreOptions{}); err != nil {
			httpauth.WriteError(w, r, err)
			return
		}
		user, _ := auth.GetUser(r.Context(), tokenward.StoreOptions{})
		fmt.Fprint(w, "the orders of ", user["name"])
	}))
}

// A test of an application whose users are signed in.
func ExampleSignIn() {
	TestOrders := func(t *testing.T) {
		s := tokenwardtest.SignIn(t)
		web, err := httpauth.New(s.Client, "https://app.example.com")
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		orders(s.Client, web).ServeHTTP(w, s.Request(http.MethodGet, "/orders", nil))
		if w.Body.String() != "the orders of Ada Lovelace" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	fmt.Println(testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "Orders", F: TestOrders}}))
	// Output: true
}

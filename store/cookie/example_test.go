package cookie_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tokenward/tokenward/store/cookie"
)

// Where httpauth is not used, Wrap lets calls with tokenward.HTTP(w, r) set cookies until the answer begins, on any goroutine.
func ExampleWrap() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w, finish := cookie.Wrap(w)
		defer finish()
		_, _ = w.Write([]byte("hello")) // after auth.GetAccessToken(r.Context(), request, tokenward.HTTP(w, r))
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Header().Get("Cache-Control"), w.Body)
	// Output: no-store hello
}

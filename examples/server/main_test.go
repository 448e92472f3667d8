package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/tokenwardtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestApp(t *testing.T) {
	s := tokenwardtest.SignIn(t)
	handler, err := app(s.Client, "https://app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	get := func(r *http.Request) string {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Body.String()
	}
	if text := get(httptest.NewRequest(http.MethodGet, "/", nil)); !strings.Contains(text, "Sign in") {
		t.Errorf("a visitor gets %q", text)
	}
	if text := get(s.Request(http.MethodGet, "/", nil)); !strings.Contains(text, "Hello Ada Lovelace") {
		t.Errorf("a user gets %q", text)
	}
	if text := get(s.Request(http.MethodGet, "/orders", nil)); !strings.Contains(text, "a token that lasts until") {
		t.Errorf("a user's orders: %q", text)
	}
}

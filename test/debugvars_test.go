package test_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Importing this library registers /debug/vars on http.DefaultServeMux: the actor library imports
// prometheus/client_golang, which imports expvar, and none of them has a build without it. README.md and
// SECURITY.md say so. When this test fails that is over: take the lines out.
func TestImport_registersDebugVarsOnTheDefaultServeMux(t *testing.T) {
	_, pattern := http.DefaultServeMux.Handler(httptest.NewRequest(http.MethodGet, "/debug/vars", nil))
	if pattern == "" {
		t.Error("/debug/vars is not registered any more: README.md and SECURITY.md need not warn of it")
	}
}

package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGRPC(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const want = "without a session: Unauthenticated, missing_session\n" +
		"signed in: Ada Lovelace sees 7 boxes, with 1 token\n" +
		"signed out: Unauthenticated, missing_session\n"
	if out.String() != want {
		t.Errorf("said:\n%swant:\n%s", &out, want)
	}
}

package bolt_test

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// t0 is when every test begins.
var t0 = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

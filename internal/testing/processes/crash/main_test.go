package crash_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/internal/testing/processes/crash"
)

func TestMain(m *testing.M) {
	if crash.IsChild() {
		os.Exit(crash.Serve())
	}
	goleak.VerifyTestMain(m)
}

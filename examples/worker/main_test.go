package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/internal/testing/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// It runs to its end. Where there is no Redis the test is left out, and says so.
func TestWorker(t *testing.T) {
	if err := run(t.Context(), servers.NewRedis(t, servers.RedisConfig{}).URL()); err != nil {
		t.Fatal(err)
	}
}

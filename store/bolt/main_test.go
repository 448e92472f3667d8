package bolt_test

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// t0 is when every test begins.
var t0 = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

// intend is PutIntent for tests that do not ask whether an intent stood.
func intend(ctx context.Context, s *bolt.Store, key session.Key, in store.Intent, o store.Options) error {
	_, err := s.PutIntent(ctx, key, in, o)
	return err
}

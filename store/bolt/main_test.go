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

// intend writes an intent, whatever the version of the record is. Its token is not zero.
func intend(ctx context.Context, s *bolt.Store, key session.Key, in store.Intent) error {
	if in.Token == ([32]byte{}) {
		in.Token[0] = 1
	}
	b := store.Beginning{Intent: in}
	begun, err := s.Begin(ctx, key, b, opt)
	if err == nil && begun.Moved != nil {
		b.Version = begun.Moved.Version
		_, err = s.Begin(ctx, key, b, opt)
	}
	return err
}

package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/examples/internal/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestApp(t *testing.T) { local.Story(t, app) }

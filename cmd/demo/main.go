// Command demo shows the library at work.
//
// Plainly started it is a web application that signs users in, at a fake tenant that it
// brings along or at a provider of yours, and serves them tokens. -h lists its flags.
//
// Its tour signs in at a fake tenant over loopback HTTP, puts sessions under the
// loads that the library makes promises about, and prints counts and times, beside
// the same loads on a client made of a session store and singleflight. It exits 1 when a promise is broken.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward/cmd/demo/tour"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0
	exitBroken = 1 // a promise did not hold, or something could not be saved
	exitUsage  = 2 // a flag is wrong, or what it names cannot be had
)

// run is main with its surroundings passed in. It returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	s, err := parse(args, getenv, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	var code int
	switch {
	case err != nil:
		code = exitUsage
	case s.tour:
		return guide(ctx, stdout, tour.Stops(tour.Full))
	case s.tenant != "":
		code, err = runTenant(ctx, s, stdout)
	default:
		code, err = runApp(ctx, s, newLog(s, stderr), stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "demo: %s\n", oneLine(err))
	}
	return code
}

// guide plays the stops of the tour and returns the exit code.
func guide(ctx context.Context, stdout io.Writer, stops []tour.Stop) int {
	if !tour.Play(ctx, stdout, stops) {
		return exitBroken
	}
	return exitOK
}

func newLog(s settings, stderr io.Writer) *zap.Logger {
	how := zap.NewProductionEncoderConfig()
	how.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(how), zapcore.Lock(zapcore.AddSync(stderr)), s.level()))
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

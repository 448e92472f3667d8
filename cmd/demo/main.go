// Command demo shows the library at work.
//
// Its tour signs in at a fake tenant over loopback HTTP, puts sessions under the
// loads that the library makes promises about, and prints what was measured, beside
// the same loads on a client without coalescing. It exits 1 when a promise is broken.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tokenward/tokenward/cmd/demo/tour"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0
	exitBroken = 1 // a promise did not hold
	exitUsage  = 2 // a flag is wrong
)

// run is main with its surroundings passed in. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return exitUsage
	}
	if !f.tour {
		fmt.Fprintln(stderr, "demo: there is no application yet, here is the tour")
	}
	return guide(ctx, stdout, tour.Stops(tour.Full))
}

// guide plays the stops of the tour and returns the exit code.
func guide(ctx context.Context, stdout io.Writer, stops []tour.Stop) int {
	if !tour.Play(ctx, stdout, stops) {
		return exitBroken
	}
	return exitOK
}

// flags are what the command line says.
type flags struct {
	tour bool
}

// parse reads the command line. Usage goes to stdout when it is asked for; then the
// error is flag.ErrHelp.
func parse(args []string, stdout io.Writer) (flags, error) {
	var f flags
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(&f.tour, "tour", false, "play the tour, print what was measured and exit; 1 when a promise is broken")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, "usage: demo [flags]")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
	case err == nil && fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return f, err
}

package soak

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	duration = flag.Duration("soak.d", 2*time.Second, "how long the soak lasts")
	kind     = flag.String("soak.store", "memory", "where sessions are kept")
	seed     = flag.Uint64("soak.seed", uint64(os.Getpid()), "of what is done")
	sessions = flag.Int("soak.sessions", 90, "places for sessions")
	workers  = flag.Int("soak.workers", 24, "callers at once")
	profiles = flag.String("soak.profiles", "", "a `folder` for heap profiles before and after; with -test.memprofilerate they are finer")
)

// asProvider makes this program the provider's process.
const asProvider = "TOKENWARD_SOAK_PROVIDER"

func TestMain(m *testing.M) {
	if os.Getenv(asProvider) != "" {
		if err := ServeProvider(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// Load and faults leave nothing behind.
func TestSoak(t *testing.T) {
	err := Run(t.Context(), Config{
		Duration: *duration, Store: *kind, Dir: t.TempDir(), Seed: *seed, Sessions: *sessions, Workers: *workers,
		Profiles: *profiles, Provider: startProcess, Out: t.Output(),
	})
	if err != nil {
		t.Error(err)
	}
}

// process is the provider's.
type process struct {
	io.WriteCloser
	cmd *exec.Cmd
}

func startProcess() (io.WriteCloser, io.Reader, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProvider+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return process{in, cmd}, out, cmd.Start()
}

// Close ends the process: it ends with its input.
func (p process) Close() error {
	err := p.WriteCloser.Close()
	if waited := p.cmd.Wait(); waited != nil {
		return waited
	}
	return err
}

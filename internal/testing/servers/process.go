// Package servers starts the real servers that tests talk to, each on a free port of
// the loopback interface with its data in a temporary folder, and stops them by their process
// id.
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// Process is a server program that runs.
type Process struct {
	cmd    *exec.Cmd
	said   *tail
	exited chan struct{} // closed once it has ended and was reaped
}

// find returns where program is, looking into the folders also that match one of the
// patterns. Where it is not installed the test is left out, and says so: the test
// command repeats it at its end.
func find(tb testing.TB, program, debian string, patterns ...string) string {
	tb.Helper()
	path, err := locate(program, debian, patterns...)
	if err != nil {
		tb.Skip(err)
	}
	return path
}

// locate is find for callers that are no test. It fails with a *MissingError.
func locate(program, debian string, patterns ...string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(p, program))
		if len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", &MissingError{Program: program, Debian: debian}
}

// MissingError says that a program which tests need is not installed here.
type MissingError struct {
	Program string
	Debian  string // the package that has it
}

// Error implements error.
func (e *MissingError) Error() string {
	return fmt.Sprintf("LEFT OUT: %s is not installed; on Debian: apt-get install %s", e.Program, e.Debian)
}

// start runs cmd until it answers, which ready finds out: it is asked again and again until
// it returns nil, for half a minute at most.
func start(cmd *exec.Cmd, ready func() error) (*Process, error) {
	p := &Process{cmd: cmd, said: &tail{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.said, p.said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	if err := p.await(ready); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s did not come up: %w\n%s", filepath.Base(cmd.Path), err, p.said)
	}
	return p, nil
}

func (p *Process) await(ready func() error) error {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), 30*time.Second)
	defer cancel()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		again := make(chan struct{})
		clock.System().AfterFunc(20*time.Millisecond, func() { close(again) })
		select {
		case <-again:
		case <-p.exited:
			return errors.Join(err, errors.New("it has ended"))
		case <-ctx.Done():
			return err
		}
	}
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the server to end in order, and waits until it has. It is harmless when repeated.
func (p *Process) Stop() { terminate(p.cmd.Process); <-p.exited }

// Kill ends the server as a crash would, and waits until it has ended.
func (p *Process) Kill() { _ = p.cmd.Process.Kill(); <-p.exited }

// FreeAddr returns an address of the loopback interface without a listener.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// tail keeps the end of what a server said.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text.Len() > 64<<10 {
		t.text.Next(t.text.Len() / 2)
	}
	return t.text.Write(b)
}

// String returns the text that was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

//go:build unix

package servers

import (
	"os"
	"syscall"
)

// Pause stops the server in its tracks: its connections stay open and nothing answers.
func (p *Process) Pause() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (p *Process) Resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) }

//go:build !unix

package servers

import (
	"os"
	"os/exec"
)

// Elsewhere there is neither root, whom PostgreSQL refuses, nor a way to pause a process.

func giveAway(string) error { return nil }

func runAsOrdinary(*exec.Cmd) {}

func shutDown(p *os.Process) { _ = p.Kill() }

func kill(int)   {}
func pause(int)  {}
func resume(int) {}

func children(int) []int { return nil }

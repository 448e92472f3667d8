//go:build unix

package servers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ordinary returns the user in whose name a server runs that refuses root; ok is false where
// we are not root ourselves.
func ordinary() (uid, gid uint32, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUser := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGroup := strconv.ParseUint(u.Gid, 10, 32)
		if errUser == nil && errGroup == nil {
			return uint32(uid), uint32(gid), true
		}
	}
	return 0, 0, false
}

// giveAway makes dir and all in it the ordinary user's.
func giveAway(dir string) error {
	uid, gid, ok := ordinary()
	if !ok {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(uid), int(gid)))
	})
}

func runAsOrdinary(cmd *exec.Cmd) {
	if uid, gid, ok := ordinary(); ok {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
}

func shutDown(p *os.Process) { _ = p.Signal(syscall.SIGINT) } // PostgreSQL's fast shutdown

func kill(pid int)   { _ = syscall.Kill(pid, syscall.SIGKILL) }
func pause(pid int)  { _ = syscall.Kill(pid, syscall.SIGSTOP) }
func resume(pid int) { _ = syscall.Kill(pid, syscall.SIGCONT) }

// children returns the processes that were started by pid and still run.
func children(pid int) []int {
	found, err := childrenByProc(pid)
	if err != nil {
		found = childrenByPs(pid)
	}
	return found
}

func childrenByProc(pid int) ([]int, error) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	if len(files) == 0 {
		return nil, fs.ErrNotExist
	}
	var found []int
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// The name stands in brackets and may hold anything; the state and then the parent
		// come after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				return nil, err
			}
			found = append(found, child)
		}
	}
	return found, nil
}

func childrenByPs(pid int) (found []int) {
	out, _ := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if _, err := fmt.Sscan(line, &child, &parent); err == nil && parent == pid {
			found = append(found, child)
		}
	}
	return found
}

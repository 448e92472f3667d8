package redis_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeServer speaks the protocol of Redis and answers what a test tells it to, for what no
// server that is installed would say.
type fakeServer struct {
	net.Listener
	answer func(command []string) string // one reply as it goes over the wire
	under  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
}

// newFake returns a server on which every command is answered by answer.
func newFake(t *testing.T, answer func(command []string) string) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &fakeServer{Listener: l, answer: answer, open: make(map[net.Conn]bool)}
	f.under.Go(f.accept)
	t.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for c := range f.open {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.under.Wait()
	})
	return f
}

func (f *fakeServer) accept() {
	for {
		c, err := f.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.open[c] = true
		f.mu.Unlock()
		f.under.Go(func() {
			defer func() { _ = c.Close() }()
			in := bufio.NewReader(c)
			for {
				command, err := readCommand(in)
				if err != nil {
					return
				}
				if _, err = io.WriteString(c, f.answer(command)); err != nil {
					return
				}
			}
		})
	}
}

func readCommand(in *bufio.Reader) (command []string, err error) {
	n, err := readNumber(in, '*')
	for ; n > 0 && err == nil; n-- {
		var size int
		if size, err = readNumber(in, '$'); err != nil {
			break
		}
		b := make([]byte, size+2)
		_, err = io.ReadFull(in, b)
		command = append(command, string(b[:size]))
	}
	return command, err
}

func readNumber(in *bufio.Reader, sign byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != sign {
		return 0, fmt.Errorf("want %q, got %q", sign, line)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// goodServer answers as a server does for which nothing was stored yet, but for EVALSHA,
// which is answered by eval once the store is open.
func goodServer(info string, eval func(command []string) string) func([]string) string {
	return func(command []string) string {
		switch strings.ToLower(command[0]) {
		case "hello":
			return "*2\r\n" + bulk("proto") + ":2\r\n"
		case "info":
			return bulk(info)
		case "script":
			return bulk(strings.Repeat("0", 40))
		case "evalsha":
			if command[2] == "0" && len(command) == 8 && strings.Contains(command[7], "changes:") {
				return "*2\r\n" + bulk("ok") + bulk("1")
			}
			return eval(command)
		}
		return "+OK\r\n"
	}
}

const goodInfo = "# Server\r\nredis_version:7.2.4\r\nredis_mode:standalone\r\nrole:master\r\ncluster_enabled:0\r\n"

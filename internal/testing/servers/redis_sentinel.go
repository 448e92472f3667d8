package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// SentinelMaster is the name by which Sentinels know the primary.
const SentinelMaster = "main"

// Sentinels are a primary of Redis, a replica, and three sentinels that watch over them.
type Sentinels struct {
	Primary, Replica *Redis // at the start
	Addrs            []string

	all    []*Process
	folder string
}

// NewSentinels starts them for one test, which is left out where the program is not installed. They are gone when the test has
// ended. A primary that does not answer for half a second is replaced.
func NewSentinels(tb testing.TB, c RedisConfig) *Sentinels {
	tb.Helper()
	s := &Sentinels{Primary: NewRedis(tb, c), folder: tb.TempDir()}
	host, port, err := net.SplitHostPort(s.Primary.Addr())
	if err == nil {
		c.Args = append(append([]string(nil), c.Args...), "--replicaof", host, port)
		s.Replica = NewRedis(tb, c)
		err = s.watch(tb, host, port)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// watch starts the sentinels, and returns when they know the replica and one another.
func (s *Sentinels) watch(tb testing.TB, host, port string) error {
	tb.Helper()
	for i := range 3 {
		addr, err := FreeAddr()
		if err != nil {
			return err
		}
		_, own, err := net.SplitHostPort(addr)
		if err != nil {
			return err
		}
		file := filepath.Join(s.folder, "sentinel-"+strconv.Itoa(i)+".conf")
		text := fmt.Sprintf("port %s\nbind %s\ndir %s\nsentinel monitor %s %s %s 2\nsentinel down-after-milliseconds %[4]s 500\nsentinel failover-timeout %[4]s 3000\n",
			own, host, s.folder, SentinelMaster, host, port)
		if err = os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		p, err := start(exec.Command(s.Primary.program, file, "--sentinel"), func() error { return said(addr, "PING", "PONG") })
		if err != nil {
			return err
		}
		tb.Cleanup(p.Kill)
		s.Addrs, s.all = append(s.Addrs, addr), append(s.all, p)
	}
	for i, p := range s.all {
		if err := p.await(func() error { return said(s.Addrs[i], "INFO sentinel", "status=ok", "slaves=1", "sentinels=3") }); err != nil {
			return fmt.Errorf("a sentinel that does not know the others: %w", err)
		}
	}
	return nil
}

// Synced returns when the replica has what the primary had when it was asked.
func (s *Sentinels) Synced() error {
	info, err := ask(s.Primary.Addr(), "INFO replication")
	if err != nil {
		return err
	}
	_, offset, _ := strings.Cut(info, "master_repl_offset:")
	offset, _, _ = strings.Cut(offset, "\r\n")
	want, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return err
	}
	return s.Replica.await(func() error {
		info, err := ask(s.Replica.Addr(), "INFO replication")
		if err != nil {
			return err
		}
		_, offset, _ := strings.Cut(info, "slave_repl_offset:")
		offset, _, _ = strings.Cut(offset, "\r\n")
		if have, err := strconv.ParseInt(offset, 10, 64); err != nil || have < want {
			return errors.Join(err, errors.New("it lags"))
		}
		return nil
	})
}

// FailedOver returns when a sentinel names the replica as the primary, and it is one.
func (s *Sentinels) FailedOver() error {
	_, port, err := net.SplitHostPort(s.Replica.Addr())
	if err != nil {
		return err
	}
	return s.Replica.await(func() error {
		return errors.Join(said(s.Addrs[0], "SENTINEL get-master-addr-by-name "+SentinelMaster, port), said(s.Replica.Addr(), "INFO replication", "role:master"))
	})
}

// said returns nil when the answer to command has all of these words.
func said(addr, command string, words ...string) error {
	answer, err := ask(addr, command)
	for _, w := range words {
		if err == nil && !strings.Contains(answer, w) {
			err = fmt.Errorf("no %q in %q", w, answer)
		}
	}
	return err
}

// ask sends one command and returns the text of its answer, whatever its type.
func ask(addr, command string) (string, error) {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err = fmt.Fprint(conn, command+"\r\n"); err != nil {
		return "", err
	}
	return reply(bufio.NewReader(conn))
}

// reply reads one answer of the protocol.
func reply(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if err != nil || line == "" {
		return "", errors.Join(err, errors.New("no answer"))
	}
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$':
		text := make([]byte, max(n, 0)+2)
		_, err = io.ReadFull(in, text)
		return string(text), err
	case '*':
		var all strings.Builder
		for range n {
			one, err := reply(in)
			if err != nil {
				return "", err
			}
			all.WriteString(one)
		}
		return all.String(), nil
	}
	return line[1:], nil
}

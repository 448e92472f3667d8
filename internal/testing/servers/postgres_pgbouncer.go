package servers

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const bouncerConfig = `[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = plain
auth_file = %s
pool_mode = transaction
default_pool_size = 3
`

// PgBouncer starts a pooler before the server, in transaction mode, and returns how to
// connect through it to the database that direct leads to. It ends with the test, which is left
// out where PgBouncer is not installed.
func (p *Postgres) PgBouncer(tb testing.TB, direct string) string {
	tb.Helper()
	program := find(tb, "pgbouncer", "pgbouncer", "/usr/sbin")
	through, err := url.Parse(direct)
	check(tb, err)
	through.Host, err = FreeAddr()
	check(tb, err)
	host, port, err := net.SplitHostPort(through.Host)
	check(tb, err)
	serverHost, serverPort, err := net.SplitHostPort(p.addr)
	check(tb, err)

	dir, err := os.MkdirTemp("", "tokenward-pgbouncer-")
	check(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "config")
	check(tb, os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", postgresUser, p.password), 0o600))
	check(tb, os.WriteFile(config, fmt.Appendf(nil, bouncerConfig, serverHost, serverPort, host, port, users), 0o600))
	check(tb, giveAway(dir))
	cmd := exec.Command(program, config)
	cmd.Dir = dir
	runAsOrdinary(cmd)
	proc, err := start(cmd, func() error { return p.execAt(through.Host, strings.TrimPrefix(through.Path, "/"), "SELECT 1") })
	check(tb, err)
	tb.Cleanup(proc.Kill) // it would wait for its clients
	return through.String()
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

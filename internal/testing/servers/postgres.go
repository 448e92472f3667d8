package servers

import (
	"bytes"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

const (
	postgresDebian  = "postgresql"
	postgresFolders = "/usr/lib/postgresql/*/bin" // where its programs are, besides PATH
	postgresUser    = "tokenward"
)

// Postgres is a PostgreSQL server with a folder and a port of its own. It asks for a
// password, speaks TLS to clients that want it, and keeps its folder and its port when it is
// restarted.
type Postgres struct {
	bin      string // folder of its programs
	dir      string // all that is its own
	addr     string
	password string
	certFile string
	keyFile  string
	settings []string
	proc     *Process
}

// PostgresOption changes what StartPostgres starts.
type PostgresOption func(*Postgres)

// NoFsync makes the server quicker, and lets it lose what it acknowledged in a crash of
// the machine, though not of the server alone.
func NoFsync() PostgresOption { return PostgresSetting("fsync", "off") }

// PostgresSetting sets one of the server's configuration parameters.
func PostgresSetting(name, value string) PostgresOption {
	return func(p *Postgres) { p.settings = append(p.settings, "-c", name+"="+value) }
}

// NewPostgres is StartPostgres for a test, which is left out where PostgreSQL is not
// installed. The server is closed when the test ends.
func NewPostgres(tb testing.TB, options ...PostgresOption) *Postgres {
	tb.Helper()
	find(tb, "initdb", postgresDebian, postgresFolders)
	p, err := StartPostgres(options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// StartPostgres starts a server in a new folder; Close ends it and removes the folder. It
// fails with a *MissingError where there is no PostgreSQL. PostgreSQL refuses to serve
// root, so for root it runs as another user: postgres, where
// there is one.
func StartPostgres(options ...PostgresOption) (_ *Postgres, err error) {
	initdb, err := locate("initdb", postgresDebian, postgresFolders)
	if err != nil {
		return nil, err
	}
	if initdb, err = filepath.EvalSymlinks(initdb); err != nil { // a link to it may stand without the other programs beside it
		return nil, err
	}
	p := &Postgres{bin: filepath.Dir(initdb), password: cryptorand.Text()}
	for _, o := range options {
		o(p)
	}
	if p.dir, err = os.MkdirTemp("", "tokenward-postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(p.dir)
		}
	}()
	if err := p.initialise(); err != nil {
		return nil, err
	}
	for range 5 { // somebody else may take the port before the server does
		if p.addr, err = quietAddr(); err != nil {
			return nil, err
		}
		if err = p.Restart(); err == nil {
			return p, nil
		}
		if !strings.Contains(err.Error(), "could not bind") {
			break
		}
	}
	return nil, err
}

// quietAddr is FreeAddr, but returns a port that the kernel gives to no connection, so that
// it is still free when the server is restarted.
func quietAddr() (string, error) {
	for {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000)))
		l, err := net.Listen("tcp", addr)
		switch {
		case err == nil:
			return addr, l.Close()
		case !errors.Is(err, syscall.EADDRINUSE):
			return "", err
		}
	}
}

func (p *Postgres) initialise() error {
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte(p.password+"\n"), 0o600); err != nil {
		return err
	}
	var err error
	if p.certFile, p.keyFile, _, err = certificate(p.dir); err != nil {
		return err
	}
	if err = giveAway(p.dir); err != nil {
		return err
	}
	said, err := p.command("initdb", "--pgdata="+p.DataFolder(), "--username="+postgresUser, "--pwfile="+password,
		"--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, said)
	}
	return nil
}

// command returns a program of PostgreSQL, to be run as a user whom it serves and without
// what the environment says of other servers.
func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "PG") && name != "HOME" && !strings.HasPrefix(name, "LC_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+p.dir, "LC_ALL=C")
	runAsOrdinary(cmd)
	return cmd
}

// DataFolder returns where the server keeps what it stores.
func (p *Postgres) DataFolder() string { return filepath.Join(p.dir, "data") }

// CertificateFile returns the file with the server's certificate, which is its own root.
func (p *Postgres) CertificateFile() string { return p.certFile }

// Restart starts the server again after Stop or Kill, in the same folder and on the same
// port, and returns when it answers.
func (p *Postgres) Restart() error {
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return err
	}
	args := []string{
		"-D", p.DataFolder(), "-k", p.dir, "-h", host, "-p", port,
		"-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "log_checkpoints=off",
		"-c", "ssl=on", "-c", "ssl_cert_file=" + p.certFile, "-c", "ssl_key_file=" + p.keyFile,
	}
	proc, err := start(p.command("postgres", append(args, p.settings...)...), func() error { return p.Exec("SELECT") })
	if err == nil {
		p.proc = proc
	}
	return err
}

// Exec runs a command in the server's database postgres.
func (p *Postgres) Exec(sql string) error { return p.execAt(p.addr, "postgres", sql) }

// execAt runs a command in a database, through what listens at addr: the server or a pooler. psql runs it, so that this
// package needs no driver.
func (p *Postgres) execAt(addr, database, sql string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	cmd := p.command("psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", postgresUser, "-d", database, "-c", sql)
	cmd.Env = append(cmd.Env, "PGPASSWORD="+p.password, "PGSSLMODE=disable")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := clock.System().AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, said.Bytes())
	}
	return nil
}

// Addr returns the server's address on the loopback interface.
func (p *Postgres) Addr() string { return p.addr }

// Password returns the password that is part of URL.
func (p *Postgres) Password() string { return p.password }

// URL returns how to connect to a database of the server, without TLS.
func (p *Postgres) URL(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresUser, p.password),
		Host: p.addr, Path: database, RawQuery: "sslmode=disable",
	}).String()
}

// NewDatabase makes an empty database for the test, and returns how to connect to it. It
// is dropped when the test ends.
func (p *Postgres) NewDatabase(tb testing.TB) string {
	tb.Helper()
	name := "test_" + strings.ToLower(cryptorand.Text())
	if err := p.Exec("CREATE DATABASE " + name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	return p.URL(name)
}

// Stop ends the server in order, without waiting for its clients. It is harmless when
// repeated, as all that follows is.
func (p *Postgres) Stop() {
	p.Resume()
	shutDown(p.proc.cmd.Process)
	<-p.proc.exited
}

// Kill ends the server with all its processes as a crash would.
func (p *Postgres) Kill() {
	if !p.runs() {
		return
	}
	p.Pause()
	for _, pid := range children(p.proc.PID()) {
		kill(pid)
	}
	p.proc.Kill()
}

// Pause stops the server with all its processes in its tracks: connections stay open,
// new ones are taken by the kernel, and nothing answers.
func (p *Postgres) Pause() {
	if !p.runs() {
		return
	}
	pause(p.proc.PID()) // first, so that it makes no more
	for _, pid := range children(p.proc.PID()) {
		pause(pid)
	}
}

// Resume lets a paused server go on.
func (p *Postgres) Resume() {
	if !p.runs() {
		return
	}
	for _, pid := range children(p.proc.PID()) {
		resume(pid)
	}
	resume(p.proc.PID())
}

// runs reports whether the server has not ended: then its process id is still its own.
func (p *Postgres) runs() bool {
	select {
	case <-p.proc.exited:
		return false
	default:
		return true
	}
}

// Close ends the server and removes its folder.
func (p *Postgres) Close() {
	p.Stop()
	_ = os.RemoveAll(p.dir)
}

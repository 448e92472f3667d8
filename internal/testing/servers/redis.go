package servers

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

const (
	redisServer = "redis-server"
	redisDebian = "redis-server"
)

// RedisConfig says how a redis-server is started. The zero RedisConfig keeps nothing
// over a restart.
type RedisConfig struct {
	Args     []string // as on its command line: "--appendonly", "yes"
	Password string   // of the default user; empty: none is asked for
	TLS      bool     // it speaks nothing else, with a certificate for localhost
}

// Redis is a redis-server of its own, which runs unless it was stopped or killed. It
// is not safe for concurrent use, but for what its Process and URL offer.
type Redis struct {
	*Process
	Roots *x509.CertPool // whom to trust; nil without TLS

	config  RedisConfig
	program string
	addr    string
	folder  string
	files   []string // arguments that name the certificate
}

// StartRedis starts a redis-server on a free port of the loopback interface, with its data
// in a temporary folder; the caller calls Close. It fails with a *MissingError where
// the program is not installed.
func StartRedis(c RedisConfig) (*Redis, error) {
	program, err := locate(redisServer, redisDebian)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{config: c, program: program, folder: folder}
	if err = r.startSomewhere(); err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	return r, nil
}

// NewRedis is StartRedis for one test, which is left out where the program is not
// installed. The server is gone when the test has ended.
func NewRedis(tb testing.TB, c RedisConfig) *Redis {
	tb.Helper()
	find(tb, redisServer, redisDebian)
	r, err := StartRedis(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return r
}

// SharedRedis is one redis-server for all tests of a program: it is started for the first
// that asks, and TestMain closes it. Each test keeps to a key prefix of its own.
type SharedRedis struct {
	Config RedisConfig

	once  sync.Once
	redis *Redis
	err   error
}

// Get returns the server. The test is left out where the program is not installed.
func (s *SharedRedis) Get(tb testing.TB) *Redis {
	tb.Helper()
	find(tb, redisServer, redisDebian)
	s.once.Do(func() { s.redis, s.err = StartRedis(s.Config) })
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.redis
}

// Close ends the server, if any test has asked for it.
func (s *SharedRedis) Close() {
	if s.redis != nil {
		s.redis.Close()
	}
}

// Addr returns host and port.
func (r *Redis) Addr() string { return r.addr }

// URL returns how clients reach the server, its password included.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", Host: r.addr, Path: "/0"}
	if r.config.TLS {
		u.Scheme = "rediss"
	}
	if r.config.Password != "" {
		u.User = url.UserPassword("", r.config.Password)
	}
	return u.String()
}

// Restart starts the server again at the same address and on the same folder. One that
// still runs is asked to end first.
func (r *Redis) Restart() error {
	r.Stop()
	p, err := r.start()
	if err != nil {
		return err
	}
	r.Process = p
	return nil
}

// Close kills the server and removes its data. It is harmless when repeated.
func (r *Redis) Close() {
	r.Kill()
	_ = os.RemoveAll(r.folder)
}

// startSomewhere tries another port when another program has taken the free one.
func (r *Redis) startSomewhere() (err error) {
	if r.config.TLS {
		var cert, key string
		if cert, key, r.Roots, err = certificate(r.folder); err != nil {
			return err
		}
		r.files = []string{"--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"}
	}
	for range 3 {
		if r.addr, err = FreeAddr(); err != nil {
			return err
		}
		if r.Process, err = r.start(); err == nil {
			return nil
		}
	}
	return err
}

func (r *Redis) start() (*Process, error) {
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return nil, err
	}
	args := []string{"--bind", host, "--dir", r.folder, "--save", "", "--port", port}
	if r.config.TLS {
		args = append(args[:len(args)-2], "--port", "0", "--tls-port", port)
		args = append(args, r.files...)
	}
	if r.config.Password != "" {
		args = append(args, "--requirepass", r.config.Password)
	}
	return start(exec.Command(r.program, append(args, r.config.Args...)...), r.answers)
}

// answers returns nil when the server takes commands, or asks for the password first.
func (r *Redis) answers() error {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), 5*time.Second)
	defer cancel()
	conn, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err = fmt.Fprint(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH") {
		return nil
	}
	return errors.New(strings.TrimSpace(line))
}

func (r *Redis) dial(ctx context.Context) (net.Conn, error) {
	if r.config.TLS {
		d := tls.Dialer{Config: &tls.Config{RootCAs: r.Roots}}
		return d.DialContext(ctx, "tcp", r.addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", r.addr)
}

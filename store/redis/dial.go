package redis

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// keepAlive finds out that a machine has gone, on connections where nobody waits.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// dialer returns how the client library connects. It ends with the store, and never
// fails: after some failures the library would otherwise answer everybody with the last
// one, and look once a second, on a goroutine that outlives the store, whether the
// server is back. So a connection that could not be made is one that fails when used.
func (s *Store) dialer(o *goredis.Options) func(context.Context, string, string) (net.Conn, error) {
	config := o.TLSConfig
	base := &net.Dialer{Timeout: o.DialTimeout, KeepAliveConfig: keepAlive}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !s.begin() {
			return &failedConn{err: ErrClosed}, nil
		}
		defer s.end()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()

		tcp, err := base.DialContext(ctx, network, addr)
		if err != nil {
			return &failedConn{err: err}, nil
		}
		whole := tcp
		if config != nil {
			encrypted := tls.Client(tcp, config)
			if err = encrypted.HandshakeContext(ctx); err != nil {
				_ = tcp.Close()
				return &failedConn{err: err}, nil
			}
			whole = encrypted
		}
		c := &conn{Conn: whole, socket: tcp}
		c.forget = context.AfterFunc(s.life, func() { _ = tcp.Close() })
		return c, nil
	}
}

// conn is a connection that is closed with the store, whatever it is used for then.
type conn struct {
	net.Conn
	socket net.Conn // under the encryption
	forget func() bool
}

// Close implements net.Conn. That it was closed already, or that the server is gone, is no
// error.
func (c *conn) Close() error {
	c.forget()
	_ = c.Conn.Close()
	return nil
}

// SyscallConn lets the client library see whether the server has hung up, before it
// sends a command on a connection that has waited. It sees that through the encryption
// too: between a reply and the next command the server has nothing to say.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.socket.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, syscall.EINVAL
}

// failedConn is a connection that could not be made.
type failedConn struct {
	net.Conn // nil
	err      error
}

// failedError carries an error through the client library, which unwraps what it gets once.
type failedError struct{ err error }

// Error implements error.
func (e failedError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e failedError) Unwrap() error { return e.err }

// Read implements net.Conn.
func (c *failedConn) Read([]byte) (int, error) { return 0, failedError{c.err} }

// Write implements net.Conn.
func (c *failedConn) Write([]byte) (int, error) { return 0, failedError{c.err} }

// Close implements net.Conn.
func (c *failedConn) Close() error { return nil }

// LocalAddr implements net.Conn.
func (c *failedConn) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (c *failedConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline implements net.Conn.
func (c *failedConn) SetDeadline(time.Time) error { return failedError{c.err} }

// SetReadDeadline implements net.Conn.
func (c *failedConn) SetReadDeadline(time.Time) error { return failedError{c.err} }

// SetWriteDeadline implements net.Conn.
func (c *failedConn) SetWriteDeadline(time.Time) error { return failedError{c.err} }

package redis

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// line is a connection to the server, which one call at a time uses. The client library
// heeds deadlines and no other end of a context, and our contexts have no deadlines. So
// a call that waits for an answer is cut off from here: the connection is closed under
// it, and is made again for the next call. Closing is all that can be done, for an answer that
// was not read would be taken for the next one's.
type line struct {
	store  *Store
	client *goredis.Client // with one connection at most

	mu      sync.Mutex
	call    int  // which one uses it
	cutOff  bool // nothing is dialed for that call any more
	closed  bool
	socket  net.Conn           // nil before the first
	dialing context.CancelFunc // nil unless it is being made
}

// newLine returns a line that connects when it is first used.
func (s *Store) newLine() *line {
	l := &line{store: s}
	o := *s.config
	o.PoolSize = 1
	o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 0, 0, 0
	o.Dialer = l.dial
	l.client = goredis.NewClient(&o)
	for _, h := range s.hooks {
		l.client.AddHook(h)
	}
	return l
}

// use begins a call, which ends with done or is cut off by what use returns.
func (l *line) use() (cut func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.call++
	l.cutOff = l.closed
	this := l.call
	return func() { l.cut(this) }
}

// done ends the call. To cut it off from now on has no effect.
func (l *line) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.call++
}

func (l *line) cut(call int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if call == l.call {
		l.sever()
	}
}

// close ends the line for good, and cuts off the call that uses it.
func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	l.sever()
	l.mu.Unlock()
	_ = l.client.Close()
}

func (l *line) sever() {
	l.cutOff = true
	if l.dialing != nil {
		l.dialing()
	}
	if l.socket != nil {
		_ = l.socket.Close()
	}
}

// dial makes the connection. It never fails: the client library would remember that, answer
// the next call with it, and look on a goroutine of its own, once a second and past
// Close, whether the server is back. So a connection that could not be made is one that fails when
// it is used.
func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if !l.store.life.Begin() { // the client library dials on a goroutine of its own, for which Close waits
		return failedConn{ErrClosed}, nil
	}
	defer l.store.life.End()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !l.begin(cancel) {
		return failedConn{context.Canceled}, nil
	}
	whole, socket, err := l.store.connect(ctx, network, addr)
	if !l.made(socket) && err == nil {
		_ = socket.Close()
		err = context.Canceled
	}
	if err != nil {
		return failedConn{err}, nil
	}
	if _, ok := socket.(syscall.Conn); !ok {
		return whole, nil // a dialer of the host's: nothing can look under it
	}
	return conn{whole, socket}, nil
}

func (l *line) begin(cancel context.CancelFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cutOff {
		l.dialing = cancel
	}
	return !l.cutOff
}

// made notes the connection, unless the call was cut off before.
func (l *line) made(socket net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing = nil
	if !l.cutOff {
		l.socket = socket
	}
	return !l.cutOff
}

// keepAlive finds out that a machine has gone, on connections where no call waits.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// connect returns a connection, and the socket under its encryption.
func (s *Store) connect(ctx context.Context, network, addr string) (whole, socket net.Conn, err error) {
	if s.dial != nil {
		return s.dialAsHost(ctx, network, addr)
	}
	d := net.Dialer{Timeout: s.config.DialTimeout, KeepAliveConfig: keepAlive}
	socket, err = d.DialContext(ctx, network, addr)
	if err != nil || s.config.TLSConfig == nil {
		return socket, socket, err
	}
	encrypted := tls.Client(socket, s.config.TLSConfig)
	if err = encrypted.HandshakeContext(ctx); err != nil {
		_ = socket.Close()
		return nil, nil, err
	}
	return encrypted, socket, nil
}

// conn lets the client library see whether the server has hung up, before it sends
// a command on a connection that has waited. It sees that through the encryption too:
// between an answer and the next command the server has nothing to say.
type conn struct {
	net.Conn
	socket net.Conn
}

// SyscallConn implements syscall.Conn.
func (c conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.socket.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, syscall.EINVAL
}

// failedConn is a connection that could not be made.
type failedConn struct{ err error }

// failedError carries an error through the client library, which unwraps what it gets once.
type failedError struct{ err error }

// Error implements error.
func (e failedError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e failedError) Unwrap() error { return e.err }

// SyscallConn implements syscall.Conn. The client library keeps a connection that came too late
// for its call, and asks here whether it still lives before it gives it to the next.
func (c failedConn) SyscallConn() (syscall.RawConn, error) { return nil, failedError(c) }

// Read implements net.Conn, as what follows does.
func (c failedConn) Read([]byte) (int, error)         { return 0, failedError(c) }
func (c failedConn) Write([]byte) (int, error)        { return 0, failedError(c) }
func (c failedConn) Close() error                     { return nil }
func (c failedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c failedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c failedConn) SetDeadline(time.Time) error      { return failedError(c) }
func (c failedConn) SetReadDeadline(time.Time) error  { return failedError(c) }
func (c failedConn) SetWriteDeadline(time.Time) error { return failedError(c) }

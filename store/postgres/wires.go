package postgres

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// wires are the network connections of one store. The client library closes a broken one
// in the background and in peace, which takes a quarter of a minute where the server
// hangs; cut makes an end of all of them.
type wires struct {
	dialer net.Dialer

	mu   sync.Mutex
	open map[*wire]struct{}
	done bool // cut
}

type wire struct {
	net.Conn
	of *wires
}

func newWires() *wires {
	return &wires{
		// A server that is gone without a word is found by the kernel in half a minute.
		dialer: net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
		}},
		open: make(map[*wire]struct{}),
	}
}

func (w *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return w.add(w.dialer.DialContext(ctx, network, addr))
}

// by returns dial, which is made by another dialer.
func (w *wires) by(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return w.add(dial(ctx, network, addr))
	}
}

// add notes a connection that was made.
func (w *wires) add(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		_ = conn.Close()
		return nil, ErrClosed
	}
	c := &wire{conn, w}
	w.open[c] = struct{}{}
	return c, nil
}

// cut closes every connection. There are no others from then on.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	for c := range w.open {
		_ = c.Conn.Close()
	}
	clear(w.open)
}

// Close implements net.Conn.
func (c *wire) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

package processes_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire stands between a process and its store's server. It counts requests, and can
// take the change feed's connection away, or make it silent.
type wire struct {
	t      testing.TB
	target string
	l      net.Listener
	all    sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	conns   map[*link]struct{}
	feeds   feeds
	trips   int  // questions to the server, those of the feed not counted
	left    int  // how many more are passed on
	limited bool // by left
}

// feeds says how connections fare on which changes are told.
type feeds int

const (
	feedsPass  feeds = iota
	feedsCut         // they break at once
	feedsMuted       // they stay, and nothing comes any more
)

// link is one connection through a wire.
type link struct {
	client, server net.Conn
	feed           bool // changes are told on it
	asked          bool // the server has not answered since
}

// through returns h as it is reached over a wire of its own.
func (h home) through(t testing.TB) (home, *wire) {
	t.Helper()
	u, err := url.Parse(h.URL)
	must(t, err)
	w := &wire{t: t, target: u.Host, conns: make(map[*link]struct{})}
	w.changed = sync.NewCond(&w.mu)
	w.l, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	u.Host = w.l.Addr().String()
	h.URL = u.String()
	w.all.Go(w.serve)
	t.Cleanup(w.close)
	return h, w
}

func (w *wire) serve() {
	for {
		client, err := w.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &link{client: client, server: server}
		w.mu.Lock()
		w.conns[c] = struct{}{}
		w.mu.Unlock()
		w.all.Go(func() { w.carry(c, server, client, w.asks) })
		w.all.Go(func() { w.carry(c, client, server, w.answers) })
	}
}

// carry passes on what pass lets through, until either end hangs up.
func (w *wire) carry(c *link, to, from net.Conn, pass func(*link, []byte) bool) {
	defer w.hangUp(c)
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && pass(c, b[:n]) {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) hangUp(c *link) {
	_ = c.client.Close()
	_ = c.server.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
	w.changed.Broadcast()
}

// asks lets a question through to the server. What follows before the server has answered
// belongs to it.
func (w *wire) asks(c *link, b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.feed = c.feed || bytes.Contains(b, []byte("\r\nsubscribe\r\n")) || b[0] == 'Q' && bytes.Contains(b, []byte("LISTEN "))
	if c.feed {
		if w.feeds == feedsCut {
			c.breaks()
		}
		return w.feeds == feedsPass
	}
	if !c.asked {
		for w.limited && w.left == 0 && w.alive(c) {
			w.changed.Wait()
		}
		c.asked = true
		w.trips++
		w.left = max(0, w.left-1)
		w.changed.Broadcast()
	}
	return true
}

func (w *wire) alive(c *link) bool {
	_, open := w.conns[c]
	return open
}

func (w *wire) answers(c *link, _ []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.asked = false
	return !c.feed || w.feeds == feedsPass
}

// breaks hangs up on both sides.
func (c *link) breaks() {
	_ = c.client.Close()
	_ = c.server.Close()
}

// let says how the feed's connections fare from now on.
func (w *wire) let(f feeds) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if c.feed && (f == feedsCut || w.feeds == feedsMuted) {
			c.breaks()
		}
	}
	w.feeds = f
}

// asked returns how many questions were passed on.
func (w *wire) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trips
}

// limit passes n more questions on, and holds those that come later.
func (w *wire) limit(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limited, w.left = true, n
}

// free passes everything on, and returns how many questions of those that limit allowed
// were not asked.
func (w *wire) free() (left int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limited = false
	w.changed.Broadcast()
	return w.left
}

func (w *wire) close() {
	_ = w.l.Close()
	w.mu.Lock()
	w.limited = false
	for c := range w.conns {
		c.breaks()
	}
	w.changed.Broadcast()
	w.mu.Unlock()
	w.all.Wait()
}

package postgres_test

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// relay stands between a store and its server, and counts how often the store asks: it
// says something after the server said something.
type relay struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	conns map[net.Conn]bool
	trips int
	mute  bool // withhold what ends the server's next answer, and hang up
	wg    sync.WaitGroup
}

func newRelay(t *testing.T, server string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := &relay{listener: l, server: server, conns: make(map[net.Conn]bool)}
	r.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.pass(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.cut()
		r.wg.Wait()
	})
	return r
}

func (r *relay) pass(client net.Conn) {
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		_ = client.Close()
		return
	}
	r.mu.Lock()
	r.conns[client], r.conns[server] = true, true
	r.mu.Unlock()
	asked := false
	note := func(asks bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if asks && !asked {
			r.trips++
		}
		asked = asks
	}
	copyTo := func(to, from net.Conn, asks bool) {
		defer func() { _ = to.Close() }()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				note(asks)
			}
			last := !asks && r.withholds()
			if last {
				n = max(0, n-readyForQuery)
			}
			if _, errWrite := to.Write(buf[:n]); err != nil || errWrite != nil || last {
				return
			}
		}
	}
	r.wg.Go(func() { copyTo(client, server, false) })
	copyTo(server, client, true)
}

// readyForQuery is how long the message is that ends each of the server's answers: the
// statement was committed.
const readyForQuery = 6

// withhold has the next answer end early.
func (r *relay) withhold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mute = true
}

func (r *relay) withholds() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.mute
	r.mute = false
	return was
}

// cut closes every connection that was relayed.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
}

// asked returns how often the store has asked.
func (r *relay) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trips
}

// count returns how many round trips f makes.
func (r *relay) count(f func()) int {
	before := r.asked()
	f()
	return r.asked() - before
}

// through returns the way to the database through r.
func (r *relay) through(t *testing.T, database string) string {
	u, err := url.Parse(database)
	must(t, err)
	u.Host = r.listener.Addr().String()
	return u.String()
}

func TestRoundTrips(t *testing.T) {
	h := newHome(t)
	r := newRelay(t, h.server.Addr())
	h.url = r.through(t, h.url)
	s := h.open(postgres.PoolSize(1))
	var opt store.Options
	key, rec := keyOf(1), record(func(r *store.Record) { r.Ceiling, r.Index = 1, []store.IndexValue{{1}, {2}} })
	var epoch int64
	operations := []struct {
		name string
		do   func() error
	}{
		{"Replace", func() error { return s.Replace(t.Context(), key, rec, opt) }},
		{"Load", func() error { _, err := s.Load(t.Context(), key, opt); return err }},
		{"ClearIntent", func() error { return s.ClearIntent(t.Context(), key, store.Intent{}, opt) }},
		{"StaleIntents", func() error { _, err := s.StaleIntents(t.Context(), 10, opt); return err }},
		{"Update", func() error {
			after := next(rec)
			after.Epoch = epoch
			err := s.Update(t.Context(), key, rec.Version, after, opt)
			rec = after
			return err
		}},
		{"Begin", func() error {
			begun, err := s.Begin(t.Context(), key, store.Beginning{
				Version: rec.Version, Owner: "us", TTL: time.Hour, Intent: store.Intent{Token: [32]byte{1}},
			}, opt)
			epoch = begun.Epoch
			return err
		}},
		{"Renew", func() error { return s.Renew(t.Context(), key, "us", epoch, time.Hour, opt) }},
		{"Update that gives the lease back", func() error {
			after := next(rec)
			after.Epoch, after.Release = epoch, "us"
			err := s.Update(t.Context(), key, rec.Version, after, opt)
			rec = after
			return err
		}},
		{"Touch", func() error { return s.Touch(t.Context(), key, time.Hour, opt) }},
		{"Release", func() error { return s.Release(t.Context(), key, "us", epoch, opt) }},
		{"Find", func() error { _, err := s.Find(t.Context(), rec.Index, opt); return err }},
		{"Due", func() error { _, err := s.Due(t.Context(), 0, 10, store.Ref{}, 10, opt); return err }},
		{"ClaimDue", func() error { _, err := s.ClaimDue(t.Context(), 10, 10, time.Hour, opt); return err }},
		{"EndAll", func() error {
			_, err := s.EndAll(t.Context(), []store.Ref{{Key: keyOf(7)}, {Key: keyOf(8)}}, store.Ending{Reason: session.ReasonCeiling, Stands: time.Hour}, opt)
			return err
		}},
		{"End", func() error {
			return s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt)
		}},
		{"Transactions.Put", func() error { return s.Transactions().Put(t.Context(), "k", nil, time.Hour, opt) }},
		{"Transactions.Get", func() error { _, err := s.Transactions().Get(t.Context(), "k", opt); return err }},
		{"Transactions.Take", func() error { _, err := s.Transactions().Take(t.Context(), "k", opt); return err }},
	}
	for _, op := range operations { // the first time, a statement is prepared
		must(t, op.do())
		s.Settle()
	}
	for _, op := range operations {
		var err error
		if n := r.count(func() { err = op.do() }); n != 1 {
			t.Errorf("%s takes %d round trips, want 1", op.name, n)
		}
		must(t, err)
		s.Settle()
	}
	large := record(func(r *store.Record) { r.Sealed = make([]byte, 1<<20) })
	if n := r.count(func() { must(t, s.Replace(t.Context(), key, large, opt)) }); n != 1 {
		t.Errorf("Replace of 1 MiB takes %d round trips, want 1", n)
	}
}

// A write is acknowledged when it is committed, not when it is executed: of an answer that ends
// in between the outcome is not known. A read is repeated.
func TestUpdate_isNotDoneUntilTheServerHasCommitted(t *testing.T) {
	h := newHome(t)
	r := newRelay(t, h.server.Addr())
	h.url = r.through(t, h.url)
	s := h.open(postgres.PoolSize(1))
	rec := record()
	must(t, s.Replace(t.Context(), keyOf(1), rec, store.Options{}))
	s.Settle()
	_, err := s.Load(t.Context(), keyOf(1), store.Options{})
	must(t, err)
	first := next(rec)
	must(t, s.Update(t.Context(), keyOf(1), rec.Version, first, store.Options{})) // prepared now

	second := next(first)
	r.withhold()
	err = s.Update(t.Context(), keyOf(1), first.Version, second, store.Options{})
	var failed *postgres.Error
	if !errors.As(err, &failed) { // a second try would be a conflict
		t.Errorf("Update: err = %v, want one that leaves it open", err)
	}
	got, err := s.Load(t.Context(), keyOf(1), store.Options{})
	must(t, err)
	if got.Version != second.Version {
		t.Errorf("the version is %v, want %v: the server had done it", got.Version, second.Version)
	}
	r.withhold()
	got, err = s.Load(t.Context(), keyOf(1), store.Options{})
	if err != nil || got.Version != second.Version {
		t.Errorf("a Load whose answer was cut: %v, %v", got.Version, err)
	}
}

// The server ends connections that have been idle for a while: no caller notices.
func TestConnections_endedByTheServerWhileIdle(t *testing.T) {
	h := newHome(t)
	h.url += "&application_name=" + h.schema
	s := h.open()
	rec := record()
	must(t, s.Replace(t.Context(), keyOf(1), rec, store.Options{}))
	s.Settle()
	h.exec("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()", h.schema)
	idle := make(chan struct{})
	clock.System().AfterFunc(1100*time.Millisecond, func() { close(idle) })
	<-idle
	must(t, s.Update(t.Context(), keyOf(1), rec.Version, next(rec), store.Options{}))
}

// Connections that were cut while they were idle cost no call, or one: the next finds them
// replaced.
func TestConnections_areReplacedWhenCut(t *testing.T) {
	h := newHome(t)
	r := newRelay(t, h.server.Addr())
	h.url = r.through(t, h.url)
	s := h.open()
	rec := record()
	must(t, s.Replace(t.Context(), keyOf(1), rec, store.Options{}))
	for range 5 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = s.Load(t.Context(), keyOf(1), store.Options{}) })
		}
		wg.Wait()
		r.cut()
		if _, err := s.Load(t.Context(), keyOf(1), store.Options{}); err != nil {
			t.Errorf("a read after the connections were cut: %v", err)
		}
		after := next(rec)
		must(t, s.Update(t.Context(), keyOf(1), rec.Version, after, store.Options{}))
		rec = after
	}
}

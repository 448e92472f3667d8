package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/remote"
)

// host is what the store keeps of a host whose pool it uses.
type host struct {
	beforeConnect func(context.Context, *pgx.ConnConfig) error // may be nil
	late          context.Context                              // of calls: ends when Close waits for them no longer
	cut           context.CancelFunc
}

// New returns the store in the database of a pool that the host has already; Open says what else it does. The store's calls
// take connections from that pool, one each and never two, so the host must not wait for a call of tokenward's while it holds a connection itself: where all of
// a pool's connections are held so, none is left. They then fail when their deadline passes.
//
// A Watch listens on a connection of its own, beside the pool. It is made as the pool makes its own, with its DialFunc, TLS and BeforeConnect; where
// the pool leads through PgBouncer, ListenURL is the way around it.
//
// The pool stays the host's, and Close leaves it open. Where a connection turns out to be broken, or to lead to a server that takes no writes any more, the
// store calls Reset of the pool: unused connections are made anew.
//
// Of the pool is asked that its transactions are read committed by default, and that with several hosts it has target_session_attrs=read-write. That
// is worth setting with one host too: after a failover its name may lead to a standby for a while, and reads there are old.
//
// It fails with an *OpenError: BadPool where the pool will not do.
func New(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Store, error) {
	s, o, err := newStore(opts)
	if err != nil {
		return nil, err
	}
	if pool == nil {
		return nil, &OpenError{Why: BadPool, Detail: "it is nil"}
	}
	config := pool.Config() // a copy
	if several(config.ConnConfig) && config.ConnConfig.ValidateConnect == nil {
		return nil, &OpenError{Why: BadPool, Detail: "of its several hosts some may be standbys: add target_session_attrs=read-write"}
	}
	s.passwords = append(s.passwords, config.ConnConfig.Password)
	own := config.ConnConfig
	own.DialFunc = s.wires.by(own.DialFunc)
	if s.listening, err = s.listenBy(o, own); err != nil {
		return nil, err
	}
	s.pool, s.host = pool, new(host)
	if o.listenURL == "" {
		s.host.beforeConnect = config.BeforeConnect
	}
	s.host.late, s.host.cut = context.WithCancel(context.Background())
	if err := s.join(ctx); err != nil {
		_ = s.Close()
		return nil, s.refused(ctx, err)
	}
	return s, nil
}

// join looks at the server of the host's pool, and brings the schema up to date.
func (s *Store) join(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = s.prepare(ctx, conn.Conn())
	return err
}

// unfit says that transactions of the host's pool are of another isolation.
func unfit(isolation string) error {
	return &OpenError{Why: BadPool, Detail: "its default_transaction_isolation is " + strconv.Quote(isolation) +
		`: set it to "read committed" in RuntimeParams of its ConnConfig, or give Open the URL`}
}

// several reports whether c leads to more than one server.
func several(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks { // of one server there may be two, with TLS and without
		if f.Host != c.Host && !strings.HasPrefix(f.Host, "/") || f.Port != c.Port {
			return true
		}
	}
	return false
}

// during returns the context of a call on the pool, and what the call does at its end. Close waits for the call, and in the
// end cuts it off: the pool's connections are not the store's to close.
func (h *host) during(ctx context.Context, life *remote.Life) (context.Context, func(), error) {
	if !life.Begin() {
		return nil, nil, ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	uncut := context.AfterFunc(h.late, cancel)
	return ctx, func() {
		uncut()
		cancel()
		life.End()
	}, nil
}

// leave is Close on a pool of the host's.
func (s *Store) leave() {
	var late clock.Timer
	s.life.Close(func() { late = s.clock.AfterFunc(closePatience, s.host.cut) })
	if late != nil {
		late.Stop()
	}
	s.host.cut()
	s.wires.cut()
}

package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/remote"
)

// listenPatience is how long it may take until the first notice arrives, which is our own.
const listenPatience = 10 * time.Second

// listener is a connection on which notices arrive.
type listener struct {
	s    *Store
	conn *pgx.Conn
}

var (
	errSilent = errors.New("the server does not answer")
	errProbe  = errors.New("no notice arrives: a pooler may stand in between, see ListenURL")
)

// listen returns a listener on which a notice has arrived: not every connection on which
// LISTEN succeeds is one, for behind a pooler it may be another's a moment later.
func (s *Store) listen(ctx context.Context) (*listener, error) {
	soon, cancel := clock.WithTimeout(ctx, s.clock, listenPatience)
	defer cancel()
	config := s.listening
	if s.host != nil && s.host.beforeConnect != nil { // it may have a password that changes
		config = config.Copy()
		if err := s.host.beforeConnect(soon, config); err != nil {
			return nil, err
		}
	}
	conn, err := pgx.ConnectConfig(soon, config)
	if err != nil {
		return nil, err
	}
	l := &listener{s, conn}
	if err := l.prove(soon); err != nil {
		l.hangUp()
		return nil, err
	}
	return l, nil
}

func (l *listener) prove(ctx context.Context) error {
	if l.conn.PgConn().ParameterStatus("in_hot_standby") == "on" {
		return errStandby
	}
	if _, err := l.conn.Exec(ctx, `LISTEN "`+channel(l.s.schema)+`"`); err != nil {
		return err
	}
	probe := "probe:" + rand.Text()
	if err := l.s.row(ctx, opProbe, []any{probe}, nil); err != nil {
		return err
	}
	for {
		n, err := l.conn.WaitForNotification(ctx)
		if n != nil && n.Payload == probe {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errProbe, err)
		}
	}
}

// read calls add for each notice, until ctx ends or the connection is dead.
func (l *listener) read(ctx context.Context, add func(remote.Notice)) error {
	for {
		n, err := l.next(ctx)
		if err != nil {
			return err
		}
		if change, ok := parseNotice(n.Payload); ok {
			add(change)
		}
	}
}

// next waits for a notice. When none came for as long as the pings are apart, the server must
// answer in that time: the kernel alone does not find out that it hangs.
func (l *listener) next(ctx context.Context) (*pgconn.Notification, error) {
	for {
		n, err := l.wait(ctx)
		if n != nil {
			return n, nil
		}
		if ctx.Err() != nil || l.conn.IsClosed() {
			return nil, err
		}
		if err := l.ping(ctx); err != nil {
			return nil, err
		}
	}
}

func (l *listener) wait(ctx context.Context) (*pgconn.Notification, error) {
	ctx, cancel := clock.WithTimeout(ctx, l.s.clock, l.s.pings)
	defer cancel()
	return l.conn.WaitForNotification(ctx)
}

func (l *listener) ping(ctx context.Context) error {
	soon, cancel := clock.WithTimeout(ctx, l.s.clock, l.s.pings)
	defer cancel()
	err := l.conn.Ping(soon)
	if err != nil && soon.Err() != nil {
		return errSilent
	}
	return err
}

// hangUp closes the connection without waiting for the server.
func (l *listener) hangUp() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = l.conn.Close(ended)
}

// parseNotice reads what the functions of the schema send.
func parseNotice(payload string) (n remote.Notice, ok bool) {
	key, version, _ := strings.Cut(payload, ":")
	k, errKey := hex.DecodeString(key)
	v, errVersion := hex.DecodeString(version)
	return n, errKey == nil && errVersion == nil && read(n.Key[:], k) && read(n.Version[:], v)
}

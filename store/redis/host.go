package redis

import (
	"context"
	"errors"
	"fmt"
	"net"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/remote"
)

// The client that a host has already. Its connections are shared by calls that must not be cut off, and are retried; the
// store makes its own, in the way of that client.

// dialer makes a connection to where a client's commands go now.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// New returns the store at the server that the host's client talks to: a client of goredis.NewClient, or of goredis.NewFailoverClient, which
// asks Sentinel where the primary is. goredis.NewUniversalClient makes either.
//
// The store opens connections of its own, as many as the client's PoolSize at most, and one or two for each Watch. It makes
// them as the client does, with its Dialer, TLS, credentials, OnConnect, database and timeouts, and in three points otherwise: commands are never
// repeated, whatever MaxRetries says, for a script that has taken effect must not run twice; a call is cut off when its context ends, also without
// ContextTimeoutEnabled; a timeout that the client lacks is 5 s. Hooks, Limiter and client-side caches of the client are not asked. TLS of this
// package's options changes nothing.
//
// The client stays the host's: the store never closes it, and asks it for nothing. Close the store first, for a failover client that was closed
// may leave what asks Sentinel running.
//
// It fails with an *OpenError, and has changed nothing then: with Why Cluster for a *goredis.ClusterClient, BadClient for a *goredis.Ring or another type.
func New(ctx context.Context, client goredis.UniversalClient, opts ...Option) (*Store, error) {
	c, ok := client.(*goredis.Client)
	switch client := client.(type) {
	case *goredis.ClusterClient:
		return nil, &OpenError{Why: Cluster, Detail: "an index over all sessions lies on one node, and sessions would lie on others; " +
			"give the client of a single server, or of NewFailoverClient"}
	case *goredis.Ring:
		return nil, &OpenError{Why: BadClient, Detail: "a Ring spreads keys over servers that know nothing of each other; give the client of one of them"}
	default:
		if !ok || c == nil {
			return nil, &OpenError{Why: BadClient, Detail: fmt.Sprintf("want a *redis.Client of github.com/redis/go-redis/v9, got %T", client)}
		}
	}
	config := *c.Options()
	dial := config.Dialer
	// A second pool for pipelines, caches, and what watches over the host's commands have no place on a line.
	config.PipelineReadBufferSize, config.PipelineWriteBufferSize, config.AutoPipelineOptions = 0, 0, nil
	config.ClientSideCache, config.ClientSideCacheConfig, config.PushNotificationProcessor, config.Limiter = nil, nil, nil, nil
	return open(ctx, adjust(&config, nil), dial, newOptions(opts))
}

// dialAsHost connects as the host's client does. Its dialer may take its time and heed no context: that of Sentinel with TLS heeds none. So it is
// waited for as long as the call lasts, and what comes later is closed.
func (s *Store) dialAsHost(ctx context.Context, network, addr string) (whole, socket net.Conn, err error) {
	type made struct {
		conn net.Conn
		err  error
	}
	if !s.life.Begin() {
		return nil, nil, ErrClosed
	}
	dialed := make(chan made)
	go func() {
		defer s.life.End()
		conn, err := s.dial(ctx, network, addr)
		select {
		case dialed <- made{conn, err}:
		case <-ctx.Done():
			if err == nil {
				_ = conn.Close()
			}
		}
	}()
	select {
	case m := <-dialed:
		if m.err != nil {
			return nil, nil, noAnswer(m.err)
		}
		socket = m.conn
		if encrypted, ok := m.conn.(interface{ NetConn() net.Conn }); ok {
			socket = encrypted.NetConn()
		}
		return m.conn, socket, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// noAnswer returns the error of a dialer so that it cannot be taken for the server's answer: that of Sentinel fails with what a
// sentinel has answered, and for a name that it does not know with redis.Nil.
func noAnswer(err error) error {
	switch {
	case errors.Is(err, goredis.Nil):
		return remote.PlainError("the sentinels know no primary by the client's MasterName")
	case errors.As(err, new(goredis.Error)):
		return remote.PlainError("on the way to the server: " + err.Error())
	}
	return err
}

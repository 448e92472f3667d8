package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/bolt"
	"github.com/tokenward/tokenward/store/postgres"
	"github.com/tokenward/tokenward/store/redis"
)

const storeUsage = "`where` sessions are kept: memory, bolt:FILE, redis://, postgres:// or cookie (default bolt in a temporary folder)"

// durable are the kinds of store whose sessions outlive the process.
var durable = []string{"bolt:", "redis://", "rediss://", "postgres://", "postgresql://"}

// checkStore returns an error for a -store that cannot be used. It does not connect to it.
func (s settings) checkStore() error {
	switch s.store {
	case "", "memory", "cookie":
		return nil
	case "bolt:":
		return errors.New("-store: bolt: wants the path of a file, as bolt:sessions.db")
	}
	for _, kind := range durable {
		switch {
		case !strings.HasPrefix(s.store, kind):
		case s.secret == "":
			return fmt.Errorf("-store: what %s keeps, nobody could open next time with a random secret; give -secret too", kind)
		default:
			return nil
		}
	}
	return errors.New("-store: must be memory, bolt:FILE, redis://..., postgres://... or cookie") // what was given may hold a password
}

// patienceToOpen is how long a store may take to answer for the first time.
const patienceToOpen = 10 * time.Second

// openStore opens what -store says; its error names the flag. closeStore is for when the
// client has been closed.
func (s settings) openStore(log *zap.Logger) (opts []tokenward.Option, closeStore func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceToOpen)
	defer cancel()
	kind, rest, _ := strings.Cut(s.store, ":")
	closeStore = func() error { return nil }
	switch {
	case s.store == "memory":
	case s.store == "cookie":
		opts = append(opts, tokenward.WithStatelessSessions())
	case s.store == "":
		opts, closeStore, err = openTemporary(log)
	case kind == "bolt":
		b, failed := bolt.Open(rest, bolt.Logger(log))
		if err = failed; err == nil {
			opts, closeStore = append(opts, tokenward.WithStateStore(b)), b.Close
		}
	case kind == "redis", kind == "rediss":
		r, failed := redis.Open(ctx, s.store, redis.Logger(log))
		if err = failed; err == nil {
			opts, closeStore = append(opts, tokenward.WithStateStore(r)), r.Close
		}
	default:
		p, failed := postgres.Open(ctx, s.store, postgres.Logger(log))
		if err = failed; err == nil {
			opts, closeStore = append(opts, tokenward.WithStateStore(p)), p.Close
		}
	}
	if err != nil {
		return nil, func() error { return nil }, fmt.Errorf("-store: %w", err)
	}
	return opts, closeStore, nil
}

// openTemporary opens a file in a folder that goes with the process.
func openTemporary(log *zap.Logger) (opts []tokenward.Option, closeStore func() error, err error) {
	folder, err := os.MkdirTemp("", "tokenward-demo-")
	if err != nil {
		return nil, nil, err
	}
	b, err := bolt.Open(filepath.Join(folder, "sessions.db"), bolt.Logger(log))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(folder))
	}
	return []tokenward.Option{tokenward.WithStateStore(b)}, func() error { return errors.Join(b.Close(), os.RemoveAll(folder)) }, nil
}

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tokenward/tokenward"
)

const storeUsage = "`where` sessions are kept: memory, which forgets them with the process (the default), or cookie"

// durable are the kinds of store whose sessions outlive the process.
var durable = []string{"bolt:", "redis://", "rediss://", "postgres://", "postgresql://"}

// checkStore finds what is wrong with -store without asking it.
func (s settings) checkStore() error {
	switch s.store {
	case "", "memory", "cookie":
		return nil
	}
	for _, kind := range durable {
		switch {
		case !strings.HasPrefix(s.store, kind):
		case s.secret == "":
			return fmt.Errorf("-store: what %s keeps, nobody could open next time with a random secret; give -secret too", kind)
		default:
			return fmt.Errorf("-store: %s is not available yet", kind)
		}
	}
	return errors.New("-store: must be memory or cookie") // what was given may hold a password
}

// openStore opens what -store says; its error names the flag. closeStore is for when the
// client has been closed.
func (s settings) openStore() (opts []tokenward.Option, closeStore func() error, err error) {
	if s.store == "cookie" {
		opts = append(opts, tokenward.WithStatelessSessions())
	}
	return opts, func() error { return nil }, nil
}

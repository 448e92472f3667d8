package redis

import (
	"crypto/tls"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// Option changes what Open returns. Each has a working default.
type Option func(*options)

type options struct {
	prefix     string
	clock      clock.Clock
	tombstones time.Duration
	log        *zap.Logger
	tls        *tls.Config
	pings      time.Duration
}

// longestPings is the longest interval with which a dead connection is found in time.
const longestPings = 4 * time.Second

func newOptions(opts []Option) options {
	o := options{
		prefix:     "tokenward:",
		clock:      clock.System(),
		tombstones: store.DefaultTombstoneLife,
		log:        zap.NewNop(),
		pings:      3 * time.Second,
	}
	for _, opt := range opts {
		opt(&o)
	}
	if o.clock == nil {
		o.clock = clock.System()
	}
	if o.log == nil {
		o.log = zap.NewNop()
	}
	return o
}

// Prefix sets what the names of all keys and channels begin with, instead of
// "tokenward:". Stores with different prefixes know nothing of each other.
func Prefix(p string) Option { return func(o *options) { o.prefix = p } }

// Clock sets the clock by which a watcher pings. It judges nothing that is stored:
// leases, TTLs, tombstones and claims lapse by the server's clock. The default, and what
// nil means, is the machine's.
func Clock(c clock.Clock) Option { return func(o *options) { o.clock = c } }

// TombstoneLife sets how long a tombstone stands, and a lease epoch is remembered once
// its record has gone, instead of store.DefaultTombstoneLife. All processes should agree.
func TombstoneLife(d time.Duration) Option { return func(o *options) { o.tombstones = d } }

// Logger says where Open reports what it found. The default is nowhere. The client
// library has one logger for the whole program, which this package leaves alone.
func Logger(l *zap.Logger) Option { return func(o *options) { o.log = l } }

// TLS sets whom to trust, and with which certificate to answer, for a rediss URL.
// The default is what the machine trusts. Where it has no ServerName, the host of the
// URL is expected.
func TLS(c *tls.Config) Option { return func(o *options) { o.tls = c } }

// Pings sets how often a watcher asks whether its connection still lives, instead of
// every 3 s; 4 s at most. A dead one is found after two of them.
func Pings(every time.Duration) Option {
	return func(o *options) { o.pings = min(every, longestPings) }
}

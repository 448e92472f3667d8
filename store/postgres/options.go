package postgres

import (
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// Option changes what Open returns. Each has a working default.
type Option func(*options)

type options struct {
	schema     string
	noDDL      bool
	clock      clock.Clock
	tombstones time.Duration
	log        *zap.Logger
	connsMax   int32
	listenURL  string
	pings      time.Duration

	instant string // SQL for the present instant
	oldest  int    // major version of the oldest server that will do
}

const (
	defaultPings  = 3 * time.Second
	longestPings  = 4 * time.Second // with which a dead connection is still found in time
	shortestPings = 10 * time.Millisecond
)

func newOptions(opts []Option) options {
	o := options{
		schema:     "tokenward",
		clock:      clock.System(),
		tombstones: store.DefaultTombstoneLife,
		log:        zap.NewNop(),
		pings:      defaultPings,
		instant:    presentInstant,
		oldest:     14,
	}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Schema sets the schema that everything is in, instead of "tokenward": lower-case letters,
// digits and underscores, 48 at most. Stores in different schemas know nothing of each other.
func Schema(name string) Option { return func(o *options) { o.schema = name } }

// NoDDL has Open and New change nothing of the schema, for a team whose application may not: the host applies Migrations before. They fail
// with an *OpenError where one has not been applied, and name it.
func NoDDL() Option { return func(o *options) { o.noDDL = true } }

// Clock sets the clock for what this process waits for: a watcher's pings, the end of
// Close. It judges nothing that is stored. The default is the machine's.
func Clock(c clock.Clock) Option { return func(o *options) { o.clock = c } }

// TombstoneLife sets how long a tombstone stands, instead of store.DefaultTombstoneLife.
func TombstoneLife(d time.Duration) Option { return func(o *options) { o.tombstones = d } }

// Logger says where migrations, and failures in the background, are reported. The default
// is nowhere.
func Logger(l *zap.Logger) Option { return func(o *options) { o.log = l } }

// PoolSize sets how many connections there are at most, a watcher's own not counted. The
// default is what the URL says (pool_max_conns), or else one for each processor, 4 at least. A pool that New is given keeps its size.
func PoolSize(n int) Option {
	return func(o *options) { o.connsMax = int32(min(max(1, n), math.MaxInt32)) }
}

// ListenURL sets how Watch connects, where a pooler stands in the way of the other
// connections. It must lead to the same database. The default is the URL of Open, or what the pool of New connects by.
func ListenURL(url string) Option { return func(o *options) { o.listenURL = url } }

// Pings sets how often a watcher that hears nothing asks whether its connection still
// lives, and how long the answer may take, instead of 3 s; 4 s at most. A dead one is found
// after two of them.
func Pings(every time.Duration) Option {
	return func(o *options) { o.pings = min(max(every, shortestPings), longestPings) }
}

package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"
)

// format is the number of the layout that the scripts write. A later release that needs
// another one raises it, and refuses to share the keys with this one.
const format = 1

// needed is the oldest version of Redis that will do.
const needed = 7

// page is how many sessions one script looks at. Redis does nothing else meanwhile.
const page = 500

// Open connects to the Redis at url:
//
//	redis://user:password@host:6379/0
//	rediss://user:password@host:6379/0     with TLS
//	unix://user:password@/path?db=0        over a socket
//
// User, password, port and the number of the database may be left out. What the client
// library (github.com/redis/go-redis/v9, ParseURL) takes as parameters of the query is
// taken here too, as pool_size=50 or read_timeout=2s; it is never told to repeat a command.
//
// It fails with an *OpenError, and has changed nothing then. Whoever opens a store
// closes it.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	o := newOptions(opts)
	config, err := goredis.ParseURL(url)
	if err != nil || config.DB < 0 { // the text of err may quote the password
		return nil, &OpenError{Why: BadURL, Detail: "want redis://user:password@host:port/database, or rediss:// or unix://"}
	}
	s := &Store{
		scripts:    scripts(""),
		prefix:     o.prefix,
		channel:    o.prefix + "changes:" + strconv.Itoa(config.DB), // channels know no databases
		tombstones: o.tombstones,
		pings:      o.pings,
		clock:      o.clock,
		log:        o.log,
		page:       page,
		password:   config.Password,
	}
	s.life, s.stop = context.WithCancel(context.Background())
	s.config = adjust(config, o.tls)
	s.lines = newLines(s.config.PoolSize)
	if err = s.greet(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// adjust makes the client library do what this package promises.
func adjust(c *goredis.Options, tlsConfig *tls.Config) *goredis.Options {
	c.MaxRetries = -1               // see the package comment
	c.DialerRetries = 1             // whoever calls tries again
	c.Protocol = 2                  // version 3 has nothing that is needed here
	c.ContextTimeoutEnabled = false // line looks after contexts
	c.DisableIdentity = true
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	for _, d := range []*time.Duration{&c.DialTimeout, &c.ReadTimeout, &c.WriteTimeout} {
		if *d <= 0 { // a call without end would hold its connection for good
			*d = 5 * time.Second
		}
	}
	if c.TLSConfig != nil && tlsConfig != nil {
		merged := tlsConfig.Clone()
		if merged.ServerName == "" {
			merged.ServerName = c.TLSConfig.ServerName
		}
		merged.InsecureSkipVerify = merged.InsecureSkipVerify || c.TLSConfig.InsecureSkipVerify
		c.TLSConfig = merged
	}
	if c.PoolSize <= 0 {
		c.PoolSize = 10 * runtime.GOMAXPROCS(0)
	}
	return c
}

// greet finds out whether the server will do, and claims the prefix for this format.
func (s *Store) greet(ctx context.Context) error {
	text, err := call(ctx, s, opening, func(ctx context.Context, c *goredis.Client) (string, error) {
		return c.Info(ctx).Result()
	})
	if err != nil {
		return s.refused(err)
	}
	info := parseInfo(text)
	if err = fit(info); err != nil {
		return err
	}
	if _, err = call(ctx, s, opening, s.teach); err != nil {
		return s.refused(err)
	}
	answer, err := s.runAll(ctx, opening, format, s.channel)
	if err != nil {
		return s.refused(err)
	}
	found, _ := at[string](answer, 0)
	n, err := strconv.Atoi(found)
	switch {
	case err != nil || n < 1:
		return &OpenError{Why: Failed, Detail: "the keys that begin with " + strconv.Quote(s.prefix) + " are not ours"}
	case n > format:
		return &OpenError{Why: NewerFormat, Detail: fmt.Sprintf("format %d, and this release knows %d", n, format)}
	}
	s.report(info)
	return nil
}

// teach has the server keep the scripts, so that the first calls cost no more than the
// later ones.
func (s *Store) teach(ctx context.Context, c *goredis.Client) (int, error) {
	_, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, sc := range s.scripts {
			p.ScriptLoad(ctx, sc.text)
		}
		return nil
	})
	return len(s.scripts), err
}

func (s *Store) refused(err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // as call returns it
		err = e.Err
	}
	return &OpenError{Why: refusal(err), Err: err}
}

// fit says why a server will not do, by what INFO tells of it.
func fit(info map[string]string) error {
	version, known := info["redis_version"]
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	switch {
	case !known || err != nil:
		return &OpenError{Why: Unreachable, Detail: "what answers there is no Redis"}
	case n < needed:
		return &OpenError{Why: TooOld, Detail: fmt.Sprintf("it is version %q, and Redis %d.0 is needed", version, needed)}
	case info["cluster_enabled"] == "1", info["redis_mode"] == "cluster", info["redis_mode"] == "sentinel":
		return &OpenError{Why: Cluster, Detail: "a single server, or a primary with replicas, is needed"}
	case info["role"] == "slave":
		return &OpenError{Why: Replica, Detail: "it takes no writes"}
	}
	return nil
}

// report warns of what a host may not have meant.
func (s *Store) report(info map[string]string) {
	if policy := info["maxmemory_policy"]; info["maxmemory"] != "0" && policy != "noeviction" {
		s.log.Warn("Redis may evict sessions: its maxmemory-policy should be noeviction", zap.String("policy", policy))
	}
	if info["aof_enabled"] == "0" {
		s.log.Warn("Redis has no append-only file: a restart of the server loses sessions")
	}
}

// parseInfo returns the answer to INFO by its names.
func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

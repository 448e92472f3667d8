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

	"github.com/tokenward/tokenward/internal/remote"
)

// format is the number of the layout that the scripts write. A later release that needs
// another one raises it, and refuses to share the keys with this one.
//
// Format 2 says whether a record holds connection tokens, and of a tombstone whose it is and what
// a ceiling left. It reads format 1 as it stands.
const format = 2

// needed is the oldest version of Redis that will do.
const needed = 7

// page is how many sessions one script looks at. Redis does nothing else during that.
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
// It fails with an *OpenError, and has changed nothing then: also where Redis does not answer (Unreachable), and the program tries
// again by itself. A Redis that goes away later is waited for. The caller closes the store. New is for a host that has a client already, and for Sentinel.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	o := newOptions(opts)
	config, err := goredis.ParseURL(url)
	if err != nil || config.DB < 0 { // the text of err may quote the password
		return nil, &OpenError{Why: BadURL, Detail: "want redis://user:password@host:port/database, or rediss:// or unix://"}
	}
	return open(ctx, adjust(config, o.tls), nil, o)
}

// open returns the store that connections of config lead to, made by dial or, where that is nil, as config says.
func open(ctx context.Context, config *goredis.Options, dial dialer, o options) (*Store, error) {
	s := &Store{
		config:     config,
		dial:       dial,
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
	s.life = remote.NewLife()
	s.lines = newLines(s.config.PoolSize)
	if err := s.greet(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// adjust makes the client library do what this package promises.
func adjust(c *goredis.Options, tlsConfig *tls.Config) *goredis.Options {
	c.MaxRetries = -1               // see the package comment
	c.DialerRetries = 1             // the caller tries again
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
	info, err := call(ctx, s, opening, func(ctx context.Context, c *goredis.Client) (map[string]string, error) {
		return inform(ctx, c)
	})
	if err != nil {
		return s.refused(err)
	}
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
	if denied, _ := at[string](answer, 1); denied != "" {
		return &OpenError{Why: Denied, Detail: "its user may not run all commands that are needed: ACL SETUSER NAME +" +
			strings.ReplaceAll(denied, " ", " +") + " ~" + s.prefix + "* &" + s.prefix + "*"}
	}
	found, _ := at[string](answer, 0)
	n, err := strconv.Atoi(found)
	switch {
	case err != nil || n < 1:
		return &OpenError{Why: Failed, Detail: "the keys that begin with " + strconv.Quote(s.prefix) + " are not ours"}
	case n > format:
		return &OpenError{Why: NewerFormat, Detail: fmt.Sprintf("format %d, and this release knows %d: start the release that wrote it, or a later one", n, format)}
	}
	s.report(info)
	return nil
}

// teach has the server keep the scripts, so that the first calls cost no more than the
// later ones. A user who may not run what comes later, EVAL where the server has lost them, PING and TIME, is
// refused here.
func (s *Store) teach(ctx context.Context, c *goredis.Client) (int, error) {
	_, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, sc := range s.scripts {
			p.ScriptLoad(ctx, sc.text)
		}
		p.Eval(ctx, "return 1", nil)
		p.Ping(ctx)
		p.Do(ctx, "time")
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
	case info["redis_mode"] == "sentinel":
		return &OpenError{Why: Cluster, Detail: "it is a sentinel: give New a client of redis.NewFailoverClient"}
	case info["cluster_enabled"] == "1", info["redis_mode"] == "cluster":
		return &OpenError{Why: Cluster, Detail: "a single server, or a primary with replicas, is needed"}
	case isReplica(info):
		return &OpenError{Why: Replica, Detail: "it takes no writes"}
	}
	return nil
}

// report warns of what a host may not have meant.
func (s *Store) report(info map[string]string) {
	if _, known := info["aof_enabled"]; !known {
		s.log.Warn("Redis does not let this user run INFO: whether it evicts sessions, or keeps them over a restart, " +
			"is not looked at, nor whether it was a replica between two pings; allow it with ACL SETUSER NAME +info")
		return
	}
	if policy := info["maxmemory_policy"]; info["maxmemory"] != "0" && policy != "noeviction" {
		s.log.Warn("Redis may evict sessions: its maxmemory-policy should be noeviction", zap.String("policy", policy))
	}
	if info["aof_enabled"] == "0" {
		s.log.Warn("Redis has no append-only file: a restart of the server loses sessions")
	}
}

// inform returns what the server tells of itself: by INFO, or less of it by HELLO, which every user may run,
// where the user may not run INFO. It is among the commands that Redis calls dangerous.
func inform(ctx context.Context, c *goredis.Client, sections ...string) (map[string]string, error) {
	text, err := c.Info(ctx, sections...).Result()
	if err == nil || !goredis.IsPermissionError(err) {
		return parseInfo(text), err
	}
	answer, err := c.Do(ctx, "hello").Slice() // the client library speaks version 2: names and values in turn
	if err != nil {
		return nil, err
	}
	info := make(map[string]string)
	for i := 0; i+1 < len(answer); i += 2 {
		name, _ := answer[i].(string)
		value, _ := answer[i+1].(string)
		switch name {
		case "version", "mode":
			name = "redis_" + name
		}
		info[name] = value
	}
	return info, nil
}

// isReplica reports whether the server takes its writes from another one. HELLO calls that by a newer name than INFO.
func isReplica(info map[string]string) bool {
	return info["role"] == "slave" || info["role"] == "replica"
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

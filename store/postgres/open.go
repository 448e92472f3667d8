package postgres

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/remote"
)

// Open connects to the database that url names, sets up the schema or brings it up to
// date, and returns the store in it. Of several processes that open it at once one does that,
// and the others wait for it. It fails with an *OpenError. New is for a host that has a pool already.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	s, o, err := newStore(opts)
	if err != nil {
		return nil, err
	}
	config, err := s.parse(url)
	if err != nil {
		return nil, err
	}
	if s.listening, err = s.listenBy(o, config.ConnConfig); err != nil {
		return nil, err
	}
	if o.connsMax > 0 {
		config.MaxConns = o.connsMax
	}
	if err = s.start(ctx, config); err != nil {
		s.life.Close(func() {
			s.wires.cut()
			if s.pool != nil {
				s.pool.Close()
			}
		})
		return nil, s.refused(ctx, err)
	}
	return s, nil
}

// newStore returns a store that is not connected.
func newStore(opts []Option) (*Store, options, error) {
	o := newOptions(opts)
	if !schemaName.MatchString(o.schema) {
		return nil, o, &OpenError{Why: BadSchema, Detail: strconv.Quote(o.schema)}
	}
	s := &Store{
		wires: newWires(), schema: o.schema, noDDL: o.noDDL, tombstones: o.tombstones, pings: o.pings, oldest: o.oldest,
		clock: o.clock, log: o.log, life: remote.NewLife(),
	}
	s.writes.Store(collectEvery - 1) // the first write collects
	s.fill = filler(o.schema, o.instant).Replace
	for op := range statements {
		s.sql[op] = s.fill(statements[op].sql)
	}
	return s, o, nil
}

// listenBy returns how Watch connects: as ListenURL says, else as otherwise.
func (s *Store) listenBy(o options, otherwise *pgx.ConnConfig) (*pgx.ConnConfig, error) {
	if o.listenURL == "" {
		return otherwise, nil
	}
	listen, err := s.parse(o.listenURL)
	if err != nil {
		return nil, err
	}
	return listen.ConnConfig, nil
}

// start connects, looks at the server, and sets up the schema.
func (s *Store) start(ctx context.Context, config *pgxpool.Config) (err error) {
	if s.pool, err = pgxpool.NewWithConfig(s.life, config); err != nil {
		return err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	isolation, err := s.prepare(ctx, conn.Conn())
	conn.Release()
	if err != nil || isolation == readCommitted {
		return err
	}
	// What a function reads under a lock must have been read after it waited for it.
	s.pool.Close()
	config.ConnConfig.RuntimeParams["default_transaction_isolation"] = readCommitted
	if s.pool, err = pgxpool.NewWithConfig(s.life, config); err != nil {
		return err
	}
	if conn, err = s.pool.Acquire(ctx); err == nil {
		conn.Release()
	}
	return err
}

// prepare looks at the server, and brings the schema up to date. It returns the isolation of the server's transactions.
func (s *Store) prepare(ctx context.Context, conn *pgx.Conn) (isolation string, err error) {
	if isolation, err = s.inspect(ctx, conn); err != nil {
		return "", err
	}
	switch {
	case s.host != nil && isolation != readCommitted:
		return "", unfit(isolation)
	case s.noDDL:
		return isolation, s.checkSchema(ctx, conn)
	}
	return isolation, s.migrate(ctx, conn)
}

const readCommitted = "read committed"

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`)

// What hosts, databases and parameters cannot be named. Where a password was not escaped, its
// end is taken for one of them, and errors quote those.
var (
	noName      = regexp.MustCompile(`[@/?#\s]`)
	noParameter = regexp.MustCompile(`[^A-Za-z0-9_.]`)
)

// dialPatience is how long it may take to connect unless the URL says otherwise.
const dialPatience = 10 * time.Second

// parse returns what url says, and how we connect.
func (s *Store) parse(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil || !meant(config.ConnConfig, url) {
		// The cause quotes the URL.
		return nil, &OpenError{Why: BadURL, Detail: "expected postgres://user:password@host:port/database?sslmode=verify-full, escaped as in a URL"}
	}
	c := config.ConnConfig
	s.passwords = append(s.passwords, c.Password)
	c.DialFunc = s.wires.dial
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = dialPatience
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "tokenward"
	}
	config.BeforeConnect = func(context.Context, *pgx.ConnConfig) error {
		if s.standby.known() && !s.standby.allow(s.clock.Now()) {
			return errStandby
		}
		return nil
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		if conn.PgConn().ParameterStatus("in_hot_standby") == "on" {
			s.standby.allow(s.clock.Now())
			return errStandby
		}
		s.standby.forget()
		return nil
	}
	config.ShouldPing = broken
	return config, nil
}

// meant reports whether c, parsed from url, can be meant so.
func meant(c *pgx.ConnConfig, url string) bool {
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		if !strings.HasPrefix(host, "/") && noName.MatchString(host) { // else the folder of a socket
			return false
		}
	}
	for name := range c.RuntimeParams {
		if noParameter.MatchString(name) {
			return false
		}
	}
	// A text that is neither a URL nor key=value is taken for nothing at all.
	return !noName.MatchString(c.Database) && (url == "" || strings.ContainsAny(url, ":="))
}

var errStandby = errors.New("postgres: the server is a standby, which takes no writes")

// broken reports whether a connection that has been idle is seen to be closed, by looking
// at what has arrived and without a question to the server. Where it is, the pool's ping
// fails at once, and the pool takes another.
func broken(_ context.Context, p pgxpool.ShouldPingParams) bool {
	if p.IdleDuration < time.Second {
		return false
	}
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), time.Millisecond)
	defer cancel()
	var err error
	for err == nil { // a server that ends says so, and then hangs up
		_, err = p.Conn.PgConn().ReceiveMessage(ctx)
	}
	return p.Conn.IsClosed()
}

// inspect returns the isolation of the server's transactions. It fails when the server
// will not do.
func (s *Store) inspect(ctx context.Context, conn *pgx.Conn) (isolation string, err error) {
	version := conn.PgConn().ParameterStatus("server_version")
	if major, err := strconv.Atoi(leadingDigits(version)); err == nil && major < s.oldest {
		return "", &OpenError{Why: TooOld, Detail: "PostgreSQL " + version}
	}
	var standby bool // a pooler does not pass on the parameter that says so
	err = conn.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('default_transaction_isolation')",
		pgx.QueryExecModeExec).Scan(&standby, &isolation)
	if err == nil && standby {
		err = errStandby
	}
	return isolation, err
}

func leadingDigits(s string) string {
	return s[:strings.IndexFunc(s+".", func(r rune) bool { return r < '0' || r > '9' })]
}

package processes_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/testing/servers"
)

// serverLog is what a server itself says of how long it took for what it was asked.
type serverLog interface {
	// begin is called before the listings.
	begin(t *testing.T)
	// waited returns how long the server has been ready to run what lists, and had no processor, as Linux counts it; 0 elsewhere.
	waited(t *testing.T) time.Duration
	// slow is called after a page that took longer than slowQuery here.
	slow(t *testing.T, p slowPage)
	// judge says what the server says of those pages. It is an error where one took the server longer than slowQuery.
	judge(t *testing.T)
}

// slowPage is a page that took longer than slowQuery here, and how long the server has waited for a processor in that time.
type slowPage struct {
	asked, answered time.Time
	waited          time.Duration
}

// judged is a query of a listing that took the server longer than slowQuery.
type judged struct{ took, waited time.Duration }

// judgeAll fails a run of many sessions where queries took longer than slowQuery without the waiting for a processor.
func judgeAll(t *testing.T, here int, all []judged) {
	t.Helper()
	var longest, own time.Duration
	slow := 0
	for _, q := range all {
		longest, own = max(longest, q.took), max(own, q.took-q.waited)
		if q.took-q.waited > slowQuery {
			slow++
		}
	}
	t.Logf("%d pages took longer than %v here. Of these the server logged %d queries that took it longer, %v the longest; without its waiting for a processor %d, %v the longest",
		here, slowQuery, len(all), longest, slow, own)
	if slow > 0 && *listedFlag >= 100_000 { // make listing: it is no test of each commit that a disk is quick
		t.Errorf("%d queries of listings took the server longer than %v", slow, slowQuery)
	}
}

// queued returns how long the first thread of a process has been ready to run and had no processor.
func queued(t *testing.T, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid)) // time on a processor, time of waiting for one, how often: in ns
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(fields[1], 10, 64)
	must(t, err)
	return time.Duration(n)
}

// eachListed tells story once in each store whose server is installed here, with the server's log.
func eachListed(t *testing.T, story func(t *testing.T, h home, log serverLog)) {
	t.Run("redis", func(t *testing.T) {
		r := theRedis.Get(t)
		story(t, redisHome(r), &redisLog{url: r.URL(), pid: r.PID()})
	})
	t.Run("postgres", func(t *testing.T) {
		p := servers.NewPostgres(t,
			servers.PostgresSetting("logging_collector", "on"), servers.PostgresSetting("log_filename", "slow.log"), servers.PostgresSetting("log_rotation_age", "0"),
			servers.PostgresSetting("log_line_prefix", "%m %a "), servers.PostgresSetting("log_min_duration_statement", "10ms"),
			servers.PostgresSetting("log_checkpoints", "on"), servers.PostgresSetting("log_autovacuum_min_duration", "0"),
			servers.PostgresSetting("max_wal_size", "4GB"), servers.PostgresSetting("shared_buffers", "256MB"))
		h := postgresHome(p)
		story(t, h, &postgresLog{url: h.URL, file: filepath.Join(p.DataFolder(), "log", "slow.log")})
	})
}

// redisLog is the SLOWLOG of a Redis server: what each command took it, without the waiting for its turn.
type redisLog struct {
	url    string
	pid    int
	client *goredis.Client
	here   int
	all    []judged
}

func (l *redisLog) waited(t *testing.T) time.Duration { return queued(t, l.pid) }

func (l *redisLog) begin(t *testing.T) {
	o, err := goredis.ParseURL(l.url)
	must(t, err)
	l.client = goredis.NewClient(o)
	t.Cleanup(func() { _ = l.client.Close() })
	must(t, l.client.ConfigSet(t.Context(), "slowlog-log-slower-than", strconv.FormatInt(slowQuery.Microseconds(), 10)).Err())
	must(t, l.client.ConfigSet(t.Context(), "slowlog-max-len", "1000").Err())
	must(t, l.client.Do(t.Context(), "SLOWLOG", "RESET").Err())
}

func (l *redisLog) slow(t *testing.T, p slowPage) {
	logged, err := l.client.SlowLogGet(t.Context(), -1).Result()
	must(t, err)
	must(t, l.client.Do(t.Context(), "SLOWLOG", "RESET").Err())
	l.here++
	for _, one := range logged {
		l.all = append(l.all, judged{one.Duration, p.waited})
	}
}

func (l *redisLog) judge(t *testing.T) { judgeAll(t, l.here, l.all) }

// postgresLog is the log of a PostgreSQL server, which has each statement that took longer than 10 ms.
type postgresLog struct {
	url, file string
	from      int64 // where the log of the listings begins
	here      []slowPage
	pids      []int // the server's processes for the connections that list
}

func (l *postgresLog) waited(t *testing.T) (d time.Duration) {
	for _, pid := range l.pids {
		d += queued(t, pid)
	}
	return d
}

// begin has the server do at once what planting so many rows has left to be done: else the first to read them does it.
func (l *postgresLog) begin(t *testing.T) {
	c, err := pgx.Connect(t.Context(), l.url)
	must(t, err)
	defer func() { _ = c.Close(context.Background()) }()
	for _, sql := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		_, err := c.Exec(t.Context(), sql)
		must(t, err)
	}
	rows, err := c.Query(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = $1", operators)
	must(t, err)
	l.pids, err = pgx.CollectRows(rows, pgx.RowTo[int])
	must(t, err)
	info, err := os.Stat(l.file)
	must(t, err)
	l.from = info.Size()
}

func (l *postgresLog) slow(_ *testing.T, p slowPage) { l.here = append(l.here, p) }

func (l *postgresLog) judge(t *testing.T) {
	f, err := os.Open(l.file)
	must(t, err)
	defer func() { _ = f.Close() }()
	_, err = f.Seek(l.from, 0)
	must(t, err)
	var all []judged
	var others []time.Duration
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		took, at, ok := loggedDuration(t, line)
		switch {
		case !ok:
			if strings.Contains(line, "checkpoint") || strings.Contains(line, "automatic") {
				t.Log("the server says: " + line)
			}
		case !strings.Contains(line, " "+operators+" "):
			others = append(others, took)
		case took > slowQuery:
			all = append(all, judged{took, l.waitedAt(at)})
		}
	}
	t.Logf("of what was asked beside the listings, the server took longer than 10 ms for %d statements, %v the longest", len(others), slices.Max(append(others, 0)))
	judgeAll(t, len(l.here), all)
}

// loggedDuration reads a line that says how long a statement took, and when it had ended.
func loggedDuration(t *testing.T, line string) (took time.Duration, at time.Time, ok bool) {
	const stamp = "2006-01-02 15:04:05.000 MST"
	_, text, ok := strings.Cut(line, "duration: ")
	ms, _, isDuration := strings.Cut(text, " ms")
	if !ok || !isDuration || len(line) < len(stamp) {
		return 0, at, false
	}
	n, err := strconv.ParseFloat(ms, 64)
	must(t, err)
	at, err = time.Parse(stamp, line[:len(stamp)])
	must(t, err)
	return time.Duration(n * float64(time.Millisecond)), at, true
}

// waitedAt returns how long the server waited for a processor in the page that it answered at that time.
func (l *postgresLog) waitedAt(at time.Time) time.Duration {
	for _, p := range l.here {
		if !at.Before(p.asked.Truncate(time.Millisecond)) && !at.After(p.answered) {
			return p.waited
		}
	}
	return 0
}

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
	// judge says what took longer than slowQuery. It is an error where of the pages, less what the server has waited, some took longer too.
	judge(t *testing.T, slow int)
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
}

func (l *redisLog) waited(t *testing.T) time.Duration { return queued(t, l.pid) }

func (l *redisLog) begin(t *testing.T) {
	o, err := goredis.ParseURL(l.url)
	must(t, err)
	l.client = goredis.NewClient(o)
	t.Cleanup(func() { _ = l.client.Close() })
	must(t, l.client.ConfigSet(t.Context(), "slowlog-log-slower-than", "2000").Err())
	must(t, l.client.ConfigSet(t.Context(), "slowlog-max-len", "100000").Err())
	must(t, l.client.Do(t.Context(), "SLOWLOG", "RESET").Err())
}

func (l *redisLog) judge(t *testing.T, slow int) {
	logged, err := l.client.SlowLogGet(t.Context(), -1).Result()
	must(t, err)
	var took []time.Duration
	for _, one := range logged {
		took = append(took, one.Duration)
	}
	judgeSlow(t, took, 2*time.Millisecond, slow)
}

// judgeSlow is told what the server says that queries of listings took, of those that took longer than from; and how many pages took longer
// than slowQuery here, less what the server has waited for a processor.
func judgeSlow(t *testing.T, took []time.Duration, from time.Duration, here int) {
	t.Helper()
	slow := 0
	for _, d := range took {
		if d > slowQuery {
			slow++
		}
	}
	t.Logf("the server logged %d queries of listings that took longer than %v, %d than %v, %v the longest; here %d pages took longer than that without the server's waiting for a processor",
		len(took), from, slow, slowQuery, slices.Max(append(took, 0)), here)
	if n := min(slow, here); n > 0 {
		t.Errorf("%d queries of listings took the server longer than %v", n, slowQuery)
	}
}

// postgresLog is the log of a PostgreSQL server, which has each statement that took longer than 10 ms.
type postgresLog struct {
	url, file string
	from      int64 // where the log of the listings begins
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

func (l *postgresLog) judge(t *testing.T, slow int) {
	f, err := os.Open(l.file)
	must(t, err)
	defer func() { _ = f.Close() }()
	_, err = f.Seek(l.from, 0)
	must(t, err)
	var ours, others []time.Duration
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		_, text, ok := strings.Cut(line, "duration: ")
		if ms, _, isDuration := strings.Cut(text, " ms"); ok && isDuration {
			n, err := strconv.ParseFloat(ms, 64)
			must(t, err)
			took := time.Duration(n * float64(time.Millisecond))
			if strings.Contains(line, " "+operators+" ") {
				ours = append(ours, took)
			} else {
				others = append(others, took)
			}
		} else if strings.Contains(line, "checkpoint") || strings.Contains(line, "automatic") {
			t.Log("the server says: " + line)
		}
	}
	t.Logf("of what was asked beside the listings, the server took longer than 10 ms for %d statements, %v the longest", len(others), slices.Max(append(others, 0)))
	judgeSlow(t, ours, 10*time.Millisecond, slow)
}

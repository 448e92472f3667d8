package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
)

// A server that is emptied while sessions are in memory is in the metrics and in the log.
func TestShared_aServerThatIsEmptied(t *testing.T) {
	eachServer(t, func(t *testing.T, store string) {
		w := newTown(t)
		defer w.close()
		d := w.demo(store, "a secret of at least thirty-two bytes")
		one, other := d.signIn(), d.signIn()
		if strings.HasPrefix(store, "redis") {
			withRedis(t, store, func(ctx context.Context, c *goredis.Client) error { return c.FlushDB(ctx).Err() })
		} else {
			withPostgres(t, store, func(ctx context.Context, c *pgx.Conn) error {
				_, err := c.Exec(ctx, "TRUNCATE tokenward.sessions, tokenward.session_values, tokenward.intents")
				return err
			})
		}
		for _, cookie := range [][]string{one, other} {
			// The refresh misses the record as it begins; or the read before it does, where the change feed has begun since the sign-in.
			a, code := d.do(http.MethodGet, "/api/token?audience=https://another.example", cookie...), "missing_session"
			if a.body["error"] == "missing_refresh_token" {
				code = "missing_refresh_token"
			}
			d.want(a, http.StatusUnauthorized, code)
		}
		if a := d.want(d.get("/metrics"), http.StatusOK, ""); !strings.Contains(a.text, "\ntokenward_records_vanished_total 2\n") {
			t.Errorf("/metrics does not count 2 records as lost:\n%s", a.text)
		}
		third := d.signIn() // life goes on
		d.token("https://another.example", third)
		if said := d.stop(); strings.Count(said, "the store lost records") != 2 {
			t.Errorf("the demo says %q, want that the store lost records: at once, and the rest at the end", said)
		}
	})
}

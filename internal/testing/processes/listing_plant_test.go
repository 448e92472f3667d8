package processes_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Planted sessions have ceilings in so many seconds, from one on.
const (
	firstCeiling = 2_000_000_000
	ceilings     = 1000
)

// indexed are the index values of a session that plantMany writes. Each user has two sessions, and all are of one issuer.
type indexed struct{ issuer, sid, user, email store.IndexValue }

func plantedValues(i int) indexed {
	value := func(text string) store.IndexValue { return sha256.Sum256([]byte(text)) }
	return indexed{value("issuer"), value(fmt.Sprint("sid", i)), value(fmt.Sprint("user", i/2)), value(fmt.Sprint("email", i/2))}
}

// plantMany writes sessions past the store, as it would have written them: with 512 bytes each, and four index values.
func plantMany(t *testing.T, h home, n int) {
	t.Helper()
	if h.Kind == "postgres" {
		plantPostgres(t, h, n)
		return
	}
	plantRedis(t, h, n)
}

func plantPostgres(t *testing.T, h home, n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), h.URL)
	must(t, err)
	defer func() { _ = c.Close(context.Background()) }()
	schema := pgx.Identifier{h.Space}.Sanitize()
	_, err = c.Exec(t.Context(), `INSERT INTO `+schema+`.sessions (key, version, incarnation, ceiling, index_values, sealed, stands_until, used, connections)
		SELECT sha256(i::text::bytea), decode(md5(i::text), 'hex'), decode(md5(i::text), 'hex'), $2::bigint + i % $3::bigint,
			ARRAY[sha256('issuer'), sha256(('sid' || i)::bytea), sha256(('user' || i / 2)::bytea), sha256(('email' || i / 2)::bytea)],
			decode(repeat(md5(i::text), 32), 'hex'), now() + interval '1 day', now(), false FROM generate_series(0, $1::bigint - 1) i`, n, firstCeiling, ceilings)
	must(t, err)
	_, err = c.Exec(t.Context(), `INSERT INTO `+schema+`.session_values (value, key) SELECT unnest(index_values), key FROM `+schema+`.sessions WHERE ceiling >= $1`, firstCeiling)
	must(t, err)
}

func plantRedis(t *testing.T, h home, n int) {
	t.Helper()
	o, err := goredis.ParseURL(h.URL)
	must(t, err)
	c := goredis.NewClient(o)
	defer func() { _ = c.Close() }()
	prefix := h.Space + ":"
	until := clock.System().Now().Add(24 * time.Hour).UnixMilli()
	for from := 0; from < n; from += 1000 {
		_, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
			for i := from; i < min(from+1000, n); i++ {
				key := sha256.Sum256([]byte(strconv.Itoa(i)))
				of := plantedValues(i)
				values := []store.IndexValue{of.issuer, of.sid, of.user, of.email}
				r := store.Record{
					Version: session.Version(key[:16]), Incarnation: session.Incarnation(key[16:]), Index: values,
					Ceiling: session.Ceiling(firstCeiling + i%ceilings), Sealed: make([]byte, 512),
				}
				id, ceiling := fmt.Sprintf("%x", key), fmt.Sprintf("%016x", uint64(r.Ceiling)^(1<<63))
				all := ""
				for _, v := range values {
					all += fmt.Sprintf("%x", v)
				}
				p.HSet(t.Context(), prefix+"s:"+id, "v", string(r.Version[:]), "i", string(r.Incarnation[:]), "r", store.MarshalRecord(r),
					"t", until, "c", ceiling, "x", all, "k", "0", "w", until)
				p.ZAdd(t.Context(), prefix+"x:all", goredis.Z{Score: float64(until), Member: id})
				for _, v := range values {
					p.ZAdd(t.Context(), fmt.Sprintf("%sx:%x", prefix, v), goredis.Z{Score: float64(until), Member: id})
				}
				for _, list := range []string{"due", "open"} {
					p.ZAdd(t.Context(), prefix+list, goredis.Z{Member: ceiling + id})
				}
			}
			return nil
		})
		must(t, err)
	}
}

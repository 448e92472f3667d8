package postgres

import (
	"strings"
)

// presentInstant is what our SQL says for the present instant. It is no transaction's
// beginning: a call that has waited for a lock must not judge by a time before that.
const presentInstant = "clock_timestamp()"

// operation is one thing that is asked of the server, in one statement.
type operation int

const (
	opLoad operation = iota
	opReplace
	opUpdate
	opEnd
	opEndAll
	opTouch
	opBegin
	opRenew
	opRelease
	opClearIntent
	opStaleIntents
	opFind
	opDue
	opClaimDue
	opListAll
	opListValue
	opListDue
	opPutTransaction
	opDropTransaction
	opGetTransaction
	opTakeTransaction
	opCollect
	opProbe
	opCheck
	operations // how many there are
)

var statements = [operations]struct {
	name  string
	reads bool // has no effect, so that it can be repeated
	sql   string
}{
	opLoad: {name: "load", reads: true, sql: `
		SELECT version, incarnation, epoch, ceiling, index_values, connections, sealed, gone, gone_incarnation,
			CASE WHEN gone IS NOT NULL THEN :"schema".microseconds(stands_until) ELSE 0 END, remainder_version, remainder,
			CASE WHEN remainder IS NOT NULL THEN :"schema".microseconds(remainder_until) ELSE 0 END
		FROM :"schema".sessions WHERE key = $1::bytea AND stands_until > clock_timestamp()`},
	opReplace: {name: "replace", sql: `
		SELECT :"schema".replace_session($1::bytea, $2::bytea, $3::bytea, $4::bigint, $5::bigint, $6::bytea[], $7::boolean, $8::bytea, $9::bigint)`},
	opUpdate: {name: "update", sql: `
		SELECT outcome, reason FROM :"schema".update_session(
			$1::bytea, $2::bytea, $3::bytea, $4::bytea, $5::bigint, $6::bigint, $7::bytea[],
			$8::boolean, $9::bytea, $10::bigint, $11::text, $12::boolean)`},
	opEnd: {name: "end", sql: `
		SELECT :"schema".end_session($1::bytea, $2::bytea, $3::text, $4::bigint, $5::text, $6::bytea,
			$7::bytea, $8::bytea, $9::bytea[], $10::bigint)`},
	opEndAll: {name: "end all", sql: `
		SELECT key FROM :"schema".end_sessions($1::bytea[], $2::bytea[], $3::text, $4::bigint, $5::boolean)`},
	opTouch: {name: "touch", sql: `
		UPDATE :"schema".sessions SET stands_until = :"schema".until($2::bigint), used = clock_timestamp()
		WHERE key = $1::bytea AND version IS NOT NULL AND stands_until > clock_timestamp() RETURNING true`},

	opBegin: {name: "begin", sql: `
		SELECT outcome, reason, holder, holds, lease, tries, next, prior_epoch, prior_at, prior_tries, prior_next,
			version, incarnation, epoch, ceiling, index_values, connections, sealed
		FROM :"schema".begin_session($1::bytea, $2::bytea, $3::text, $4::bigint, $5::bytea, $6::bigint, $7::bigint, $8::bigint)`},
	opRenew: {name: "renew", sql: `
		UPDATE :"schema".sessions SET lease_until = clock_timestamp() + $4::bigint * interval '1 microsecond'
		WHERE key = $1::bytea AND lease_owner = $2::text AND lease_epoch = $3::bigint AND lease_until > clock_timestamp() RETURNING true`},
	opRelease: {name: "release", sql: `
		UPDATE :"schema".sessions SET lease_owner = NULL, lease_until = '-infinity'
		WHERE key = $1::bytea AND lease_owner = $2::text AND lease_epoch = $3::bigint RETURNING true`},

	opClearIntent: {name: "clear intent", sql: `
		DELETE FROM :"schema".intents
		WHERE key = $1::bytea AND token = $2::bytea AND epoch = $3::bigint AND at = $4::bigint RETURNING true`},
	opStaleIntents: {name: "stale intents", reads: true, sql: `
		SELECT i.key, i.token, i.epoch, i.at, i.tries, i.next
		FROM :"schema".intents i JOIN :"schema".sessions s ON s.key = i.key
		WHERE s.version IS NOT NULL AND s.stands_until > clock_timestamp() AND s.lease_until <= clock_timestamp()
		ORDER BY i.at, i.key LIMIT $1::bigint`},

	opFind: {name: "find", reads: true, sql: `
		SELECT s.key, coalesce(s.incarnation, s.gone_incarnation), s.ceiling, s.version IS NULL OR s.connections, s.version IS NULL
		FROM (
			SELECT DISTINCT l.key FROM unnest($1::bytea[]) u (value),
			LATERAL (SELECT t.key FROM :"schema".session_values t WHERE t.value = u.value OFFSET 0) l
		) v, LATERAL (SELECT * FROM :"schema".sessions t WHERE t.key = v.key OFFSET 0) s
		WHERE s.stands_until > clock_timestamp() AND (s.version IS NOT NULL OR s.remainder_until > clock_timestamp())`},
	opDue: {name: "due", reads: true, sql: `
		SELECT key, incarnation, ceiling, connections, false FROM :"schema".sessions
		WHERE ceiling > 0 AND (ceiling, key) > ($1::bigint, $2::bytea) AND ceiling < $3::bigint
		AND stands_until > clock_timestamp()
		ORDER BY ceiling, key LIMIT $4::bigint`},
	opClaimDue: {name: "claim due", sql: `
		SELECT key, incarnation, ceiling, connections, false FROM :"schema".claim_due($1::bigint, $2::bigint, $3::bigint)`},

	// A listing reads as many rows of an index as it may hold, whatever they turn out to be: what has lapsed and is not collected yet is
	// walked over, and not shown. A condition that the index does not have would have it read on.
	opListAll: {name: "list", reads: true, sql: `
		SELECT key, incarnation, ceiling, connections, false, CASE WHEN $3::boolean AND stands_until > clock_timestamp() THEN sealed END, used,
			version IS NOT NULL AND stands_until > clock_timestamp()
		FROM :"schema".sessions
		WHERE gone IS NULL AND index_values <> '{}' AND key > $1::bytea
		ORDER BY key LIMIT $2::bigint`},
	// The place is compared as a row, and each session is looked up by itself: whatever the planner's statistics are of, the page is read
	// in the order of the index, and not sorted out of all sessions of the value.
	opListValue: {name: "list", reads: true, sql: `
		SELECT v.key, coalesce(s.incarnation, s.gone_incarnation), s.ceiling, s.version IS NULL OR s.connections, s.version IS NULL,
			CASE WHEN $3::boolean THEN s.sealed END, s.used,
			coalesce(s.stands_until > clock_timestamp() AND (s.version IS NOT NULL OR s.remainder_until > clock_timestamp()), false)
		FROM (
			SELECT key FROM :"schema".session_values
			WHERE (value, key) > ($4::bytea, $1::bytea) AND value <= $4::bytea ORDER BY value, key LIMIT $2::bigint
		) v LEFT JOIN LATERAL (SELECT * FROM :"schema".sessions t WHERE t.key = v.key OFFSET 0) s ON true
		ORDER BY v.key`},
	opListDue: {name: "list", reads: true, sql: `
		SELECT key, incarnation, ceiling, connections, false, CASE WHEN $3::boolean AND stands_until > clock_timestamp() THEN sealed END, used,
			index_values <> '{}' AND stands_until > clock_timestamp()
		FROM :"schema".sessions
		WHERE ceiling > 0 AND (ceiling, key) > ($4::bigint, $1::bytea) AND ceiling < $5::bigint
		ORDER BY ceiling, key LIMIT $2::bigint`},

	opPutTransaction: {name: "put transaction", sql: `
		INSERT INTO :"schema".transactions (key, data, stands_until) VALUES ($1::bytea, $2::bytea, :"schema".until($3::bigint))
		ON CONFLICT (key) DO UPDATE SET data = excluded.data, stands_until = excluded.stands_until RETURNING true`},
	opDropTransaction: {name: "put transaction", sql: `
		DELETE FROM :"schema".transactions WHERE key = $1::bytea RETURNING true`},
	opGetTransaction: {name: "get transaction", reads: true, sql: `
		SELECT data FROM :"schema".transactions WHERE key = $1::bytea AND stands_until > clock_timestamp()`},
	opTakeTransaction: {name: "take transaction", sql: `
		DELETE FROM :"schema".transactions WHERE key = $1::bytea AND stands_until > clock_timestamp() RETURNING data`},

	opCollect: {name: "collect", sql: `
		SELECT :"schema".collect()`},
	opProbe: {name: "probe", sql: `
		SELECT pg_notify(:'channel', $1::text)`},
	opCheck: {name: "check", reads: true, sql: `
		SELECT current_setting('transaction_read_only')::boolean, ARRAY(
			SELECT $1::text WHERE to_regnamespace($1::text) IS NULL
			UNION ALL SELECT name FROM unnest($2::text[]) AS name WHERE NOT EXISTS (
				SELECT FROM pg_catalog.pg_class WHERE relname = name AND relnamespace = to_regnamespace($1::text))
			UNION ALL SELECT name FROM unnest($3::text[]) AS name WHERE NOT EXISTS (
				SELECT FROM pg_catalog.pg_proc WHERE proname = name AND pronamespace = to_regnamespace($1::text)))`},
}

// filler fills in what our SQL leaves open: the schema, whose name was checked, the
// names made of it, and the instant.
func filler(schema, instant string) *strings.Replacer {
	return strings.NewReplacer(
		`:"schema"`, quoted(schema),
		`:'epochs'`, `'`+quoted(schema)+`.lease_epochs'`,
		`:'channel'`, `'`+channel(schema)+`'`,
		presentInstant, instant,
	)
}

func quoted(schema string) string  { return `"` + schema + `"` }
func channel(schema string) string { return schema + "_changes" }

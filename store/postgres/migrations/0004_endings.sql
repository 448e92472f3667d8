-- Whether a record holds connection tokens; those of the releases before may. When it was last written
-- or touched; null where an earlier release wrote it. Of a tombstone, whose it is, and what a ceiling left until
-- remainder_until: its index values stand in index_values, and what is sealed in remainder.
ALTER TABLE :"schema".sessions
    ADD COLUMN connections       boolean NOT NULL DEFAULT true,
    ADD COLUMN gone_incarnation  bytea,
    ADD COLUMN remainder_version bytea,
    ADD COLUMN remainder         bytea,
    ADD COLUMN remainder_until   timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN used              timestamptz;
ALTER TABLE :"schema".sessions ALTER COLUMN remainder SET STORAGE EXTERNAL;

-- The sessions by key, for listings: a record has index values, and what else is kept beside has none.
-- Neither column changes with a refresh.
CREATE INDEX sessions_listed ON :"schema".sessions (key) WHERE gone IS NULL AND index_values <> '{}';

-- microseconds returns how long it is until an instant.
CREATE FUNCTION :"schema".microseconds(p_until timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM p_until - clock_timestamp()) * 1000000)::bigint
$$;

-- look returns the state of a session: whether it lives, is gone or is absent, its lease, whose
-- parts are null when there is no row, and the version of what a ceiling left, null when it left nothing.
DROP FUNCTION :"schema".look(bytea, boolean);
CREATE FUNCTION :"schema".look(
    p_key bytea, p_lock boolean,
    OUT state text, OUT gone text, OUT version bytea, OUT incarnation bytea, OUT index_values bytea[],
    OUT lease_owner text, OUT lease_until timestamptz, OUT lease_epoch bigint, OUT connections boolean, OUT remains bytea
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s :"schema".sessions;
BEGIN
    IF p_lock THEN
        SELECT * INTO s FROM :"schema".sessions t WHERE t.key = p_key FOR UPDATE;
    ELSE
        SELECT * INTO s FROM :"schema".sessions t WHERE t.key = p_key;
    END IF;
    gone := s.gone;
    version := s.version;
    incarnation := coalesce(s.incarnation, s.gone_incarnation);
    index_values := s.index_values;
    lease_owner := s.lease_owner;
    lease_until := s.lease_until;
    lease_epoch := s.lease_epoch;
    connections := s.connections;
    state := CASE WHEN s.stands_until > clock_timestamp() THEN CASE WHEN s.gone IS NULL THEN 'lives' ELSE 'gone' END ELSE 'absent' END;
    IF s.remainder_until > clock_timestamp() THEN
        remains := s.remainder_version;
    END IF;
END
$$;

CREATE FUNCTION :"schema".replace_session(
    p_key bytea, p_version bytea, p_incarnation bytea, p_epoch bigint, p_ceiling bigint,
    p_values bytea[], p_connections boolean, p_sealed bytea, p_ttl bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO :"schema".sessions AS s (key, version, incarnation, epoch, ceiling, index_values, connections, sealed, stands_until, used)
    VALUES (p_key, p_version, p_incarnation, p_epoch, p_ceiling, p_values, p_connections, p_sealed, :"schema".until(p_ttl), clock_timestamp())
    ON CONFLICT (key) DO UPDATE SET
        version = p_version, incarnation = p_incarnation, epoch = p_epoch, ceiling = p_ceiling,
        index_values = p_values, connections = p_connections, sealed = p_sealed,
        gone = NULL, gone_incarnation = NULL, remainder_version = NULL, remainder = NULL, remainder_until = '-infinity',
        stands_until = :"schema".until(p_ttl), used = clock_timestamp(), claimed_until = '-infinity',
        -- What had lapsed is as if it had been collected.
        lease_epoch = CASE WHEN s.lapses <= clock_timestamp() THEN 0 ELSE s.lease_epoch END;
    PERFORM :"schema".set_values(p_key, p_values);
    DELETE FROM :"schema".intents WHERE key = p_key;
    PERFORM pg_notify(:'channel', encode(p_key, 'hex') || ':' || encode(p_version, 'hex'));
END
$$;

-- update_session gives back the lease that p_release holds at the epoch of the write; empty: none. With
-- p_keep_intent the intent stays.
CREATE FUNCTION :"schema".update_session(
    p_key bytea, p_prev bytea, p_version bytea, p_incarnation bytea, p_epoch bigint, p_ceiling bigint,
    p_values bytea[], p_connections boolean, p_sealed bytea, p_ttl bigint, p_release text, p_keep_intent boolean,
    OUT outcome text, OUT reason text
) LANGUAGE plpgsql AS $$
DECLARE
    had record;
    released boolean;
BEGIN
    FOR pass IN 1..2 LOOP
        SELECT * INTO had FROM :"schema".look(p_key, pass = 2);
        IF had.state <> 'lives' THEN
            outcome := had.state;
            reason := had.gone;
            RETURN;
        ELSIF had.version IS DISTINCT FROM p_prev OR had.incarnation IS DISTINCT FROM p_incarnation OR p_epoch < had.lease_epoch THEN
            outcome := 'conflict';
            RETURN;
        END IF;
    END LOOP;
    released := p_release <> '' AND had.lease_owner IS NOT DISTINCT FROM p_release AND had.lease_epoch = p_epoch;
    UPDATE :"schema".sessions s SET
        version = p_version, epoch = p_epoch, ceiling = p_ceiling, index_values = p_values, connections = p_connections,
        sealed = p_sealed, stands_until = :"schema".until(p_ttl), used = clock_timestamp(),
        lease_owner = CASE WHEN NOT released THEN s.lease_owner END,
        lease_until = CASE WHEN released THEN '-infinity' ELSE s.lease_until END
        WHERE s.key = p_key;
    IF had.index_values <> p_values THEN
        PERFORM :"schema".set_values(p_key, p_values);
    END IF;
    IF NOT p_keep_intent THEN
        DELETE FROM :"schema".intents WHERE key = p_key;
    END IF;
    PERFORM pg_notify(:'channel', encode(p_key, 'hex') || ':' || encode(p_version, 'hex'));
    outcome := 'done';
END
$$;

-- bury puts a tombstone where a record or a tombstone is, whose row the caller has locked and looked
-- at. A null p_left is no remainder. With p_prolong it stands no shorter than the one before.
CREATE FUNCTION :"schema".bury(
    p_key bytea, p_values bytea[], p_why text, p_stands bigint, p_prolong boolean,
    p_left_version bytea, p_left bytea, p_left_values bytea[], p_left_ttl bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE :"schema".sessions s SET
        version = NULL, incarnation = NULL, epoch = 0, ceiling = 0, sealed = NULL, claimed_until = '-infinity',
        gone = p_why, gone_incarnation = coalesce(s.incarnation, s.gone_incarnation),
        stands_until = greatest(:"schema".until(p_stands), CASE WHEN p_prolong THEN s.stands_until END),
        index_values = p_left_values, remainder_version = p_left_version, remainder = p_left,
        remainder_until = CASE WHEN p_left IS NULL THEN '-infinity' ELSE :"schema".until(p_left_ttl) END
        WHERE s.key = p_key;
    IF p_values <> p_left_values THEN
        PERFORM :"schema".set_values(p_key, p_left_values);
    END IF;
    DELETE FROM :"schema".intents WHERE key = p_key;
    PERFORM pg_notify(:'channel', encode(p_key, 'hex') || ':' || repeat('0', 32));
END
$$;

-- end_session ends one incarnation, or any when p_only is empty. p_kind is "ceiling"; "final" where
-- what a ceiling left ends, too; or empty. An empty p_prev is the zero version.
CREATE FUNCTION :"schema".end_session(
    p_key bytea, p_only bytea, p_why text, p_stands bigint, p_kind text, p_prev bytea,
    p_left_version bytea, p_left bytea, p_left_values bytea[], p_left_ttl bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    had record;
BEGIN
    FOR pass IN 1..2 LOOP
        SELECT * INTO had FROM :"schema".look(p_key, pass = 2);
        IF had.state = 'absent' OR p_only <> '' AND had.incarnation IS DISTINCT FROM p_only THEN
            RETURN 'done';
        ELSIF had.state = 'lives' THEN
            IF p_kind = 'ceiling' AND (CASE WHEN p_prev = '' AND p_left IS NULL THEN had.connections ELSE had.version <> p_prev END) THEN
                RETURN 'conflict';
            END IF;
        ELSIF p_kind = 'final' THEN
            IF had.gone = p_why AND had.remains IS NULL THEN
                RETURN 'done';
            END IF;
        ELSIF p_left IS NULL OR had.gone <> p_why THEN
            RETURN 'done';
        ELSIF coalesce(had.remains, '') <> p_prev THEN
            RETURN 'conflict';
        END IF;
    END LOOP;
    PERFORM :"schema".bury(p_key, had.index_values, p_why, p_stands, had.state = 'gone' AND p_kind = 'ceiling',
        p_left_version, p_left, p_left_values, p_left_ttl);
    RETURN 'done';
END
$$;

-- end_sessions ends those of the given incarnations that can be: with p_final records, what ceilings left, and tombstones that give another
-- reason; else, at a ceiling, records that hold no connection tokens. It returns those that it left: they hold
-- some, or another call works on them, for which it does not wait.
CREATE FUNCTION :"schema".end_sessions(p_keys bytea[], p_incarnations bytea[], p_why text, p_stands bigint, p_final boolean)
RETURNS TABLE (key bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ended bytea[];
BEGIN
    WITH had AS MATERIALIZED (
        SELECT s.key FROM :"schema".sessions s
        JOIN unnest(p_keys, p_incarnations) AS u (key, incarnation) ON s.key = u.key AND coalesce(s.incarnation, s.gone_incarnation) = u.incarnation
        WHERE s.stands_until > clock_timestamp()
        AND CASE WHEN p_final THEN s.version IS NOT NULL OR s.gone <> p_why OR s.remainder_until > clock_timestamp()
            ELSE s.version IS NOT NULL AND NOT s.connections END
        FOR UPDATE OF s SKIP LOCKED
    ), done AS (
        UPDATE :"schema".sessions s SET
            version = NULL, incarnation = NULL, epoch = 0, ceiling = 0, sealed = NULL, claimed_until = '-infinity',
            gone = p_why, gone_incarnation = coalesce(s.incarnation, s.gone_incarnation), stands_until = :"schema".until(p_stands),
            index_values = '{}', remainder_version = NULL, remainder = NULL, remainder_until = '-infinity'
        FROM had WHERE s.key = had.key
        RETURNING s.key
    )
    SELECT coalesce(array_agg(done.key), '{}') INTO ended FROM done;
    DELETE FROM :"schema".session_values v WHERE v.key = ANY (ended);
    DELETE FROM :"schema".intents i WHERE i.key = ANY (ended);
    PERFORM pg_notify(:'channel', encode(u.key, 'hex') || ':' || repeat('0', 32)) FROM unnest(ended) AS u (key);
    RETURN QUERY
        SELECT DISTINCT s.key FROM :"schema".sessions s
        JOIN unnest(p_keys, p_incarnations) AS u (key, incarnation) ON s.key = u.key AND coalesce(s.incarnation, s.gone_incarnation) = u.incarnation
        WHERE s.stands_until > clock_timestamp()
        AND (s.version IS NOT NULL OR p_final AND (s.gone <> p_why OR s.remainder_until > clock_timestamp()));
END
$$;

-- begin_session takes the lease for p_owner (empty: none) and writes the intent of p_token (empty:
-- none), if the record still has the version. Where it has another, the answer is that record. An
-- empty p_version is for a key that has no record: the lease needs a row to stand in.
CREATE FUNCTION :"schema".begin_session(
    p_key bytea, p_version bytea, p_owner text, p_ttl bigint, p_token bytea, p_at bigint, p_tries bigint, p_next bigint,
    OUT outcome text, OUT reason text, OUT holder text, OUT holds bigint, OUT lease bigint, OUT tries bigint, OUT next bigint,
    OUT prior_epoch bigint, OUT prior_at bigint, OUT prior_tries bigint, OUT prior_next bigint,
    OUT version bytea, OUT incarnation bytea, OUT epoch bigint, OUT ceiling bigint, OUT index_values bytea[],
    OUT connections boolean, OUT sealed bytea
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    had record;
BEGIN
    IF p_version = '' THEN
        INSERT INTO :"schema".sessions (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END IF;
    FOR pass IN 1..2 LOOP
        SELECT * INTO had FROM :"schema".look(p_key, pass = 2);
        lease := 0;
        IF had.state <> 'lives' AND (had.state <> 'absent' OR p_version <> '') THEN
            outcome := had.state;
            reason := had.gone;
            RETURN;
        ELSIF had.state = 'lives' AND had.version IS DISTINCT FROM p_version THEN
            SELECT s.version, s.incarnation, s.epoch, s.ceiling, s.index_values, s.connections, s.sealed
                INTO version, incarnation, epoch, ceiling, index_values, connections, sealed
                FROM :"schema".sessions s WHERE s.key = p_key AND s.version IS NOT NULL;
            CONTINUE WHEN NOT FOUND; -- deleted since; under the lock it is not
            outcome := 'moved';
            RETURN;
        ELSIF p_owner = '' THEN
            IF had.lease_epoch > 0 THEN
                outcome := 'conflict';
                RETURN;
            END IF;
        ELSIF had.lease_until > clock_timestamp() THEN
            IF had.lease_owner <> p_owner THEN
                outcome := 'leased';
                holder := had.lease_owner;
                holds := :"schema".microseconds(had.lease_until);
                RETURN;
            END IF;
            lease := had.lease_epoch;
        END IF;
    END LOOP;
    tries := p_tries;
    next := p_next;
    SELECT i.epoch, i.at, i.tries, i.next INTO prior_epoch, prior_at, prior_tries, prior_next
        FROM :"schema".intents i WHERE i.key = p_key AND i.token = p_token;
    IF FOUND AND p_tries = 0 THEN
        tries := prior_tries;
        next := prior_next;
    ELSIF FOUND AND prior_tries >= p_tries THEN
        outcome := 'presented';
        RETURN;
    END IF;
    IF p_owner <> '' THEN
        IF lease = 0 THEN
            lease := nextval(:'epochs');
        END IF;
        UPDATE :"schema".sessions s SET
            lease_owner = p_owner, lease_epoch = lease, lease_until = clock_timestamp() + p_ttl * interval '1 microsecond'
            WHERE s.key = p_key;
    END IF;
    IF p_token <> '' THEN
        INSERT INTO :"schema".intents AS i (key, token, epoch, at, tries, next) VALUES (p_key, p_token, lease, p_at, tries, next)
            ON CONFLICT (key) DO UPDATE SET
                token = excluded.token, epoch = excluded.epoch, at = excluded.at, tries = excluded.tries, next = excluded.next;
    END IF;
    outcome := 'begun';
END
$$;

-- claim_due says of each session whether it holds connection tokens; else it is as before.
DROP FUNCTION :"schema".claim_due(bigint, bigint, bigint);
CREATE FUNCTION :"schema".claim_due(p_until bigint, p_limit bigint, p_hold bigint)
RETURNS TABLE (key bytea, incarnation bytea, ceiling bigint, connections boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
BEGIN
    LOOP
        t := clock_timestamp();
        RETURN QUERY
            WITH due AS MATERIALIZED (
                SELECT s.key FROM :"schema".sessions s
                WHERE s.ceiling > 0 AND s.ceiling < p_until AND s.claimed_until <= t AND s.stands_until > t
                ORDER BY s.ceiling, s.key LIMIT p_limit FOR UPDATE SKIP LOCKED
            )
            UPDATE :"schema".sessions s SET claimed_until = t + p_hold * interval '1 microsecond'
            FROM due WHERE s.key = due.key
            RETURNING s.key, s.incarnation, s.ceiling, s.connections;
        IF FOUND THEN
            RETURN;
        END IF;
        PERFORM s.key FROM :"schema".sessions s
            WHERE s.ceiling > 0 AND s.ceiling < p_until AND s.claimed_until <= t AND s.stands_until > t
            ORDER BY s.ceiling, s.key LIMIT 1 FOR UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;

-- delete_session removes one incarnation, or any when p_only is empty.
CREATE OR REPLACE FUNCTION :"schema".delete_session(p_key bytea, p_only bytea, p_why text, p_stands bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    had record;
BEGIN
    FOR pass IN 1..2 LOOP
        SELECT * INTO had FROM :"schema".look(p_key, pass = 2);
        IF had.state = 'absent' OR p_only <> '' AND (had.state = 'gone' OR had.incarnation IS DISTINCT FROM p_only) THEN
            RETURN;
        END IF;
    END LOOP;
    PERFORM :"schema".bury(p_key, had.index_values, p_why, p_stands, false, NULL, NULL, '{}', 0);
END
$$;

-- What the release before calls. It does not say whether connection tokens are held, so they may be.
CREATE OR REPLACE FUNCTION :"schema".replace_session(
    p_key bytea, p_version bytea, p_incarnation bytea, p_epoch bigint, p_ceiling bigint,
    p_values bytea[], p_sealed bytea, p_ttl bigint
) RETURNS void LANGUAGE sql AS $$
    SELECT :"schema".replace_session(p_key, p_version, p_incarnation, p_epoch, p_ceiling, p_values, true, p_sealed, p_ttl)
$$;

CREATE OR REPLACE FUNCTION :"schema".update_session(
    p_key bytea, p_prev bytea, p_version bytea, p_incarnation bytea, p_epoch bigint, p_ceiling bigint,
    p_values bytea[], p_sealed bytea, p_ttl bigint,
    OUT outcome text, OUT reason text
) LANGUAGE sql AS $$
    SELECT * FROM :"schema".update_session(
        p_key, p_prev, p_version, p_incarnation, p_epoch, p_ceiling, p_values, true, p_sealed, p_ttl, '', false)
$$;

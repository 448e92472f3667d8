-- When the record was last written or touched; null where an earlier release wrote it.
ALTER TABLE :"schema".sessions ADD COLUMN used timestamptz;

-- The sessions by key, for listings: a record has index values, and what else is kept beside has none.
-- Neither column changes with a refresh.
CREATE INDEX sessions_listed ON :"schema".sessions (key) WHERE gone IS NULL AND index_values <> '{}';

CREATE OR REPLACE FUNCTION :"schema".replace_session(
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

CREATE OR REPLACE FUNCTION :"schema".update_session(
    p_key bytea, p_prev bytea, p_version bytea, p_incarnation bytea, p_epoch bigint, p_ceiling bigint,
    p_values bytea[], p_connections boolean, p_sealed bytea, p_ttl bigint, p_release text,
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
    DELETE FROM :"schema".intents WHERE key = p_key;
    PERFORM pg_notify(:'channel', encode(p_key, 'hex') || ':' || encode(p_version, 'hex'));
    outcome := 'done';
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

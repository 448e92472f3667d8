-- Every function that writes one session looks at it twice: first without the lock of its row,
-- so that whoever is refused neither writes nor waits, and then under it: in a function each
-- statement sees what was committed before it, so what it sees under the lock stays true
-- until the commit. Nothing else is locked that another session's call could wait for.
-- Notices are queued in the order of the commits, so those of one session are in the order of its
-- writes.

-- until returns when something ends that stands for so many microseconds: never for 0.
CREATE FUNCTION :"schema".until(p_for bigint) RETURNS timestamptz
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN p_for > 0 THEN clock_timestamp() + p_for * interval '1 microsecond' ELSE 'infinity' END
$$;

-- look returns what is known of a session: whether it lives, is gone or is absent, and its
-- lease, whose parts are null when there is no row.
CREATE FUNCTION :"schema".look(
    p_key bytea, p_lock boolean,
    OUT state text, OUT gone text, OUT version bytea, OUT incarnation bytea, OUT index_values bytea[],
    OUT lease_owner text, OUT lease_until timestamptz, OUT lease_epoch bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stands timestamptz;
BEGIN
    IF p_lock THEN
        SELECT s.gone, s.version, s.incarnation, s.index_values, s.lease_owner, s.lease_until, s.lease_epoch, s.stands_until
            INTO gone, version, incarnation, index_values, lease_owner, lease_until, lease_epoch, stands
            FROM :"schema".sessions s WHERE s.key = p_key FOR UPDATE;
    ELSE
        SELECT s.gone, s.version, s.incarnation, s.index_values, s.lease_owner, s.lease_until, s.lease_epoch, s.stands_until
            INTO gone, version, incarnation, index_values, lease_owner, lease_until, lease_epoch, stands
            FROM :"schema".sessions s WHERE s.key = p_key;
    END IF;
    state := CASE WHEN stands > clock_timestamp() THEN CASE WHEN gone IS NULL THEN 'lives' ELSE 'gone' END ELSE 'absent' END;
END
$$;

CREATE FUNCTION :"schema".set_values(p_key bytea, p_values bytea[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM :"schema".session_values v WHERE v.key = p_key AND v.value <> ALL (p_values);
    INSERT INTO :"schema".session_values (value, key)
        SELECT DISTINCT u.value, p_key FROM unnest(p_values) AS u (value)
        ON CONFLICT DO NOTHING;
END
$$;

CREATE FUNCTION :"schema".replace_session(
    p_key bytea, p_version bytea, p_incarnation bytea, p_epoch bigint, p_ceiling bigint,
    p_values bytea[], p_sealed bytea, p_ttl bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO :"schema".sessions AS s (key, version, incarnation, epoch, ceiling, index_values, sealed, stands_until)
    VALUES (p_key, p_version, p_incarnation, p_epoch, p_ceiling, p_values, p_sealed, :"schema".until(p_ttl))
    ON CONFLICT (key) DO UPDATE SET
        version = p_version, incarnation = p_incarnation, epoch = p_epoch, ceiling = p_ceiling,
        index_values = p_values, sealed = p_sealed, gone = NULL,
        stands_until = :"schema".until(p_ttl), claimed_until = '-infinity',
        -- What had lapsed is as if it had been collected.
        lease_epoch = CASE WHEN s.lapses <= clock_timestamp() THEN 0 ELSE s.lease_epoch END;
    PERFORM :"schema".set_values(p_key, p_values);
    DELETE FROM :"schema".intents WHERE key = p_key;
    PERFORM pg_notify(:'channel', encode(p_key, 'hex') || ':' || encode(p_version, 'hex'));
END
$$;

CREATE FUNCTION :"schema".update_session(
    p_key bytea, p_prev bytea, p_version bytea, p_incarnation bytea, p_epoch bigint, p_ceiling bigint,
    p_values bytea[], p_sealed bytea, p_ttl bigint,
    OUT outcome text, OUT reason text
) LANGUAGE plpgsql AS $$
DECLARE
    had record;
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
    UPDATE :"schema".sessions s SET
        version = p_version, epoch = p_epoch, ceiling = p_ceiling, index_values = p_values, sealed = p_sealed,
        stands_until = :"schema".until(p_ttl)
        WHERE s.key = p_key;
    IF had.index_values <> p_values THEN
        PERFORM :"schema".set_values(p_key, p_values);
    END IF;
    DELETE FROM :"schema".intents WHERE key = p_key;
    PERFORM pg_notify(:'channel', encode(p_key, 'hex') || ':' || encode(p_version, 'hex'));
    outcome := 'done';
END
$$;

-- delete_session removes one incarnation, or any when p_only is empty.
CREATE FUNCTION :"schema".delete_session(p_key bytea, p_only bytea, p_why text, p_stands bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    had record;
BEGIN
    FOR pass IN 1..2 LOOP
        SELECT * INTO had FROM :"schema".look(p_key, pass = 2);
        IF had.state = 'absent' OR p_only <> '' AND had.incarnation IS DISTINCT FROM p_only THEN
            RETURN;
        END IF;
    END LOOP;
    UPDATE :"schema".sessions s SET
        version = NULL, incarnation = NULL, epoch = 0, ceiling = 0, index_values = '{}', sealed = NULL,
        gone = p_why, stands_until = :"schema".until(p_stands), claimed_until = '-infinity'
        WHERE s.key = p_key;
    IF had.state = 'lives' THEN
        DELETE FROM :"schema".session_values WHERE key = p_key;
        DELETE FROM :"schema".intents WHERE key = p_key;
    END IF;
    IF had.state = 'lives' OR had.gone <> p_why THEN
        PERFORM pg_notify(:'channel', encode(p_key, 'hex') || ':' || repeat('0', 32));
    END IF;
END
$$;

-- lease_session returns the epoch, or null while another owner holds the lease.
CREATE FUNCTION :"schema".lease_session(p_key bytea, p_owner text, p_ttl bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    had record;
    given bigint;
BEGIN
    LOOP
        FOR pass IN 1..2 LOOP
            SELECT * INTO had FROM :"schema".look(p_key, pass = 2);
            EXIT WHEN had.lease_until IS NULL;
            given := NULL;
            IF had.lease_until > clock_timestamp() THEN
                IF had.lease_owner <> p_owner THEN
                    RETURN NULL;
                END IF;
                given := had.lease_epoch;
            END IF;
        END LOOP;
        IF had.lease_until IS NOT NULL THEN
            given := coalesce(given, nextval(:'epochs'));
            UPDATE :"schema".sessions s SET
                lease_owner = p_owner, lease_epoch = given,
                lease_until = clock_timestamp() + p_ttl * interval '1 microsecond'
                WHERE s.key = p_key;
            RETURN given;
        END IF;
        INSERT INTO :"schema".sessions AS s (key, lease_owner, lease_epoch, lease_until)
            VALUES (p_key, p_owner, nextval(:'epochs'), clock_timestamp() + p_ttl * interval '1 microsecond')
            ON CONFLICT DO NOTHING RETURNING s.lease_epoch INTO given;
        IF FOUND THEN
            RETURN given;
        END IF;
        -- Somebody else made the row meanwhile.
    END LOOP;
END
$$;

CREATE FUNCTION :"schema".put_intent(
    p_key bytea, p_token bytea, p_epoch bigint, p_at bigint, OUT outcome text, OUT reason text, OUT again boolean
) LANGUAGE plpgsql AS $$
DECLARE
    had record;
BEGIN
    again := false;
    FOR pass IN 1..2 LOOP
        SELECT * INTO had FROM :"schema".look(p_key, pass = 2);
        IF had.state <> 'lives' THEN
            outcome := had.state;
            reason := had.gone;
            RETURN;
        ELSIF p_epoch < had.lease_epoch THEN
            outcome := 'conflict';
            RETURN;
        END IF;
    END LOOP;
    again := EXISTS (SELECT FROM :"schema".intents i WHERE i.key = p_key AND i.token = p_token);
    INSERT INTO :"schema".intents AS i (key, token, epoch, at) VALUES (p_key, p_token, p_epoch, p_at)
        ON CONFLICT (key) DO UPDATE SET token = p_token, epoch = p_epoch, at = p_at;
    outcome := 'done';
END
$$;

-- claim_due hands out sessions that nobody has claimed. It passes over those that somebody
-- works on. Only where all that is left is of that kind it waits for the first of them,
-- holding nothing itself: to return nothing says that there is nothing left.
CREATE FUNCTION :"schema".claim_due(p_until bigint, p_limit bigint, p_hold bigint)
RETURNS TABLE (key bytea, incarnation bytea, ceiling bigint)
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
            RETURNING s.key, s.incarnation, s.ceiling;
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

-- collect removes up to 128 rows of each kind that mean nothing any more. It waits for
-- nobody, and nobody has to wait for the disk because of it. The number is no parameter, so that
-- every plan counts on few rows.
CREATE FUNCTION :"schema".collect() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz := clock_timestamp();
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH dead AS MATERIALIZED (
        SELECT s.key FROM :"schema".sessions s
        WHERE s.lapses <= t AND s.lapses < 'infinity'
        ORDER BY s.lapses LIMIT 128 FOR UPDATE SKIP LOCKED
    ), dead_values AS (
        DELETE FROM :"schema".session_values v USING dead WHERE v.key = dead.key
    ), dead_intents AS (
        DELETE FROM :"schema".intents i USING dead WHERE i.key = dead.key
    )
    DELETE FROM :"schema".sessions s USING dead WHERE s.key = dead.key;

    WITH dead AS MATERIALIZED (
        SELECT x.key FROM :"schema".transactions x
        WHERE x.stands_until <= t
        ORDER BY x.stands_until LIMIT 128 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM :"schema".transactions x USING dead WHERE x.key = dead.key;
END
$$;

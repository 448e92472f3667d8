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

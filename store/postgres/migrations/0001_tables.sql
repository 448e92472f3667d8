-- What is known of each session: one row, which is the lock of all that belongs to it.
-- A row is a record (version is set) or a tombstone (gone is set) until stands_until, and
-- a lease until lease_until. After both it means nothing, and is collected.
CREATE TABLE :"schema".sessions (
    key           bytea PRIMARY KEY,
    version       bytea,
    incarnation   bytea,
    epoch         bigint NOT NULL DEFAULT 0,                -- lease epoch of the record's writer
    ceiling       bigint NOT NULL DEFAULT 0,                -- seconds since the Unix epoch; 0: none
    index_values  bytea[] NOT NULL DEFAULT '{}',            -- as the record has them
    sealed        bytea,
    gone          text,                                     -- why the session ended
    stands_until  timestamptz NOT NULL DEFAULT '-infinity',
    claimed_until timestamptz NOT NULL DEFAULT '-infinity', -- by whoever deletes what is due
    lease_owner   text,
    lease_until   timestamptz NOT NULL DEFAULT '-infinity',
    lease_epoch   bigint NOT NULL DEFAULT 0,                -- the last one given, kept with the row
    -- Stored, so that a lease that ends before its record does touches no index.
    lapses        timestamptz GENERATED ALWAYS AS (greatest(stands_until, lease_until)) STORED,
    CHECK ((version IS NULL) = (sealed IS NULL) AND (version IS NULL) = (incarnation IS NULL)),
    CHECK (version IS NULL OR gone IS NULL)
) WITH (fillfactor = 75);

-- Sealed states do not compress; outside the row, they are not written again with each lease.
ALTER TABLE :"schema".sessions ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE INDEX sessions_due ON :"schema".sessions (ceiling, key) WHERE ceiling > 0;
CREATE INDEX sessions_lapses ON :"schema".sessions (lapses) WHERE lapses < 'infinity';

-- Under which values the records can be found. It is written under the lock of the
-- session, and only when the values change: a refresh does not touch it.
CREATE TABLE :"schema".session_values (
    value bytea NOT NULL,
    key   bytea NOT NULL,
    PRIMARY KEY (value, key)
);
CREATE INDEX session_values_key ON :"schema".session_values (key);

-- Refresh tokens about to be spent, one for each session at most.
CREATE TABLE :"schema".intents (
    key   bytea PRIMARY KEY,
    token bytea NOT NULL,
    epoch bigint NOT NULL,
    at    bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- One count for all sessions: no epoch is ever given twice.
CREATE SEQUENCE :"schema".lease_epochs;

CREATE TABLE :"schema".transactions (
    key          bytea PRIMARY KEY, -- SHA-256
    data         bytea NOT NULL,
    stands_until timestamptz NOT NULL
);
CREATE INDEX transactions_lapses ON :"schema".transactions (stands_until);

-- How often the token of an intent was presented again, and the earliest time of the next try, in
-- seconds since the Unix epoch.
ALTER TABLE :"schema".intents
    ADD COLUMN tries bigint NOT NULL DEFAULT 0,
    ADD COLUMN next  bigint NOT NULL DEFAULT 0;

-- put_intent keeps tries and next of an intent of the same token where p_tries is 0, and changes
-- nothing where p_tries is not higher than they are.
CREATE FUNCTION :"schema".put_intent(
    p_key bytea, p_token bytea, p_epoch bigint, p_at bigint, p_tries bigint, p_next bigint,
    OUT outcome text, OUT reason text, OUT again boolean
) LANGUAGE plpgsql AS $$
DECLARE
    had record;
    stood bigint;
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
    SELECT i.tries INTO stood FROM :"schema".intents i WHERE i.key = p_key AND i.token = p_token;
    again := FOUND;
    IF p_tries > 0 AND stood >= p_tries THEN
        outcome := 'presented';
        RETURN;
    END IF;
    INSERT INTO :"schema".intents AS i (key, token, epoch, at, tries, next)
        VALUES (p_key, p_token, p_epoch, p_at, p_tries, p_next)
        ON CONFLICT (key) DO UPDATE SET
            token = p_token, epoch = p_epoch, at = p_at,
            tries = CASE WHEN again AND p_tries = 0 THEN i.tries ELSE p_tries END,
            next = CASE WHEN again AND p_tries = 0 THEN i.next ELSE p_next END;
    outcome := 'done';
END
$$;

-- What the release before calls.
CREATE OR REPLACE FUNCTION :"schema".put_intent(
    p_key bytea, p_token bytea, p_epoch bigint, p_at bigint, OUT outcome text, OUT reason text, OUT again boolean
) LANGUAGE sql AS $$
    SELECT * FROM :"schema".put_intent(p_key, p_token, p_epoch, p_at, 0, 0)
$$;

-- Retention: whole partitions go when they are past it, less what a hold keeps (hub/retention.h).
-- Only the owner of the tables can do any of it; the hub's own role reads.

-- What retention leaves alone, as long as it is not removed: of one vehicle, of a period, or both.
CREATE TABLE holds (
    id             uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    vid            text COLLATE "C",    -- null: of all vehicles, and records of none
    start_time     timestamptz,         -- half-open, by `received`; null: no bound
    end_time       timestamptz,
    reason         text NOT NULL CHECK (reason <> ''),
    actor          text NOT NULL,
    created        timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed        timestamptz,
    removed_by     text,
    removed_reason text,
    CHECK (num_nonnulls(vid, start_time, end_time) > 0),
    CHECK (start_time < end_time)
);

-- What is to go on record because of a change made in this database: written in the transaction of
-- that change, and taken up by the hub that writes the record. `id` is the record's.
CREATE TABLE record_notes (
    id       uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    type     text COLLATE "C" NOT NULL,
    vid      text COLLATE "C",
    actor    text,
    data     text NOT NULL,             -- a JSON object
    created  timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded boolean NOT NULL DEFAULT false
);
CREATE INDEX record_notes_due ON record_notes (created) WHERE NOT recorded;

-- What was dropped, for whoever verifies the rest: these records are not missing, they were let go
-- of. Each has a `system` record of type `retention` too, which is what counts as evidence.
CREATE TABLE retention_runs (
    note      uuid NOT NULL PRIMARY KEY REFERENCES record_notes,
    name      text NOT NULL,            -- of the partition
    first_seq bigint NOT NULL,          -- of what was dropped
    last_seq  bigint NOT NULL,
    dropped   bigint NOT NULL,
    kept      bigint NOT NULL,          -- by a hold, between the two
    done      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Under which holds a partition past retention was last looked at, null for never; and of digests,
-- up to which record retention had come.
ALTER TABLE record_partitions ADD COLUMN hold_mark text;
ALTER TABLE digest_partitions ADD COLUMN hold_mark text, ADD COLUMN floor_seq bigint;

-- Another one whenever the holds in force are others.
CREATE FUNCTION hold_mark() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT md5(coalesce(string_agg(id::text, ' ' ORDER BY id), '')) FROM holds WHERE removed IS NULL
$$;

-- Partitions of `records` that are past retention and may have something to drop, oldest first. One
-- that the log has not left behind is none, whatever the time.
CREATE FUNCTION retention_due(cutoff timestamptz)
RETURNS TABLE (name text, lower timestamptz, upper timestamptz) LANGUAGE sql STABLE AS $$
    SELECT p.name, p.lower, p.upper FROM record_partitions p, log_head h
    WHERE p.upper <= cutoff AND p.upper <= h.archived
      AND p.hold_mark IS DISTINCT FROM hold_mark()
    ORDER BY p.upper
$$;

-- The first record that is not past retention, holds aside.
CREATE FUNCTION retention_floor(cutoff timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    edge timestamptz;
    floor_seq bigint;
BEGIN
    SELECT max(p.upper) INTO edge FROM record_partitions p, log_head h
        WHERE p.upper <= cutoff AND p.upper <= h.archived;
    SELECT seq INTO floor_seq FROM records WHERE archived >= coalesce(edge, '-infinity')
        ORDER BY seq LIMIT 1;
    RETURN coalesce(floor_seq, (SELECT next_seq FROM log_head));
END $$;

-- What of a partition goes and what stays. `kept_hash` is the SHA-256 of what stays, seq (eight bytes,
-- the highest first) and hash of each, in order. Locks nothing that a query or the writer wants.
CREATE FUNCTION retention_look(part text)
RETURNS TABLE (dropped bigint, kept bigint, first_seq bigint, last_seq bigint,
               kept_first_seq bigint, kept_hash text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT count(*) FILTER (WHERE NOT r.held), count(*) FILTER (WHERE r.held), '
        'min(r.seq) FILTER (WHERE NOT r.held), max(r.seq) FILTER (WHERE NOT r.held), '
        'min(r.seq) FILTER (WHERE r.held), encode(sha256(string_agg(int8send(r.seq) || r.hash, '
        'NULL ORDER BY r.seq) FILTER (WHERE r.held)), ''hex'') '
        'FROM (SELECT seq, hash, EXISTS (SELECT FROM holds h WHERE h.removed IS NULL '
        'AND (h.vid IS NULL OR h.vid = p.vid) '
        'AND (h.start_time IS NULL OR p.received >= h.start_time) '
        'AND (h.end_time IS NULL OR p.received < h.end_time)) AS held FROM %I p) r', part);
END $$;

-- Copies what is to stay of a partition that nobody writes to any more into a table beside it, and
-- checks the bounds there, so that the swap has nothing to look through.
CREATE FUNCTION retention_copy(part text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    bounds record_partitions;
BEGIN
    SELECT * INTO STRICT bounds FROM record_partitions p WHERE p.name = part;
    EXECUTE format('DROP TABLE IF EXISTS %I', part || '_kept');
    PERFORM record_table_make(part || '_kept');
    EXECUTE format(
        'INSERT INTO %I SELECT p.* FROM %I p WHERE EXISTS (SELECT FROM holds h '
        'WHERE h.removed IS NULL AND (h.vid IS NULL OR h.vid = p.vid) '
        'AND (h.start_time IS NULL OR p.received >= h.start_time) '
        'AND (h.end_time IS NULL OR p.received < h.end_time))', part || '_kept', part);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT in_bounds CHECK (archived IS NOT NULL AND %s '
                   'archived < %L)', part || '_kept',
                   CASE WHEN bounds.lower = '-infinity' THEN ''
                        ELSE format('archived >= %L AND', bounds.lower) END, bounds.upper);
END $$;

-- The fence: true while the hub of that number writes the log. It holds the writer up until the end
-- of the transaction, so that its order of locks is everybody's: first the log's end, then tables.
CREATE FUNCTION retention_fence(by_writer bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM log_head WHERE writer = by_writer FOR UPDATE;
    RETURN FOUND;
END $$;

-- Drops a partition, or puts what retention_copy kept in its place, and notes what is to go on
-- record. False, and nothing is done, when another hub writes, or the holds have changed.
CREATE FUNCTION retention_swap(by_writer bigint, part text, mark text, with_kept boolean,
                               from_seq bigint, to_seq bigint, rows_dropped bigint,
                               rows_kept bigint, record_data text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    bounds record_partitions;
    note_id uuid;
BEGIN
    IF NOT retention_fence(by_writer) THEN
        RETURN false;
    END IF;
    LOCK TABLE record_partitions IN ROW EXCLUSIVE MODE; -- before `records`, as everybody does
    LOCK TABLE holds IN SHARE MODE;
    SELECT * INTO bounds FROM record_partitions p WHERE p.name = part;
    IF NOT FOUND OR hold_mark() <> mark THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE records DETACH PARTITION %I', part);
    EXECUTE format('DROP TABLE %I', part);
    IF with_kept THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', part || '_kept', part);
        EXECUTE format('ALTER TABLE records ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', part,
                       CASE WHEN bounds.lower = '-infinity' THEN 'MINVALUE'
                            ELSE quote_literal(bounds.lower) END, bounds.upper);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_bounds', part);
        UPDATE record_partitions p SET hold_mark = mark WHERE p.name = part;
    ELSE
        DELETE FROM record_partitions p WHERE p.name = part;
    END IF;
    IF rows_dropped > 0 THEN
        INSERT INTO record_notes (type, data) VALUES ('retention', record_data)
            RETURNING id INTO note_id;
        INSERT INTO retention_runs (note, name, first_seq, last_seq, dropped, kept)
            VALUES (note_id, part, from_seq, to_seq, rows_dropped, rows_kept);
    END IF;
    RETURN true;
END $$;

-- Of a partition in which holds keep everything there is nothing to drop; that they do goes on
-- record. False when another hub writes, or the holds have changed.
CREATE FUNCTION retention_leave(by_writer bigint, part text, mark text, record_data text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT retention_fence(by_writer) THEN
        RETURN false;
    END IF;
    LOCK TABLE holds IN SHARE MODE;
    IF hold_mark() <> mark THEN
        RETURN false;
    END IF;
    UPDATE record_partitions p SET hold_mark = mark WHERE p.name = part;
    INSERT INTO record_notes (type, data) VALUES ('retention', record_data);
    RETURN true;
END $$;

-- ---- digests: they go when their records have gone ----

CREATE FUNCTION retention_digests_due(cutoff timestamptz, upto_seq bigint)
RETURNS TABLE (name text) LANGUAGE sql STABLE AS $$
    SELECT d.name FROM digest_partitions d
    WHERE d.upper <= (cutoff AT TIME ZONE 'UTC')::date - date '1970-01-01'
      AND (d.hold_mark IS DISTINCT FROM hold_mark() OR d.floor_seq IS DISTINCT FROM upto_seq)
    ORDER BY d.upper
$$;

-- Copies what is to stay: of records that are not past retention (old messages that came late), and
-- of records that a hold keeps. Returns from which seq on there may be more by the time of the swap.
CREATE FUNCTION retention_digests_copy(part text, upto_seq bigint, cutoff timestamptz)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    upto bigint;
    bounds digest_partitions;
BEGIN
    SELECT next_seq INTO upto FROM log_head;
    SELECT * INTO STRICT bounds FROM digest_partitions d WHERE d.name = part;
    EXECUTE format('DROP TABLE IF EXISTS %I', part || '_kept');
    PERFORM digest_table_make(part || '_kept');
    EXECUTE format('INSERT INTO %I SELECT d.* FROM %I d WHERE d.seq < $1 AND (d.seq >= $2 OR d.seq '
                   'IN (SELECT r.seq FROM records r WHERE r.archived < $3 AND r.seq < $2))',
                   part || '_kept', part) USING upto, upto_seq, cutoff;
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT in_bounds CHECK (day >= %s AND day < %s)',
                   part || '_kept', bounds.lower, bounds.upper);
    RETURN upto;
END $$;

CREATE FUNCTION retention_digests_swap(by_writer bigint, part text, mark text, upto_seq bigint,
                                       copied_upto bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    bounds digest_partitions;
    empty boolean;
BEGIN
    IF NOT retention_fence(by_writer) THEN
        RETURN false;
    END IF;
    LOCK TABLE digest_partitions IN ROW EXCLUSIVE MODE;
    LOCK TABLE holds IN SHARE MODE;
    SELECT * INTO bounds FROM digest_partitions d WHERE d.name = part;
    IF NOT FOUND OR hold_mark() <> mark THEN
        RETURN false;
    END IF;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE seq >= $1', part || '_kept', part)
        USING copied_upto;
    EXECUTE format('ALTER TABLE digests DETACH PARTITION %I', part);
    EXECUTE format('DROP TABLE %I', part);
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part || '_kept') INTO empty;
    IF empty THEN
        EXECUTE format('DROP TABLE %I', part || '_kept');
        DELETE FROM digest_partitions d WHERE d.name = part;
        RETURN true;
    END IF;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', part || '_kept', part);
    EXECUTE format('ALTER TABLE digests ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part,
                   bounds.lower, bounds.upper);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_bounds', part);
    UPDATE digest_partitions d SET hold_mark = mark, floor_seq = upto_seq WHERE d.name = part;
    RETURN true;
END $$;

-- Digests without a day of their own go a chunk at a time. Returns how many went.
CREATE FUNCTION retention_digests_delete(part text, upto_seq bigint, cutoff timestamptz,
                                         chunk integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    EXECUTE format('DELETE FROM %1$I WHERE ctid = ANY (ARRAY(SELECT d.ctid FROM %1$I d '
                   'WHERE d.seq < $1 AND NOT EXISTS (SELECT FROM records r WHERE r.seq = d.seq '
                   'AND r.archived < $2) LIMIT $3))', part) USING upto_seq, cutoff, chunk;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

DO $$
DECLARE
    function text;
BEGIN
    FOREACH function IN ARRAY ARRAY[
        'hold_mark()', 'retention_due(timestamptz)', 'retention_floor(timestamptz)',
        'retention_look(text)', 'retention_copy(text)', 'retention_fence(bigint)',
        'retention_swap(bigint, text, text, boolean, bigint, bigint, bigint, bigint, text)',
        'retention_leave(bigint, text, text, text)',
        'retention_digests_due(timestamptz, bigint)',
        'retention_digests_copy(text, bigint, timestamptz)',
        'retention_digests_swap(bigint, text, text, bigint, bigint)',
        'retention_digests_delete(text, bigint, timestamptz, integer)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', function,
                       current_schema());
        EXECUTE format('ALTER FUNCTION %s SET timezone = ''UTC''', function);
    END LOOP;
END $$;

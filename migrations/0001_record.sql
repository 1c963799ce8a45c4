-- The record: an append-only log with one writer, and what it needs to be written exactly once.

-- Every record there is, in the order of its commit. `seq` has no gaps, and `archived` never goes
-- back as `seq` grows: a partition by `archived` is one run of the log, and dropping it takes
-- records away from one end. Each partition has a primary key on `seq` of its own; what keeps `seq`
-- unique among them is the one writer. Whoever asks for records by `seq` asks each partition's
-- index, which is why there are few partitions (see record_partitions_ahead).
CREATE TABLE records (
    seq               bigint NOT NULL,
    id                uuid NOT NULL,
    hash              bytea NOT NULL,             -- RFC 6962 leaf hash, hub/record_hash.h
    kind              text COLLATE "C" NOT NULL,
    vid               text COLLATE "C",
    region            text COLLATE "C" NOT NULL,
    type              text COLLATE "C" NOT NULL,
    severity          text COLLATE "C",
    actor             text,
    request_id        text,
    boot              text,
    boot_raw          bytea,                      -- where text cannot hold it (NUL); boot is then null
    vehicle_seq       bigint,
    timestamp         timestamptz,                -- the vehicle's clock
    timestamp_rest_ns smallint NOT NULL,          -- nanoseconds beyond its microsecond
    received          timestamptz NOT NULL,       -- the broker's clock
    received_rest_ns  smallint NOT NULL,
    archived          timestamptz NOT NULL,       -- this server's clock
    stream            text COLLATE "C",
    stream_seq        bigint,
    data              jsonb,                      -- for queries; null where jsonb refuses it
    raw               bytea NOT NULL              -- data as it came, which is what hash covers
) PARTITION BY RANGE (archived);

ALTER TABLE records ALTER COLUMN hash SET STORAGE PLAIN;

-- A vehicle's last records, of any kind; `kind` stands in the index because most of what a vehicle
-- has on record may be tracks, which a question for its events passes over there.
CREATE INDEX records_by_vid ON records (vid, seq, kind) WHERE vid IS NOT NULL;
CREATE INDEX records_by_type ON records (type, seq);
-- Events are nearly all there is: they are found by walking the primary key.
CREATE INDEX records_by_kind ON records (kind, seq) WHERE kind <> 'event';
CREATE INDEX records_by_received ON records USING brin (received)
    WITH (pages_per_range = 32, autosummarize = on);

-- What is on record already, so that the same message published again is not recorded again, and
-- the way from an id to its record. `day` is the day (since 1970) of the vehicle's timestamp, 0 for
-- what has none.
CREATE TABLE digests (
    id  uuid NOT NULL,
    day integer NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);

-- ---- partitions ----

-- The partitions of `records` and of `digests` that have bounds, half-open.
CREATE TABLE record_partitions (
    name  text NOT NULL PRIMARY KEY,
    lower timestamptz NOT NULL,  -- '-infinity' for the first
    upper timestamptz NOT NULL UNIQUE
);
CREATE TABLE digest_partitions (
    name  text NOT NULL PRIMARY KEY,
    lower integer NOT NULL,
    upper integer NOT NULL UNIQUE
);

-- A table that can become a partition of `records`. Rows are only ever appended: vacuum is for the
-- visibility map, analyze for the planner.
CREATE FUNCTION record_table_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE records INCLUDING STORAGE INCLUDING INDEXES, '
                   'PRIMARY KEY (seq)) WITH (fillfactor = 100, '
                   'autovacuum_vacuum_insert_scale_factor = 0.05, '
                   'autovacuum_analyze_scale_factor = 0.02)', name);
END $$;

CREATE FUNCTION digest_table_make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE digests INCLUDING INDEXES) WITH (fillfactor = 100)',
                   name);
END $$;

-- Digests lie in the order of `seq`: what is younger than a record is found without an index entry
-- for each.
CREATE INDEX digests_by_seq ON digests USING brin (seq) WITH (autosummarize = on);

-- Where no other partition fits: nothing that is to be recorded ever waits for a partition.
SELECT record_table_make('records_default');
ALTER TABLE records ATTACH PARTITION records_default DEFAULT;
SELECT digest_table_make('digests_default');
ALTER TABLE digests ATTACH PARTITION digests_default DEFAULT;
-- Records without a vehicle's timestamp, most of them the hub's own.
SELECT digest_table_make('digests_undated');
ALTER TABLE digests ATTACH PARTITION digests_undated FOR VALUES FROM (0) TO (1);

-- What came into records_default becomes a partition with bounds. Its rows are one run of the log,
-- behind all other partitions.
CREATE FUNCTION record_default_adopt(from_bound timestamptz) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    to_bound timestamptz;
    name text;
BEGIN
    SELECT date_trunc('day', greatest(max(archived), clock_timestamp())) + interval '1 day',
           'records_from_' || to_char(min(archived), 'YYYYMMDD_HH24MISS')
        INTO to_bound, name FROM records_default;
    ALTER TABLE records DETACH PARTITION records_default;
    EXECUTE format('ALTER TABLE records_default RENAME TO %I', name);
    PERFORM record_table_make('records_default');
    ALTER TABLE records ATTACH PARTITION records_default DEFAULT;
    EXECUTE format('ALTER TABLE records ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', name,
                   CASE WHEN from_bound = '-infinity' THEN 'MINVALUE'
                        ELSE quote_literal(from_bound) END, to_bound);
    INSERT INTO record_partitions (name, lower, upper) VALUES (name, from_bound, to_bound);
    RETURN to_bound;
END $$;

CREATE FUNCTION record_partition_make(from_bound timestamptz, to_bound timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name text := 'records_to_' || to_char(to_bound, 'YYYYMMDD');
BEGIN
    PERFORM record_table_make(name);
    EXECUTE format('ALTER TABLE records ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', name,
                   CASE WHEN from_bound = '-infinity' THEN 'MINVALUE'
                        ELSE quote_literal(from_bound) END, to_bound);
    INSERT INTO record_partitions (name, lower, upper) VALUES (name, from_bound, to_bound);
END $$;

-- Vehicles whose clocks run ahead have left digests in digests_default: they move with their day.
CREATE FUNCTION digest_partition_make(from_bound integer, to_bound integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name text := 'digests_to_' || to_char(date '1970-01-01' + to_bound, 'YYYYMMDD');
BEGIN
    PERFORM digest_table_make(name);
    EXECUTE format('WITH moved AS (DELETE FROM digests_default WHERE day >= %s AND day < %s '
                   'RETURNING *) INSERT INTO %I SELECT * FROM moved', from_bound, to_bound, name);
    EXECUTE format('ALTER TABLE digests ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name,
                   from_bound, to_bound);
    INSERT INTO digest_partitions (name, lower, upper) VALUES (name, from_bound, to_bound);
END $$;

-- Makes partitions of width_days each until two lie ahead, and says how many were made. The hub's
-- own role may call it, and nothing else here. It waits for a lock no longer than a second: what
-- fails is tried again in an hour, long before the partitions end.
CREATE FUNCTION record_partitions_ahead(width_days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    width integer := least(greatest(width_days, 1), 366);
    today date := clock_timestamp()::date;
    edge timestamptz;
    edge_day integer;
    made integer := 0;
BEGIN
    LOCK TABLE record_partitions, digest_partitions IN SHARE ROW EXCLUSIVE MODE;
    SELECT max(upper) INTO edge FROM record_partitions;
    IF EXISTS (SELECT FROM records_default) THEN
        edge := record_default_adopt(coalesce(edge, '-infinity'));
        made := made + 1;
    END IF;
    WHILE edge IS NULL OR edge < today + 2 * width LOOP
        PERFORM record_partition_make(coalesce(edge, '-infinity'),
                                      greatest(coalesce(edge, today), today)::date + width);
        SELECT max(upper) INTO edge FROM record_partitions;
        made := made + 1;
    END LOOP;

    SELECT max(upper) INTO edge_day FROM digest_partitions;
    WHILE edge_day IS NULL OR edge_day < today - date '1970-01-01' + 2 * width LOOP
        PERFORM digest_partition_make(
            coalesce(edge_day, 1),
            greatest(coalesce(edge_day, 0), today - date '1970-01-01') + width);
        SELECT max(upper) INTO edge_day FROM digest_partitions;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION record_partitions_ahead(integer) FROM PUBLIC;

-- Whoever calls it, the tables are those of this schema and days are those of UTC.
DO $$
DECLARE
    function text;
BEGIN
    FOREACH function IN ARRAY ARRAY['record_table_make(text)', 'digest_table_make(text)',
                                    'record_default_adopt(timestamptz)',
                                    'record_partition_make(timestamptz, timestamptz)',
                                    'digest_partition_make(integer, integer)',
                                    'record_partitions_ahead(integer)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', function,
                       current_schema());
        EXECUTE format('ALTER FUNCTION %s SET timezone = ''UTC''', function);
        EXECUTE format('ALTER FUNCTION %s SET lock_timeout = ''1s''', function);
    END LOOP;
END $$;

-- How far each stream has been read; committed with the rows that came from it.
CREATE TABLE stream_positions (
    stream      text COLLATE "C" NOT NULL PRIMARY KEY,
    created_ns  bigint NOT NULL,   -- the stream's creation, nanoseconds since 1970
    generation  bigint NOT NULL,   -- grows whenever the stream may have lost its tail unseen
    seq         bigint NOT NULL,
    received_ns bigint NOT NULL    -- of the message `seq`; a message that differs is not the one read
) WITH (fillfactor = 50);

-- Refused messages of the present minute, by vehicle: beyond a limit they become one record.
CREATE TABLE refusals (
    stream      text COLLATE "C" NOT NULL,
    vid         text COLLATE "C" NOT NULL,  -- '' for those without a valid one
    minute      bigint NOT NULL,            -- of the broker's clock, since 1970
    recorded    bigint NOT NULL,            -- each has a record of its own
    suppressed  bigint NOT NULL,            -- these are counted only
    last_seq    bigint NOT NULL,            -- the last one suppressed
    last_ns     bigint NOT NULL,
    reasons     bigint[] NOT NULL,          -- suppressed by reason
    PRIMARY KEY (stream, vid)
) WITH (fillfactor = 50);

-- One row: who may write, and where the log ends.
CREATE TABLE log_head (
    one           boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    scope         text NOT NULL DEFAULT '',   -- env/region; a database holds the record of one
    writer        bigint NOT NULL DEFAULT 0,  -- grows with each change of writer: the fence
    holder        text NOT NULL DEFAULT '',
    backend_pid   integer NOT NULL DEFAULT 0, -- the writer's session: when it is gone, so is its hub
    backend_start timestamptz,
    heartbeat     timestamptz NOT NULL DEFAULT '-infinity',
    next_seq      bigint NOT NULL DEFAULT 1,
    archived      timestamptz NOT NULL DEFAULT '2000-01-01 00:00:00+00'
) WITH (fillfactor = 10);
INSERT INTO log_head DEFAULT VALUES;

-- The record: an append-only log with one writer, and what it needs to be written exactly once.

-- Every record there is, in the order of its commit. `seq` has no gaps. `archived` never goes back
-- as `seq` grows, so that a later migration can cut the table into partitions by it.
CREATE TABLE records (
    seq               bigint NOT NULL PRIMARY KEY,
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
) WITH (fillfactor = 100);

ALTER TABLE records ALTER COLUMN hash SET STORAGE PLAIN;
-- Rows are only ever appended: vacuum is for the visibility map, analyze for the planner.
ALTER TABLE records SET (autovacuum_vacuum_insert_scale_factor = 0.05,
                         autovacuum_analyze_scale_factor = 0.02);

-- A vehicle's last records, of any kind.
CREATE INDEX records_by_vid ON records (vid, seq) WHERE vid IS NOT NULL;
CREATE INDEX records_by_type ON records (type, seq);
-- Events are nearly all there is: they are found by walking the primary key.
CREATE INDEX records_by_kind ON records (kind, seq) WHERE kind <> 'event';
CREATE INDEX records_by_received ON records USING brin (received)
    WITH (pages_per_range = 32, autosummarize = on);

-- What is on record already, so that the same message published again is not recorded again, and
-- the way from an id to its record. `day` is the day (since 1970) of the vehicle's timestamp, 0 for
-- what has none: a later migration can partition by it.
CREATE TABLE digests (
    id  uuid NOT NULL,
    day integer NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (id, day)
);

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

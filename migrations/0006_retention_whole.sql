-- Retention looks whether a partition is whole before it takes anything from it: what somebody else
-- has deleted there would otherwise be on record as dropped, or as never kept by a hold.

-- Up to which record retention has been through the log; one row.
CREATE TABLE retention_reach (
    one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL
);

-- Where retention has been before now, it has been up to the first partition it has not looked at.
INSERT INTO retention_reach (seq) SELECT CASE
    WHEN EXISTS (SELECT FROM retention_runs)
         OR EXISTS (SELECT FROM record_partitions WHERE hold_mark IS NOT NULL)
    THEN coalesce((SELECT min(r.seq) FROM records r WHERE r.archived >= coalesce(
                       (SELECT max(p.upper) FROM record_partitions p
                        WHERE p.hold_mark IS NOT NULL), '-infinity')),
                  (SELECT next_seq FROM log_head)) - 1
    ELSE 0 END;

-- What holds kept of a partition, and its `kept_hash`, as it was put on record; null where that was
-- before this migration.
ALTER TABLE record_partitions ADD COLUMN kept bigint, ADD COLUMN kept_hash text;

-- The last record before a bound between partitions, by the first one behind it.
CREATE FUNCTION retention_end(bound timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT seq FROM records WHERE archived >= bound ORDER BY seq LIMIT 1),
                    (SELECT next_seq FROM log_head)) - 1
$$;

-- Why a partition is not whole, or null: looked at for the first time it has every record from where
-- retention has been to the next partition; later, what holds kept of it.
CREATE FUNCTION retention_missing(part text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    bounds record_partitions;
    from_seq bigint;
    to_seq bigint;
    found_rows bigint;
    found_first bigint;
    found_last bigint;
    found_hash text;
    gap bigint;
BEGIN
    SELECT * INTO STRICT bounds FROM record_partitions p WHERE p.name = part;
    IF bounds.hold_mark IS NOT NULL THEN
        IF bounds.kept IS NULL THEN
            RETURN NULL;
        END IF;
        EXECUTE format('SELECT count(*), encode(sha256(string_agg(int8send(p.seq) || p.hash, NULL '
                       'ORDER BY p.seq)), ''hex'') FROM %I p', part) INTO found_rows, found_hash;
        IF found_rows = bounds.kept AND found_hash IS NOT DISTINCT FROM bounds.kept_hash THEN
            RETURN NULL;
        END IF;
        RETURN format('a hold kept %s records of it, and there are %s: one was deleted, or changed',
                      bounds.kept, found_rows);
    END IF;
    SELECT r.seq + 1 INTO STRICT from_seq FROM retention_reach r;
    to_seq := retention_end(bounds.upper);
    EXECUTE format('SELECT count(*), min(p.seq), max(p.seq) FROM %I p', part)
        INTO found_rows, found_first, found_last;
    IF found_rows = to_seq - from_seq + 1
       AND (found_rows = 0 OR (found_first = from_seq AND found_last = to_seq)) THEN
        RETURN NULL;
    END IF;
    IF found_first < from_seq OR found_last > to_seq THEN
        RETURN format('it holds records %s to %s, and should hold %s to %s', found_first,
                      found_last, from_seq, to_seq);
    END IF;
    EXECUTE format('SELECT n.seq + 1 FROM (SELECT p.seq, lead(p.seq) OVER (ORDER BY p.seq) AS next '
                   'FROM %I p) AS n WHERE n.next > n.seq + 1 ORDER BY n.seq LIMIT 1', part)
        INTO gap;
    RETURN format('record %s is missing: it was deleted',
                  CASE WHEN found_rows = 0 OR found_first > from_seq THEN from_seq
                       ELSE coalesce(gap, found_last + 1) END);
END $$;

-- That retention left a partition alone goes on record, once for each reason.
CREATE FUNCTION retention_refuse(by_writer bigint, record_data text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT retention_fence(by_writer) THEN
        RETURN false;
    END IF;
    INSERT INTO record_notes (type, data) SELECT 'retention_refused', record_data
        WHERE NOT EXISTS (SELECT FROM record_notes n
                          WHERE n.type = 'retention_refused' AND n.data = record_data);
    RETURN true;
END $$;

-- As before, and keeps what is known of the partition from now on.
CREATE OR REPLACE FUNCTION retention_swap(by_writer bigint, part text, mark text, with_kept boolean,
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
    UPDATE retention_reach r SET seq = greatest(r.seq, retention_end(bounds.upper));
    EXECUTE format('ALTER TABLE records DETACH PARTITION %I', part);
    EXECUTE format('DROP TABLE %I', part);
    IF with_kept THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', part || '_kept', part);
        EXECUTE format('ALTER TABLE records ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', part,
                       CASE WHEN bounds.lower = '-infinity' THEN 'MINVALUE'
                            ELSE quote_literal(bounds.lower) END, bounds.upper);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_bounds', part);
        UPDATE record_partitions p SET hold_mark = mark, kept = rows_kept,
            kept_hash = record_data::json ->> 'kept_hash' WHERE p.name = part;
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

CREATE OR REPLACE FUNCTION retention_leave(by_writer bigint, part text, mark text,
                                           record_data text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT retention_fence(by_writer) THEN
        RETURN false;
    END IF;
    LOCK TABLE holds IN SHARE MODE;
    IF hold_mark() <> mark THEN
        RETURN false;
    END IF;
    UPDATE retention_reach r SET seq = greatest(r.seq, (SELECT retention_end(p.upper)
        FROM record_partitions p WHERE p.name = part));
    UPDATE record_partitions p SET hold_mark = mark,
        kept = (record_data::json ->> 'kept')::bigint,
        kept_hash = record_data::json ->> 'kept_hash' WHERE p.name = part;
    INSERT INTO record_notes (type, data) VALUES ('retention', record_data);
    RETURN true;
END $$;

DO $$
DECLARE
    function text;
BEGIN
    FOREACH function IN ARRAY ARRAY[
        'retention_end(timestamptz)', 'retention_missing(text)', 'retention_refuse(bigint, text)',
        'retention_swap(bigint, text, text, boolean, bigint, bigint, bigint, bigint, text)',
        'retention_leave(bigint, text, text, text)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', function,
                       current_schema());
        EXECUTE format('ALTER FUNCTION %s SET timezone = ''UTC''', function);
    END LOOP;
END $$;

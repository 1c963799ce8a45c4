-- Most digests lie in partitions of their day, and there an index of `seq` cost a fifth of what it
-- takes to add a digest. It was asked once in the life of such a partition: when retention swaps it,
-- for what came since it was copied. The records know that as well. In the two partitions without
-- bounds retention looks for old ones again and again: these keep theirs.

DROP INDEX digests_by_seq;
CREATE INDEX digests_undated_by_seq ON digests_undated USING brin (seq) WITH (autosummarize = on);
CREATE INDEX digests_default_by_seq ON digests_default USING brin (seq) WITH (autosummarize = on);

CREATE OR REPLACE FUNCTION retention_digests_swap(by_writer bigint, part text, mark text,
                                                  upto_seq bigint, copied_upto bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
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
    -- The records since then, each with a look for its digest here; the writer waits meanwhile.
    EXECUTE format('WITH since AS MATERIALIZED (SELECT r.id, r.seq FROM records r '
                   'WHERE r.seq >= $1) INSERT INTO %I SELECT d.* FROM since s JOIN %I d '
                   'ON d.id = s.id AND d.seq = s.seq', part || '_kept', part) USING copied_upto;
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

-- As all of these functions, and: whatever the planner thinks of tables that have just grown, the
-- partition is not to be read from one end to the other here.
DO $$
DECLARE
    swap text := 'retention_digests_swap(bigint, text, text, bigint, bigint)';
BEGIN
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', swap, current_schema());
    EXECUTE format('ALTER FUNCTION %s SET timezone = ''UTC''', swap);
    EXECUTE format('ALTER FUNCTION %s SET enable_hashjoin = off', swap);
    EXECUTE format('ALTER FUNCTION %s SET enable_mergejoin = off', swap);
END $$;

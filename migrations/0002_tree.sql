-- Tamper evidence: the Merkle tree over the records' hashes (hub/tree.h) and signed checkpoints of
-- it. All of it stands apart from `records`: when old records go, what proves the others stays.

-- The nodes of the tree: tile t of level L holds the roots of 32 neighbouring subtrees of 32^L
-- records each, from the record with seq 1 + t times 32^(L+1) on; at level 0 these are records.hash. A
-- tile is written once, when it is full.
CREATE TABLE tree_tiles (
    level smallint NOT NULL,
    tile  bigint NOT NULL,
    nodes bytea NOT NULL,   -- 32 hashes of 32 bytes
    PRIMARY KEY (level, tile)
) WITH (fillfactor = 100);
ALTER TABLE tree_tiles ALTER COLUMN nodes SET STORAGE PLAIN;

-- Of each level the one tile that is not full yet; changed in the transaction that adds records.
CREATE TABLE tree_edge (
    level smallint NOT NULL PRIMARY KEY,
    tile  bigint NOT NULL,
    nodes bytea NOT NULL    -- 0 to 31 hashes
) WITH (fillfactor = 10);
ALTER TABLE tree_edge ALTER COLUMN nodes SET STORAGE PLAIN;

-- The tree's root at some sizes, as signed and published (docs/record-format.md).
CREATE TABLE checkpoints (
    size bigint NOT NULL PRIMARY KEY,   -- records it covers: seq 1 to size
    made timestamptz NOT NULL,
    note text NOT NULL
);

-- Each key that a checkpoint was signed with, from its first one on.
CREATE TABLE signing_keys (
    vkey       text COLLATE "C" NOT NULL PRIMARY KEY,   -- as notes name it: origin+id+key
    first_size bigint NOT NULL,
    made       timestamptz NOT NULL
);

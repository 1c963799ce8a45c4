"""What must hold of the record whatever was killed: judged from PostgreSQL's tables, without a line of
the hub's own code. The canonical form of a record is written here a second time, from its
description (hub/record_hash.h)."""

import datetime
import hashlib
import json
import os
import re
import subprocess

COLUMNS = ("seq", "replace(id::text, '-', '')", "encode(hash, 'hex')", "kind", "vid", "region", "type",
           "severity", "actor", "request_id", "boot", "encode(boot_raw, 'hex')", "vehicle_seq",
           "(extract(epoch FROM timestamp) * 1000000)::bigint", "timestamp_rest_ns",
           "(extract(epoch FROM received) * 1000000)::bigint", "received_rest_ns",
           "(extract(epoch FROM archived) * 1000000)::bigint", "stream", "stream_seq",
           "encode(raw, 'hex')")
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
EPOCH = datetime.datetime(1970, 1, 1)
LEAF, NODE = b"\0", b"\1"
TILE, HASH_BYTES = 32, 32

# One number each that must be 0.
INVARIANTS = {
    "a gap in seq": "SELECT coalesce(max(seq), 0) - count(*) FROM records",
    "a seq twice": "SELECT count(seq) - count(DISTINCT seq) FROM records",
    "an id twice": "SELECT count(id) - count(DISTINCT id) FROM records",
    "the end of the log is elsewhere":
        "SELECT (SELECT next_seq FROM log_head) - 1 - (SELECT coalesce(max(seq), 0) FROM records)",
    "archived goes back":
        "SELECT count(*) FROM (SELECT archived < lag(archived) OVER (ORDER BY seq) AS back "
        "FROM records) AS r WHERE back",
    "a record without its digest":
        "SELECT count(*) FROM records r WHERE NOT EXISTS "
        "(SELECT 1 FROM digests d WHERE d.id = r.id AND d.seq = r.seq)",
    "a digest without its record":
        "SELECT count(*) FROM digests d WHERE NOT EXISTS "
        "(SELECT 1 FROM records r WHERE r.seq = d.seq AND r.id = d.id)",
}


class Record:
    def __init__(self, fields):
        texts = [None if field == "\\N" else _unescaped(field) for field in fields]
        (seq, self.id, self.hash, self.kind, self.vid, self.region, self.type, self.severity,
         self.actor, self.request_id, self.boot, boot_raw, vehicle_seq, stamp, stamp_ns, received,
         received_ns, archived, self.stream, stream_seq, raw) = texts
        self.seq = int(seq)
        self.vehicle_seq = None if vehicle_seq is None else int(vehicle_seq)
        self.stream_seq = None if stream_seq is None else int(stream_seq)
        self.timestamp_ns = None if stamp is None else int(stamp) * 1000 + int(stamp_ns)
        self.received_ns = int(received) * 1000 + int(received_ns)
        self.archived_ns = int(archived) * 1000
        self.data = bytes.fromhex(raw)
        if boot_raw is not None:
            self.boot = bytes.fromhex(boot_raw).decode()

    def canonical(self):
        members = (("id", self.id), ("seq", self.seq), ("kind", self.kind), ("vid", self.vid),
                   ("region", self.region), ("type", self.type), ("severity", self.severity),
                   ("actor", self.actor), ("request_id", self.request_id), ("boot", self.boot),
                   ("vehicle_seq", self.vehicle_seq), ("timestamp", _time(self.timestamp_ns)),
                   ("received", _time(self.received_ns)), ("archived", _time(self.archived_ns)),
                   ("stream", self.stream), ("stream_seq", self.stream_seq))
        text = ",".join(f'"{name}":{json.dumps(value, ensure_ascii=False)}'
                        for name, value in members)
        data = self.data.replace(b"\r", b" ").replace(b"\n", b" ")
        return b'{%s,"data":%s}' % (text.encode(), data)

    def hash_is_right(self):
        return hashlib.sha256(LEAF + self.canonical()).hexdigest() == self.hash


def _unescaped(field):
    if "\\" not in field:
        return field
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match.group(1), match.group(1)), field)


def _time(ns):
    if ns is None:
        return None
    whole, rest = divmod(ns, 10**9)
    fraction = f"{rest:09d}" if rest % 10**6 else f"{rest // 10**6:03d}"
    return (EPOCH + datetime.timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S.") + fraction + "Z"


def records(postgres):
    """Every record, in the order of the log."""
    sql = f"COPY (SELECT {', '.join(COLUMNS)} FROM records ORDER BY seq) TO STDOUT"
    with subprocess.Popen([os.path.join(postgres.bin, "psql"), "-X", "-q", "-h", postgres.folder, "-U",
                           postgres.user, "-d", postgres.database, "-c", sql],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            yield Record(line.rstrip("\n").split("\t"))
    if child.returncode != 0:
        raise AssertionError("the records cannot be read")


def tree_levels(leaves):
    """Of the tiled tree over these leaf hashes (hub/tree.h): the nodes of each level in turn."""
    levels, nodes = [], leaves
    while nodes:
        levels.append(nodes)
        nodes = [_root(nodes[at:at + TILE]) for at in range(0, len(nodes) - TILE + 1, TILE)]
    return levels


def _root(nodes):
    while len(nodes) > 1:
        nodes = [hashlib.sha256(NODE + nodes[at] + nodes[at + 1]).digest()
                 for at in range(0, len(nodes), 2)]
    return nodes[0]


def tree_difference(postgres, leaves):
    """What is wrong with the tree in the database, as text; "" where it is that of these leaves.
    Of the lowest level the records themselves may be the full tiles."""
    rows = postgres.query("SELECT 'tile', level, tile, encode(nodes, 'hex') FROM tree_tiles "
                          "UNION ALL SELECT 'edge', level, tile, encode(nodes, 'hex') "
                          "FROM tree_edge").splitlines()
    have = {}
    for row in rows:
        kind, level, tile, nodes = row.split("|")
        if nodes:
            have[kind, int(level), int(tile)] = bytes.fromhex(nodes)
    want = {}
    for level, nodes in enumerate(tree_levels(leaves)):
        full = len(nodes) // TILE
        for tile in range(full):
            want["tile", level, tile] = b"".join(nodes[tile * TILE:(tile + 1) * TILE])
        if len(nodes) % TILE:
            want["edge", level, full] = b"".join(nodes[full * TILE:])
    for place in sorted(set(have) | set(want)):
        missing = place not in have and place[:2] != ("tile", 0)
        if missing or (place in have and have[place] != want.get(place)):
            return f"{place[0]} {place[2]} of level {place[1]} is not that of the records"
    return ""


def broken_invariants(postgres):
    """The names of those that do not hold, with their numbers."""
    found = {name: int(postgres.query(sql)) for name, sql in INVARIANTS.items()}
    return {name: number for name, number in found.items() if number != 0}

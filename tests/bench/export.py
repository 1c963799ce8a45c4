#!/usr/bin/env python3
"""An export of a million records beside psql's \\copy of the same rows, and a vehicle's last 100 records.

    tests/bench/export.py [--records N] [--vehicles N] [--runs N] [--build DIR]

The rows are made in the database, of the size that vehicles' events have. Both write to nowhere. Prints one JSON
object a line; `export.*` are rows a second, and `limit` is \\copy's in the same run. The oldest minute is what a page
asked for by time takes that is furthest from where the scan begins. With --runs 0 nothing is exported: so one asks for a
vehicle's last records among ten million.
"""

import socket
import statistics
import time

from common import options, show

CHUNK = 100000  # of a statement that fills
FIRST = 100000  # seq, beyond what the hub itself records meanwhile
FILL = """
INSERT INTO records (seq, id, hash, kind, vid, region, type, severity, boot, vehicle_seq, timestamp,
    timestamp_rest_ns, received, received_rest_ns, archived, stream, stream_seq, data, raw)
SELECT {first} + i, md5(i::text)::uuid, decode(md5(i::text) || md5((-i)::text), 'hex'), 'event',
    'VID-' || lpad((i % {vehicles})::text, 5, '0'), 'eu-north', 'waypoint', 'info', 'b7', i, at, 0, at, 123, at,
    'TWIN_EVENTS', i, raw::jsonb, convert_to(raw, 'UTF8')
FROM (SELECT i, now() - interval '1 day' + i * interval '1 ms' AS at,
        '{{"index":' || i || ',"lat":59.9139,"lon":10.7522,"alt":120.5,"severity":"info",'
        '"text":"reached waypoint of the mission"}}' AS raw
    FROM generate_series({start}, {end} - 1) AS i) AS made
"""


def export(hub, path, lines):
    """Seconds for all of it; it has to be whole, and of so many lines."""
    connection = socket.create_connection(("127.0.0.1", hub.port))
    connection.settimeout(120)
    room, seen, tail = bytearray(1 << 20), 0, b""
    began = time.monotonic()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    while True:
        size = connection.recv_into(room)
        if size == 0:
            break
        seen += size
        tail = (tail + bytes(room[max(0, size - 8):size]))[-8:]
    took = time.monotonic() - began
    connection.close()
    assert tail.endswith(b"0\r\n\r\n") and seen > lines * 100, (seen, tail)
    return took


def copy(postgres):
    began = time.monotonic()
    postgres.query(f"\\copy (SELECT * FROM records WHERE seq >= {FIRST}) TO '/dev/null'")
    return time.monotonic() - began


def peak_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def exports(stack, records, runs):
    paths = {"ndjson": f"/v1/events?format=ndjson&order_by=seq&filter=seq%3E%3D{FIRST}",
             "csv": f"/v1/events?format=csv&order_by=seq&filter=seq%3E%3D{FIRST}"}
    took = {name: [] for name in ("copy", "ndjson", "csv")}
    for _ in range(runs):
        took["copy"].append(copy(stack.postgres))
        for name in ("ndjson", "csv"):
            took[name].append(export(stack.hub, paths[name], records))
    limit = records / statistics.median(took["copy"])
    for name in ("ndjson", "csv"):
        show(f"export.{name}", records / statistics.median(took[name]), "rows/s", limit)
    show("export.memory", peak_mib(stack.hub.process.pid), "MiB", 64)


def measure(records, vehicles, runs):
    from harness import Stack, wait_until
    with Stack({"log": {"level": "warn"}}, leaf=False) as stack:
        wait_until(lambda: stack.postgres.query("SELECT count(*) FROM record_partitions") != "0",
                   30, "there are partitions")
        for start in range(0, records, CHUNK):
            stack.postgres.query(FILL.format(first=FIRST, start=start, end=min(start + CHUNK, records),
                                             vehicles=vehicles))
        stack.postgres.query("VACUUM ANALYZE records")
        if runs > 0:
            exports(stack, records, runs)
        last = []
        for i in range(100):
            began = time.monotonic()
            page = stack.hub.json(f"/v1/vehicles/VID-{i * 7 % vehicles:05d}/timeline", page_size=100)
            last.append((time.monotonic() - began) * 1000)
            assert len(page["events"]) == min(100, records // vehicles)
        show("timeline.last_100", statistics.median(last), "ms", 5)
        oldest = stack.hub.json("/v1/events", order_by="seq", kind="event", page_size=1)["events"][0]["received"]
        ranges = []
        for _ in range(20):
            began = time.monotonic()
            page = stack.hub.json("/v1/events", start_time=oldest, end_time=oldest[:17] + "59.999Z", page_size=100)
            ranges.append((time.monotonic() - began) * 1000)
            assert page["events"]
        show("range.oldest_minute", statistics.median(ranges), "ms")


def main():
    chosen = options(__doc__, records=1000000, vehicles=1000, runs=5)
    measure(chosen.records, chosen.vehicles, chosen.runs)


if __name__ == "__main__":
    main()

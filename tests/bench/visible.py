#!/usr/bin/env python3
"""From publishing at the leaf to seeing it in a GET, under a region's load, beside publish to subscribe on the same path.

    tests/bench/visible.py [--vehicles N] [--seconds S] [--queries PER_SECOND] [--build DIR]
"""

import http.client
import json
import statistics
import threading
import time

from common import options, show

PAUSE_S = 0.02
WAIT_S = 5


class Probe:
    """A vehicle of its own, whose position is a counter."""

    def __init__(self, stack):
        self.subject = "fleet.test.veh.PROBE.state.position"
        self.out = stack.leaf.client()
        self.region = stack.nats.client()
        self.seen = self.region.subscribe(self.subject)
        self.region.flush()
        self.http = http.client.HTTPConnection("127.0.0.1", stack.hub.port)
        self.count = 0

    def publish(self):
        self.count += 1
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.out.publish(self.subject, json.dumps(
            {"timestamp": stamp, "boot": "b1", "seq": self.count,
             "data": {"lat": self.count}}).encode())

    def read(self):
        self.http.request("GET", "/v1/vehicles/PROBE/state/position")
        reply = self.http.getresponse()
        body = reply.read()
        return json.loads(body)["lat"] if reply.status == 200 else 0

    def once(self):
        """Milliseconds until a subscriber had it, and until a GET showed it. The GETs follow each
        other without a pause; one round trip of them is part of the figure."""
        began = time.monotonic()
        self.publish()
        while self.read() < self.count:
            if time.monotonic() - began > WAIT_S:
                raise AssertionError("not visible in time")
        visible = time.monotonic()
        return (visible - began) * 1000

    def once_limit(self):
        began = time.monotonic()
        self.publish()
        self.seen.next(WAIT_S)
        return (time.monotonic() - began) * 1000


def query(stack, per_second, stop):
    """Lists of the fleet, at a rate."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.hub.port)
    while not stop.wait(1 / per_second):
        connection.request("GET", "/v1/vehicles?page_size=100&filter=state.battery.remaining%20%3C%200.9")
        connection.getresponse().read()


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main():
    chosen = options(__doc__, vehicles=1000, seconds=30, queries=50)
    from harness import Stack
    with Stack({"nats": {"limits": {"state_bytes": 4 << 30}}}) as stack:
        sim = stack.fleetsim("fly", "--vehicles", str(chosen.vehicles), "--duration",
                             str(chosen.seconds + 5))
        stop = threading.Event()
        asking = threading.Thread(target=query, args=(stack, chosen.queries, stop))
        asking.start()
        probe = Probe(stack)
        visible, limit = [], []
        until = time.monotonic() + chosen.seconds
        while time.monotonic() < until:
            visible.append(probe.once())
            probe.seen.next(WAIT_S)
            time.sleep(PAUSE_S)
            limit.append(probe.once_limit())
            time.sleep(PAUSE_S)
        stop.set()
        asking.join()
        sim.stop()
        show("visible.median", statistics.median(visible), "ms", statistics.median(limit))
        show("visible.p99", percentile(visible, 0.99), "ms", percentile(limit, 0.99))
        show("visible.p99_above", percentile(visible, 0.99) - percentile(limit, 0.99), "ms", 5)
        show("visible.samples", len(visible), "samples")


if __name__ == "__main__":
    main()

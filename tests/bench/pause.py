#!/usr/bin/env python3
"""How long queries over 100,000 vehicles make the fold pause, by the hub's own measurement, beside the same load without them.

    tests/bench/pause.py [--vehicles N] [--flying N] [--seconds S] [--build DIR]

Rounds with and without queries alternate. A wait that no query caused (another lane had the lock, or
the system let somebody else run) is in both, so the machine should have nothing else to do.
"""

import re
import threading
import time

from common import options, show
from start import fill

ROUNDS = 3
QUERIES = (
    "/v1/vehicles?page_size=1000&order_by=state.battery.remaining&filter=state.battery.remaining%20%3C%200.9",
    "/v1/vehicles?page_size=100&order_by=distance(state.position,59.91,10.75)",
    "/v1/vehicles?format=ndjson",
    "/v1/fleet/stats?group_by=state.mode.mode&stats=count,avg(state.battery.remaining),p95(state.position.alt)",
    "/v1/fleet/fields",
)


def waits(hub):
    """Buckets of the waits for the lock: (upper bound, how many no longer), and the longest pause."""
    text = hub.get("/metrics").body.decode()
    buckets = [(float(bound), int(count)) for bound, count in re.findall(
        r'^fleethub_fold_wait_seconds_bucket\{le="([^"]+)"\} (\d+)$', text, re.M)]
    return buckets, hub.metric("fold_longest_pause_seconds")


def between(before, after):
    """How many waits there were, and the bound of the longest."""
    count, longest, earlier = 0, 0.0, 0
    for (bound, was), (_, now) in zip(before, after):
        if now - was > earlier:
            count, longest, earlier = now - was, bound, now - was
    return count, longest


class Queries:
    """Four clients that ask one heavy question after the other."""

    def __init__(self, hub):
        self.stop, self.asked = threading.Event(), 0
        self.threads = [threading.Thread(target=self.run, args=(hub, i)) for i in range(4)]
        for thread in self.threads:
            thread.start()

    def run(self, hub, number):
        while not self.stop.is_set():
            assert hub.get(QUERIES[number % len(QUERIES)]).status == 200
            self.asked += 1
            number += 1

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        return self.asked


def measure(chosen):
    from harness import Stack, wait_until
    settings = {"nats": {"limits": {"state_bytes": 4 << 30}}, "twins": {"checkpoint_s": 5}}
    with Stack(settings) as stack:
        hub = stack.hub
        fill(stack, chosen.vehicles, wait_until)
        sim = stack.fleetsim("fly", "--vehicles", str(chosen.flying), "--duration",
                             str(ROUNDS * 2 * (chosen.seconds + 2) + 10))
        wait_until(lambda: hub.metric("vehicles") >= chosen.vehicles + chosen.flying, 60,
                   "all of them fly")
        totals = {False: [0, 0.0, 0], True: [0, 0.0, 0]}
        asked = 0
        for number in range(2 * ROUNDS):
            heavy = number % 2 == 1
            before, folded = waits(hub)[0], hub.metric("messages_total")
            queries = Queries(hub) if heavy else None
            time.sleep(chosen.seconds)
            if queries:
                asked += queries.end()
            count, longest = between(before, waits(hub)[0])
            total = totals[heavy]
            total[0] += count
            total[1] = max(total[1], longest)
            total[2] += hub.metric("messages_total") - folded
        longest = waits(hub)[1]
        sim.stop()
        show("pause.queries", asked, "queries")
        show("pause.messages", totals[True][2], "messages", totals[False][2])
        show("pause.waits", totals[True][0], "waits", totals[False][0])
        show("pause.longest_wait_at_most", totals[True][1] * 1000, "ms", totals[False][1] * 1000)
        show("pause.longest_since_start", longest * 1000, "ms", 1)


def main():
    measure(options(__doc__, vehicles=100000, flying=900, seconds=10))


if __name__ == "__main__":
    main()

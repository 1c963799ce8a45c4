#!/usr/bin/env python3
"""How long queries over 100,000 vehicles make the fold pause, by the hub's own measurement, beside the same load without them.

    tests/bench/pause.py [--vehicles N] [--flying N] [--seconds S] [--rounds N] [--build DIR]

Rounds with and without queries alternate, and each tells its line when it is over:

pause.waits         how often the fold found the store locked, and how long the longest wait was at
                    most (the upper bound of its bucket)
pause.run_delay     how long the fold's threads were ready to run and did not, in all, as the
                    scheduler counts it: somebody else had the core
pause.control       the longest that a process of its own, which does nothing but sleep for half a
                    millisecond, came too late: what the machine does to anybody in that round

A wait ends when whoever holds the lock gets a core again, so on a machine that others use it may be
as long as the run delays and what the control came too late by; without those it is the hub's own.
What a query costs the fold in processor time, with no scheduler in it, tests/bench/bench_query
tells. On a quiet machine it takes some 60 s to fill the fleet, and 2 * rounds * (seconds + 1) s.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time

from common import options, show
from start import fill

NAP_S = 0.0005
FOLD_THREADS = "feed"  # the beginning of their names
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


def run_delay_ms(pid):
    """Of the threads that fold."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as comm:
                if not comm.read().startswith(FOLD_THREADS):
                    continue
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[1])
        except FileNotFoundError:  # it has ended
            continue
    return total / 1e6


class Control:
    """Sleeps, and says by how much the longest sleep was too long."""

    PROGRAM = ("import os, sys, time, select\n"
               "longest = 0\n"
               "while not select.select([0], [], [], 0)[0]:\n"
               "    began = time.monotonic()\n"
               f"    time.sleep({NAP_S})\n"
               f"    longest = max(longest, time.monotonic() - began - {NAP_S})\n"
               "print(longest * 1000)\n")

    def __init__(self):
        self.child = subprocess.Popen([sys.executable, "-c", self.PROGRAM], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end(self):
        return float(self.child.communicate()[0])


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


def one_round(hub, chosen, heavy):
    """Waits, the longest (at most), the fold's run delay, the control's, messages, queries."""
    before, folded = waits(hub)[0], hub.metric("messages_total")
    delayed, control = run_delay_ms(hub.process.pid), Control()
    queries = Queries(hub) if heavy else None
    time.sleep(chosen.seconds)
    asked = queries.end() if queries else 0
    late = control.end()
    count, longest = between(before, waits(hub)[0])
    return {"queries": asked, "messages": hub.metric("messages_total") - folded, "waits": count,
            "longest_ms": min(longest * 1000, 1e6),
            "run_delay": run_delay_ms(hub.process.pid) - delayed, "control": late}


def measure(chosen):
    from harness import Stack, wait_until
    settings = {"nats": {"limits": {"state_bytes": 4 << 30}}, "twins": {"checkpoint_s": 5}}
    with Stack(settings) as stack:
        hub = stack.hub
        began = time.monotonic()
        fill(stack, chosen.vehicles, wait_until)
        show("pause.filled", time.monotonic() - began, "s")
        sim = stack.fleetsim("fly", "--vehicles", str(chosen.flying), "--duration",
                             str(chosen.rounds * 2 * (chosen.seconds + 10) + 30))
        wait_until(lambda: hub.metric("vehicles") >= chosen.vehicles + chosen.flying, 60,
                   "all of them fly")
        rounds = {False: [], True: []}
        for number in range(2 * chosen.rounds):
            heavy = number % 2 == 1
            rounds[heavy].append(one_round(hub, chosen, heavy))
            print(json.dumps({"name": "pause.round", "heavy": heavy,
                              **{key: round(value, 3) for key, value in rounds[heavy][-1].items()}}),
                  flush=True)
        longest = waits(hub)[1]
        sim.stop()

        def total(key, heavy):
            return sum(one[key] for one in rounds[heavy])

        def most(key, heavy):
            return max(one[key] for one in rounds[heavy])
        show("pause.queries", total("queries", True), "queries")
        show("pause.messages", total("messages", True), "messages", total("messages", False))
        show("pause.waits", total("waits", True), "waits", total("waits", False))
        show("pause.longest_wait_at_most", most("longest_ms", True), "ms",
             most("longest_ms", False))
        show("pause.run_delay", total("run_delay", True), "ms", total("run_delay", False))
        show("pause.control", most("control", True), "ms", most("control", False))
        show("pause.longest_since_start", longest * 1000, "ms", 1)


def main():
    measure(options(__doc__, vehicles=100000, flying=900, seconds=5, rounds=4))


if __name__ == "__main__":
    main()

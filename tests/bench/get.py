#!/usr/bin/env python3
"""GET /v1/vehicles/{vid} of a hub under wrk, beside libmicrohttpd answering the same bytes, prepared.

    tests/bench/get.py [--seconds S] [--connections N] [--runs N] [--vehicles N] [--build DIR]

Needs wrk (Debian: wrk). Runs of the two alternate; ratios are of neighbours, medians are told.

get.rate and its kin ask for one vehicle that does not change, whose answer the hub keeps.
get.changing: the same vehicle while it sends a state 1,000 times a second. get.turns: all vehicles
by turns, so many that no answer is kept: each is written for its request (those of 400 are:
--vehicles 400). The limit is asked by the same script. Takes 6 * seconds * (runs + 1) and some 5 s:
80 s.
"""

import os
import re
import statistics
import subprocess
import threading

from common import options, show
from start import STATES

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fill(stack, vehicles, wait_until):
    """Vehicles with five states and a shadow of ten keys each."""
    from harness import envelope
    import json
    with stack.nats.client() as client:
        for number in range(1, vehicles + 1):
            for kind, text in STATES.items():
                client.publish(f"fleet.test.veh.VID-{number}.state.{kind}",
                               envelope(json.loads(text % (12345, 54321))))
            keys = ",".join(f'"key_{k}":{k}' for k in range(10))
            client.publish(f"$KV.TWIN_SHADOW.fleet/test/veh/VID-{number}/reported",
                           f"{{{keys}}}".encode())
        client.flush(10)
    wait_until(lambda: stack.hub.metric("messages_total", outcome="applied") ==
               len(STATES) * vehicles and
               stack.hub.json(f"/v1/vehicles/VID-{vehicles}")["reported"], 20, "all of it is there")


class Changing:
    """The vehicle moves, a thousand times a second."""

    def __init__(self, stack):
        self.stack, self.stop = stack, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        from harness import envelope
        with self.stack.nats.client() as client:
            number = 0
            while not self.stop.wait(0.01):
                for _ in range(10):
                    number += 1
                    client.publish("fleet.test.veh.VID-1.state.position",
                                   envelope({"lat": 59.91, "lon": 10.75, "number": number}))
                client.flush(10)

    def end(self):
        self.stop.set()
        self.thread.join()


class Limit:
    def __init__(self, build, folder, reply):
        path = os.path.join(folder, "reply")
        with open(path, "wb") as file:
            for name, value in reply.headers.items():
                file.write(f"{name}: {value}\n".encode())
            file.write(b"\n" + reply.body)
        self.child = subprocess.Popen([os.path.join(build, "tests", "bench_get"), path],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline())

    def stop(self):
        self.child.stdin.close()
        self.child.wait(10)


TURNS = """
local turn = 0
request = function()
    turn = turn % %d + 1
    return wrk.format("GET", "/v1/vehicles/VID-" .. turn)
end
"""


def load(port, pid, chosen, script=None):
    """Requests a second, and microseconds of the server's processor time for each."""
    before = cpu_seconds(pid)
    told = subprocess.run(["wrk", "-t1", f"-c{chosen.connections}", f"-d{chosen.seconds}s",
                           *(["-s", script] if script else []),
                           f"http://127.0.0.1:{port}/v1/vehicles/VID-1"],
                          check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in told and "Socket errors" not in told, told
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))
    count = int(re.search(r"(\d+) requests in", told).group(1))
    return rate, (cpu_seconds(pid) - before) / count * 1e6


def show_pairs(name, pairs):
    ours, theirs = zip(*pairs[1:])  # the first pair warms up
    show(f"{name}.rate", statistics.median(one[0] for one in ours), "requests/s",
         statistics.median(one[0] for one in theirs))
    show(f"{name}.rate_of_neighbours", statistics.median(
        a[0] / b[0] for a, b in zip(ours, theirs)), "of the limit", 1)
    show(f"{name}.cpu", statistics.median(one[1] for one in ours), "us/request",
         statistics.median(one[1] for one in theirs))


def main():
    chosen = options(__doc__, seconds=2, connections=16, runs=5, vehicles=2000)
    from harness import Stack, wait_until
    with Stack(leaf=False) as stack:
        fill(stack, chosen.vehicles, wait_until)
        hub = stack.hub
        reply = hub.get("/v1/vehicles/VID-1")
        limit = Limit(chosen.build, stack.folder.path, reply)
        script = os.path.join(stack.folder.path, "turns.lua")
        with open(script, "w", encoding="ascii") as file:
            file.write(TURNS.replace("%d", str(chosen.vehicles)))
        show("get.body", len(reply.body), "bytes")

        def measure(name, script=None, changing=False):
            pairs = []
            for _ in range(chosen.runs + 1):
                changes = Changing(stack) if changing else None
                ours = load(hub.port, hub.process.pid, chosen, script)
                if changes:
                    changes.end()
                pairs.append((ours, load(limit.port, limit.child.pid, chosen, script)))
            show_pairs(name, pairs)

        measure("get")
        measure("get.turns", script)
        measure("get.changing", changing=True)
        limit.stop()


if __name__ == "__main__":
    main()

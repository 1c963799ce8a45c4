#!/usr/bin/env python3
"""GET /v1/vehicles/{vid} of a hub under wrk, beside libmicrohttpd answering the same bytes, prepared.

    tests/bench/get.py [--seconds S] [--connections N] [--runs N] [--build DIR]

Needs wrk (Debian: wrk). Runs of the two alternate; ratios are of neighbours, medians are told.
"""

import os
import re
import statistics
import subprocess

from common import options, show
from start import STATES

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fill(stack, wait_until):
    """One vehicle with five states and a shadow of ten keys."""
    from harness import envelope
    import json
    with stack.nats.client() as client:
        for kind, text in STATES.items():
            client.js_publish(f"fleet.test.veh.VID-1.state.{kind}",
                              envelope(json.loads(text % (12345, 54321))))
        keys = ",".join(f'"key_{k}":{k}' for k in range(10))
        client.publish("$KV.TWIN_SHADOW.fleet/test/veh/VID-1/reported", f"{{{keys}}}".encode())
        client.flush(10)
    wait_until(lambda: stack.hub.metric("messages_total", outcome="applied") == len(STATES) and
               stack.hub.json("/v1/vehicles/VID-1")["reported"], 20, "all of it is there")


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


def load(port, pid, chosen):
    """Requests a second, and microseconds of the server's processor time for each."""
    before = cpu_seconds(pid)
    told = subprocess.run(["wrk", "-t1", f"-c{chosen.connections}", f"-d{chosen.seconds}s",
                           f"http://127.0.0.1:{port}/v1/vehicles/VID-1"],
                          check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in told and "Socket errors" not in told, told
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))
    count = int(re.search(r"(\d+) requests in", told).group(1))
    return rate, (cpu_seconds(pid) - before) / count * 1e6


def main():
    chosen = options(__doc__, seconds=3, connections=16, runs=5)
    from harness import Stack, wait_until
    with Stack(leaf=False) as stack:
        fill(stack, wait_until)
        hub = stack.hub
        reply = hub.get("/v1/vehicles/VID-1")
        limit = Limit(chosen.build, stack.folder.path, reply)
        ours, theirs = [], []
        for number in range(chosen.runs + 1):
            pair = (load(hub.port, hub.process.pid, chosen),
                    load(limit.port, limit.child.pid, chosen))
            if number > 0:  # the first pair warms up
                ours.append(pair[0])
                theirs.append(pair[1])
        limit.stop()
        show("get.body", len(reply.body), "bytes")
        show("get.rate", statistics.median(one[0] for one in ours), "requests/s",
             statistics.median(one[0] for one in theirs))
        show("get.rate_of_neighbours", statistics.median(
            a[0] / b[0] for a, b in zip(ours, theirs)), "of the limit", 1)
        show("get.cpu", statistics.median(one[1] for one in ours), "us/request",
             statistics.median(one[1] for one in theirs))


if __name__ == "__main__":
    main()

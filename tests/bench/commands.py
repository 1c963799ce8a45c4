#!/usr/bin/env python3
"""Group commands: from the POST to the last acceptance, beside a bare loop that publishes the same
and collects the same acknowledgements in the same run; and what a recovery command waits for while
a routine one is under way to ten thousand vehicles.

    tests/bench/commands.py [--vehicles N] [--rounds N] [--routine N] [--samples N] [--turns N] [--build DIR]
"""

import json
import os
import statistics
import subprocess
import time

from common import options, resident_mib, show

QUIET = ("--duration", "0", "--endurance", "1000000", "--no-shadow", "--rate-attitude", "0",
         "--rate-battery", "0", "--rate-health", "0", "--cmd-latency-ms", "0", "--cmd-mute", "100")
SMALL = 100
ASK_S_PER_VEHICLE = 10e-6  # between two looks: asking is not to be what takes long


def bare(chosen, stack, prefix, count, number):
    """Milliseconds of the bare loop."""
    line = subprocess.run(
        [os.path.join(chosen.build, "tests", "bench_commands"), stack.nats.url, "test", prefix,
         str(count), str(number)], check=True, capture_output=True, text=True).stdout
    accepted, took_ms = line.split()
    assert int(accepted) == count, line
    return float(took_ms)


def post(hub, body):
    reply = hub.request("POST", "/v1/commands", {"Content-Type": "application/json"},
                        json.dumps(body))
    assert reply.status == 202, reply
    return reply.json()


def rtl(hub, vids_filter, count):
    """Milliseconds from the POST to the last acceptance."""
    began = time.monotonic()
    command = post(hub, {"type": "rtl", "target": {"filter": vids_filter}, "confirm": count,
                         "wait": "accepted"})
    while command["status"] == "running" and time.monotonic() < began + 30:
        time.sleep(count * ASK_S_PER_VEHICLE)
        command = hub.json("/v1/commands/" + command["id"])
    took_ms = (time.monotonic() - began) * 1000
    assert command["counts"]["accepted"] == command["total"] == count, command
    return took_ms


def to_all(chosen):
    """Both in turn, so that they meet the same machine."""
    from harness import Stack, wait_until
    with Stack({"commands": {"policy": {"rate_per_vehicle_per_min": 100000}}}) as stack:
        hub = stack.hub
        for prefix, count in (("A-", SMALL), ("B-", chosen.vehicles)):
            stack.fleetsim("fly", "--vehicles", str(count), "--prefix", prefix, "--rate-position",
                           "0.2", "--rate-mode", "0.2", *QUIET)
            wait_until(lambda c=count, p=prefix: hub.json(
                "/v1/vehicles", filter=f'vid = "{p}*" AND presence.status = "online"',
                page_size=1)["total_size"] == c, 60, "all of them fly")
        for prefix, count in (("A-", SMALL), ("B-", chosen.vehicles)):
            mine, theirs = [], []
            for number in range(chosen.rounds):
                theirs.append(bare(chosen, stack, prefix, count, f"{prefix}{number}"))
                mine.append(rtl(hub, f'vid = "{prefix}*"', count))
            show(f"commands.rtl_{count}.to_last_acceptance", statistics.median(mine), "ms",
                 statistics.median(theirs))
        show("commands.rss", resident_mib(hub.process.pid), "MiB")


def send_latencies(hub, client, vids, samples):
    """Milliseconds from the POST of a recovery command until it is on the wire."""
    took = []
    for number in range(samples):
        vid = vids[number % len(vids)]
        heard = client.subscribe(f"fleet.test.veh.{vid}.cmd.hold")
        client.flush()
        began = time.monotonic()
        post(hub, {"type": "hold", "target": {"vids": [vid]}, "wait": "accepted", "ttl_s": 5})
        heard.next(20)
        took.append((time.monotonic() - began) * 1000)
        heard.unsubscribe()
    return took


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


def rollout(hub, count):
    """Begins a routine one to all of R-, which takes longer than the samples beside it."""
    return post(hub, {"type": "set_mode", "params": {"mode": "LOITER"}, "ttl_s": 300,
                      "target": {"filter": 'vid = "R-*"'}, "confirm": count, "wait": "accepted",
                      "rollout": {"batch": count // 100, "interval_ms": 500}})


def recovery(chosen):
    """Idle and busy in turn, so that they meet the same machine."""
    from harness import Stack, wait_until
    with Stack({"presence": {"stale_after_s": 60, "offline_after_s": 120},
                "commands": {"policy": {"rate_per_vehicle_per_min": 100000}}}) as stack:
        hub = stack.hub
        stack.fleetsim("fly", "--vehicles", str(chosen.routine), "--prefix", "R-",
                       "--rate-position", "0.05", "--rate-mode", "0.02", *QUIET)
        stack.fleetsim("fly", "--vehicles", "50", "--prefix", "E-", "--rate-position", "1",
                       "--rate-mode", "0.2", *QUIET)
        wait_until(lambda: hub.json("/v1/vehicles", filter='presence.status = "online"',
                                    page_size=1)["total_size"] == chosen.routine + 50, 120,
                   "all of them fly")
        vids = [f"E-{number:03d}" for number in range(1, 51)]
        idle, loaded, samples = [], [], chosen.samples // chosen.turns
        with stack.nats.client() as client:
            for _ in range(chosen.turns):
                idle += send_latencies(hub, client, vids, samples)
                path = "/v1/commands/" + rollout(hub, chosen.routine)["id"]
                loaded += send_latencies(hub, client, vids, samples)
                now = hub.json(path)
                assert now["counts"]["pending"] > 0, "the rollout was over before the measurement"
                assert hub.request("POST", path + ":cancel").status == 200
                wait_until(lambda p=path: hub.json(p)["status"] == "cancelled", 60, "it has ended")
        idle.sort()
        loaded.sort()
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            show(f"commands.recovery_send_{name}_during_routine_{chosen.routine}",
                 percentile(loaded, share), "ms", percentile(idle, share))
        show("commands.rss_routine", resident_mib(hub.process.pid), "MiB")


def main():
    chosen = options(__doc__, vehicles=1000, rounds=9, routine=10000, samples=1000, turns=5)
    if chosen.rounds > 0:
        to_all(chosen)
    recovery(chosen)


if __name__ == "__main__":
    main()

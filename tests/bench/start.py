#!/usr/bin/env python3
"""The start of a hub with 100,000 vehicles in TWIN_LAST, beside reading the same bucket for nothing; and its memory.

A start reads TWIN_SHADOW, too: the second figure is beside reading both.

    tests/bench/start.py [--vehicles N] [--build DIR]

Each vehicle has five state types and a shadow of ten keys. Prints one JSON object a line.
"""

import os
import statistics
import subprocess
import time

from common import options, resident_mib, show

RUNS = 5
STATES = {
    "position": '{"lat":59.91%05d,"lon":10.75%05d,"alt":120.5,"rel_alt":20.5,"vx":1.25,"vy":-0.5,'
                '"vz":0.0,"heading":270.5}',
    "attitude": '{"roll":0.01%05d,"pitch":-0.02%05d,"yaw":1.5}',
    "battery": '{"voltage":15.8,"current":18.0%05d,"remaining":0.5%05d}',
    "mode": '{"mode":"AUTO","armed":true,"by":"%05d-%05d"}',
    "health": '{"cpu_load":0.3%05d,"errors":0,"sensors_ok":true,"gps_fix":3,"satellites":1%05d}',
}


def fill(stack, vehicles, wait_until):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with stack.nats.client() as client:
        for i in range(vehicles):
            number = i % 100000
            for seq, (kind, text) in enumerate(STATES.items()):
                client.publish(f"fleet.test.veh.VID-{i:06d}.state.{kind}",
                               f'{{"timestamp":"{stamp}","boot":"b1","seq":{seq},"data":'
                               f'{text % (number, number)}}}'.encode())
            keys = ",".join(f'"key_{k}":{number + k}' for k in range(10))
            client.publish(f"$KV.TWIN_SHADOW.fleet/test/veh/VID-{i:06d}/reported",
                           f"{{{keys}}}".encode())
            if i % 2000 == 0:
                client.flush(30)
        client.flush(30)
    wait_until(lambda: stack.hub.metric("messages_total", outcome="applied") >= 5 * vehicles, 120,
               "all is applied")


def read_bucket(build, stack, bucket):
    """Seconds that a consumer takes which does nothing."""
    told = subprocess.run([os.path.join(build, "tests", "bench_consume"), stack.nats.url,
                           f"KV_{bucket}", f"$KV.{bucket}.>"],
                          check=True, capture_output=True, text=True).stdout.split()
    return float(told[1])


def measure(vehicles, build):
    from harness import Stack, wait_until
    settings = {"nats": {"limits": {"state_bytes": 2 << 30}}, "twins": {"checkpoint_s": 5}}
    with Stack(settings, leaf=False) as stack:
        fill(stack, vehicles, wait_until)
        show("start.memory", resident_mib(stack.hub.process.pid), "MiB", 300)
        with stack.nats.client() as client:
            wait_until(lambda: client.stream_info("KV_TWIN_LAST")["state"]["messages"] > vehicles,
                       120, "every vehicle is in TWIN_LAST")
        assert stack.hub.stop() == 0
        starts, limits, both, memory = [], [], [], []
        for _ in range(RUNS):
            limits.append(read_bucket(build, stack, "TWIN_LAST"))
            both.append(limits[-1] + read_bucket(build, stack, "TWIN_SHADOW"))
            began = time.monotonic()
            stack.hub.start(ready=False)
            while stack.hub.get("/readyz").status != 200:
                time.sleep(0.01)
            starts.append(time.monotonic() - began)
            assert stack.hub.json("/v1/vehicles", page_size=1)["total_size"] == vehicles
            memory.append(resident_mib(stack.hub.process.pid))
            assert stack.hub.stop() == 0
        show("start.ready", statistics.median(starts), "s", statistics.median(limits))
        show("start.ready_beside_both_buckets", statistics.median(starts), "s",
             statistics.median(both))
        show("start.memory_after", statistics.median(memory), "MiB", 300)


def main():
    chosen = options(__doc__, vehicles=100000)
    measure(chosen.vehicles, chosen.build)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The load of a region: 1,000 vehicles at 22 messages a second each, published at the leaf, for a minute.

    tests/bench/load.py [--vehicles N] [--seconds S] [--build DIR]

Prints one JSON object a line. The limit beside the hub's processor time is what the broker itself
spent on the same messages in the same run. Run by hand, on a machine with nothing else to do.
"""

import os
import time

from common import options, resident_mib, show

MESSAGES_PER_VEHICLE = 22
STATE_BYTES = 4 << 30
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(vehicles, seconds):
    from harness import Stack, wait_until
    # A stream that has reached its bytes costs the broker more than the messages themselves.
    with Stack({"nats": {"limits": {"state_bytes": STATE_BYTES}}}) as stack:
        hub, broker = stack.hub.process.pid, stack.nats.process.pid
        before = cpu_seconds(hub), cpu_seconds(broker)
        began = time.monotonic()
        sim = stack.fleetsim("fly", "--vehicles", str(vehicles), "--duration", str(seconds),
                             "--wait-archived", "60")
        most_lag = 0
        while sim.process.alive():
            most_lag = max(most_lag, stack.hub.metric("lag_messages", stream="TWIN_STATE"))
            time.sleep(0.5)
        report = sim.wait()
        sent = report["sent"]["total"]
        at_end = stack.hub.metric("lag_messages")
        elapsed = time.monotonic() - began
        wait_until(lambda: stack.hub.metric("messages_total") >= sent, 30, "all is applied")
        hub_s, broker_s = cpu_seconds(hub) - before[0], cpu_seconds(broker) - before[1]
        show("load.rate", sent / report["duration_s"], "messages/s",
             vehicles * MESSAGES_PER_VEHICLE)
        show("load.lag_at_end", at_end, "messages")
        show("load.lag_at_most", most_lag, "messages")
        show("load.hub_cpu", hub_s / elapsed, "cores", broker_s / elapsed)
        show("load.hub_cpu_per_message", hub_s / sent * 1e6, "us", broker_s / sent * 1e6)
        show("load.hub_resident", resident_mib(hub), "MiB")
        show("load.vehicles", stack.hub.metric("vehicles"), "vehicles", vehicles)


def main():
    chosen = options(__doc__, vehicles=1000, seconds=60)
    measure(chosen.vehicles, chosen.seconds)


if __name__ == "__main__":
    main()

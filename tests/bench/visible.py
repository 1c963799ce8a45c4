#!/usr/bin/env python3
"""From publishing at the leaf to seeing it in a GET, under a region's load, beside publish to subscribe on the same path.

    tests/bench/visible.py [--vehicles N] [--seconds S] [--queries PER_SECOND] [--build DIR]

Makes the fleet and runs bench_visible beside it, so that what is measured is not an interpreter.
"""

import os
import subprocess

from common import options


def main():
    chosen = options(__doc__, vehicles=1000, seconds=30, queries=50)
    from harness import Stack, wait_until
    with Stack({"nats": {"limits": {"state_bytes": 4 << 30}}}) as stack:
        sim = stack.fleetsim("fly", "--vehicles", str(chosen.vehicles), "--duration",
                             str(chosen.seconds + 30))
        wait_until(lambda: stack.hub.metric("vehicles") == chosen.vehicles, 30, "all of them fly")
        subprocess.run([os.path.join(chosen.build, "tests", "bench_visible"), stack.leaf.url,
                        stack.nats.url, str(stack.hub.port), str(chosen.seconds),
                        str(chosen.queries)], check=True)
        sim.stop()


if __name__ == "__main__":
    main()

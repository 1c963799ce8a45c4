#!/usr/bin/env python3
"""Folding a full TWIN_STATE, beside a consumer that does nothing: starts a nats-server and runs bench_stream.

    tests/bench/stream.py [--messages N] [--vehicles N] [--build DIR]

Without --vehicles it runs with 1,000 and with 100,000.
"""

import os
import subprocess

from common import options


def main():
    chosen = options(__doc__, messages=500000, vehicles=0)
    from harness.process import TempFolder
    from harness.servers import NatsServer
    program = os.path.join(chosen.build, "tests", "bench_stream")
    for vehicles in [chosen.vehicles] if chosen.vehicles else [1000, 100000]:
        folder = TempFolder()
        server = NatsServer(folder.path, "bench-nats", jetstream=True).start()
        try:
            subprocess.run([program, server.url, str(vehicles), str(chosen.messages)], check=True)
        finally:
            server.process.kill()
            folder.remove()


if __name__ == "__main__":
    main()

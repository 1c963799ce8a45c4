#!/usr/bin/env python3
"""Folding a full TWIN_STATE, beside a consumer that does nothing: starts a nats-server and runs bench_stream.

    tests/bench/stream.py [--build DIR] [--messages N]
"""

import argparse
import os
import subprocess
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default=os.path.join(os.path.dirname(TESTS), "build"))
    parser.add_argument("--messages", type=int, default=500000)
    parser.add_argument("--vehicles", type=int, nargs="*", default=[1000, 100000])
    options = parser.parse_args()
    os.environ.setdefault("FLEETHUB_BUILD_DIR", options.build)
    sys.path.insert(0, TESTS)
    from harness.process import TempFolder
    from harness.servers import NatsServer
    program = os.path.join(options.build, "tests", "bench_stream")
    for vehicles in options.vehicles:
        folder = TempFolder()
        server = NatsServer(folder.path, "bench-nats", jetstream=True).start()
        try:
            subprocess.run([program, server.url, str(vehicles), str(options.messages)], check=True)
        finally:
            server.process.kill()
            folder.remove()


if __name__ == "__main__":
    main()

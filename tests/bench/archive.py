#!/usr/bin/env python3
"""Archiving a full TWIN_EVENTS, beside COPY BINARY of the same rows: starts both servers and runs bench_archive.

    tests/bench/archive.py [--events N] [--durable 0] [--build DIR]

PostgreSQL is as it comes, so that a commit is on the disk; with --durable 0 it is as in the tests, without fsync and
with little memory: then the disk has no part in it.
"""

import os
import subprocess

from common import options


def main():
    chosen = options(__doc__, events=200000, durable=1)
    from harness.process import TempFolder
    from harness.servers import NatsServer, Postgres
    folder = TempFolder()
    nats = NatsServer(folder.path, "bench-nats", jetstream=True).start()
    postgres = Postgres(folder, () if chosen.durable else Postgres.FRUGAL).start()
    try:
        subprocess.run([os.path.join(chosen.build, "tests", "bench_archive"), nats.url,
                        postgres.dsn(), str(chosen.events)], check=True)
    finally:
        postgres.stop()
        nats.kill()
        folder.remove()


if __name__ == "__main__":
    main()

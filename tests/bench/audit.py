#!/usr/bin/env python3
"""Verifying a record, beside reading its rows alone: starts a PostgreSQL and runs bench_audit.

    tests/bench/audit.py [--records N] [--build DIR]
"""

import os
import subprocess

from common import options


def main():
    chosen = options(__doc__, records=1000000)
    from harness.process import TempFolder
    from harness.servers import Postgres
    folder = TempFolder()
    postgres = Postgres(folder).start()
    try:
        subprocess.run([os.path.join(chosen.build, "tests", "bench_audit"), postgres.dsn(),
                        str(chosen.records)], check=True)
    finally:
        postgres.stop()
        folder.remove()


if __name__ == "__main__":
    main()

"""What the benchmarks in Python share: their output, and how they find the harness."""

import argparse
import json
import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def show(name, value, unit, limit=None):
    """One JSON object a line; `limit` was measured in the same run."""
    ratio = None if not limit else round(value / limit, 3)
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit,
                      "limit": None if limit is None else round(limit, 3), "ratio": ratio}),
          flush=True)


def options(text, **numbers):
    """--build DIR, and an option for each number with its default. The harness can be imported
    afterwards."""
    parser = argparse.ArgumentParser(description=text.split("\n", 1)[0])
    parser.add_argument("--build", default=os.path.join(os.path.dirname(TESTS), "build"))
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parsed = parser.parse_args()
    parsed.build = os.path.abspath(parsed.build)
    os.environ.setdefault("FLEETHUB_BUILD_DIR", parsed.build)
    sys.path.insert(0, TESTS)
    return parsed


def resident_mib(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

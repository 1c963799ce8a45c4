"""The hub under a service manager: what it says of itself, and how little it may."""

import os
import re
import shutil
import socket
import subprocess
import unittest

from harness import Stack
from harness.process import SOURCE_DIR, scaled

UNIT = os.path.join(SOURCE_DIR, "deploy", "systemd", "fleethub.service")
EXPOSURE_MAX = 1.5
WATCHDOG_S = 0.4


class Notify(unittest.TestCase):
    def setUp(self):
        self.stack = Stack(leaf=False, start=False)
        self.stack.__enter__()
        self.addCleanup(self.end)
        self.path = os.path.join(self.stack.folder.path, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(self.path)
        self.socket.settimeout(scaled(20))
        self.environment(NOTIFY_SOCKET=self.path, WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))

    def environment(self, **values):
        for name, value in values.items():
            os.environ[name] = value
            self.addCleanup(os.environ.pop, name, None)

    def end(self):
        good = self._outcome.success
        self.stack.__exit__(None if good else AssertionError, None, None)

    def heard(self, line):
        """Reads until that is said; the number of things said before."""
        before = 0
        while line not in self.socket.recv(4096).decode().split("\n"):
            before += 1
        return before

    def test_ready_alive_and_stopping_are_said(self):
        """Also without PostgreSQL and NATS: it answers, and says what it lacks."""
        hub = self.stack.add_hub()
        hub.config["nats"]["url"] = "nats://127.0.0.1:1"
        hub.start(ready=False, migrate=False)
        self.assertEqual(self.heard("READY=1"), 0)
        for _ in range(5):
            self.heard("WATCHDOG=1")
        self.assertEqual(hub.stop(), 0)
        self.heard("STOPPING=1")


class Unit(unittest.TestCase):
    def test_the_unit_is_hardened(self):
        program = shutil.which("systemd-analyze")
        if not program:
            self.skipTest("systemd-analyze is not installed")
        done = subprocess.run([program, "security", "--offline=yes", "--no-pager", UNIT],
                              capture_output=True, text=True, timeout=scaled(60), check=False)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
        if not found:
            self.skipTest(f"systemd-analyze cannot judge a file here: {done.stderr.strip()}")
        self.assertLessEqual(float(found[1]), EXPOSURE_MAX)

    def test_the_unit_has_what_the_hub_offers(self):
        with open(UNIT, encoding="utf-8") as unit:
            text = unit.read()
        for line in ("Type=notify", "WatchdogSec=", "ExecReload=/bin/kill -HUP $MAINPID",
                     "LoadCredential="):
            self.assertIn(line, text)


if __name__ == "__main__":
    unittest.main()

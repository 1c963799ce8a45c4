"""deploy/quickstart: the whole comes up, what it prints works, and nothing is left behind."""

import os
import re
import signal
import socket
import subprocess
import unittest
import urllib.request

from harness import TempFolder, scaled, wait_until
from harness.process import BUILD_DIR, SOURCE_DIR, Process

QUICKSTART = os.path.join(SOURCE_DIR, "deploy", "quickstart")
# The optimised build where there is one: this is about the script.
PROGRAMS = os.environ.get("FLEETHUB_RELEASE_DIR") or BUILD_DIR
START_S = 120


def processes_of(tmp):
    """Whatever was started with this TMPDIR, however deep: [(pid, command line)]."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read().split(b"\0")
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().decode("utf-8", "replace").replace("\0", " ")
        except OSError:
            continue
        if b"TMPDIR=" + tmp.encode() in environment:
            found.append((int(pid), line))
    return found


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.folder = TempFolder()
        self.addCleanup(self.folder.remove)
        # Its own temporary folder, so that everything it starts can be told by its path.
        self.tmp = self.folder.sub("tmp")
        os.chmod(self.tmp, 0o711)

    def start(self, name, *words):
        process = Process(["bash", QUICKSTART, "--yes", "--build", PROGRAMS, "--speed", "5", *words],
                          os.path.join(self.folder.path, f"{name}.out"),
                          env={"TMPDIR": self.tmp, "CI": "true"})

        def running():
            self.assertTrue(process.alive(), process.log_tail())
            return "Worth trying" in process.log() and "Ctrl-C" in process.log()
        wait_until(running, START_S, "the quickstart is up")
        return process

    def end(self, process, number):
        """Ended by a signal, as a user would: that is no failure."""
        self.assertEqual(process.stop(number, 60), 0, process.log())

    def curl_lines(self, process):
        return re.findall(r"^  curl -s '([^']+)'$", process.log(), re.MULTILINE)

    def expect_nothing_left(self):
        self.assertEqual(processes_of(self.tmp), [])
        self.assertEqual(os.listdir(self.tmp), [])

    def test_five_lines_work_and_ctrl_c_leaves_nothing(self):
        process = self.start("one")
        lines = self.curl_lines(process)
        self.assertEqual(len(lines), 5)
        for url in lines:
            with urllib.request.urlopen(url, timeout=scaled(10)) as answer:
                self.assertEqual(answer.status, 200)
                self.assertGreater(len(answer.read()), 20)
        self.assertNotEqual(processes_of(self.tmp), [])
        self.end(process, signal.SIGINT)
        self.expect_nothing_left()

    def test_two_beside_each_other(self):
        first, second = self.start("one"), self.start("two")
        self.assertEqual(set(self.curl_lines(first)) & set(self.curl_lines(second)), set())
        self.end(first, signal.SIGTERM)
        with urllib.request.urlopen(self.curl_lines(second)[0], timeout=scaled(10)) as answer:
            self.assertEqual(answer.status, 200)
        self.end(second, signal.SIGHUP)
        self.expect_nothing_left()

    def test_data_are_kept_where_asked_and_go_on(self):
        data = os.path.join(self.tmp, "data")
        process = self.start("one", "--data", data)
        self.end(process, signal.SIGINT)
        self.assertEqual(processes_of(self.tmp), [])
        self.assertTrue(os.path.exists(os.path.join(data, "hub.yaml")))
        again = self.start("two", "--data", data)
        self.end(again, signal.SIGINT)

    def test_killed_it_takes_its_servers_along(self):
        process = self.start("one")
        process.kill()
        wait_until(lambda: not processes_of(self.tmp), 30, "its servers have ended")

    def test_check_says_that_every_line_works(self):
        result = subprocess.run(
            ["bash", QUICKSTART, "--yes", "--build", PROGRAMS, "--speed", "5", "--check"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=scaled(START_S), env=dict(os.environ, TMPDIR=self.tmp, CI="true"))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(len(re.findall("^works: ", result.stdout, re.MULTILINE)), 6)
        self.expect_nothing_left()

    def test_port_that_is_taken_is_refused_by_name(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            result = subprocess.run(
                ["bash", QUICKSTART, "--yes", "--build", PROGRAMS, "--http-port", port],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                timeout=scaled(60), env=dict(os.environ, TMPDIR=self.tmp, CI="true"))
        self.assertEqual(result.returncode, 1)
        self.assertIn(port, result.stderr)
        self.expect_nothing_left()


if __name__ == "__main__":
    unittest.main()

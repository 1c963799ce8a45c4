"""The subcommands that list and follow the fleet, against a real hub."""

import json
import subprocess
import unittest

from harness import StackCase, envelope, wait_until
from harness.hub import PROGRAM, command as run_fleethub
from harness.process import Process
from harness.terminal import environment, on_terminal


class CommandLine(StackCase):
    def setUp(self):
        super().setUp()
        self.client = self.stack.nats.client()
        self.addCleanup(self.client.close)
        for number in range(1, 6):
            self.say(f"VID-00{number}", "mode", {"mode": "AUTO", "armed": number > 2})
        self.say("VID-001", "battery", {"remaining": 0.25})
        self.client.js_publish("fleet.test.veh.VID-002.evt.battery.low",
                               envelope({"severity": "warning"}), "e1")
        wait_until(lambda: self.hub.json("/v1/vehicles")["total_size"] == 5, 20, "they are known")
        self.stack.wait_archived()

    def say(self, vid, kind, data):
        self.client.js_publish(f"fleet.test.veh.{vid}.state.{kind}", envelope(data))

    def run_it(self, *words):
        return run_fleethub(*words, "--server", f"http://127.0.0.1:{self.hub.port}/")

    def rows(self, *words):
        done = self.run_it(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return [line.split() for line in done.stdout.splitlines()]

    def test_vehicles_are_a_table_or_lines_of_json(self):
        rows = self.rows("vehicles", "--order-by", "vid desc")
        self.assertEqual(rows[0][:2], ["VID", "PRESENCE"])
        self.assertEqual([row[0] for row in rows[1:]], [f"VID-00{n}" for n in (5, 4, 3, 2, 1)])
        rows = self.rows("vehicles", "--filter", "state.mode.armed = true", "--fields",
                         "state.mode.mode,state.mode.armed", "--limit", "2")
        self.assertEqual(rows, [["vid", "state.mode.mode", "state.mode.armed"],
                                ["VID-003", "AUTO", "true"], ["VID-004", "AUTO", "true"]])
        done = self.run_it("vehicles", "--filter", "state.battery.remaining < 0.5", "--json")
        self.assertEqual([json.loads(line)["vid"] for line in done.stdout.splitlines()], ["VID-001"])
        none = self.run_it("vehicles", "--filter", 'vid = "NOBODY"', "--json")
        self.assertEqual((none.returncode, none.stdout, none.stderr), (0, "", ""))
        wide = [PROGRAM, "vehicles", "--server", f"http://127.0.0.1:{self.hub.port}"]
        coloured = on_terminal(wide)
        self.assertIn("\033[1mVID\033[0m ", coloured)
        self.assertIn("\033[32monline\033[0m", coloured)
        plain = on_terminal(wide, environment(NO_COLOR="1"))
        self.assertIn("VID-005", plain)
        self.assertNotIn("\033", plain)
        self.assertNotIn("\033", on_terminal(wide + ["--json"]))
        piped = subprocess.run(wide, capture_output=True, text=True, check=True,
                               env=environment())
        self.assertIn("VID-005", piped.stdout)
        self.assertNotIn("\033", piped.stdout)
        wrong = self.run_it("vehicles", "--filter", "stat.mode = 1")
        self.assertEqual((wrong.returncode, wrong.stdout), (1, ""))
        self.assertIn("did you mean state", wrong.stderr)

    def test_events_are_the_record(self):
        rows = self.rows("events", "--kind", "event")
        self.assertEqual(rows[0][:5], ["SEQ", "RECEIVED", "KIND", "VID", "TYPE"])
        self.assertEqual(rows[1][2:6], ["event", "VID-002", "battery.low", "warning"])
        done = self.run_it("events", "--vid", "VID-002", "--type", "battery.low", "--json")
        self.assertEqual(json.loads(done.stdout)["data"], {"severity": "warning"})

    def test_watch_follows_and_goes_on_after_a_restart_of_the_hub(self):
        path = f"{self.stack.folder.path}/watch.out"
        watch = Process([PROGRAM, "watch", "--filter", 'vid = "VID-00*"', "--fields",
                         "state.mode.mode", "--json", "--server",
                         f"http://127.0.0.1:{self.hub.port}"], path)
        self.addCleanup(watch.kill)

        def told():
            lines = [json.loads(line) for line in watch.log().splitlines()
                     if line.startswith("{")]
            return [(line["event"], line["data"].get("vid"),
                     line["data"].get("state", {}).get("mode", {}).get("mode")) for line in lines]
        wait_until(lambda: ("ready", None, None) in told(), 20, "the snapshot is there")
        self.assertEqual(sorted(told())[:5], [("enter", f"VID-00{n}", "AUTO") for n in range(1, 6)])
        self.say("VID-003", "mode", {"mode": "RTL"})
        wait_until(lambda: ("update", "VID-003", "RTL") in told(), 20, "the change is told")
        self.hub.stop()
        self.hub.start()
        self.say("VID-004", "mode", {"mode": "LAND"})
        wait_until(lambda: ("update", "VID-004", "LAND") in told() or
                   ("enter", "VID-004", "LAND") in told(), 30, "it has asked on")

    def test_help_of_each_lists_its_options(self):
        for name in ("vehicles", "events", "watch", "send"):
            done = subprocess.run([PROGRAM, "help", name], capture_output=True, text=True,
                                  check=True)
            self.assertIn("--filter FILTER", done.stdout)
            self.assertIn("--server URL", done.stdout)


if __name__ == "__main__":
    unittest.main()

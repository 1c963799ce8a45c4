"""Commands to fleets in which much goes wrong: what the hub shows in the end is exactly what the
simulated vehicles did, by their own account."""

import json
import unittest

from harness import wait_until
from harness.fleets import FleetCommandCase
from harness.hub import command as run_fleethub

FLEET = 40
# Of its commands a third go unanswered and a tenth are refused; a tenth of its vehicles are gone
# after some seconds; everything is said twice, some of it in the wrong order.
TROUBLED = ("--cmd-silent", "33", "--cmd-refuse", "10", "--cmd-fail", "5", "--cmd-mute", "5",
            "--cmd-duplicate-acks", "100", "--duplicates", "100", "--cmd-disorder", "20",
            "--offline", "10", "--offline-from", "4")


class TroubledFleet(FleetCommandCase):
    settings = {"presence": {"stale_after_s": 2, "offline_after_s": 4}}

    def gone(self):
        """The vehicles that have gone, once nobody is about to go."""
        twins = self.hub.twins().values()
        if any(twin["presence"]["status"] == "stale" for twin in twins):
            return None
        return {twin["vid"] for twin in twins if twin["presence"]["status"] == "offline"}

    def ask(self, body):
        """The ended command, and the table that goes with it once the vehicles were asked."""
        fleet = self.fly("T-", FLEET, *TROUBLED, "--seed", "3")
        gone = wait_until(self.gone, 30, "some have gone")
        command = self.wait_end(self.give(dict(body, target={"all": True}, ttl_s=6,
                                               complete_within_s=3)))
        account = fleet.stop()
        self.assertGreater(sum(line["fate"] == "silent" for line in account.values()), 3)
        self.assertGreater(sum(line["fate"] == "refuse" for line in account.values()), 0)
        self.assertEqual({line["vid"] for line in account.values()} & gone, set())
        self.assertEqual(command["total"], FLEET)
        self.assertEqual(command["status"], "partial")
        return command, account, gone

    def test_a_routine_command_ends_as_the_vehicles_did(self):
        command, account, gone = self.ask({"type": "set_mode", "params": {"mode": "LOITER"}})
        table = self.expect_table(command, account, "expired")
        self.assertEqual({vid for vid, row in table.items() if row["state"] == "expired"}, gone)
        self.assertEqual({line["heard"] for line in account.values()}, {1})

    def test_a_recovery_command_ends_as_the_vehicles_did(self):
        command, account, _ = self.ask({"type": "rtl"})
        self.expect_table(command, account, "timed_out")
        silent = [line for line in account.values() if line["fate"] == "silent"]
        self.assertTrue(all(line["heard"] >= 2 for line in silent), silent)


class Restarting(FleetCommandCase):
    def test_vehicles_that_restart_in_the_middle_act_once(self):
        fleet = self.fly("R-", 10, "--cmd-restart", "60", "--cmd-restart-s", "1", "--seed", "5")
        command = self.wait_end(self.give({"type": "rtl", "target": {"all": True}, "ttl_s": 8,
                                           "complete_within_s": 3}))
        account = fleet.stop()
        self.assertGreater(sum(line["fate"] == "restart" for line in account.values()), 0)
        self.expect_table(command, account, "timed_out")


class OfflineAndBack(FleetCommandCase):
    """A vehicle that was offline past the expiry never gets the command when it returns."""

    settings = {"presence": {"stale_after_s": 1, "offline_after_s": 2}}

    def away(self):
        """A vehicle that is offline by now, and what is sent to it from now on."""
        fleet = self.fly("O-", 1)
        fleet.stop()
        vid = fleet.vids[0]
        wait_until(lambda: self.hub.json(f"/v1/vehicles/{vid}")["presence"]["status"] == "offline",
                   20, "it is offline")
        return vid

    def expect_nothing_late(self, vid, command_id, state):
        command = self.wait_end(command_id)
        self.assertEqual(self.states(command_id)[vid]["state"], state)
        before = self.sent()
        listener = self.listen(vid)
        fleet = self.fly("O-", 1)
        # A second command, to be sure that the vehicle hears: what comes before it would be late.
        second = self.give({"type": "set_mode", "params": {"mode": "LOITER"},
                            "target": {"vids": [vid]}})
        heard = listener.next(20)
        self.assertIn(second, heard.json()["data"]["cmd_id"])
        self.assertEqual(self.wait_end(second)["status"], "succeeded")
        self.assertEqual(self.sent(), before + 1)
        account = fleet.stop()
        self.assertEqual([line["cmd_id"] for line in account.values()], [f"{second}.{vid}"])
        return command

    def test_it_does_not_get_what_has_expired(self):
        vid = self.away()
        command_id = self.give({"type": "arm", "target": {"vids": [vid]}, "ttl_s": 2})
        self.expect_nothing_late(vid, command_id, "expired")

    def test_nor_a_recovery_command_which_was_sent_in_vain(self):
        vid = self.away()
        command_id = self.give({"type": "land", "target": {"vids": [vid]}, "ttl_s": 3})
        self.expect_nothing_late(vid, command_id, "timed_out")

    def test_nor_after_the_hub_and_the_broker_were_restarted(self):
        vid = self.away()
        routine = self.give({"type": "arm", "target": {"vids": [vid]}, "ttl_s": 4})
        recovery = self.give({"type": "land", "target": {"vids": [vid]}, "ttl_s": 4})
        self.hub.kill()
        self.stack.nats.restart()
        self.hub.start()
        self.stack.wait_leaf()
        self.assertEqual(self.wait_end(routine)["counts"]["cancelled"], 1)  # superseded
        self.expect_nothing_late(vid, recovery, "timed_out")

    def test_it_gets_what_has_not_expired_when_it_is_back(self):
        vid = self.away()
        command_id = self.give({"type": "set_mode", "params": {"mode": "LOITER"},
                                "target": {"vids": [vid]}, "ttl_s": 60})
        self.assertEqual(self.command(command_id)["counts"]["pending"], 1)
        fleet = self.fly("O-", 1)
        self.assertEqual(self.wait_end(command_id)["status"], "succeeded")
        self.assertEqual([line["acted"] for line in fleet.stop().values()], [1])


class CommandLine(FleetCommandCase):
    """`fleethub send` against a real hub."""

    def send(self, *words):
        return run_fleethub("send", *words, "--server", f"http://127.0.0.1:{self.hub.port}",
                            timeout=90)

    def test_send_watches_to_the_end_and_tells_what_became_of_each(self):
        self.fly("C-", 4)
        self.fly("X-", 2, "--cmd-refuse", "100")
        dry = self.send("rtl", "--filter", 'vid = "C-*"', "--dry-run")
        self.assertEqual(dry.returncode, 0, dry)
        self.assertIn("4 vehicles, of which 0 blocked", dry.stdout)
        self.assertEqual(self.sent(), 0)
        done = self.send("takeoff", "--alt", "20", "--filter", 'vid = "C-*"', "--reason", "test")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("succeeded: 4 completed", done.stdout)
        done = self.send("rtl", "--all", "--json")
        self.assertEqual(done.returncode, 1, done)
        told = json.loads(done.stdout)
        self.assertEqual(told["status"], "partial")
        self.assertEqual({vehicle["vid"]: vehicle["state"] for vehicle in told["vehicles"]},
                         {**{f"C-00{n}": "completed" for n in range(1, 5)},
                          "X-001": "rejected", "X-002": "rejected"})
        high = self.send("takeoff", "--alt", "500", "--all")
        self.assertEqual(high.returncode, 1, high)
        self.assertIn("max_alt_m", high.stdout + high.stderr)
        wrong = self.send("takeoff", "--alt", "-1", "--all")
        self.assertEqual(wrong.returncode, 1, wrong)
        self.assertIn("params.alt", wrong.stderr)


if __name__ == "__main__":
    unittest.main()

"""Commands that must not be: each is refused in words that say what to do, and nothing is sent."""

import os
import unittest

from harness import wait_until
from harness.fleets import FleetCommandCase
from harness.hub import command as run_fleethub

ALL = {"all": True}


class Refused(FleetCommandCase):
    settings = {"commands": {"confirm_above": 3, "extra_types": ["camera.photo"]}}

    def setUp(self):
        super().setUp()
        self.fleet = self.fly("V-", 5)

    def expect(self, status, body, *words):
        """A problem of that status whose detail has the words in it."""
        reply = self.post(body)
        self.assertEqual(reply.status, status, (body, reply))
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        problem = reply.json()
        for word in words:
            self.assertIn(word, problem["detail"] + problem.get("hint", ""), body)
        return problem

    def expect_nothing_sent(self):
        self.assertEqual(self.sent(), 0)
        self.assertEqual(self.hub.json("/v1/commands")["commands"], [])
        self.assertEqual(self.fleet.stop(), {})

    def test_what_steers_is_unknown_or_makes_no_sense_is_refused(self):
        one = {"vids": ["V-001"]}
        for kind in ("manual", "manual_control", "rc.override", "RC", "velocity.set",
                     "attitude.target", "motor.test", "actuator"):
            self.expect(400, {"type": kind, "target": one}, kind, "control loop")
        self.expect(400, {"type": "rtk", "target": one}, "rtk", "did you mean rtl?")
        self.expect(400, {"type": "a..b", "target": one})
        self.expect(400, {"type": 7, "target": one})
        self.expect(400, {"target": one})
        self.expect(400, {"type": "takeoff", "target": one}, "params.alt")
        self.expect(400, {"type": "takeoff", "params": {"alt": -1}, "target": one}, "params.alt")
        self.expect(400, {"type": "takeoff", "params": {"alt": "9"}, "target": one}, "params.alt")
        self.expect(400, {"type": "goto", "params": {"lat": 91, "lon": 0, "alt": 1}, "target": one},
                    "params.lat")
        self.expect(400, {"type": "goto", "params": {"lat": 9, "lon": 181, "alt": 1},
                          "target": one}, "params.lon")
        self.expect(400, {"type": "rtl", "params": {"fast": True}, "target": one}, "fast")
        self.expect(400, {"type": "rtl", "params": [], "target": one}, "params")
        self.expect(400, {"type": "disarm", "params": {"force": 1}, "target": one}, "force")
        self.expect(400, {"type": "rtl", "target": one, "speed": 1}, "speed")
        self.expect(400, {"type": "rtl", "target": one, "ttl_s": 0}, "ttl_s")
        self.expect(400, {"type": "rtl", "target": one, "ttl_s": 301}, "ttl_s")
        self.expect(400, {"type": "rtl", "target": one, "verify": {"filter": "stat.mode = 1",
                                                                   "within_s": 5}})
        self.expect_nothing_sent()

    def test_targets_that_are_none_or_too_many_are_refused(self):
        self.expect(400, {"type": "rtl"}, "target")
        self.expect(400, {"type": "rtl", "target": {}}, "target")
        self.expect(400, {"type": "rtl", "target": {"vids": ["V-001"], "all": True}})
        self.expect(400, {"type": "rtl", "target": {"filter": "vid ="}})
        self.expect(422, {"type": "rtl", "target": {"filter": 'vid = "NOBODY"'}})
        self.expect(422, {"type": "rtl", "target": {"filter": "state.battery.remaining < 0"}})
        for target in (ALL, {"filter": ""}, {"filter": 'vid = "V-*"'}):
            self.expect(409, {"type": "rtl", "target": target}, "5")
            self.expect(409, {"type": "rtl", "target": target, "confirm": 4}, "5")
        self.expect_nothing_sent()

    def test_a_dry_run_sends_nothing(self):
        reply = self.post({"type": "rtl", "target": {"vids": ["V-001", "NOBODY"]},
                           "dry_run": True})
        self.assertEqual(reply.status, 200, reply)
        self.assertEqual(reply.json()["total"], 2)
        self.assertEqual([(b["vid"], b["reason"]) for b in reply.json()["blocked"]],
                         [("NOBODY", "unknown_vehicle")])
        self.expect_nothing_sent()

    def test_what_the_policy_blocks_is_not_sent_and_the_rule_is_named(self):
        for body, rule in (({"type": "takeoff", "params": {"alt": 121}}, "max_alt_m"),
                           ({"type": "goto", "params": {"lat": 1, "lon": 1, "alt": 500}},
                            "max_alt_m")):
            command = self.wait_end(self.give(dict(body, target={"vids": ["V-001", "V-002"]})))
            self.assertEqual(command["counts"]["blocked"], 2)
            self.assertEqual({row["reason"] for row in self.states(command["id"]).values()}, {rule})
            self.assertEqual(command["status"], "failed")
        self.assertEqual(self.sent(), 0)

    def test_an_extra_type_passes_and_the_vehicle_may_refuse_it(self):
        command = self.wait_end(self.give({"type": "camera.photo", "params": {"zoom": [1, 2]},
                                           "target": {"vids": ["V-001"]}}))
        row = self.states(command["id"])["V-001"]
        self.assertEqual((row["state"], row["reason"], row["code"]),
                         ("rejected", "it knows no such command", 3))


class Policy(FleetCommandCase):
    """The rules that look at the twin."""

    settings = {"commands": {"policy": {"rate_per_vehicle_per_min": 2, "min_battery": 0.5}}}

    def setUp(self):
        self.fence = os.path.join("/tmp", f"fleethub-fence-{os.getpid()}.geojson")
        with open(self.fence, "w", encoding="utf-8") as file:
            file.write('{"type": "Polygon", "coordinates": [[[10, 59], [11, 59], [11, 60], [10, 60],'
                       ' [10, 59]], [[10.4, 59.4], [10.6, 59.4], [10.6, 59.6], [10.4, 59.6],'
                       ' [10.4, 59.4]]]}')
        self.addCleanup(os.unlink, self.fence)
        self.settings = {"commands": {"policy": dict(self.settings["commands"]["policy"],
                                                     geofence=self.fence)}}
        super().setUp()

    def blocked(self, vid, kind, params=None, **more):
        """The rule that blocks it; None where it was not blocked."""
        command = self.wait_end(self.give(dict(more, type=kind, params=params or {},
                                               target={"vids": [vid]})))
        row = self.states(command["id"])[vid]
        return row["reason"] if row["state"] == "blocked" else None

    def say(self, vid, **states):
        from harness.trace import envelope
        with self.stack.nats.client() as client:
            for kind, data in states.items():
                client.js_publish(f"fleet.test.veh.{vid}.state.{kind}", envelope(data))
        kind, data = list(states.items())[-1]
        wait_until(lambda: self.hub.get(f"/v1/vehicles/{vid}/state/{kind}").body and
                   self.hub.json(f"/v1/vehicles/{vid}")["state"].get(kind) == data, 10,
                   f"{vid} is known so")

    def test_each_rule_blocks_what_it_is_for(self):
        self.say("P-1", battery={"remaining": 0.49})
        self.assertEqual(self.blocked("P-1", "takeoff", {"alt": 10}, ttl_s=1), "min_battery")
        self.say("P-2", battery={"remaining": 0.9}, health={"sensors_ok": False})
        self.assertEqual(self.blocked("P-2", "arm", ttl_s=1), "sensors_ok")
        self.say("P-3", mode={"mode": "AUTO", "armed": True}, position={"rel_alt": 10})
        self.assertEqual(self.blocked("P-3", "disarm", ttl_s=1), "disarm_in_air")
        self.assertEqual(self.blocked("P-3", "disarm", {"force": True}, ttl_s=1), "disarm_in_air")
        self.assertIsNone(self.blocked("P-3", "disarm", {"force": True}, ttl_s=1, reason="fire"))
        self.say("P-4", mode={"mode": "AUTO", "armed": True})
        inside, hole = {"lat": 59.2, "lon": 10.2, "alt": 5}, {"lat": 59.5, "lon": 10.5, "alt": 5}
        self.assertEqual(self.blocked("P-4", "goto", hole, ttl_s=1), "geofence")
        self.assertIsNone(self.blocked("P-4", "goto", inside, ttl_s=1))

    def test_the_rate_bounds_routine_commands_and_no_recovery(self):
        self.say("P-5", mode={"mode": "AUTO"})
        mode = {"mode": "LOITER"}
        self.assertIsNone(self.blocked("P-5", "set_mode", mode, ttl_s=1))
        self.assertIsNone(self.blocked("P-5", "set_mode", mode, ttl_s=1))
        self.assertEqual(self.blocked("P-5", "set_mode", mode, ttl_s=1),
                         "rate_per_vehicle_per_min")
        for _ in range(3):
            self.assertIsNone(self.blocked("P-5", "rtl", ttl_s=1))

    def test_a_geofence_that_is_none_is_found_before_the_start(self):
        with open(self.fence, "w", encoding="utf-8") as file:
            file.write('{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}')
        checked = run_fleethub("config", "check", self.hub.config_path)
        self.assertEqual(checked.returncode, 1)
        self.assertIn(f"{self.fence}: coordinates[0]: a ring of the polygon", checked.stdout)


if __name__ == "__main__":
    unittest.main()

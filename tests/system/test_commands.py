"""Group commands with vehicles that answer well, badly, late, twice, or not at all."""

import json
import threading
import time
import unittest

from harness import wait_until
from harness.commands import JSON, CommandCase
from harness.vehicles import seconds

TRIES = 5  # to answer in time


class Lifecycle(CommandCase):
    def test_every_vehicle_does_as_it_is_told(self):
        ident = self.give("goto", params={"lat": 59.9, "lon": 10.7, "alt": 40}, reason="a look")
        command = self.wait_ended(ident)
        self.assertEqual((command["status"], command["counts"]["completed"]), ("succeeded", 4))
        self.assertEqual((command["issued_by"], command["reason"]), ("local", "a look"))
        for vid in self.vids:
            received, = self.vehicles.of(vid)
            self.assertEqual(received.type, "goto")
            self.assertEqual(received.cmd_id, f"{ident}.{vid}")
            self.assertEqual(received.message_id, received.cmd_id)
            self.assertEqual(received.data["params"], {"lat": 59.9, "lon": 10.7, "alt": 40})
            self.assertEqual(received.data["issued_at"], command["created"])
            self.assertEqual(received.data["expires_at"], command["expires"])

    def test_what_vehicles_say_is_carried_through(self):
        self.vehicles.answer = lambda r: {
            "V-0": [("rejected", {"error": "not now", "code": 4})],
            "V-1": ["accepted", ("failed", {"error": "motor\nlost", "code": -3})],
            "V-2": [("timeout", {})], "V-3": ["completed"]}[r.vid]
        ident = self.give("land")
        command = self.wait_ended(ident)
        self.assertEqual(command["status"], "partial")
        parts = {v["vid"]: v for v in self.parts(ident)}
        self.assertEqual({vid: (v["state"], v["reason"], v["code"]) for vid, v in parts.items()}, {
            "V-0": ("rejected", "not now", 4), "V-1": ("failed", "motor lost", -3),
            "V-2": ("timed_out", None, None), "V-3": ("completed", None, None)})
        for part in parts.values():
            self.assertLessEqual(part["sent"], part["updated"])

    def test_an_answer_in_time_counts_though_the_hub_was_frozen_at_the_end_of_the_time(self):
        self.vehicles.answer = lambda r: []
        for _ in range(TRIES):
            number = self.vehicles.count()
            ident = self.give("arm", {"vids": ["V-0"]}, ttl_s=3)
            expires = seconds(self.command(ident)["expires"])
            self.wait_received(number + 1)
            wait_until(lambda: time.time() > expires - 1.2, 10, "there is little time left")
            self.hub.process.pause()
            self.vehicles.ack(f"{ident}.V-0", "completed", "V-0")
            self.client.flush()
            in_time = time.time() < expires
            wait_until(lambda: time.time() > expires + 0.2, 10, "the time is over")
            self.hub.process.resume()
            state = self.wait_ended(ident)["counts"]
            if in_time:
                self.assertEqual(state["completed"], 1, state)
                return
        self.skipTest("this machine is too slow to answer in time")

    def test_all_failing_is_failed(self):
        self.vehicles.answer = lambda r: ["rejected"]
        self.assertEqual(self.wait_ended(self.give("arm"))["status"], "failed")

    def test_acceptance_is_enough_where_it_is_all_that_is_waited_for(self):
        self.vehicles.answer = lambda r: ["accepted"]
        self.assertEqual(self.wait_ended(self.give("hold", wait="accepted"))["counts"]["accepted"], 4)
        ident = self.give("arm", complete_within_s=1)
        self.assertEqual(self.wait_ended(ident)["counts"]["timed_out"], 4)
        self.assertEqual({v["reason"] for v in self.parts(ident)}, {"not_completed"})

    def test_reports_of_nobody_and_of_others_change_nothing(self):
        self.vehicles.answer = lambda r: []
        ident = self.give("arm", ttl_s=300)
        self.wait_received(4)
        for cmd_id, vid in ((f"{ident}.V-1", "V-0"), (f"{ident}.V-9", "V-9"), ("x", "V-0"),
                            ("0" * 32 + ".V-0", "V-0"), (f"{ident}.V-0.x", "V-0"), ("", "V-0")):
            self.vehicles.ack(cmd_id, "rejected", vid)
        self.vehicles.ack(f"{ident}.V-0", "exploded")  # on record, and ignored
        self.vehicles.ack(f"{ident}.V-0", "completed", bare=True)
        self.vehicles.ack(f"{ident}.V-0", "rejected")  # the first that ends it wins
        self.vehicles.ack(f"{ident}.V-1", "accepted")
        self.vehicles.ack(f"{ident}.V-1", "accepted")
        self.wait_counts(ident, completed=1, accepted=1, sent=2)
        self.assertEqual(self.command(ident)["status"], "running")
        self.stack.wait_archived()
        acks = self.hub.events(kind="ack", vid="V-0")
        self.assertIn("exploded", {ack["data"].get("status") for ack in acks})

    def test_expiry_of_the_unsent_and_of_the_unanswered(self):
        self.vehicles.answer = lambda r: []
        first = self.give("arm", {"vids": ["V-0"]}, ttl_s=2)
        second = self.give("arm", {"vids": ["V-0", "V-1"]}, ttl_s=1)
        self.assertEqual(self.wait_ended(second)["counts"]["expired"], 1)
        self.assertEqual(self.states(second), {"V-0": "expired", "V-1": "timed_out"})
        reasons = {v["vid"]: v["reason"] for v in self.parts(second)}
        self.assertEqual(reasons, {"V-0": "another_in_flight", "V-1": "not_accepted"})
        self.assertEqual(self.wait_ended(first)["counts"]["timed_out"], 1)
        self.assertEqual(self.vehicles.count(), 2)

    def test_one_in_flight_per_vehicle_and_type_and_the_next_in_order(self):
        self.vehicles.answer = lambda r: []
        idents = [self.give("arm", {"vids": ["V-0"]}) for _ in range(3)]
        other = self.give("mission.start", {"vids": ["V-0"]})
        self.wait_counts(other, sent=1)
        for ident in idents:
            self.wait_counts(ident, sent=1)
            wait_until(lambda i=ident: self.vehicles.of("V-0", "arm")[-1].cmd_id == f"{i}.V-0", 10,
                       "it is the next that was given")
            self.vehicles.ack(f"{ident}.V-0", "completed")
            self.wait_ended(ident)
        self.assertEqual(len(self.vehicles.of("V-0", "arm")), 3)

    def test_everything_is_on_record(self):
        ident = self.give("arm", reason="morning")
        self.wait_ended(ident)
        self.stack.wait_archived()

        def recorded():
            return [e for e in self.hub.events(kind="command", order_by="seq")
                    if e["data"]["command_id"] == ident]
        wait_until(lambda: any(e["data"]["to"] == "succeeded" for e in recorded()), 20,
                   "its end is on record")
        events = recorded()
        accepted = events[0]
        self.assertEqual((accepted["actor"], accepted["type"], accepted["data"]["reason"]),
                         ("local", "arm", "morning"))
        self.assertIsNotNone(accepted["request_id"])
        self.assertEqual(sorted(accepted["data"]["targets"]), self.vids)
        for vid in self.vids:
            steps = [(e["data"]["from"], e["data"]["to"]) for e in events if e["vid"] == vid]
            self.assertEqual(steps[-1][1], "completed", steps)
            self.assertEqual(len({to for _, to in steps}), len(steps), steps)
        self.assertEqual(events[-1]["data"]["counts"]["completed"], 4)


class Targets(CommandCase):
    def test_by_list_filter_group_and_all(self):
        self.state("V-1", "battery", {"remaining": 0.1})
        wait_until(lambda: self.hub.json("/v1/vehicles/V-1")["state"].get("battery"), 10, "it is low")
        self.hub.request("PUT", "/v1/groups/two", JSON, json.dumps({"vids": ["V-2", "V-3", "V-404"]}))
        for target, vids in (({"vids": ["V-3", "V-0", "V-3"]}, ["V-0", "V-3"]),
                             ({"filter": "state.battery.remaining < 0.2"}, ["V-1"]),
                             ({"group": "two"}, ["V-2", "V-3"]), ({"all": True}, self.vids)):
            with self.subTest(target=target):
                ident = self.give("rtl", target, confirm=4)
                self.assertEqual(sorted(self.states(ident)), vids)
                self.assertEqual(self.wait_ended(ident)["status"], "succeeded")

    def test_unknown_vehicles_are_blocked_one_by_one_and_the_rest_goes_on(self):
        ident = self.give("rtl", {"vids": ["V-0", "V-404", "no such thing"]})
        command = self.wait_ended(ident)
        self.assertEqual((command["status"], command["total"]), ("partial", 3))
        parts = {v["vid"]: (v["state"], v["reason"]) for v in self.parts(ident)}
        self.assertEqual(parts, {"V-0": ("completed", None), "V-404": ("blocked", "unknown_vehicle"),
                                 "no such thing": ("blocked", "unknown_vehicle")})
        self.assertEqual(self.wait_ended(self.give("rtl", {"vids": ["V-404"]}))["status"], "failed")

    def test_a_dry_run_says_all_and_does_nothing(self):
        reply = self.post("takeoff", {"vids": self.vids + ["V-404"]}, params={"alt": 500}, dry_run=True)
        self.assertEqual(reply.status, 200)
        body = reply.json()
        self.assertEqual((body["total"], sorted(body["vids"])), (5, sorted(self.vids + ["V-404"])))
        self.assertEqual({b["vid"]: b["reason"] for b in body["blocked"]},
                         dict({vid: "max_alt_m" for vid in self.vids}, **{"V-404": "unknown_vehicle"}))
        self.assertEqual(self.hub.json("/v1/commands")["commands"], [])
        self.assertEqual(self.vehicles.count(), 0)

    def test_confirm_is_an_upper_bound(self):
        reply = self.post("rtl", {"all": True}, confirm=3)
        self.assertEqual(reply.status, 409)
        self.assertIn("4", reply.json()["detail"])
        self.give("rtl", {"all": True}, confirm=4)

    def test_what_makes_no_sense_is_a_clear_error_and_nothing_is_sent(self):
        for status, kind, members in (
                (400, "manual.stick", {}), (400, "velocity", {}), (400, "motor.test", {}),
                (400, "dance", {}), (400, "takeoff", {}), (400, "takeoff", {"params": {"alt": -1}}),
                (400, "goto", {"params": {"lat": 91, "lon": 0, "alt": 1}}),
                (400, "rtl", {"params": {"fast": True}}), (400, "rtl", {"ttl_s": 0}),
                (400, "rtl", {"ttl_s": 301}), (400, "rtl", {"colour": "red"}),
                (400, "rtl", {"target": {}}), (400, "rtl", {"target": {"all": False}}),
                (400, "rtl", {"target": {"vids": ["V-0"], "all": True}}),
                (400, "rtl", {"target": {"filter": "stat.x = 1"}}),
                (400, "rtl", {"target": {"group": "nobody"}}),
                (400, "rtl", {"verify": {"filter": "("}}), (400, "rtl", {"wait": "long"}),
                (422, "rtl", {"target": {"filter": "vid = \"X\""}}), (422, "rtl", {"target": {"vids": []}})):
            with self.subTest(kind=kind, members=members):
                target = members.pop("target", None)
                body = dict({"type": kind, "target": self.vids if target is None else target}, **members)
                if target is None:
                    body["target"] = {"vids": self.vids}
                reply = self.hub.request("POST", "/v1/commands", JSON, json.dumps(body))
                self.assertEqual(reply.status, status, reply)
                self.assertTrue(reply.json()["detail"])
        self.assertEqual(self.hub.json("/v1/commands")["commands"], [])
        self.assertEqual(self.vehicles.count(), 0)

    def test_the_same_key_and_the_same_json_are_the_same_command(self):
        headers = {"Idempotency-Key": "storm-1"}
        first = self.give("rtl", headers=headers, ttl_s=60)
        again = self.hub.request("POST", "/v1/commands", dict(JSON, **headers), json.dumps(
            {"ttl_s": 6e1, "target": {"vids": self.vids}, "type": "rtl"}))
        self.assertEqual((again.status, again.json()["id"], again.json()["replayed"]),
                         (202, first, True))
        self.assertEqual(self.post("rtl", headers=headers, ttl_s=61).status, 409)
        self.wait_ended(first)
        self.hub.stop()
        self.hub.start()
        self.wait_lane()
        again = self.post("rtl", headers=headers, ttl_s=60)
        self.assertEqual((again.status, again.json()["id"]), (202, first))
        self.assertEqual(len(self.hub.json("/v1/commands")["commands"]), 1)
        self.no_vehicle_acted_twice()

    def test_many_at_once_with_one_key_make_one_command(self):
        replies = []

        def post():
            replies.append(self.post("rtl", headers={"Idempotency-Key": "k"}))
        threads = [threading.Thread(target=post) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({reply.status for reply in replies}, {202})
        self.assertEqual(len({reply.json()["id"] for reply in replies}), 1)


class Lists(CommandCase):
    def test_newest_first_in_pages_by_status_and_type(self):
        idents = [self.give("rtl" if i % 2 else "hold", {"vids": ["V-0"]}) for i in range(5)]
        for ident in idents:
            self.wait_ended(ident)
        listed = self.hub.pages("/v1/commands", "commands", page_size=2)
        self.assertEqual([c["id"] for c in listed], idents[::-1])
        self.assertEqual([c["id"] for c in self.hub.pages("/v1/commands", "commands", type="rtl")],
                         [idents[3], idents[1]])
        self.assertEqual(len(self.hub.pages("/v1/commands", "commands", status="succeeded")) +
                         len(self.hub.pages("/v1/commands", "commands", status="failed")), 5)
        pages = self.hub.pages(f"/v1/commands/{idents[0]}/vehicles", "vehicles", page_size=1)
        self.assertEqual([v["vid"] for v in pages], ["V-0"])
        self.assertEqual(self.hub.get("/v1/commands/none").status, 404)


if __name__ == "__main__":
    unittest.main()

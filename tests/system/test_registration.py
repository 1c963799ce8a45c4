"""Registering and retiring vehicles, in open fleets and in those that admit registered ones alone."""

import json
import unittest

from harness import StackCase, envelope, wait_until
from harness.shadows import failpoint

VID = "VID-001"
JSON = {"Content-Type": "application/json"}


class RegistrationCase(StackCase):
    def setUp(self):
        super().setUp()
        self.client = self.stack.nats.client()
        self.addCleanup(self.client.close)
        self.seq = 0

    def path(self, vid=VID):
        return f"/v1/vehicles/{vid}"

    def register(self, body=None, vid=VID, hub=None, headers=None):
        return (hub or self.hub).request("PUT", self.path(vid), dict(JSON, **(headers or {})),
                                         json.dumps(body if body is not None else {}))

    def retire(self, vid=VID, hub=None, force=True, headers=None):
        return (hub or self.hub).request(
            "DELETE", self.path(vid) + ("?force=true" if force else ""), headers)

    def publish(self, kind="state.mode", data=None, vid=VID):
        self.seq += 1
        return self.client.js_publish(f"fleet.test.veh.{vid}.{kind}",
                                      envelope(data or {"mode": "AUTO"}, boot="b", seq=self.seq))

    def twin(self, vid=VID, hub=None):
        reply = (hub or self.hub).get(self.path(vid))
        return reply.json() if reply.status == 200 else None

    def wait_twin(self, condition, what, vid=VID, hub=None):
        def reached():
            twin = self.twin(vid, hub)
            return condition(twin) and twin
        return wait_until(reached, 15, what)

    def kv_put(self, part, value, vid=VID):
        return self.client.kv_put("TWIN_SHADOW", f"fleet/test/veh/{vid}/{part}", value)

    def kv_get(self, part, vid=VID):
        return self.client.kv_get("TWIN_SHADOW", f"fleet/test/veh/{vid}/{part}")

    def system(self, hub=None):
        """Types of the registrations on record, oldest first."""
        self.stack.wait_archived()
        return [r["type"] for r in (hub or self.hub).events(kind="system", order_by="seq", vid=VID)]

    def rejected(self):
        self.stack.wait_archived()
        return [(r["type"], r["stream"], r["stream_seq"])
                for r in self.hub.events(kind="rejected", order_by="seq")]


class Open(RegistrationCase):
    settings = {"presence": {"stale_after_s": 1, "offline_after_s": 2}}

    def test_registering_makes_a_vehicle_known(self):
        created = self.register({"meta": {"site": "oslo"}}, headers={"X-Request-Id": "req-1"})
        self.assertEqual(created.status, 201, created)
        self.assertEqual(created.headers["location"], self.path())
        self.assertTrue(created.headers["fleet-position"])
        self.assertEqual(created.json()["meta"], {"site": "oslo"})
        self.assertEqual(self.twin()["presence"],
                         {"status": "unknown", "last_seen": None, "since": None})
        again = self.register()
        self.assertEqual((again.status, again.json()["meta"]), (200, {"site": "oslo"}))
        changed = self.register({"meta": {"site": "bergen"}})
        self.assertEqual((changed.status, changed.json()["meta"]), (200, {"site": "bergen"}))
        self.assertEqual(self.system(), ["registered"])
        record = self.hub.events(kind="system", vid=VID)[0]
        self.assertEqual((record["actor"], record["request_id"]), ("local", "req-1"))
        self.publish()
        self.wait_twin(lambda t: t["presence"]["status"] == "online", "it is heard")

    def test_registering_a_vehicle_that_appeared_by_itself(self):
        self.publish()
        self.wait_twin(bool, "it appears")
        self.assertEqual(self.register().status, 200)
        self.assertEqual(self.system(), ["registered"])
        self.assertEqual(self.twin()["state"], {"mode": {"mode": "AUTO"}})

    def test_refusals(self):
        for body in ([], {"name": 1}, {"meta": []}, {"meta": None}):
            self.assertEqual(self.register(body).status, 400, body)
        for vid in ("a.b", "x" * 65):
            self.assertEqual(self.register(vid=vid).status, 400, vid)
        self.assertEqual(self.register(vid="stream").status, 405)  # a resource of its own
        self.assertEqual(self.hub.request("PUT", self.path()).status, 201)  # no body is no meta
        self.assertEqual(self.register(headers={"If-Match": '"nonsense"'}).status, 412)
        tag = self.hub.get(self.path()).headers["etag"]
        self.assertEqual(self.register({"meta": {"a": 1}}, headers={"If-Match": tag}).status, 200)
        self.assertEqual(self.retire(headers={"If-Match": tag}).status, 412)
        self.assertEqual(self.retire(vid="VID-404").status, 404)
        self.assertEqual(self.retire().status, 204)
        self.assertEqual(self.retire().status, 404)

    def test_retiring_hides_what_came_before_and_a_newer_message_brings_it_back(self):
        self.publish("state.battery", {"remaining": 0.5})
        self.kv_put("desired", {"mode": "RTL"})
        self.kv_put("reported", {"mode": "AUTO"})
        self.wait_twin(lambda t: t and t["delta"] and t["state"], "it is there")
        self.assertEqual(self.retire(force=False).status, 409)
        reply = self.retire()
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertIsNone(self.twin())
        self.assertEqual(self.hub.twins(), {})
        for part in ("desired", "reported"):
            self.assertEqual(self.kv_get(part), b"")  # a marker, not a purge
        self.assertEqual(self.client.stream_info("KV_TWIN_SHADOW")["state"]["messages"], 4)
        self.publish("state.mode")
        twin = self.wait_twin(bool, "it is back")
        self.assertEqual(twin["state"], {"mode": {"mode": "AUTO"}})
        self.assertEqual((twin["desired"], twin["reported"], twin["delta"], twin["meta"]),
                         ({}, {}, {}, {}))
        for stop in (self.hub.stop, self.hub.kill):
            stop()
            self.hub.start()
            self.assertEqual(self.twin()["state"], {"mode": {"mode": "AUTO"}})
            self.assertEqual(self.twin()["desired"], {})
        self.assertEqual(self.system(), ["retired"])
        self.assertEqual([r["type"] for r in self.hub.events(kind="shadow")], ["outside"])

    def test_offline_is_retired_without_force(self):
        self.publish()
        self.wait_twin(lambda t: t and t["presence"]["status"] == "offline", "it is offline")
        self.assertEqual(self.retire(force=False).status, 204)
        self.assertIsNone(self.twin())

    def test_retirement_outlives_restarts(self):
        self.publish()
        self.kv_put("desired", {"mode": "RTL"})
        self.wait_twin(lambda t: t and t["desired"], "it is there")
        self.assertEqual(self.retire().status, 204)
        for stop in (self.hub.kill, self.hub.stop, self.hub.kill):
            stop()
            self.hub.start()
            self.assertIsNone(self.twin())
        self.assertEqual(self.system(), ["retired"])
        self.assertEqual(self.register().status, 201)
        self.assertEqual(self.twin()["desired"], {})
        self.assertEqual(self.twin()["state"], {})

    def test_two_hubs_agree(self):
        other = self.stack.add_hub().start()
        self.assertEqual(self.register({"meta": {"a": 1}}).status, 201)
        self.wait_twin(lambda t: t and t["meta"] == {"a": 1}, "the other knows", hub=other)
        self.assertEqual(self.register(hub=other).status, 200)
        self.publish()
        self.wait_twin(lambda t: t["state"], "the other folds", hub=other)
        self.assertEqual(self.retire(hub=other).status, 204)
        wait_until(lambda: self.twin() is None, 10, "the first has heard of it")
        self.assertEqual(self.register().status, 201)
        self.wait_twin(bool, "the other knows", hub=other)
        self.assertEqual(self.system(), ["registered", "retired", "registered"])
        self.assertEqual([r["type"] for r in self.hub.events(kind="shadow")
                          if r["type"] == "outside"], [])

    def test_killed_before_the_record(self):
        self.publish()
        self.wait_twin(bool, "it appears")
        self.kv_put("desired", {"mode": "RTL"})
        self.wait_twin(lambda t: t["desired"], "it has a wish")
        for point in ("registry_written", "registry_hidden"):
            self.hub.stop()
            with failpoint(point):
                self.hub.start()
            with self.assertRaises(OSError):
                self.retire()
            self.assertEqual(self.hub.process.wait(10), 137)
            self.hub.start()
            self.assertIsNone(self.twin())
            wait_until(lambda: self.kv_get("desired") == b"", 15, "its key is deleted after all")
            self.assertEqual(self.register({}).status, 201)
            self.assertEqual(self.twin()["desired"], {})
            self.kv_put("desired", {"mode": "RTL"})
            self.wait_twin(lambda t: t["desired"], "it has a wish again")
        self.assertEqual(self.system(), ["retired", "registered"] * 2)

    def test_without_nats_nothing_happens(self):
        self.register()
        self.stack.nats.stop()
        self.hub.wait_ready("unready")
        for reply in (self.register(vid="VID-002"), self.retire()):
            self.assertEqual(reply.status, 503)
            self.assertGreater(int(reply.headers["retry-after"]), 0)
        self.stack.nats.start()
        self.hub.wait_ready()
        self.assertIsNotNone(self.twin())
        self.assertIsNone(self.twin("VID-002"))


class RegisteredOnly(RegistrationCase):
    settings = {"vehicles": {"admission": "registered"}}

    def test_only_registered_vehicles_are_admitted(self):
        other = self.stack.add_hub().start()
        early = [self.publish("state.mode"), self.publish("evt.armed"),
                 self.publish("cmdack.rtl", {"cmd_id": "x", "status": "accepted"})]
        self.kv_put("reported", {"a": 1}, vid="VID-SHADOW")
        wait_until(lambda: len(self.rejected()) == 3, 20, "they are refused")
        self.assertEqual(sorted(self.rejected()), sorted(
            zip(["not_registered"] * 3, ["TWIN_STATE", "TWIN_EVENTS", "TWIN_ACK"], early)))
        self.assertEqual(self.hub.twins(), {})
        self.assertEqual(self.register().status, 201)
        # At once, while the other hub, which may be the one that writes the archive, still reads.
        for _ in range(5):
            self.publish("state.mode")
            self.publish("evt.armed")
        for hub in (self.hub, other):
            self.wait_twin(lambda t: t and t["state"] and t["presence"]["status"] == "online",
                           "it is there", hub=hub)
        self.stack.wait_archived()
        self.assertEqual(len(self.hub.events(kind="event")), 5)
        self.assertEqual(len(self.rejected()), 3)
        self.assertEqual(list(self.hub.twins()), [VID])

    def test_a_retired_vehicle_is_refused_for_all_it_says(self):
        self.register()
        self.publish("state.mode")
        self.publish("evt.armed")
        self.wait_twin(lambda t: t and t["state"], "it is there")
        self.assertEqual(self.retire().status, 204)
        late = [self.publish("state.mode"), self.publish("evt.landed"),
                self.publish("cmdack.rtl", {"cmd_id": "x", "status": "accepted"})]
        wait_until(lambda: len(self.rejected()) == 3, 20, "they are refused")
        self.assertEqual(sorted(self.rejected()), sorted(
            zip(["not_registered"] * 3, ["TWIN_STATE", "TWIN_EVENTS", "TWIN_ACK"], late)))
        self.assertIsNone(self.twin())
        self.assertEqual([r["type"] for r in self.hub.events(kind="event")], ["armed"])

    def test_replays_judge_as_before(self):
        """What was refused before the registration stays refused when the stream is read again."""
        self.publish("state.battery", {"remaining": 0.1})
        wait_until(lambda: len(self.rejected()) == 1, 20, "it is refused")
        self.register()
        self.publish("state.mode")
        self.wait_twin(lambda t: t and t["state"], "it is there")
        for _ in range(2):
            self.hub.kill()
            self.hub.start()
            self.assertEqual(self.twin()["state"], {"mode": {"mode": "AUTO"}})
        self.assertEqual(len(self.rejected()), 1)

    def test_events_while_postgres_is_away_are_judged_by_their_time(self):
        self.stack.postgres.stop()
        self.hub.wait_ready("degraded")
        early = self.publish("evt.armed")
        self.register()
        self.publish("evt.landed")
        self.wait_twin(lambda t: t["presence"]["status"] == "online", "it is heard")
        self.stack.postgres.start()
        self.hub.wait_ready()
        self.stack.wait_archived()
        self.assertEqual([r["type"] for r in self.hub.events(kind="event")], ["landed"])
        self.assertEqual(self.rejected(), [("not_registered", "TWIN_EVENTS", early)])


if __name__ == "__main__":
    unittest.main()

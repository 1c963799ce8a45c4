"""What still works while PostgreSQL or NATS is away, and what the hub says about it."""

import time
import unittest

from harness import StackCase, envelope, scaled, wait_until

STALE_S, OFFLINE_S = 1, 2
VEHICLES = ["VID-001", "VID-002", "VID-003"]


def checks(reply):
    return {check["name"]: check["ok"] for check in reply.json()["checks"]}


class Degraded(StackCase):
    settings = {"presence": {"stale_after_s": STALE_S, "offline_after_s": OFFLINE_S}}

    def setUp(self):
        super().setUp()
        self.seq = 0

    def report(self, kind="state.battery", **data):
        """One message of each vehicle."""
        self.seq += 1
        with self.stack.leaf.client() as client:
            for vid in VEHICLES:
                client.js_publish(f"fleet.test.veh.{vid}.{kind}",
                                  envelope(data, boot="b1", seq=self.seq))

    def batteries(self):
        return {vid: twin["state"].get("battery") for vid, twin in self.hub.twins().items()}

    def statuses(self):
        return {twin["presence"]["status"] for twin in self.hub.twins().values()}

    def expect_batteries(self, remaining):
        wait_until(lambda: self.batteries() == {vid: {"remaining": remaining} for vid in VEHICLES},
                   20, f"every battery is at {remaining}")

    def test_without_postgres_twins_answer_and_nothing_is_lost(self):
        self.report(remaining=0.9)
        self.expect_batteries(0.9)
        self.stack.postgres.stop()
        ready = self.hub.wait_ready("degraded")
        self.assertEqual(ready.status, 200)
        self.assertEqual(checks(ready), {"nats": True, "postgres": False, "twins": True})
        self.report(remaining=0.8)
        self.expect_batteries(0.8)
        self.report("evt.landed", severity="info")
        record = self.hub.get("/v1/events")
        self.assertEqual(record.status, 503)
        self.assertEqual(record.headers["content-type"], "application/problem+json")
        self.assertGreater(int(record.headers["retry-after"]), 0)
        self.stack.postgres.start()
        self.hub.wait_ready()
        wait_until(lambda: {r["vid"] for r in self.hub.events(kind="event")} == set(VEHICLES), 30,
                   "what happened meanwhile is on record")
        self.assertEqual(len(self.hub.events(kind="event")), len(VEHICLES))

    def test_without_nats_last_twins_answer_and_nobody_goes_offline(self):
        self.report(remaining=0.9)
        self.expect_batteries(0.9)
        self.stack.nats.stop()
        ready = self.hub.wait_ready("unready")
        self.assertEqual(ready.status, 503)
        self.assertFalse(checks(ready)["nats"])
        # Nothing may happen for longer than it takes to be declared offline.
        end = time.monotonic() + scaled(3 * OFFLINE_S)
        while time.monotonic() < end:
            self.assertEqual(self.batteries(), {vid: {"remaining": 0.9} for vid in VEHICLES})
            self.assertNotIn("offline", self.statuses())
            time.sleep(0.1)
        self.stack.nats.start()
        heard_again = time.monotonic()
        self.hub.wait_ready()
        wait_until(lambda: self.statuses() == {"offline"}, 30,
                   "having heard again for long enough, the hub declares them offline")
        self.assertGreater(time.monotonic() - heard_again, OFFLINE_S)
        self.stack.wait_leaf()
        self.report(remaining=0.7)
        self.expect_batteries(0.7)
        self.assertEqual(self.statuses(), {"online"})

    def test_each_going_and_coming_is_on_record_once(self):
        self.report(remaining=0.9)
        wait_until(lambda: len(self.statuses()) == 1 and self.statuses() == {"offline"}, 30,
                   "the silent ones are offline")
        self.report(remaining=0.8)
        wait_until(lambda: self.statuses() == {"online"}, 10, "they are back")
        wait_until(lambda: self.statuses() == {"stale"}, 10, "they are silent again")
        wait_until(lambda: self.statuses() == {"offline"}, 10, "they are offline again")
        wait_until(lambda: len(self.presence("VID-001")) >= 3, 20, "that is on record")
        self.stack.wait_archived()
        for vid in VEHICLES:
            self.assertEqual(self.presence(vid)[-3:], ["offline", "online", "offline"])
            self.assertEqual(self.presence(vid).count("offline"), 2)

    def presence(self, vid):
        """The types of a vehicle's presence records, oldest first."""
        return [r["type"] for r in reversed(self.hub.events(kind="presence", vid=vid))]


if __name__ == "__main__":
    unittest.main()

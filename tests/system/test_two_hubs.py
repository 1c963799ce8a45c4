"""Two hubs of one region, side by side: the same answers, nothing on record twice."""

import collections
import os
import unittest

from harness import OWN_TRACES, StackCase, Trace, envelope, wait_until

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")


class TwoHubs(StackCase):
    settings = {"presence": {"stale_after_s": 2, "offline_after_s": 4}}

    def setUp(self):
        super().setUp()
        self.trace = Trace(COPTERS)
        self.other = self.stack.add_hub().start()

    def documents(self, hub):
        return hub.pages("/v1/vehicles", "vehicles", metadata="true", page_size=7)

    def expect_same_answers(self):
        for hub in (self.hub, self.other):
            self.stack.expect_trace(self.trace, hub)
        # The ageing of presence is judged by each at its own moment.
        wait_until(lambda: self.documents(self.hub) == self.documents(self.other), 30,
                   "both hubs answer the same")
        self.stack.wait_archived()
        told = 'kind != "access"'  # each reading is itself on record
        self.assertEqual(self.hub.events(filter=told), self.other.events(filter=told))
        self.expect_nothing_twice()

    def expect_nothing_twice(self):
        places = collections.Counter((r["stream"], r["stream_seq"]) for r in self.hub.events())
        self.assertEqual([place for place, count in places.items() if count > 1], [])

    def test_same_answers_and_no_record_twice(self):
        self.stack.replay(COPTERS).wait()
        self.expect_same_answers()

    def test_silence_is_on_record_once(self):
        with self.stack.leaf.client() as client:
            client.js_publish("fleet.test.veh.VID-001.state.mode", envelope({"mode": "AUTO"}))
        for hub in (self.hub, self.other):
            wait_until(lambda h=hub: [t["presence"]["status"] for t in h.twins().values()]
                       == ["offline"], 30, "it is offline for both")
        wait_until(lambda: self.hub.events(kind="presence"), 20, "that is on record")
        self.stack.wait_archived()
        types = [record["type"] for record in self.hub.events(kind="presence")]
        self.assertEqual(types.count("offline"), 1)

    def test_one_killed_and_one_frozen_in_mid_replay(self):
        """Whichever of them writes the archive, it once dies and once falls silent."""
        sim = self.stack.replay(COPTERS, speed="15")
        self.wait_records(50)
        self.hub.kill()
        self.wait_records(200)
        self.hub.start()
        self.other.process.pause()
        self.wait_records(500)
        self.other.process.resume()
        sim.wait(180)
        self.expect_same_answers()

    def wait_records(self, count):
        """Asks PostgreSQL itself: either hub may be away."""
        sql = "SELECT count(*) FROM records WHERE kind = 'event'"
        wait_until(lambda: int(self.stack.postgres.query(sql)) >= count, 60,
                   f"{count} events are on record")


if __name__ == "__main__":
    unittest.main()

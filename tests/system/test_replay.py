"""Recorded flights, replayed through the leaf: the twins and the record that come of them."""

import os
import unittest

from harness import OWN_TRACES, Stack, Trace, find_trace

QUAD = "quad-flight-2015.ndjson"
COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")


class Replay(unittest.TestCase):
    def test_fleet_of_20_becomes_20_twins_and_712_events(self):
        trace = Trace(COPTERS)
        self.assertEqual((len(trace.states), len(trace.events)), (20, 712))
        with Stack() as stack:
            stack.replay(COPTERS).wait()
            stack.expect_trace(trace)
            page = stack.hub.json("/v1/vehicles", page_size=7)
            self.assertEqual((page["total_size"], len(page["vehicles"])), (20, 7))
            for twin in stack.hub.twins().values():
                self.assertEqual(twin["region"], "eu-north")
                self.assertEqual(twin["presence"]["status"], "online")
                self.assertEqual((twin["delta"], twin["delta_since"]), ({}, None))

    def test_real_flight_becomes_one_twin_and_75_events(self):
        path = find_trace(QUAD)
        if not path:
            self.skipTest(f"{QUAD} is neither in FLEETHUB_TRACES nor in ../shared/traces")
        trace = Trace(path)
        self.assertEqual((len(trace.states), len(trace.events)), (1, 75))
        with Stack() as stack:
            stack.replay(path).wait()
            stack.expect_trace(trace)


class Disorder(unittest.TestCase):
    def setUp(self):
        self.trace = Trace(COPTERS)

    def same_after_restarts(self, stack):
        """The whole documents, presence (which time changes) aside."""
        def documents():
            twins = stack.hub.pages("/v1/vehicles", "vehicles", metadata="true")
            return [dict(twin, presence=twin["presence"]["last_seen"]) for twin in twins]
        before = documents()
        stack.hub.kill()
        stack.hub.start()
        self.assertEqual(documents(), before)
        self.assertEqual(stack.hub.stop(), 0)
        stack.hub.start()
        self.assertEqual(documents(), before)
        stack.expect_trace(self.trace)

    def test_published_twice_changes_nothing(self):
        with Stack() as stack:
            messages = self.trace.messages("test")
            with stack.leaf.client() as client:
                client.js_publish_all(messages)
                stack.expect_trace(self.trace)
                client.js_publish_all(messages)
                stack.expect_trace(self.trace)
            states = sum(".state." in subject for subject, _ in messages)
            hub = stack.hub
            self.assertEqual(hub.metric("messages_total", stream="TWIN_STATE", outcome="applied")
                             + hub.metric("messages_total", stream="TWIN_STATE", outcome="stale")
                             + hub.metric("messages_total", stream="TWIN_STATE",
                                          outcome="duplicate"), 2 * states)
            self.assertEqual(hub.metric("messages_total", stream="TWIN_STATE", outcome="applied"),
                             states)
            self.same_after_restarts(stack)

    def test_shuffled_within_a_minute_ends_in_the_same_twins(self):
        with Stack() as stack:
            messages = self.trace.shuffled(self.trace.messages("test"), within_s=60)
            with stack.leaf.client() as client:
                client.js_publish_all(messages)
            stack.expect_trace(self.trace)
            self.assertGreater(stack.hub.metric("messages_total", outcome="stale"), 0)
            self.same_after_restarts(stack)


if __name__ == "__main__":
    unittest.main()

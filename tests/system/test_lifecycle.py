"""Start, stop and reload: in whatever order the servers come and go."""

import os
import re
import signal
import unittest

from harness import OWN_TRACES, StackCase, Trace, envelope, wait_until

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")
STOP_S = 10  # contract: SIGTERM drains and exits 0 within it


def not_ok(reply):
    return {check["name"] for check in reply.json()["checks"] if not check["ok"]}


class Start(StackCase):
    start_all = False

    def test_hub_starts_before_nats_and_postgres_and_waits_for_both(self):
        # The ports are known once the server has run.
        self.stack.nats.start()
        self.stack.nats.kill()
        hub = self.stack.add_hub().start(ready=False)
        ready = hub.wait_ready("unready")
        self.assertEqual(ready.status, 503)
        self.assertLessEqual({"nats", "postgres"}, not_ok(ready))
        self.assertEqual(hub.get("/livez").status, 200)
        self.assertEqual(hub.get("/v1/events").status, 503)
        self.stack.nats.start()
        ready = hub.wait_ready("degraded")
        self.assertEqual((ready.status, not_ok(ready)), (200, {"postgres"}))
        self.stack.postgres.start()
        ready = hub.wait_ready("ready")
        self.assertEqual(not_ok(ready), set())
        with self.stack.nats.client() as client:
            client.js_publish("fleet.test.veh.VID-001.evt.armed", envelope({}))
        wait_until(lambda: hub.events(vid="VID-001"), 20, "an event is on record")

    def test_hub_ends_well_while_it_waits(self):
        self.stack.nats.start()
        self.stack.nats.kill()
        hub = self.stack.add_hub().start(ready=False)
        self.assertEqual(hub.stop(STOP_S), 0)


class Stop(StackCase):
    def test_sigterm_in_mid_replay_ends_with_0_and_nothing_half_done(self):
        trace = Trace(COPTERS)
        sim = self.stack.replay(COPTERS, speed="20")
        wait_until(lambda: self.hub.metric("records_total") > 50, 30, "events come in")
        self.assertEqual(self.hub.stop(STOP_S), 0)
        self.hub.start()
        self.assertEqual(self.hub.stop(STOP_S), 0)
        self.hub.start()
        sim.wait(120)
        self.stack.expect_trace(trace)

    def test_sigterm_without_nats(self):
        self.stack.nats.stop()
        self.hub.wait_ready("unready")
        self.assertEqual(self.hub.stop(STOP_S), 0)

    def test_probes_are_logged_where_the_answer_is_another_one(self):
        self.stack.nats.stop()
        self.hub.wait_ready("unready")
        for _ in range(20):
            self.assertEqual(self.hub.get("/readyz").status, 503)
        self.stack.nats.start()
        self.hub.wait_ready()
        log = self.hub.process.log()
        self.assertNotIn("/readyz", log)
        said = re.findall(r"hub\.readiness status=(\w+)", log)
        self.assertEqual(said[-1], "ready")
        self.assertIn("unready", said)
        self.assertTrue(all(a != b for a, b in zip(said, said[1:])), said)

    def test_sigterm_without_postgres(self):
        self.stack.postgres.stop()
        self.hub.wait_ready("degraded")
        self.assertEqual(self.hub.stop(STOP_S), 0)

    def test_sigterm_with_servers_that_answer_nothing(self):
        """Frozen is worse than gone: connections stay open."""
        self.stack.nats.process.pause()
        self.stack.postgres.process.pause()
        self.assertEqual(self.hub.stop(STOP_S), 0)

    def test_sigint_is_the_same(self):
        self.hub.process.send(signal.SIGINT)
        self.assertEqual(self.hub.process.wait(STOP_S), 0)


if __name__ == "__main__":
    unittest.main()

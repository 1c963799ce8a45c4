"""What the hub stands on fails in the middle of a replay, and in the end nothing tells."""

import os
import unittest

from harness import OWN_TRACES, FaultCase

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")


class ServerFaults(FaultCase):
    def test_postgres_stopped_for_a_while(self):
        def stop():
            self.stack.postgres.stop()
            self.hub.wait_ready("degraded")
            self.wait_share(0.4)
            self.stack.postgres.start()
        self.run_through(stop, COPTERS)

    def test_postgres_killed(self):
        self.run_through(lambda: self.stack.postgres.restart(kill=True), COPTERS)

    def test_nats_restarted(self):
        self.run_through(lambda: self.stack.nats.restart(kill=False), COPTERS)

    def test_nats_killed(self):
        self.run_through(lambda: self.stack.nats.restart(kill=True), COPTERS)

    def test_link_between_leaf_and_hub_cut(self):
        def cut():
            self.wait_share(0.3)
            self.stack.link.cut()
            self.wait_published(1000)
            self.stack.link.restore()
            self.stack.wait_leaf()
        self.run_through(cut, COPTERS)

    def test_link_between_leaf_and_hub_stalled(self):
        def stall():
            self.wait_share(0.3)
            self.stack.link.stall()
            self.wait_published(1000)
            self.stack.link.restore()
        self.run_through(stall, COPTERS)


if __name__ == "__main__":
    unittest.main()

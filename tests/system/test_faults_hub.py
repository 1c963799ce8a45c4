"""The hub is killed in the middle of a replay, and in the end nothing tells."""

import os
import unittest

from harness import OWN_TRACES, FaultCase, find_trace

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")
QUAD = "quad-flight-2015.ndjson"
QUAD_SPEED = "75"  # of 17 minutes: three starts on a busy machine fit in
FOUR_STARTS_SPEED = "7"  # of 109 s: four starts on a busy machine fit in


class HubFaults(FaultCase):
    def test_hub_killed_several_times(self):
        def kill_often():
            for share in (0.1, 0.2, 0.3, 0.4):
                self.hub.kill()
                self.wait_share(share)
                self.hub.start(ready=share != 0.2)  # once it is killed before it is ready
        self.run_through(kill_often, COPTERS, FOUR_STARTS_SPEED)

    def test_real_flight_with_hub_killed_several_times(self):
        path = find_trace(QUAD)
        if not path:
            self.skipTest(f"{QUAD} is neither in FLEETHUB_TRACES nor in ../shared/traces")

        def kill_often():
            for share in (0.2, 0.4, 0.6):
                self.hub.kill()
                self.wait_share(share)
                self.hub.start()
        self.run_through(kill_often, path, QUAD_SPEED)

    def test_everything_at_once(self):
        def all_of_it():
            self.hub.kill()
            self.stack.postgres.kill()
            self.stack.link.cut()
            self.stack.nats.restart(kill=True)
            self.stack.link.restore()
            self.hub.start(ready=False)
            self.stack.postgres.start()
            self.hub.wait_ready()
        self.run_through(all_of_it, COPTERS)


if __name__ == "__main__":
    unittest.main()

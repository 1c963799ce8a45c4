"""What is killed, stopped, restarted or cut in the middle of a replay changes nothing in the end."""

import os
import unittest

from harness import OWN_TRACES, StackCase, Trace, find_trace, wait_until

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")
QUAD = "quad-flight-2015.ndjson"
COPTERS_SPEED = "15"  # of 109 s: there is a middle of seven seconds
QUAD_SPEED = "150"    # of 17 minutes


class Faults(StackCase):
    def run_through(self, disturb, path=COPTERS, speed=COPTERS_SPEED):
        """Replays, lets `disturb` do its work once the replay is well under way, and compares."""
        self.trace = Trace(path)
        self.states = sum(line["subject"].startswith("state.") for line in self.trace.lines)
        sim = self.stack.replay(path, speed=speed)
        self.wait_share(0.05)
        disturb()
        self.assertTrue(sim.process.alive(), "the replay was over before the fault")
        sim.wait(240)
        self.hub.wait_ready()
        self.stack.expect_trace(self.trace, timeout=120)

    def wait_share(self, share):
        """Until so much of the recording has reached the stream."""
        def reached():
            with self.stack.nats.client() as client:
                info = client.stream_info("TWIN_STATE")
                return info["state"]["last_seq"] >= share * self.states
        wait_until(reached, 60, f"{share:.0%} of the recording is under way")

    def wait_published(self, count):
        """Until so many messages more have been published at the leaf."""
        with self.stack.leaf.client() as client:
            messages = client.subscribe("fleet.test.veh.>")
            for _ in range(count):
                messages.next(30)

    def test_hub_killed_several_times(self):
        def kill_often():
            for share in (0.1, 0.2, 0.3, 0.4):
                self.hub.kill()
                self.wait_share(share)
                self.hub.start(ready=share != 0.2)  # once it is killed before it is ready
        self.run_through(kill_often)

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

    def test_postgres_stopped_for_a_while(self):
        def stop():
            self.stack.postgres.stop()
            self.hub.wait_ready("degraded")
            self.wait_share(0.4)
            self.stack.postgres.start()
        self.run_through(stop)

    def test_postgres_killed(self):
        self.run_through(lambda: self.stack.postgres.restart(kill=True))

    def test_nats_restarted(self):
        self.run_through(lambda: self.stack.nats.restart(kill=False))

    def test_nats_killed(self):
        self.run_through(lambda: self.stack.nats.restart(kill=True))

    def test_link_between_leaf_and_hub_cut(self):
        def cut():
            self.wait_share(0.3)
            self.stack.link.cut()
            self.wait_published(1000)
            self.stack.link.restore()
            self.stack.wait_leaf()
        self.run_through(cut)

    def test_link_between_leaf_and_hub_stalled(self):
        def stall():
            self.wait_share(0.3)
            self.stack.link.stall()
            self.wait_published(1000)
            self.stack.link.restore()
        self.run_through(stall)

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
        self.run_through(all_of_it)


if __name__ == "__main__":
    unittest.main()

"""A replay with something going wrong in the middle, for the tests of what may go wrong."""

from .case import StackCase
from .process import wait_until
from .trace import Trace

COPTERS_SPEED = "15"  # of 109 s: there is a middle of seven seconds


class FaultCase(StackCase):
    def run_through(self, disturb, path, speed=COPTERS_SPEED):
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

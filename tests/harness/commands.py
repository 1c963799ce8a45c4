"""What the tests of group commands have in common."""

import collections
import json

from .case import StackCase
from .process import wait_until
from .trace import envelope
from .vehicles import Vehicles

JSON = {"Content-Type": "application/json"}
RECOVERY = ("land", "rtl", "hold")
ENDED = {"succeeded", "failed", "partial", "aborted", "cancelled"}
STATES = ("pending", "sent", "accepted", "completed", "verified", "blocked", "rejected", "failed",
          "timed_out", "expired", "cancelled")


class CommandCase(StackCase):
    """Vehicles V-0 … that answer as `self.vehicles.answer` says."""

    count = 4

    def setUp(self):
        super().setUp()
        self.client = self.stack.nats.client()
        self.addCleanup(self.client.close)
        self.vids = [f"V-{i}" for i in range(self.count)]
        self.vehicles = Vehicles(self.client, self.vids)
        self.addCleanup(self.vehicles.stop)
        self.vehicles.appear(self.hub)
        self.wait_lane()

    def wait_lane(self, hubs=None, timeout=20):
        """Until commands are taken by each of these hubs."""
        for hub in hubs or [self.hub]:
            wait_until(lambda h=hub: h.get("/v1/commands").status == 200, timeout,
                       "a hub runs the command lane")

    def post(self, kind, target=None, headers=None, hub=None, **members):
        body = dict({"type": kind, "target": target or {"vids": self.vids}}, **members)
        return (hub or self.hub).request("POST", "/v1/commands", dict(JSON, **(headers or {})),
                                         json.dumps(body))

    def give(self, kind, target=None, headers=None, hub=None, **members):
        """Its id."""
        reply = self.post(kind, target, headers, hub, **members)
        self.assertEqual(reply.status, 202, reply)
        command = reply.json()
        self.assertEqual(reply.headers["location"], f"/v1/commands/{command['id']}")
        self.check(command)
        return command["id"]

    def act(self, ident, action, hub=None):
        return (hub or self.hub).request("POST", f"/v1/commands/{ident}:{action}")

    def check(self, command):
        """Counts are of all states, and always sum to the total."""
        self.assertEqual(set(command["counts"]), set(STATES))
        self.assertEqual(sum(command["counts"].values()), command["total"], command)

    def command(self, ident, hub=None):
        command = (hub or self.hub).json(f"/v1/commands/{ident}")
        self.check(command)
        return command

    def states(self, ident, hub=None):
        return {v["vid"]: v["state"] for v in self.parts(ident, hub)}

    def parts(self, ident, hub=None):
        return (hub or self.hub).pages(f"/v1/commands/{ident}/vehicles", "vehicles")

    def wait_ended(self, ident, timeout=30, hub=None):
        found = []

        def ended():
            found[:] = [self.command(ident, hub)]
            return found[0]["status"] in ENDED
        wait_until(ended, timeout, "the command has ended")
        return found[0]

    def wait_counts(self, ident, timeout=20, hub=None, **counts):
        def reached():
            have = self.command(ident, hub)["counts"]
            return all(have[state] == count for state, count in counts.items())
        wait_until(reached, timeout, f"counts are {counts}")

    def wait_received(self, count, timeout=20):
        wait_until(lambda: self.vehicles.count() >= count, timeout, f"{count} messages arrived")

    def no_vehicle_acted_twice(self, most=1):
        """Routine commands are sent once; recovery ones are repeated under the id that the vehicle
        knows. `most`: a hub that froze may, thawing, repeat what it was sending."""
        counts = collections.Counter(
            (r.vid, r.cmd_id) for r in list(self.vehicles.received) if r.type not in RECOVERY)
        self.assertEqual({c: n for c, n in counts.items() if n > most}, {})

    def state(self, vid, kind, data):
        self.client.js_publish(f"fleet.test.veh.{vid}.state.{kind}", envelope(data))

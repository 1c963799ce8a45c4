"""Group commands to simulated vehicles that keep an account of what they did with each."""

import json
import os
import uuid

from .case import StackCase
from .process import wait_until
from .stack import ENV

JSON = {"Content-Type": "application/json"}
STATES = ("pending", "sent", "accepted", "completed", "verified", "blocked", "rejected", "failed",
          "timed_out", "expired", "cancelled")
ENDED = ("succeeded", "failed", "partial", "aborted", "cancelled")
# A vehicle that flies for days, says little, and has done at once what it is told.
STEADY = ("--duration", "0", "--endurance", "1000000", "--no-shadow", "--rate-position", "1",
          "--rate-attitude", "0", "--rate-battery", "0.5", "--rate-mode", "1", "--rate-health", "0.5",
          "--cmd-latency-ms", "20", "--cmd-complete-ms", "100")


class Fleet:
    """Simulated vehicles of one name, PREFIX-001 and so on."""

    def __init__(self, stack, prefix, count, *words):
        self.path = os.path.join(stack.folder.path, f"account-{prefix}{uuid.uuid4().hex[:6]}")
        self.vids = [f"{prefix}{number:03d}" for number in range(1, count + 1)]
        self.sim = stack.fleetsim("fly", "--vehicles", str(count), "--prefix", prefix,
                                  "--account", self.path, *STEADY, *words)

    def stop(self):
        """What each vehicle did: {cmd_id: line of the account}."""
        self.sim.stop()
        with open(self.path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        assert len({line["cmd_id"] for line in lines}) == len(lines)
        return {line["cmd_id"]: line for line in lines}


class FleetCommandCase(StackCase):
    def fly(self, prefix, count, *words, hub=None):
        """Vehicles that the hub knows of."""
        fleet = Fleet(self.stack, prefix, count, *words)
        wait_until(lambda: (hub or self.hub).json(
            "/v1/vehicles", filter=f'vid = "{prefix}*" AND presence.status = "online" AND '
            'state.mode:*', page_size=1)["total_size"] == count, 30, f"{count} {prefix} fly")
        return fleet

    def post(self, body, key=None, hub=None, **options):
        headers = dict(JSON, **({"Idempotency-Key": key} if key else {}))
        return (hub or self.hub).request("POST", "/v1/commands", headers,
                                         json.dumps(body), **options)

    def give(self, body, key=None, hubs=None):
        """The command's id, from whichever hub takes it; asked again under the same key."""
        key = key or uuid.uuid4().hex
        hubs = hubs or [self.hub]

        def taken():
            for hub in hubs:
                try:
                    reply = self.post(body, key, hub, timeout=10)
                except OSError:
                    continue
                if reply.status != 503:
                    self.assertEqual(reply.status, 202, reply)
                    return reply.json()["id"]
            return None
        return wait_until(taken, 40, "a hub takes the command")

    def act(self, command_id, action, hubs=None, may_fail=(409,)):
        """:cancel, :pause or :resume, asked again until a hub answers. The status."""
        def answered():
            for hub in hubs or [self.hub]:
                try:
                    reply = hub.request("POST", f"/v1/commands/{command_id}:{action}", timeout=10)
                except OSError:
                    continue
                if reply.status != 503:
                    self.assertIn(reply.status, (200, 202, *may_fail), reply)
                    return reply.status
            return None
        return wait_until(answered, 40, f"a hub takes :{action}")

    def command(self, command_id, hub=None):
        return (hub or self.hub).json(f"/v1/commands/{command_id}")

    def wait_end(self, command_id, timeout=40, hub=None):
        """The command once it has ended; its counts sum to its total whenever one looks."""
        def ended():
            command = self.command(command_id, hub)
            self.assertEqual(sum(command["counts"].values()), command["total"], command)
            return command["status"] in ENDED and command
        return wait_until(ended, timeout, f"command {command_id} has ended")

    def states(self, command_id, hub=None):
        """{vid: what the hub says of its part}"""
        vehicles = (hub or self.hub).pages(f"/v1/commands/{command_id}/vehicles", "vehicles",
                                           page_size=100)
        table = {vehicle["vid"]: vehicle for vehicle in vehicles}
        self.assertEqual(len(table), len(vehicles))
        return table

    def expect_table(self, command, account, unheard, hub=None):
        """The final table is what the vehicles did: `unheard` is the end of those that never heard
        of it. No vehicle acted twice."""
        table = self.states(command["id"], hub)
        self.assertEqual(len(table), command["total"])
        for vid, row in table.items():
            line = account.get(row["cmd_id"]) or account.get(f"{command['id']}.{vid}")
            if not line:
                self.assertEqual(row["state"], unheard, row)
                continue
            self.assertLessEqual(line["acted"], 1, line)
            self.assertEqual(line["vid"], vid)
            self.assertEqual(row["state"], _state_of(line), (row, line))
            if row["state"] in ("rejected", "failed"):
                self.assertEqual((row["reason"], row["code"]), (line["error"], line["code"]), row)
        counts = {state: 0 for state in STATES}
        for row in table.values():
            counts[row["state"]] += 1
        self.assertEqual(counts, command["counts"])
        return table

    def expect_possible(self, command_id, account, hub=None, crossed=lambda vid, row: False):
        """What the hub shows is what the vehicles did, whatever was killed meanwhile: nobody acted
        twice, and who never heard of it was not told to have done it, nor who did it that he was
        never asked. `crossed` says of a row whether another command came in between."""
        command = self.wait_end(command_id, 60, hub)
        for vid, row in self.states(command_id, hub).items():
            line = account.get(f"{command_id}.{vid}")
            if not line:
                self.assertIn(row["state"], ("cancelled", "expired", "blocked", "timed_out"), row)
                continue
            self.assertLessEqual(line["acted"], 1, line)
            expected = _state_of(line)
            if row["state"] == "verified":
                self.assertEqual(expected, "completed", (row, line))
            elif line["fate"] != "expired" and not (expected == "completed" and crossed(vid, row)):
                self.assertEqual(row["state"], expected, (row, line))
        return command

    def sent(self):
        """How many commands have been sent in all."""
        with self.stack.nats.client() as client:
            return client.stream_info("TWIN_CMD")["state"]["last_seq"]

    def listen(self, vid):
        """What is sent to one vehicle from now on."""
        client = self.stack.leaf.client()
        self.addCleanup(client.close)
        subscription = client.subscribe(f"fleet.{ENV}.veh.{vid}.cmd.>")
        client.flush()
        return subscription


def _state_of(line):
    """How a hub has to show what a vehicle did, once all limits of time have passed."""
    if line["outcome"] in ("completed", "rejected", "failed"):
        return line["outcome"]
    return "timed_out"

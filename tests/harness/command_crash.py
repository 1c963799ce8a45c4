"""Hubs that die at named points of a command's life (hub/failpoint.h), and the account of the vehicles
that what they say afterwards is compared with."""

import itertools
import json

from .commands import ENDED, JSON, CommandCase
from .process import wait_until
from .shadows import failpoint

TTL_S = 8
AT_START = ("command_leased", "command_loaded", "command_caught_up")


class CommandCrashCase(CommandCase):
    """V-0 to V-3 answer; V-4 is silent but for recovery commands, which it accepts the second time."""

    count = 5
    settings = {"commands": {"policy": {"rate_per_vehicle_per_min": 10000}}}

    def setUp(self):
        super().setUp()
        self.numbers = itertools.count()
        self.asked = {}  # key: body
        self.vehicles.answer = self.answer

    def answer(self, received):
        if received.vid == "V-4":
            return []
        if received.type == "rtl":
            self.vehicles.report([received.vid], mode={"mode": "RTL", "armed": True})
        return ["accepted", "completed", "completed"]

    def ask(self, kind, vids, hub=None, **members):
        """Posts with a key of its own; None where the hub dies meanwhile."""
        key = f"k-{next(self.numbers)}"
        self.asked[key] = dict({"type": kind, "target": {"vids": vids}, "ttl_s": TTL_S,
                                "complete_within_s": TTL_S}, **members)
        return self.ask_again(key, hub)

    def ask_again(self, key, hub=None):
        try:
            reply = (hub or self.hub).request(
                "POST", "/v1/commands", dict(JSON, **{"Idempotency-Key": key}),
                json.dumps(self.asked[key]))
        except OSError:
            return None
        return reply.json()["id"] if reply.status == 202 else None

    def try_act(self, ident, action):
        try:
            return ident and self.act(ident, action).status == 200
        except OSError:
            return False

    def answer_repetition(self):
        """V-4 accepts what has been repeated to it."""
        for received in self.vehicles.of("V-4"):
            if received.message_id != received.cmd_id and received.type in ("rtl", "hold"):
                self.vehicles.ack(received.cmd_id, "completed", "V-4")

    def live(self, alive):
        """Something of everything, as long as the hub lives."""
        verify = {"filter": 'state.mode.mode = "RTL"', "within_s": 3}
        steps = (
            lambda: self.ask("arm", self.vids),
            lambda: self.ask("arm", self.vids),
            lambda: self.ask("rtl", self.vids[:4], verify=verify),
            lambda: self.ask("hold", ["V-4", "V-0"]),
            lambda: self.try_act(self.ask("mission.start", self.vids,
                                          rollout={"batch": 1, "interval_ms": 400}), "pause"),
            lambda: self.try_act(self.ask("mission.start", self.vids,
                                          rollout={"batch": 2, "interval_ms": 400}), "cancel"),
            lambda: self.ask("arm", ["V-4"]),
            lambda: self.ask("rtl", ["V-4"]))
        for step in steps:
            if alive():
                step()

    def die_at(self, point):
        """A hub that lives until it comes to that point, and what follows."""
        self.hub.stop()
        with failpoint(point):
            self.hub.launch()
        alive = self.hub.process.alive
        if point not in AT_START:
            wait_until(lambda: not alive() or self.takes_commands(), 30, "the hub takes commands")
        self.live(alive)

        def dead():
            self.answer_repetition()
            return not alive()
        wait_until(dead, 60, f"the hub has died at {point}")
        self.assertEqual(self.hub.process.wait(10), 137)
        self.hub.start(ready=False)
        self.wait_lane()

    def takes_commands(self):
        try:
            return self.hub.get("/v1/commands").status == 200
        except OSError:
            return False

    def settle(self, hub=None):
        """Asks for everything once more, as clients do, and waits until all has ended."""
        hub = hub or self.hub
        for key in self.asked:
            wait_until(lambda k=key: self.ask_again(k, hub), 20, "the request is answered")

        def ended():
            self.answer_repetition()
            commands = hub.pages("/v1/commands", "commands")
            for command in commands:
                self.check(command)
            return commands if all(c["status"] in ENDED for c in commands) else None
        commands = wait_until(ended, 60, "every command has ended")
        self.assertEqual(len(commands), len(self.asked))
        for command in commands:
            self.compare(command, hub)
        self.no_vehicle_acted_twice()
        return commands

    def compare(self, command, hub):
        """With the account of the vehicles."""
        for part in self.parts(command["id"], hub):
            state, vid = part["state"], part["vid"]
            reached = [r for r in self.vehicles.of(vid) if r.cmd_id == part["cmd_id"]]
            where = f"{command['type']} {part}: {len(reached)} messages"
            if not reached:
                self.assertIn(state, ("expired", "cancelled", "blocked"), where)
            elif part["cmd_id"] in self.vehicles.late:  # it was on its way when it expired
                self.assertIn(state, ("timed_out", "expired", "rejected"), where)
            elif vid != "V-4":
                # A hub that was down while the twin showed it may not have seen it in time.
                good = ("completed", "verified", "timed_out") if command.get("verify") else ("completed",)
                self.assertIn(state, good + (("cancelled",) if part["reason"] == "superseded" else ()),
                              where)
            else:
                self.assertIn(state, ("timed_out", "completed", "cancelled"), where)

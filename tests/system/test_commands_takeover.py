"""The lease of the command lane changes hands: hubs are killed, frozen, killed again while they take over;
and what is asked of a hub that does not hold it."""

import json
import time
import unittest

from harness import wait_until
from harness.command_crash import AT_START, CommandCrashCase
from harness.commands import ENDED, JSON, CommandCase


class Killed(CommandCrashCase):
    def test_while_taking_over(self):
        for point in AT_START:
            with self.subTest(point=point):
                self.live(lambda: True)
                self.die_at(point)
        self.settle()

    def test_at_any_moment(self):
        for pause_s in (0.02, 0.1, 0.3, 0.6, 1.1):
            self.live(lambda: True)
            time.sleep(pause_s)  # the moment to die at, not one to wait for
            self.hub.kill()
            self.hub.start(ready=False)
            self.wait_lane()
        self.settle()
        self.stack.wait_archived()

        def recorded():
            return [e for e in self.hub.events(kind="command") if not e["vid"]]
        wait_until(lambda: len([e for e in recorded() if e["data"]["to"] in ENDED]) == len(self.asked),
                   30, "the end of each is on record once")
        accepted = [e["data"]["command_id"] for e in recorded() if e["data"]["from"] is None]
        self.assertEqual((len(accepted), len(set(accepted))), (len(self.asked), len(self.asked)))


class TwoHubs(CommandCase):
    count = 6

    def setUp(self):
        super().setUp()
        self.other = self.stack.add_hub().start()
        self.wait_lane([self.hub, self.other])
        self.vehicles.answer = lambda r: ["accepted", "completed"]

    def holder(self):
        return next(h for h in self.stack.hubs if h.metric("command_lane") == 1)

    def standby(self):
        return next(h for h in self.stack.hubs if h is not self.holder())

    def test_whoever_is_asked_answers_as_if_it_had_the_lease(self):
        standby, holder = self.standby(), self.holder()
        ident = self.give("arm", hub=standby, headers={"Idempotency-Key": "k"}, reason="h\u00e4rter")
        again = self.post("arm", hub=holder, headers={"Idempotency-Key": "k"}, reason="h\u00e4rter")
        self.assertEqual(again.json()["id"], ident)
        self.wait_ended(ident, hub=standby)
        for path in ("", f"/{ident}", f"/{ident}/vehicles?page_size=2"):
            replies = [hub.get("/v1/commands" + path) for hub in (standby, holder)]
            self.assertEqual(replies[0].body, replies[1].body)
            self.assertEqual(replies[0].headers.get("etag"), replies[1].headers.get("etag"))
            self.assertEqual(replies[0].headers.get("link"), replies[1].headers.get("link"))
        streams = [hub.get(f"/v1/commands/{ident}/stream").body for hub in (standby, holder)]
        self.assertEqual(streams[0], streams[1])
        for body in ({"type": "dance"}, {"type": "rtl", "target": {"filter": "stat.x = 1"}}):
            refused = [hub.request("POST", "/v1/commands", JSON, json.dumps(body)).json()
                       for hub in (standby, holder)]
            for problem in refused:
                problem.pop("request_id")
            self.assertEqual(refused[0], refused[1])
        paused = self.give("arm", hub=standby, rollout={"batch": 1, "interval_ms": 60000})
        self.assertEqual(self.act(paused, "pause", hub=standby).json()["status"], "paused")
        self.assertEqual(self.act(paused, "cancel", hub=standby).status, 200)
        self.wait_ended(paused, hub=standby)
        self.assertEqual(self.act(paused, "cancel", hub=standby).status, 409)

    def test_the_other_goes_on_when_the_holder_is_killed(self):
        self.vehicles.answer = lambda r: ["completed"]
        holder, standby = self.holder(), self.standby()
        ident = self.give("arm", hub=holder, ttl_s=60, rollout={"batch": 1, "interval_ms": 300})
        wait_until(lambda: self.command(ident, holder)["counts"]["completed"] >= 2, 20, "it has begun")
        holder.kill()
        self.wait_lane([standby])
        self.assertEqual(self.wait_ended(ident, hub=standby)["status"], "succeeded")
        self.assertEqual(self.vehicles.count(), self.count)
        self.no_vehicle_acted_twice()

    def test_a_holder_that_stops_hands_over_at_once(self):
        holder, standby = self.holder(), self.standby()
        ident = self.give("arm", {"vids": ["V-0"]}, hub=holder)
        self.wait_ended(ident, hub=holder)
        holder.stop()
        self.wait_lane([standby], timeout=3)
        self.assertEqual(self.command(ident, standby)["status"], "succeeded")

    def test_a_holder_that_freezes_does_nothing_when_it_thaws(self):
        self.vehicles.answer = lambda r: ["completed"]
        holder, standby = self.holder(), self.standby()
        ident = self.give("arm", hub=holder, ttl_s=120, rollout={"batch": 1, "interval_ms": 500})
        wait_until(lambda: self.command(ident, holder)["counts"]["completed"] >= 1, 20, "it has begun")
        holder.process.pause()
        reply = self.post("hold", {"vids": ["V-0"]}, hub=standby)
        if reply.status != 202:  # nobody can answer, and it says so
            self.assertEqual((reply.status, reply.headers.get("retry-after")), (503, "1"))
        self.wait_lane([standby])
        wait_until(lambda: self.command(ident, standby)["counts"]["completed"] >= 3, 20,
                   "the other goes on")
        holder.process.resume()
        self.assertEqual(self.wait_ended(ident, hub=standby)["status"], "succeeded")
        self.no_vehicle_acted_twice(most=2)
        wait_until(lambda: holder.metric("command_lane") == 0, 20, "the thawed hub knows")
        self.wait_lane([holder])
        self.assertEqual(self.command(ident, holder), self.command(ident, standby))
        self.assertEqual(self.wait_ended(self.give("rtl", hub=holder), hub=standby)["status"],
                         "succeeded")


if __name__ == "__main__":
    unittest.main()

"""What group commands are when things go wrong: vehicles away, recovery, verification, rollouts."""

import json
import unittest

from harness import wait_until
from harness.commands import ENDED, CommandCase
from harness.vehicles import Vehicles


class Presence(CommandCase):
    settings = {"presence": {"stale_after_s": 2, "offline_after_s": 3}}

    def go_offline(self, vid, others):
        def offline():
            self.vehicles.report(others)
            return self.hub.json(f"/v1/vehicles/{vid}")["presence"]["status"] == "offline"
        wait_until(offline, 30, f"{vid} is offline")

    def test_a_routine_command_waits_until_the_vehicle_is_back(self):
        self.go_offline("V-0", self.vids[1:])
        ident = self.give("arm", ttl_s=120)
        self.wait_counts(ident, pending=1, completed=3)
        self.assertEqual(self.vehicles.of("V-0"), [])
        self.vehicles.report(["V-0"])
        self.assertEqual(self.wait_ended(ident)["status"], "succeeded")

    def test_what_has_expired_is_never_sent(self):
        self.go_offline("V-0", self.vids[1:])
        ident = self.give("arm", {"vids": ["V-0"]}, ttl_s=1)
        self.assertEqual(self.wait_ended(ident)["counts"]["expired"], 1)
        self.assertEqual(self.parts(ident)[0]["reason"], "not_online")
        self.hub.kill()
        self.hub.start()
        self.wait_lane()
        self.vehicles.report(["V-0"])
        last = self.give("mission.start", {"vids": ["V-0"]})
        self.wait_ended(last)
        self.assertEqual([r.type for r in self.vehicles.of("V-0")], ["mission.start"])

    def test_nor_when_the_broker_was_killed_meanwhile(self):
        self.go_offline("V-0", self.vids[1:])
        ident = self.give("arm", {"vids": ["V-0"]}, ttl_s=1)
        self.vehicles.stop()
        self.stack.nats.kill()
        self.stack.nats.start()
        client = self.stack.nats.client()
        self.addCleanup(client.close)
        self.vehicles = Vehicles(client, self.vids)
        self.addCleanup(self.vehicles.stop)
        self.wait_lane(timeout=40)
        self.assertEqual(self.wait_ended(ident)["counts"]["expired"], 1)
        self.vehicles.appear(self.hub)
        last = self.give("mission.start", {"vids": ["V-0"]})
        self.assertEqual(self.wait_ended(last)["status"], "succeeded")
        self.assertEqual([r.type for r in self.vehicles.of("V-0")], ["mission.start"])

    def test_recovery_is_sent_whatever_presence_says(self):
        self.go_offline("V-0", self.vids[1:])
        self.assertEqual(self.wait_ended(self.give("rtl", {"vids": ["V-0"]}))["status"], "succeeded")


class Recovery(CommandCase):
    def test_it_is_repeated_under_one_id_until_accepted(self):
        self.vehicles.answer = lambda r: []
        ident = self.give("rtl", {"vids": ["V-0"]}, ttl_s=60)
        self.wait_received(3, 30)
        ids = [r.message_id for r in self.vehicles.of("V-0")]
        self.assertEqual(ids[:3], [f"{ident}.V-0", f"{ident}.V-0.1", f"{ident}.V-0.2"])
        self.assertEqual({r.cmd_id for r in self.vehicles.of("V-0")}, {f"{ident}.V-0"})
        self.vehicles.ack(f"{ident}.V-0", "accepted")
        self.wait_counts(ident, accepted=1)
        count = self.vehicles.count()
        self.vehicles.ack(f"{ident}.V-0", "completed")
        self.wait_ended(ident)
        self.assertLessEqual(self.vehicles.count(), count + 1)
        self.no_vehicle_acted_twice()

    def test_it_supersedes_what_is_unsent_and_leaves_what_is_sent(self):
        self.vehicles.answer = lambda r: [] if r.type == "arm" else ["accepted", "completed"]
        sent = self.give("arm", {"vids": ["V-0", "V-1"]})
        waiting = self.give("arm", {"vids": ["V-0", "V-2"]})
        self.wait_counts(waiting, pending=1, sent=1)
        rtl = self.give("rtl", {"vids": ["V-0"]})
        self.wait_ended(rtl)
        self.assertEqual(self.states(waiting), {"V-0": "cancelled", "V-2": "sent"})
        reasons = {v["vid"]: v["reason"] for v in self.parts(waiting)}
        self.assertEqual(reasons["V-0"], "superseded")
        self.assertEqual(self.states(sent), {"V-0": "sent", "V-1": "sent"})

    def test_it_replaces_a_recovery_command_in_flight(self):
        self.vehicles.answer = lambda r: [] if r.type == "hold" else ["accepted"]
        hold = self.give("hold", {"vids": ["V-0", "V-1"]}, ttl_s=60)
        self.wait_counts(hold, sent=2)
        rtl = self.give("rtl", {"vids": ["V-0"]}, wait="accepted")
        self.assertEqual(self.wait_ended(rtl)["status"], "succeeded")
        self.assertEqual(self.states(hold), {"V-0": "cancelled", "V-1": "sent"})
        self.act(hold, "cancel")


class Verification(CommandCase):
    def test_only_what_is_received_after_sending_counts(self):
        self.vehicles.report(mode={"mode": "RTL", "armed": True})
        wait_until(lambda: self.hub.json("/v1/vehicles/V-0")["state"]["mode"]["mode"] == "RTL", 10,
                   "it was in RTL before")
        self.vehicles.answer = lambda r: ["accepted", "completed"] if r.vid != "V-1" else []
        ident = self.give("rtl", {"vids": ["V-0", "V-1", "V-2"]}, ttl_s=300,
                          verify={"filter": 'state.mode.mode = "RTL"', "within_s": 60})
        self.wait_counts(ident, completed=2, sent=1)
        self.vehicles.report(["V-0"], battery={"remaining": 0.5})  # not what the filter names
        self.vehicles.report(["V-1"], mode={"mode": "RTL", "armed": True})  # its report was lost
        self.wait_counts(ident, completed=2, verified=1)
        self.vehicles.report(["V-0", "V-2"], mode={"mode": "RTL", "armed": True})
        self.assertEqual(self.wait_ended(ident)["counts"]["verified"], 3)

    def test_what_does_not_show_in_time_has_timed_out(self):
        ident = self.give("rtl", {"vids": ["V-0"]},
                          verify={"filter": 'state.mode.mode = "RTL"', "within_s": 1})
        self.assertEqual(self.wait_ended(ident)["counts"]["timed_out"], 1)
        self.assertEqual(self.parts(ident)[0]["reason"], "not_verified")

    def test_the_rejected_stay_rejected(self):
        self.vehicles.answer = lambda r: ["rejected"]
        ident = self.give("rtl", {"vids": ["V-0"]},
                          verify={"filter": 'state.mode.mode = "RTL"', "within_s": 5})
        self.assertEqual(self.wait_ended(ident)["counts"]["rejected"], 1)
        self.vehicles.report(["V-0"], mode={"mode": "RTL", "armed": True})
        self.assertEqual(self.states(ident), {"V-0": "rejected"})


class Rollout(CommandCase):
    count = 12

    def test_in_batches_paused_resumed_and_cancelled(self):
        self.vehicles.answer = lambda r: []
        ident = self.give("arm", ttl_s=300, rollout={"batch": 3, "interval_ms": 2000})
        wait_until(lambda: self.command(ident)["counts"]["sent"] >= 3, 20, "the first have got it")
        self.assertEqual(self.act(ident, "pause").json()["status"], "paused")
        paused = self.command(ident)["counts"]["sent"]
        self.assertIn(paused, (3, 6, 9))
        self.assertEqual(self.command(ident)["counts"]["pending"], 12 - paused)
        # Whatever else is sent meanwhile shows that the lane is at work.
        other = self.give("mission.start", {"vids": ["V-0"]})
        self.wait_counts(other, sent=1)
        self.assertEqual(self.command(ident)["counts"]["sent"], paused)
        self.assertEqual(self.act(ident, "resume").json()["status"], "running")
        wait_until(lambda: self.command(ident)["counts"]["sent"] >= paused + 3, 20, "it goes on")
        command = self.act(ident, "cancel").json()
        sent = command["counts"]["sent"]
        self.assertEqual((command["status"], command["counts"]["cancelled"]), ("running", 12 - sent))
        self.assertEqual(self.act(ident, "pause").status, 409)
        for vid, state in self.states(ident).items():
            if state == "sent":
                self.vehicles.ack(f"{ident}.{vid}", "completed")
        self.assertEqual(self.wait_ended(ident)["status"], "cancelled")
        for action in ("cancel", "pause", "resume"):
            self.assertEqual(self.act(ident, action).status, 409)

    def test_paused_too_often_it_can_still_be_cancelled(self):
        self.vehicles.answer = lambda r: []
        ident = self.give("arm", ttl_s=300, rollout={"batch": 12, "interval_ms": 60000})
        self.wait_counts(ident, sent=12)
        for _ in range(200):
            pause = self.act(ident, "pause")
            if pause.status != 200:
                break
            self.assertEqual(self.act(ident, "resume").status, 200)
        self.assertEqual(pause.status, 409)
        self.assertIn("can be cancelled", pause.json()["detail"])
        self.assertEqual(self.act(ident, "cancel").status, 200)
        for vid in self.states(ident):
            self.vehicles.ack(f"{ident}.{vid}", "completed")
        self.assertEqual(self.wait_ended(ident)["status"], "cancelled")

    def test_too_many_failures_abort_it(self):
        self.vehicles.answer = lambda r: ["rejected"]
        ident = self.give("arm", rollout={"batch": 3, "interval_ms": 100, "abort_failed_pct": 50,
                                          "abort_min": 3})
        command = self.wait_ended(ident)
        self.assertEqual(command["status"], "aborted")
        self.assertEqual(command["counts"]["pending"], 0)
        self.assertGreaterEqual(command["counts"]["rejected"], 3)
        self.assertGreaterEqual(command["counts"]["cancelled"], 3)

    def test_retry_goes_to_those_that_did_not_succeed(self):
        self.vehicles.answer = lambda r: ["rejected"] if r.vid in ("V-1", "V-2") else ["completed"]
        ident = self.give("arm")
        self.assertEqual(self.wait_ended(ident)["status"], "partial")
        self.vehicles.answer = lambda r: ["completed"]
        reply = self.act(ident, "retry")
        self.assertEqual((reply.status, reply.json()["total"], reply.json()["retry_of"]),
                         (202, 2, ident))
        again = reply.json()["id"]
        self.assertEqual(self.wait_ended(again)["status"], "succeeded")
        self.assertEqual(sorted(self.states(again)), ["V-1", "V-2"])
        self.assertEqual(self.act(again, "retry").status, 422)
        self.assertEqual(self.command(ident)["status"], "partial")

    def test_the_stream_tells_of_every_vehicle_and_ends(self):
        ident = self.give("arm", rollout={"batch": 4, "interval_ms": 200})
        text = self.hub.request("GET", f"/v1/commands/{ident}/stream", timeout=30).body.decode()
        model, command = {}, None
        for event in text.strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in event.split("\n") if not line.startswith(":"))
            data = json.loads(fields["data"])
            if fields["event"] == "vehicle":
                model[data["vid"]] = data["state"]
            else:
                command = data
                self.check(command)
        self.assertEqual(model, {vid: "completed" for vid in self.vids})
        self.assertIn(command["status"], ENDED)


class WithoutPostgres(CommandCase):
    def test_commands_work_and_come_on_record_later(self):
        self.stack.postgres.stop()
        wait_until(lambda: self.hub.get("/v1/events").status == 503, 20, "the record is away")
        ident = self.give("rtl")
        self.assertEqual(self.wait_ended(ident)["status"], "succeeded")
        self.stack.postgres.start()
        self.hub.wait_ready()

        def recorded():
            return {e["data"]["to"] for e in self.hub.events(kind="command")
                    if e["data"]["command_id"] == ident}
        wait_until(lambda: {"succeeded", "completed"} <= recorded(), 40, "all of it is on record")


if __name__ == "__main__":
    unittest.main()

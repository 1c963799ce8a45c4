"""Group commands by callers who do not see, or may not command, all of the fleet."""

import itertools
import unittest

from harness import wait_until
from harness.access import OTHER, OWN, AccessCase
from harness.commands import ENDED
from harness.vehicles import Vehicles

PATH = "/v1/commands"


class CommandAccess(AccessCase):
    def setUp(self):
        super().setUp()
        self.vehicles = Vehicles(self.nats, [OWN, OTHER])
        self.addCleanup(self.vehicles.stop)
        self.operator = self.token("operator")
        self.own = self.token("operator", vehicles=["OWN-*"])
        wait_until(lambda: self.status(self.operator, "GET", PATH) == 200, 20, "the lane runs")

    def give(self, token, kind, target, **members):
        reply = self.call(token, "POST", PATH, dict({"type": kind, "target": target}, **members))
        self.assertEqual(reply.status, 202, reply)
        return PATH + "/" + reply.json()["id"]

    def ended(self, token, path):
        return wait_until(lambda: (lambda c: c if c["status"] in ENDED else None)(
            self.get(token, path)), 20, "it has ended")

    def test_who_may_command_and_who_may_look(self):
        viewer, auditor = self.token("viewer"), self.token("auditor")
        body = {"type": "rtl", "target": {"vids": [OWN]}}
        for token, status in ((None, 401), (viewer, 403), (auditor, 403), (self.operator, 202)):
            self.assertEqual(self.status(token, "POST", PATH, body), status)
        path = self.give(self.operator, "rtl", {"all": True})
        self.ended(self.operator, path)
        for token, status in ((None, 401), (viewer, 200), (auditor, 200)):
            for below in ("", "/vehicles", "/stream"):
                self.assertEqual(self.status(token, "GET", path + below), status)
        for action in ("cancel", "pause", "resume", "retry"):
            self.assertEqual(self.status(viewer, "POST", f"{path}:{action}"), 403)

    def test_hidden_vehicles_are_no_targets_and_in_no_count(self):
        mine = self.give(self.own, "rtl", {"all": True})
        self.assertEqual(self.ended(self.own, mine)["total"], 1)
        named = self.give(self.own, "rtl", {"vids": [OWN, OTHER]})
        parts = {v["vid"]: (v["state"], v["reason"])
                 for v in self.get(self.operator, named + "/vehicles")["vehicles"]}
        self.assertEqual(parts[OTHER], ("blocked", "unknown_vehicle"))
        both = self.give(self.operator, "hold", {"all": True})
        self.assertEqual(self.ended(self.operator, both)["total"], 2)
        seen = self.get(self.own, both)
        self.assertEqual((seen["total"], seen["counts"]["completed"]), (1, 1))
        self.assertEqual([v["vid"] for v in self.get(self.own, both + "/vehicles")["vehicles"]], [OWN])
        stream = self.call(self.own, "GET", both + "/stream").body.decode()
        self.assertIn(OWN, stream)
        self.assertNotIn(OTHER, stream)
        theirs = self.give(self.operator, "land", {"vids": [OTHER]})
        self.ended(self.operator, theirs)
        for path in (theirs, theirs + "/vehicles", theirs + "/stream"):
            self.assertEqual(self.status(self.own, "GET", path), 404)
        self.assertEqual(self.status(self.own, "POST", theirs + ":cancel"), 404)
        listed = [c["id"] for c in self.get(self.own, PATH)["commands"]]
        self.assertNotIn(theirs.rpartition("/")[2], listed)
        self.assertIn(both.rpartition("/")[2], listed)
        pages, token = [], ""
        for _ in itertools.count():
            page = self.get(self.own, f"{PATH}?page_size=1{token}")
            pages += [c["id"] for c in page["commands"]]
            if "next_page_token" not in page:
                break
            token = "&page_token=" + page["next_page_token"]
        self.assertEqual(pages, listed)

    def test_who_does_not_see_all_of_a_command_does_not_act_on_it(self):
        self.vehicles.answer = lambda received: []
        both = self.give(self.operator, "set_mode", {"all": True}, params={"mode": "AUTO"}, ttl_s=300)
        careful = self.token("operator", deny=["cmd.set_mode"])
        for action in ("pause", "resume", "cancel"):
            self.assertEqual(self.status(self.own, "POST", f"{both}:{action}"), 403, action)
            self.assertEqual(self.status(careful, "POST", f"{both}:{action}"), 404, action)
            self.assertEqual(self.status(self.own, "POST", f"{PATH}/{'0' * 32}:{action}"), 404, action)
        self.assertEqual(self.get(self.operator, both)["status"], "running")
        wait_until(lambda: self.vehicles.count() == 2, 20, "both have it")
        self.vehicles.ack(f"{both.rpartition('/')[2]}.{OTHER}", "rejected")
        wait_until(lambda: self.get(self.operator, both)["counts"]["rejected"] == 1, 20, "that one has ended")
        self.assertEqual(self.status(self.own, "POST", f"{both}:cancel"), 200)
        named = self.give(self.own, "hold", {"vids": [OWN, OTHER]}, ttl_s=300)  # the other is none of his targets
        self.assertEqual(self.status(self.own, "POST", f"{named}:cancel"), 200)

    def test_a_denied_type_is_refused_and_nothing_is_sent(self):
        careful = self.token("operator", deny=["cmd.arm", "state.battery"])
        body = {"type": "arm", "target": {"all": True}}
        self.assertEqual(self.status(careful, "POST", PATH, body), 403)
        body = {"type": "rtl", "target": {"filter": "state.battery.remaining < 1"}}
        self.assertEqual(self.status(careful, "POST", PATH, body), 403)
        body = {"type": "rtl", "target": {"all": True}, "verify": {"filter": "state.battery.remaining < 1"}}
        self.assertEqual(self.status(careful, "POST", PATH, body), 403)
        self.assertEqual(self.vehicles.count(), 0)
        self.ended(careful, self.give(careful, "rtl", {"all": True}))
        armed = self.give(self.operator, "arm", {"all": True})
        self.assertEqual(self.status(careful, "GET", armed), 404)

    def test_keys_belong_to_who_used_them(self):
        body = {"type": "rtl", "target": {"vids": [OWN]}}
        key = {"Idempotency-Key": "one"}
        ids = {self.call(token, "POST", PATH, body, **key).json()["id"]
               for token in (self.operator, self.own, self.operator, self.own)}
        self.assertEqual(len(ids), 2)


if __name__ == "__main__":
    unittest.main()

"""Past states of a vehicle, and the revisions of its desired part."""

import unittest
import urllib.parse

from harness import StackCase, envelope, wait_until

VID = "VID-001"


class History(StackCase):
    def setUp(self):
        super().setUp()
        self.client = self.stack.nats.client()
        self.addCleanup(self.client.close)
        self.seq = 0

    def publish(self, kind, data, vid=VID, **members):
        self.seq += 1
        members = dict({"boot": "b", "seq": self.seq}, **members)
        return self.client.js_publish(f"fleet.test.veh.{vid}.state.{kind}",
                                      envelope(data, **members))

    def fill(self, count, kind="battery", vid=VID):
        """Returns their data, in order."""
        data = [{"n": i} for i in range(count)]
        for item in data:
            self.publish(kind, item, vid)
        wait_until(lambda: self.hub.get(f"/v1/vehicles/{vid}/state/{kind}").status == 200 and
                   self.hub.json(f"/v1/vehicles/{vid}/state/{kind}") == data[-1], 10, "all is folded")
        return data

    def get(self, vid=VID, **parameters):
        return self.hub.get(f"/v1/vehicles/{vid}/history", **parameters)

    def states(self, **parameters):
        return self.hub.pages(f"/v1/vehicles/{VID}/history", "states", **parameters)

    def test_states_are_oldest_first_by_type_and_paged(self):
        battery = self.fill(25)
        mode = self.fill(3, "mode")
        self.fill(5, vid="VID-002")
        self.publish("battery.cells", {"n": -1})
        states = self.states()
        self.assertEqual([s["data"] for s in states], battery + mode + [{"n": -1}])
        self.assertEqual(sorted(states[0]), ["data", "received", "seq", "timestamp", "type"])
        self.assertEqual([s["seq"] for s in states[:3]], [1, 2, 3])
        self.assertEqual([s["data"] for s in self.states(type="battery")], battery)
        self.assertEqual([s["data"] for s in self.states(type="battery.cells")], [{"n": -1}])
        self.assertEqual(self.states(type="none"), [])
        for size in (1, 7, 24, 25, 29, 30):
            self.assertEqual(self.states(page_size=size), states)
        page = self.get(page_size=7, type="battery").json()
        self.assertEqual(len(page["states"]), 7)
        self.assertNotIn("next_page_token", self.get(page_size=25, type="battery").json())
        self.assertEqual(self.get(page_size=7, page_token=page["next_page_token"]).status, 400)
        self.assertEqual(self.get(page_token="nonsense").status, 400)

    def test_times_are_half_open_by_when_it_was_received(self):
        self.fill(10)
        states = self.states()
        first, fourth, last = (states[i]["received"] for i in (0, 3, 9))
        self.assertEqual(self.states(start_time=fourth), states[3:])
        self.assertEqual(self.states(end_time=fourth), states[:3])
        self.assertEqual(self.states(start_time=first, end_time=last, page_size=2), states[:9])
        self.assertEqual(self.states(start_time=last), states[9:])
        self.assertEqual(self.states(start_time=fourth, end_time=fourth), [])
        self.assertEqual(self.states(start_time="2099-01-01T00:00:00Z"), [])
        self.assertEqual(self.states(start_time="2001-01-01T00:00:00+01:00"), states)

    def test_what_was_refused_is_left_out(self):
        good = self.fill(2)
        subject = f"fleet.test.veh.{VID}.state.battery"
        for bad in (b"not json", envelope({"n": 7}, vid="VID-002"), b'{"data":{}}'):
            self.client.js_publish(subject, bad)
        late = self.publish("battery", {"n": "late"}, seq=0)
        states = self.states()
        self.assertEqual([s["data"] for s in states], good + [{"n": "late"}])
        self.assertGreater(late, 5)
        self.assertEqual(self.hub.json(f"/v1/vehicles/{VID}/state/battery"), good[-1])

    def test_a_retirement_hides_its_past(self):
        self.fill(2)
        self.client.kv_put("TWIN_SHADOW", f"fleet/test/veh/{VID}/desired", {"a": 1})
        wait_until(lambda: self.hub.json(f"/v1/vehicles/{VID}/desired") == {"a": 1}, 10, "it is there")
        self.assertEqual(self.hub.request("DELETE", f"/v1/vehicles/{VID}?force=true").status, 204)
        self.assertEqual(self.get().status, 404)
        self.publish("battery", {"n": "new"})
        wait_until(lambda: self.get().status == 200, 10, "it is back")
        self.assertEqual([s["data"] for s in self.states()], [{"n": "new"}])
        revisions = self.hub.json(f"/v1/vehicles/{VID}/desired/history")["revisions"]
        self.assertEqual([r["value"] for r in revisions], [{}])

    def test_refusals(self):
        self.fill(1)
        self.assertEqual(self.get(vid="VID-404").status, 404)
        self.assertEqual(self.get(type="a..b").status, 400)
        self.assertEqual(self.get(type="*").status, 400)
        self.assertEqual(self.get(start_time="yesterday").status, 400)
        self.assertEqual(self.get(page_size="x").status, 400)
        self.assertEqual(self.get(other="1").status, 400)
        self.stack.nats.stop()
        self.hub.wait_ready("unready")
        for path in ("history", "desired/history"):
            reply = self.hub.get(f"/v1/vehicles/{VID}/{path}")
            self.assertEqual(reply.status, 503)
            self.assertGreater(int(reply.headers["retry-after"]), 0)

    def test_a_long_history_is_read_in_pages_and_the_fold_goes_on(self):
        count = 5000
        self.client.js_publish_all(
            [(f"fleet.test.veh.{VID}.state.battery", envelope({"n": i}, boot="b", seq=i))
             for i in range(count)])
        wait_until(lambda: self.get().status == 200, 10, "it appears")
        numbers = [s["data"]["n"] for s in self.states(page_size=1000)]
        self.assertEqual(numbers, list(range(count)))
        with_tail = self.hub.get(f"/v1/vehicles/{VID}/history?" + urllib.parse.urlencode(
            {"start_time": self.states(page_size=1000)[-1]["received"]})).json()
        self.assertEqual(len(with_tail["states"]), 1)
        self.assertEqual(self.hub.metric("messages_total", stream="TWIN_STATE", outcome="applied"),
                         count)
        self.assertEqual(self.hub.metric("messages_total", stream="TWIN_STATE"), count)

    def test_revisions_of_desired_are_newest_first(self):
        self.fill(1)
        path = f"/v1/vehicles/{VID}/desired"
        self.assertEqual(self.hub.json(path + "/history"), {"revisions": []})
        for i in range(3):
            self.hub.request("PATCH", path, {"Content-Type": "application/json"}, f'{{"n":{i}}}')
        key = f"fleet/test/veh/{VID}/desired"
        self.client.kv_put("TWIN_SHADOW", key, b"[]")
        outside = self.client.kv_put("TWIN_SHADOW", key, {"n": "outside", "x": None})
        wait_until(lambda: self.hub.json(path) == {"n": "outside"}, 10, "it is there")
        revisions = self.hub.json(path + "/history")["revisions"]
        self.assertEqual([r["value"] for r in revisions],
                         [{"n": "outside"}, {"n": 2}, {"n": 1}, {"n": 0}])
        self.assertEqual([r["updated_by"] for r in revisions], ["unknown"] + ["local"] * 3)
        self.assertEqual(revisions[0]["revision"], outside)
        self.assertEqual(sorted(revisions[0]), ["revision", "updated", "updated_by", "value"])
        self.assertEqual(self.hub.get(path).headers["etag"], f'"{outside}"')
        updated = self.hub.json(f"/v1/vehicles/{VID}", metadata="true")["metadata"]["desired"]
        self.assertEqual(updated["updated"], revisions[0]["updated"])


if __name__ == "__main__":
    unittest.main()

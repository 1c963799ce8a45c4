"""Named groups: by list and by filter, in filters, on every hub, on record."""

import json
import threading
import unittest

from harness import StackCase, envelope, wait_until
from harness.shadows import failpoint

JSON = {"Content-Type": "application/json"}


class Groups(StackCase):
    def setUp(self):
        super().setUp()
        self.client = self.stack.nats.client()
        self.addCleanup(self.client.close)

    def put(self, name, body, headers=None, hub=None):
        return (hub or self.hub).request("PUT", f"/v1/groups/{name}", dict(JSON, **(headers or {})),
                                         json.dumps(body))

    def delete(self, name, headers=None):
        return self.hub.request("DELETE", f"/v1/groups/{name}", headers)

    def fleet(self, count=6):
        """Vehicles V-0 … with a battery of a tenth of their number."""
        for i in range(count):
            self.client.js_publish(f"fleet.test.veh.V-{i}.state.battery",
                                   envelope({"remaining": i / 10}))
        wait_until(lambda: len(self.hub.twins()) == count, 10, "the fleet is there")

    def members(self, text, hub=None):
        return [t["vid"] for t in (hub or self.hub).pages("/v1/vehicles", "vehicles", filter=text)]

    def records(self):
        self.stack.wait_archived()
        return self.hub.events(kind="access", filter='type = "group_*"', order_by="seq")

    def test_a_name_that_is_none_is_a_400_whatever_is_asked(self):
        for name in ("a%20b", "x" * 65, "n%C3%A4he", "a.b"):
            replies = [self.hub.get(f"/v1/groups/{name}"), self.put(name, {"vids": []}),
                       self.delete(name)]
            self.assertEqual([reply.status for reply in replies], [400] * 3, replies)
        self.assertEqual(self.hub.get("/v1/groups/a-b").status, 404)

    def test_by_list_and_by_filter(self):
        self.fleet()
        created = self.put("night", {"vids": ["V-4", "V-1", "V-1", "V-404"]})
        self.assertEqual(created.status, 201, created)
        self.assertEqual(created.headers["location"], "/v1/groups/night")
        self.assertEqual(created.json()["vids"], ["V-1", "V-4", "V-404"])
        self.assertEqual(self.members('group("night")'), ["V-1", "V-4"])
        self.assertEqual(self.put("low", {"filter": "state.battery.remaining < 0.25"}).status, 201)
        self.assertEqual(self.members('group("low")'), ["V-0", "V-1", "V-2"])
        self.assertEqual(self.members('group("low") AND group("night")'), ["V-1"])
        self.assertEqual(self.members('NOT group("low") AND NOT group("night")'), ["V-3", "V-5"])
        self.put("either", {"filter": 'group("low") OR group("night")'})
        self.assertEqual(self.members('group("either")'), ["V-0", "V-1", "V-2", "V-4"])
        changed = self.put("night", {"vids": ["V-5"]})
        self.assertEqual((changed.status, changed.json()["vids"]), (200, ["V-5"]))
        self.assertEqual(self.members('group("either")'), ["V-0", "V-1", "V-2", "V-5"])
        self.assertEqual(self.delete("night").status, 204)
        self.assertEqual(self.hub.get("/v1/groups/night").status, 404)
        self.assertEqual(self.members('group("either")'), ["V-0", "V-1", "V-2"])
        gone = self.hub.get("/v1/vehicles", filter='group("night")')
        self.assertEqual((gone.status, gone.json()["offset"]), (400, 6), gone)

    def test_reading_and_paging(self):
        names = sorted(f"g{i:02}" for i in range(23))
        for name in reversed(names):
            self.put(name, {"vids": []})
        for size in (1, 7, 22, 23, 24):
            groups = self.hub.pages("/v1/groups", "groups", page_size=size)
            self.assertEqual([g["name"] for g in groups], names)
        one = self.hub.get("/v1/groups/g07")
        self.assertEqual(one.headers["etag"], f'"{one.json()["revision"]}"')
        self.assertEqual((one.json()["vids"], one.json()["updated_by"]), ([], "local"))
        self.assertEqual(self.hub.get("/v1/groups/g07",
                                      {"If-None-Match": one.headers["etag"]}).status, 304)

    def test_preconditions_and_writes_that_change_nothing(self):
        self.assertEqual(self.put("a", {"vids": []}, {"If-Match": "*"}).status, 412)
        tag = self.put("a", {"vids": ["V-1"]}, {"If-Match": '"0"'}).headers["etag"]
        self.assertEqual(self.put("a", {"vids": []}, {"If-Match": '"0"'}).status, 412)
        same = self.put("a", {"vids": ["V-1", "V-1"]})
        self.assertEqual((same.status, same.headers["etag"]), (200, tag))
        self.assertEqual(self.put("a", {"vids": []}, {"If-Match": tag}).status, 200)
        self.assertEqual(self.delete("a", {"If-Match": tag}).status, 412)
        self.assertEqual(self.delete("a", {"If-Match": "*"}).status, 204)
        self.assertEqual(self.delete("a").status, 404)
        self.assertEqual(len(self.records()), 3)

    def test_refusals(self):
        for body in ({}, {"vids": ["V-1"], "filter": ""}, {"vids": "V-1"}, {"vids": [1]},
                     {"vids": ["a.b"]}, {"filter": 1}, {"name": "x"}, {"vids": [], "x": 1}, []):
            self.assertEqual(self.put("a", body).status, 400, body)
        for name in ("a.b", "x" * 65, "%20"):
            self.assertEqual(self.put(name, {"vids": []}).status, 400, name)
        bad = self.put("a", {"filter": "vid = "})
        self.assertEqual(bad.status, 400)
        self.assertIn("offset", bad.json())
        self.assertEqual(self.put("a", {"filter": 'group("nobody")'}).json()["offset"], 6)
        self.assertEqual(self.hub.json("/v1/groups"), {"groups": []})

    def test_cycles_are_refused(self):
        self.put("a", {"vids": []})
        self.put("b", {"filter": 'group("a")'})
        self.put("c", {"filter": 'NOT (group("b") OR vid = "x")'})
        self.assertEqual(self.put("a", {"filter": 'group("a")'}).status, 400)
        self.assertEqual(self.put("a", {"filter": 'vid = "x" OR group("c")'}).status, 400)
        self.assertEqual(self.put("a", {"filter": 'vid = "x"'}).status, 200)
        # A tree that doubles with each level is refused before it takes for ever.
        for level in range(30):
            below = f"t{level - 1}" if level else "a"
            status = self.put(f"t{level}", {"filter": f'group("{below}") OR group("{below}")'}).status
            if status != 201:
                break
        self.assertEqual(status, 400)
        self.assertGreater(level, 3)

    def test_a_cycle_from_outside_holds_nobody_and_ends(self):
        self.fleet(2)
        for name, other in (("a", "b"), ("b", "a")):
            text = f'group("{other}") OR NOT group("{other}")'
            self.client.kv_put("TWIN_ACCESS", f"group.{name}", {"filter": text})
        wait_until(lambda: len(self.hub.json("/v1/groups")["groups"]) == 2, 10, "both are there")
        self.assertEqual(self.hub.get("/v1/vehicles", filter='group("a")').status, 200)
        self.client.kv_put("TWIN_ACCESS", "group.a", b"not json")
        self.client.kv_put("TWIN_ACCESS", "group.b", {"vids": ["V-1"]})
        wait_until(lambda: self.members('group("b")') == ["V-1"], 10, "the other is a list now")
        self.assertEqual(self.members('group("a")'), ["V-0", "V-1"])

    def test_on_every_hub_and_after_restarts(self):
        self.fleet(3)
        other = self.stack.add_hub().start()
        wait_until(lambda: len(other.twins()) == 3, 10, "the other has the fleet")
        written = self.put("a", {"vids": ["V-1"]})
        position = written.headers["fleet-position"]
        seen = other.get("/v1/vehicles", filter='group("a")', min_position=position, wait_ms="5000")
        self.assertEqual([t["vid"] for t in seen.json()["vehicles"]], ["V-1"])
        self.put("b", {"filter": 'NOT group("a")'}, hub=other)
        wait_until(lambda: self.hub.get("/v1/groups/b").status == 200, 10, "the first knows")
        self.assertEqual(self.members('group("b")'), ["V-0", "V-2"])
        for hub in (self.hub, other):
            hub.kill()
            hub.start()
            self.assertEqual(self.members('group("b")', hub), ["V-0", "V-2"])
        self.assertEqual(len(self.records()), 2)

    def test_changes_are_on_record_whoever_is_killed(self):
        self.put("a", {"vids": ["V-1"]}, {"X-Request-Id": "req-1"})
        self.hub.stop()
        with failpoint("group_written"):
            self.hub.start()
        with self.assertRaises(OSError):
            self.put("a", {"filter": 'vid = "V-2"'}, {"X-Request-Id": "req-2"})
        self.assertEqual(self.hub.process.wait(10), 137)
        outside = self.client.kv_put("TWIN_ACCESS", "group.a", {"vids": []})
        self.hub.start()
        self.delete("a", {"X-Request-Id": "req-3"})
        one, two, three, four = [dict(r["data"], type=r["type"], actor=r["actor"],
                                      request_id=r["request_id"]) for r in self.records()]
        self.assertEqual((one["before"], one["after"], one["request_id"]),
                         (None, {"vids": ["V-1"]}, "req-1"))
        self.assertEqual((two["before"], two["after"], two["request_id"], two["actor"]),
                         ({"vids": ["V-1"]}, {"filter": 'vid = "V-2"'}, "req-2", "local"))
        self.assertEqual((three["actor"], three["revision"], three["after"]),
                         ("unknown", outside, {"vids": []}))
        self.assertEqual((four["type"], four["before"], four["after"], four["group"]),
                         ("group_deleted", {"vids": []}, None, "a"))

    def test_simultaneous_writers_take_turns(self):
        other = self.stack.add_hub().start()
        statuses = []

        def work(number):
            for i in range(8):
                hub = (self.hub, other)[number % 2]
                statuses.append(self.put("a", {"vids": [f"V-{number}-{i}"]}, hub=hub).status)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(set(statuses)), [200, 201])
        self.assertEqual(statuses.count(201), 1)
        chain = self.records()
        self.assertEqual(len(chain), 32)
        for before, after in zip(chain, chain[1:]):
            self.assertEqual(after["data"]["before"], before["data"]["after"])

    def test_without_nats_groups_are_read_and_not_written(self):
        self.fleet(2)
        self.put("a", {"vids": ["V-1"]})
        self.stack.nats.stop()
        self.hub.wait_ready("unready")
        self.assertEqual(self.members('group("a")'), ["V-1"])
        for reply in (self.put("a", {"vids": []}), self.delete("a")):
            self.assertEqual(reply.status, 503)
            self.assertGreater(int(reply.headers["retry-after"]), 0)


if __name__ == "__main__":
    unittest.main()

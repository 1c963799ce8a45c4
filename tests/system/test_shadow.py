"""Writing shadows: merging, replacing, preconditions, simultaneous writers; and what is written from
outside."""

import base64
import json
import threading
import unittest

from harness import wait_until
from harness.shadows import KEY, MERGE, VID, ShadowCase


class Writing(ShadowCase):
    def test_merging_and_replacing(self):
        self.appear()
        first = self.expect(self.patch({"mode": "RTL", "led": {"on": True, "hue": 3}}), 200,
                            {"mode": "RTL", "led": {"on": True, "hue": 3}})
        self.assertEqual(first.headers["etag"], f'"{self.kv_seq()}"')
        self.assertTrue(first.headers["fleet-position"])
        self.expect(self.patch({"mode": None, "led": {"hue": 4.50}}, MERGE), 200,
                    {"led": {"on": True, "hue": 4.5}})
        replaced = self.expect(self.put({"a": None, "b": [1, {"c": None}]}), 200, {"b": [1, {}]})
        read = self.hub.get(f"/v1/vehicles/{VID}/desired")
        self.assertEqual(read.json(), {"b": [1, {}]})
        self.assertEqual(read.headers["etag"], replaced.headers["etag"])
        self.assertEqual(json.loads(self.client.kv_get("TWIN_SHADOW", KEY + "desired")),
                         {"b": [1, {}]})
        twin = self.hub.json(f"/v1/vehicles/{VID}", metadata="true")
        self.assertEqual(twin["revision"]["desired"], self.kv_seq())
        self.assertEqual(twin["metadata"]["desired"]["updated_by"], "local")
        self.assertEqual(twin["delta"], {"b": [1, {}]})
        for part in ("meta", "config"):
            self.expect(self.write("PATCH", part, {"site": "oslo"}), 200, {"site": "oslo"})
            self.expect(self.write("PUT", part, {"n": 1}), 200, {"n": 1})

    def test_a_write_that_changes_nothing_makes_no_revision(self):
        self.appear()
        empty = self.expect(self.patch({}), 200, {})
        self.assertEqual(empty.headers["etag"], '"0"')
        tag = self.patch({"a": {"b": 1}}).headers["etag"]
        for same in (self.patch({"a": {"b": 1.0}}), self.put({"a": {"b": 1}, "c": None}),
                     self.patch({"c": None}), self.patch({})):
            self.assertEqual(self.expect(same, 200).headers["etag"], tag)
        self.assertEqual(len(self.records()), 2)

    def test_preconditions(self):
        self.appear()
        self.expect(self.patch({"a": 1}, {"If-Match": '"7"'}), 412)
        tag = self.expect(self.patch({"a": 1}, {"If-Match": '"0"'}), 200).headers["etag"]
        self.expect(self.patch({"a": 2}, {"If-Match": '"0"'}), 412)
        self.expect(self.patch({"a": 2}, {"If-Match": "W/" + tag}), 412)
        self.expect(self.patch({"a": 2}, {"If-Match": "nonsense"}), 412)
        tag = self.expect(self.patch({"a": 2}, {"If-Match": f'"x", {tag}'}), 200).headers["etag"]
        packed = tag[:-1] + '-gz"'
        self.expect(self.put({"a": 3}, {"If-Match": packed}), 200, {"a": 3})
        self.expect(self.put({"a": 4}, {"If-Match": "*"}), 200, {"a": 4})
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, {"a": 4})

    def test_refusals(self):
        self.appear()
        deep = '{"a":' * 32 + "{}" + "}" * 32
        for body in ("", "[1]", "null", "{", '{"a":1,"a":2}', b'{"a":"\xff"}', deep):
            self.expect(self.patch(body), 400)
        large = json.dumps({"a": "x" * (512 * 1024)})
        self.expect(self.put(large), 413)
        half = {"a": "x" * (300 * 1024)}
        self.expect(self.patch(half), 200)
        self.expect(self.patch({"b": "y" * (300 * 1024)}), 413)  # together they are too large
        self.expect(self.patch({"b": 1}, {"Content-Type": "text/plain"}), 415)
        self.expect(self.put({"b": 1}, MERGE), 415)
        self.expect(self.patch({"b": 1}, vid="VID-404"), 404)
        self.expect(self.write("PATCH", "reported", {}), 405)
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, half)

    def test_a_deep_and_a_large_value_are_written_and_on_record(self):
        self.appear()
        deep = json.loads('{"a":' * 31 + "{}" + "}" * 31)
        self.expect(self.put(deep), 200, deep)
        self.expect(self.put({"x": "y" * (511 * 1024)}), 200)
        self.expect(self.put({"x": "z" * (511 * 1024)}), 200)
        requests, _ = self.expect_settled()
        self.assertEqual(len(requests), 3)
        self.assertEqual(requests[1]["data"]["before"], deep)
        self.assertEqual(len(requests[2]["data"]["after"]["x"]), 511 * 1024)

    def test_every_write_is_on_record_with_what_was_before_and_after(self):
        self.appear()
        self.patch({"mode": "RTL"}, {"X-Request-Id": "req-1"})
        self.patch({"alt": 10}, {"X-Request-Id": "req-2"})
        requests, outcomes = self.expect_settled()
        self.assertEqual([r["data"] for r in requests], [
            {"part": "desired", "before": {}, "after": {"mode": "RTL"}},
            {"part": "desired", "before": {"mode": "RTL"}, "after": {"mode": "RTL", "alt": 10}}])
        for request, name in zip(requests, ("req-1", "req-2")):
            outcome = outcomes[request["id"]]
            for record in (request, outcome):
                self.assertEqual((record["vid"], record["actor"], record["request_id"]),
                                 (VID, "local", name))
            self.assertEqual(outcome["type"], "applied")
        self.assertEqual(outcomes[requests[1]["id"]]["data"]["revision"], self.kv_seq())

    def test_a_bad_value_from_outside_is_no_obstacle(self):
        self.appear()
        self.patch({"a": 1})
        bad = self.client.js_publish("$KV.TWIN_SHADOW." + KEY + "desired", b"not json")
        wait_until(lambda: self.hub.metric("shadow_ignored_total") == 1, 10, "it is ignored")
        tag = f'"{bad - 1}"'
        self.assertEqual(self.hub.get(f"/v1/vehicles/{VID}/desired").headers["etag"], tag)
        self.expect(self.patch({"b": 2}, {"If-Match": tag}), 200, {"a": 1, "b": 2})

    def test_without_postgres_writes_work_and_are_on_record_later(self):
        self.appear()
        self.stack.postgres.stop()
        self.hub.wait_ready("degraded")
        self.expect(self.patch({"a": 1}), 200, {"a": 1})
        self.stack.postgres.start()
        self.hub.wait_ready()
        requests, outcomes = self.expect_settled()
        self.assertEqual(len(requests), 1)
        self.assertEqual(outcomes[requests[0]["id"]]["type"], "applied")

    def test_without_nats_nothing_is_written(self):
        self.appear()
        self.patch({"a": 1})
        self.stack.nats.stop()
        self.hub.wait_ready("unready")
        reply = self.expect(self.patch({"a": 2}, timeout=30), 503)
        self.assertGreater(int(reply.headers["retry-after"]), 0)
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, {"a": 1})
        self.stack.nats.start()
        self.hub.wait_ready()
        self.expect(self.patch({"a": 3}), 200, {"a": 3})
        requests, _ = self.expect_settled()
        self.assertEqual(len(requests), 2)


class Simultaneous(ShadowCase):
    WRITERS, WRITES = 8, 12

    def count_up(self, hubs):
        """Each writer sets keys of its own in one part; nobody's may be lost."""
        self.appear()
        failures = []

        def work(number):
            hub = hubs[number % len(hubs)]
            for i in range(self.WRITES):
                reply = self.patch({f"w{number}": i, f"k{number}-{i}": True}, hub=hub, timeout=60)
                if reply.status != 200 or reply.json().get(f"w{number}") != i:
                    failures.append(reply)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(self.WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        expected = {f"w{n}": self.WRITES - 1 for n in range(self.WRITERS)}
        expected.update({f"k{n}-{i}": True for n in range(self.WRITERS)
                         for i in range(self.WRITES)})
        for hub in hubs:
            wait_until(lambda h=hub: h.get(f"/v1/vehicles/{VID}/desired").json() == expected, 10,
                       "every write is there")
        requests, outcomes = self.expect_settled()
        applied = [r for r in requests if outcomes[r["id"]]["type"] == "applied"]
        self.assertEqual(len(applied), self.WRITERS * self.WRITES)
        self.assertEqual([r for r in self.records() if r["type"] == "outside"], [])
        # Each began where the one before it ended.
        applied.sort(key=lambda r: outcomes[r["id"]]["data"]["revision"])
        for before, after in zip(applied, applied[1:]):
            self.assertEqual(after["data"]["before"], before["data"]["after"])

    def test_writers_of_one_hub_lose_nothing(self):
        self.count_up([self.hub])

    def test_writers_of_two_hubs_lose_nothing(self):
        self.count_up([self.hub, self.stack.add_hub().start()])

    def test_one_of_those_who_saw_the_same_revision_wins(self):
        self.appear()
        tag = self.patch({"n": 0}).headers["etag"]
        statuses = []

        def work(number):
            statuses.append(self.patch({"n": number}, {"If-Match": tag}, timeout=60).status)
        threads = [threading.Thread(target=work, args=(n + 1,)) for n in range(self.WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(statuses), [200] + [412] * (self.WRITERS - 1))


class Outside(ShadowCase):
    def outside(self):
        return [r for r in self.records() if r["type"] == "outside"]

    def test_what_others_write_is_on_record_once_however_many_hubs(self):
        self.stack.add_hub().start()
        self.appear()
        self.patch({"a": 1})
        seq = self.client.kv_put("TWIN_SHADOW", KEY + "desired", {"a": 2})
        self.client.kv_put("TWIN_SHADOW", KEY + "reported", {"a": 2})
        self.client.kv_delete("TWIN_SHADOW", KEY + "desired")
        for hub in self.stack.hubs:
            wait_until(lambda h=hub: h.get(f"/v1/vehicles/{VID}/desired").json() == {}, 10,
                       "it is gone")
        wait_until(lambda: len(self.outside()) == 2, 20, "both writes are on record")
        first, second = self.outside()
        self.assertEqual(first["data"], {"part": "desired", "before": {"a": 1}, "after": {"a": 2},
                                         "revision": seq})
        self.assertEqual((first["vid"], first["actor"]), (VID, "unknown"))
        self.assertEqual((second["data"]["before"], second["data"]["after"]), ({"a": 2}, {}))
        twin = self.hub.json(f"/v1/vehicles/{VID}", metadata="true")
        self.assertEqual(twin["metadata"]["desired"]["updated_by"], "unknown")

    def test_a_claim_to_be_a_hub_is_not_believed(self):
        self.appear()
        self.patch({"a": 1})
        own = self.client.js_api("STREAM.MSG.GET.KV_TWIN_SHADOW",
                                 {"last_by_subj": "$KV.TWIN_SHADOW." + KEY + "desired"})
        headers = dict(line.split(": ", 1) for line in
                       base64.b64decode(own["message"]["hdrs"]).decode()
                       .split("\r\n") if line.startswith("Fleet-"))
        self.assertEqual(sorted(headers), ["Fleet-Actor", "Fleet-Record", "Fleet-Record-Seq"])
        forged = [headers, {"Fleet-Record": "ab" * 16, "Fleet-Record-Seq": "1",
                            "Fleet-Actor": "boss"}, {"Fleet-Change": "retired"}]
        for number, claim in enumerate(forged):
            self.client.js_publish("$KV.TWIN_SHADOW." + KEY + "desired",
                                   json.dumps({"forged": number}), headers=claim)
        wait_until(lambda: len(self.outside()) == len(forged), 20, "all are on record")

    def test_what_was_written_while_no_hub_ran_is_on_record(self):
        self.appear()
        self.patch({"a": 1})
        self.stack.wait_archived()
        for stop in (self.hub.stop, self.hub.kill):
            before = len(self.outside())
            stop()
            for i in range(3):
                self.client.kv_put("TWIN_SHADOW", KEY + "desired", {"a": 10 + before + i})
            self.hub.start()
            wait_until(lambda n=before: len(self.outside()) == n + 3, 20, "all three are on record")
        self.assertEqual(len(self.outside()), 6)
        chain = [r["data"] for r in self.outside()]
        for one, next_one in zip(chain, chain[1:]):
            self.assertEqual(next_one["before"], one["after"])
        self.expect_settled()


if __name__ == "__main__":
    unittest.main()

"""Writing shadows: merging, replacing, preconditions, simultaneous writers, and that each change is
on record once whatever is killed when."""

import base64
import contextlib
import datetime
import json
import os
import threading
import time
import unittest

from harness import StackCase, envelope, wait_until

VID = "VID-001"
KEY = f"fleet/test/veh/{VID}/"
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}


@contextlib.contextmanager
def failpoint(name):
    os.environ["FLEETHUB_FAILPOINT"] = name
    try:
        yield
    finally:
        del os.environ["FLEETHUB_FAILPOINT"]


def seconds(text):
    """Of an RFC 3339 timestamp in UTC, to the microsecond."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return (datetime.datetime.fromisoformat(whole), (fraction + "000000")[:6])


class ShadowCase(StackCase):
    def setUp(self):
        super().setUp()
        self.client = self.stack.nats.client()
        self.addCleanup(self.client.close)

    def appear(self, vid=VID):
        self.client.js_publish(f"fleet.test.veh.{vid}.state.mode", envelope({"mode": "AUTO"}))
        wait_until(lambda: self.hub.get(f"/v1/vehicles/{vid}").status == 200, 10, f"{vid} appears")

    def write(self, method, part, value, headers=None, vid=VID, hub=None, **options):
        body = value if isinstance(value, (bytes, str)) else json.dumps(value)
        return (hub or self.hub).request(method, f"/v1/vehicles/{vid}/{part}",
                                         dict(JSON, **(headers or {})), body, **options)

    def patch(self, value, headers=None, **options):
        return self.write("PATCH", "desired", value, headers, **options)

    def put(self, value, headers=None, **options):
        return self.write("PUT", "desired", value, headers, **options)

    def expect(self, reply, status, value=None):
        self.assertEqual(reply.status, status, reply)
        if status >= 400:
            self.assertEqual(reply.headers["content-type"], "application/problem+json")
        if value is not None:
            self.assertEqual(reply.json(), value)
        return reply

    def records(self, **parameters):
        """Oldest first."""
        self.stack.wait_archived()
        return self.hub.events(kind="shadow", order_by="seq", **parameters)

    def expect_settled(self, records=None):
        """Every request has one outcome. Returns {request's id: its outcome}."""
        records = self.records() if records is None else records
        requests = [r for r in records if r["type"] == "requested"]
        outcomes = {}
        for record in records:
            if record["type"] in ("applied", "refused"):
                self.assertNotIn(record["data"]["request"], outcomes)
                outcomes[record["data"]["request"]] = record
        self.assertEqual(sorted(outcomes), sorted(r["id"] for r in requests))
        return requests, outcomes

    def kv_seq(self, part="desired"):
        answer = self.client.js_api("STREAM.MSG.GET.KV_TWIN_SHADOW",
                                    {"last_by_subj": "$KV.TWIN_SHADOW." + KEY + part})
        return answer["message"]["seq"]


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
        self.expect(self.put(large), 400)
        half = {"a": "x" * (300 * 1024)}
        self.expect(self.patch(half), 200)
        self.expect(self.patch({"b": "y" * (300 * 1024)}), 400)  # together they are too large
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


class Killed(ShadowCase):
    """The hub dies at a named point of a write, and is started again."""

    def die_at(self, point, value):
        self.hub.stop()
        with failpoint(point):
            self.hub.start()
        if ":" in point:
            self.expect(self.patch({"passed": point}), 200)
        with self.assertRaises(OSError):
            self.patch(value)
        self.assertEqual(self.hub.process.wait(10), 137)
        self.hub.start()

    def expect_one_outcome(self, kind, value):
        def settled():
            requests = [r for r in self.records() if r["type"] == "requested"]
            outcomes = [r for r in self.records() if r["type"] in ("applied", "refused")]
            return len(requests) == len(outcomes)
        wait_until(settled, 20, "the open request is settled")
        requests, outcomes = self.expect_settled()
        last = outcomes[requests[-1]["id"]]
        self.assertEqual(last["type"], kind)
        self.assertEqual(requests[-1]["data"]["after"], value)
        self.assertEqual([r for r in self.records() if r["type"] == "outside"], [])
        return last

    def test_after_the_request_nothing_is_written(self):
        self.appear()
        self.patch({"a": 1})
        self.die_at("shadow_requested", {"a": 2})
        self.expect_one_outcome("refused", {"a": 2})
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, {"a": 1})
        self.expect(self.patch({"a": 3}), 200, {"a": 3})

    def test_after_the_request_of_a_first_value(self):
        self.appear()
        self.die_at("shadow_requested", {"a": 2})
        self.expect_one_outcome("refused", {"a": 2})
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, {})
        self.expect(self.patch({"a": 3}), 200, {"a": 3})

    def test_after_the_value_it_is_applied(self):
        self.appear()
        for point in ("shadow_written", "shadow_outcome", "shadow_written:2"):
            self.die_at(point, {"point": point})
            expected = self.hub.json(f"/v1/vehicles/{VID}/desired")
            last = self.expect_one_outcome("applied", expected)
            self.assertEqual(expected["point"], point)
            self.assertEqual(last["data"]["revision"], self.kv_seq())

    def test_two_hubs_settle_it_once(self):
        self.appear()
        other = self.stack.add_hub().start()
        self.hub.stop()
        with failpoint("shadow_requested"):
            self.hub.start()
        with self.assertRaises(OSError):
            self.patch({"a": 2})
        self.assertEqual(self.hub.process.wait(10), 137)
        other.stop()
        other.start(ready=False)
        self.hub.start()
        other.wait_ready()
        self.expect_one_outcome("refused", {"a": 2})

    def test_killed_anywhere_in_a_stream_of_writes(self):
        self.appear()
        for round_ in range(3):
            stop = threading.Event()
            done = []

            def work(number):
                while not stop.is_set():
                    try:
                        reply = self.patch({f"w{number}": time.monotonic()}, timeout=5)
                    except OSError:
                        return
                    done.append(reply.status)
            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            wait_until(lambda: len(done) > 10 + 7 * round_, 20, "writes are under way")
            self.hub.kill()
            stop.set()
            for thread in threads:
                thread.join()
            self.hub.start()
        self.assertEqual(set(done), {200})

        def all_settled():
            kinds = [r["type"] for r in self.records()]
            return kinds.count("requested") == kinds.count("applied") + kinds.count("refused")
        wait_until(all_settled, 20, "all is settled")
        requests, outcomes = self.expect_settled()
        last = max((outcomes[r["id"]]["data"]["revision"], r["data"]["after"]) for r in requests
                   if outcomes[r["id"]]["type"] == "applied")
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, last[1])
        self.assertEqual([r for r in self.records() if r["type"] == "outside"], [])


class Unanswered(ShadowCase):
    def test_a_write_through_a_restart_of_nats_is_settled(self):
        self.appear()
        failures, statuses, stop = [], [], threading.Event()

        def work():
            number = 0
            while not stop.is_set():
                number += 1
                reply = self.patch({"n": number}, timeout=40)
                statuses.append(reply.status)
                if reply.status not in (200, 503):
                    failures.append(reply)
        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: statuses.count(200) > 20, 20, "writes are under way")
        self.client.close()
        self.stack.nats.restart()
        count = statuses.count(200)
        wait_until(lambda: statuses.count(200) > count + 20, 40, "writes go on")
        stop.set()
        thread.join()
        self.assertEqual(failures, [])
        self.client = self.stack.nats.client()

        def all_settled():
            kinds = [r["type"] for r in self.records()]
            return kinds.count("requested") == kinds.count("applied") + kinds.count("refused")
        wait_until(all_settled, 60, "all is settled")
        self.expect_settled()


class Divergence(ShadowCase):
    """delta_since over restarts, and how long vehicles take to converge."""

    settings = {"twins": {"checkpoint_s": 1}}

    def since(self):
        return self.hub.json(f"/v1/vehicles/{VID}")["delta_since"]

    def report(self, value):
        return self.client.kv_put("TWIN_SHADOW", KEY + "reported", value)

    def wait_delta(self, delta):
        wait_until(lambda: self.hub.get(f"/v1/vehicles/{VID}/delta").json() == delta, 10,
                   f"the delta is {delta}")

    def test_the_start_of_a_divergence_outlives_restarts(self):
        self.appear()
        self.patch({"mode": "RTL", "alt": 10})
        since = self.since()
        self.assertIsNotNone(since)
        for number, stop in enumerate((self.hub.stop, self.hub.kill, self.hub.kill, self.hub.stop)):
            self.report({"alt": 10, "n": number})
            self.wait_delta({"mode": "RTL"})
            self.assertEqual(self.since(), since)
            stop()
            # More than the bucket keeps, written while nobody looks.
            for i in range(7 if number > 1 else 2):
                self.report({"alt": 10, "n": f"{number}-{i}"})
            self.hub.start()
            self.wait_delta({"mode": "RTL"})
            self.assertEqual(self.since(), since, f"round {number}")

    def test_a_divergence_that_ended_and_began_while_the_hub_was_down(self):
        self.appear()
        self.patch({"mode": "RTL"})
        since = self.since()
        wait_until(lambda: self.hub.metric("twin_checkpoints_total", outcome="ok") >= 3, 10,
                   "TWIN_LAST knows")
        self.hub.kill()
        self.report({"mode": "RTL"})
        again = self.report({"mode": "AUTO"})
        self.hub.start()
        self.wait_delta({"mode": "RTL"})
        self.assertGreater(seconds(self.since()), seconds(since))
        stored = self.client.js_api("STREAM.MSG.GET.KV_TWIN_SHADOW", {"seq": again})
        self.assertEqual(seconds(self.since()), seconds(stored["message"]["time"]))
        self.assertEqual(self.hub.metric("delta_convergence_seconds_count"), 1)

    def test_convergence_is_measured(self):
        self.appear()
        self.patch({"mode": "RTL"})
        self.report({"mode": "RTL"})
        wait_until(lambda: self.since() is None, 10, "it converged")
        self.assertEqual(self.hub.metric("delta_convergence_seconds_count"), 1)
        self.patch({"mode": "AUTO"})
        self.patch({"mode": None})  # withdrawn: nobody converged
        self.assertIsNone(self.since())
        self.assertEqual(self.hub.metric("delta_convergence_seconds_count"), 1)


if __name__ == "__main__":
    unittest.main()

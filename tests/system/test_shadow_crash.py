"""Writing shadows while hubs are killed and servers restarted: each change is on record once, with one
outcome, and the start of a divergence is not forgotten."""

import datetime
import json
import threading
import time
import unittest

from harness import NatsError, wait_until
from harness.shadows import KEY, VID, ShadowCase, failpoint


def seconds(text):
    """Of an RFC 3339 timestamp in UTC, to the microsecond."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return (datetime.datetime.fromisoformat(whole), (fraction + "000000")[:6])


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


class LeftOpen(ShadowCase):
    """A request that another hub put on record before it froze: its write may come at any time."""

    def leave_open(self, number, base):
        record_id = f"{number:032x}"
        record = {"id": record_id, "kind": "shadow", "vid": VID, "type": "requested",
                  "actor": "ops", "request_id": f"req-{number}",
                  "data": {"part": "desired", "before": {"a": 1}, "after": {"late": number}}}
        seq = self.client.js_publish(f"fleet.test.hub.eu-north.record.shadow.{VID}",
                                     json.dumps(record).encode(), record_id,
                                     {"Fleet-Base": str(base)})
        return {"Fleet-Record": record_id, "Fleet-Record-Seq": str(seq), "Fleet-Actor": "ops",
                "Nats-Expected-Last-Subject-Sequence": str(base)}

    def publish_late(self, number, headers):
        return self.client.js_publish("$KV.TWIN_SHADOW." + KEY + "desired",
                                      json.dumps({"late": number}), f"{number:032x}", headers)

    def outcome(self, number):
        return [r for r in self.records() if r["type"] in ("applied", "refused") and
                r["data"]["request"] == f"{number:032x}"]

    def test_what_is_refused_at_the_start_can_not_be_written_later(self):
        self.appear()
        self.patch({"a": 1})
        self.hub.stop()
        headers = self.leave_open(1, self.kv_seq())
        self.hub.start()
        wait_until(lambda: self.outcome(1), 20, "it is settled")
        refused = self.outcome(1)[0]
        self.assertEqual((refused["type"], refused["actor"], refused["request_id"]),
                         ("refused", "ops", "req-1"))
        with self.assertRaises(NatsError) as conflict:
            self.publish_late(1, headers)
        self.assertEqual(conflict.exception.code, 10071)
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, {"a": 1})
        twin = self.hub.json(f"/v1/vehicles/{VID}", metadata="true")
        self.assertEqual(twin["metadata"]["desired"]["updated_by"], "local")
        self.assertEqual([r for r in self.records() if r["type"] == "outside"], [])

    def test_a_running_hub_settles_what_another_left_open(self):
        self.appear()
        self.patch({"a": 1})
        applied = self.leave_open(1, self.kv_seq())
        revision = self.publish_late(1, applied)
        for number in range(6):  # more than the bucket keeps
            self.expect(self.patch({"n": number}), 200)
        refused = self.leave_open(2, self.kv_seq())
        wait_until(lambda: self.outcome(1) and self.outcome(2), 90, "both are settled")
        self.assertEqual([r["type"] for r in self.outcome(1) + self.outcome(2)],
                         ["applied", "refused"])
        self.assertEqual(self.outcome(1)[0]["data"]["revision"], revision)
        with self.assertRaises(NatsError):
            self.publish_late(2, refused)
        self.expect(self.hub.get(f"/v1/vehicles/{VID}/desired"), 200, {"late": 1, "n": 5})


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

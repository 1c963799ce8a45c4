"""Hostile messages among good ones: each is refused for its reason and on record once, and nothing
else changes."""

import base64
import collections
import datetime
import json
import os
import unittest

from harness import OWN_TRACES, StackCase, Trace, envelope, timestamp, wait_until

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")
HOSTILE = 10000
HOSTILE_VEHICLES = 20  # 500 each: far from where refusals of one vehicle are only counted
ENVELOPE_MAX_BYTES = 256 * 1024
KEPT_BYTES = 4096
NOW = timestamp()


def raw(text):
    return lambda vid: text.replace("VID", vid).replace("NOW", NOW).encode()


def padded(size):
    """A good envelope but for its size."""
    def make(vid):
        head = envelope({"text": ""}, vid=vid)
        return head.replace(b'""', b'"' + b"x" * (size - len(head)) + b'"')
    return make


def state(kind="position"):
    return lambda vid: f"fleet.test.veh.{vid}.state.{kind}"


def event(vid):
    return f"fleet.test.veh.{vid}.evt.waypoint"


# (reason, subject, payload), both made for a vehicle
REFUSED = [
    ("not_json", state(), raw("hello")),
    ("not_json", event, raw("")),
    ("not_json", state(), raw('{"timestamp":"NOW","data":{"lat":1')),
    ("not_json", event, raw('{"timestamp":"NOW","data":{"lat":NaN}}')),
    ("not_json", state(), raw('{"timestamp":"NOW","data":{"lat":1e999}}')),
    ("not_json", state(), raw('{"timestamp":"NOW","data":{"a":"\0"}}')),
    ("not_json", event, raw('{"timestamp":"NOW","data":{}}\0')),
    ("not_json", state(), raw('{"timestamp":"NOW","data":{"a":1,"a":2}}')),
    ("not_json", event, raw('{"timestamp":"NOW","data":{},"d\\u0061ta":{}}')),
    ("not_json", state(), lambda vid: b'{"timestamp":"' + NOW.encode() + b'","data":{"a":"\xff"}}'),
    ("not_json", event, lambda vid: b'{"timestamp":"' + NOW.encode() + b'","data":{"a":"\xc0\x80"}}'),
    ("bad_envelope", state(), raw("[1]")),
    ("bad_envelope", event, raw("3")),
    ("bad_envelope", state(), raw('{"data":{}}')),
    ("bad_envelope", event, raw('{"timestamp":"NOW"}')),
    ("bad_envelope", state(), raw('{"timestamp":"NOW","data":[]}')),
    ("bad_envelope", event, raw('{"timestamp":1700000000,"data":{}}')),
    ("bad_envelope", state(), raw('{"timestamp":"NOW","data":{},"seq":-1}')),
    ("bad_envelope", event, raw('{"timestamp":"NOW","data":{},"seq":"1"}')),
    ("bad_envelope", state(), raw('{"timestamp":"NOW","data":{},"seq":1.5}')),
    ("bad_envelope", state(), raw('{"timestamp":"NOW","data":{},"seq":9223372036854775808}')),
    ("bad_envelope", event, raw('{"timestamp":"NOW","data":{},"boot":7}')),
    ("bad_timestamp", state(), raw('{"timestamp":"yesterday","data":{}}')),
    ("bad_timestamp", event, raw('{"timestamp":"2026-02-30T00:00:00Z","data":{}}')),
    ("bad_timestamp", state(), raw('{"timestamp":"2026-01-15T10:30:00","data":{}}')),
    ("vid_mismatch", event, raw('{"vid":"COPTER-01","timestamp":"NOW","data":{}}')),
    ("vid_mismatch", state(), raw('{"vid":"","timestamp":"NOW","data":{}}')),
    ("too_deep", state(), raw('{"timestamp":"NOW","data":{"a":' + "[" * 10000 + "]" * 10000 + "}}")),
    ("too_deep", event, raw('{"timestamp":"NOW","data":{"a":' + "[" * 32 + "]" * 32 + "}}")),
    ("bad_subject", state("a.b.c.d.e"), raw('{"timestamp":"NOW","data":{}}')),
    ("bad_subject", state("posit!on"), raw('{"timestamp":"NOW","data":{}}')),
]
# Large ones are fewer: they are to be refused, not to fill the stream.
REFUSED_LARGE = [
    ("too_large", state(), padded(ENVELOPE_MAX_BYTES + 1)),
    ("too_large", event, padded(300 * 1024)),
]
LARGE = 100

# Odd but good: they count as good ones.
ACCEPTED_DATA = [
    {"text": "\0", "deep": None},
    {"text": "\U0001f680 \u2028", "n": 9007199254740993, "x": 1e-300},
    {},
]


def hostile(count):
    """[(reason, subject, payload)]"""
    made = []
    for i in range(count):
        vid = f"HOSTILE-{i % HOSTILE_VEHICLES:02}"
        kinds = REFUSED_LARGE if i % (count // LARGE) == 0 else REFUSED
        reason, subject, payload = kinds[i // HOSTILE_VEHICLES % len(kinds)]
        made.append((reason, subject(vid), payload(vid)))
    return made


YEARS = (1970, 1985, 2019, 9999)


def clocks():
    """Messages with clocks far off, and after each a good one of the same type: newer by seq, or by
    time, for which it is made only when its turn has come."""
    for i, year in enumerate(YEARS):
        wrong = datetime.datetime(year, 1, 2, tzinfo=datetime.timezone.utc)
        subject = f"fleet.test.veh.CLOCK-{i}.state.battery"
        yield subject, envelope({"remaining": 0.9}, wrong, boot="b", seq=1)
        yield subject, envelope({"remaining": 0.5}, boot="b", seq=2)
        # Without boot and seq the broker's time decides, and a bad clock may not freeze the twin.
        subject = f"fleet.test.veh.CLOCK-{i}.state.mode"
        yield subject, envelope({"mode": "LOITER"}, wrong)
        yield subject, envelope({"mode": "RTL"})


def interleaved(good, bad):
    """Both in their own order, evenly mixed."""
    keyed = [((i + 0.5) / len(good), message) for i, message in enumerate(good)]
    keyed += [((i + 0.25) / len(bad), message) for i, message in enumerate(bad)]
    return [message for _, message in sorted(keyed, key=lambda pair: pair[0])]


class Hostile(StackCase):
    def publish(self, count, disturb=lambda: None):
        """Publishes `count` hostile messages among the good ones, in two halves with `disturb`
        between them. Returns {(stream, sequence): (reason, subject, payload)} of the hostile."""
        bad = hostile(count)
        good = [(None, *message) for message in self.trace.messages("test")]
        good += [(None, f"fleet.test.veh.ODD.evt.odd-{i}", envelope(data))
                 for i, data in enumerate(ACCEPTED_DATA)]
        messages = interleaved(good, bad)
        half = len(messages) // 2
        with self.stack.leaf.client() as client:
            seqs = client.js_publish_all([m[1:] for m in messages[:half]], timeout=120)
            disturb()
            seqs += client.js_publish_all([m[1:] for m in messages[half:]], timeout=120)
        return {("TWIN_STATE" if ".state." in m[1] else "TWIN_EVENTS", seq): m
                for seq, m in zip(seqs, messages) if m[0]}

    def expect_refused(self, refused):
        """Each on record once, with what it was."""
        wait_until(lambda: len(self.hub.events(kind="rejected")) >= len(refused), 120,
                   "the refusals are on record")
        self.stack.wait_archived(120)
        records = self.hub.events(kind="rejected")
        places = [(record["stream"], record["stream_seq"]) for record in records]
        self.assertEqual(len(places), len(set(places)), "a refusal is on record twice")
        self.assertEqual(set(places), set(refused))
        for record in records:
            reason, subject, payload = refused[record["stream"], record["stream_seq"]]
            self.assertEqual(record["type"], reason, (subject, payload[:200]))
            self.assertEqual(record["vid"], subject.split(".")[3])
            self.assertEqual(record["data"], {
                "subject": subject, "reason": reason, "size": len(payload),
                "payload": base64.b64encode(payload[:KEPT_BYTES]).decode()})

    def expect_good(self):
        wait_until(lambda: len(self.hub.events(vid="ODD")) >= len(ACCEPTED_DATA), 60,
                   "the odd ones are on record")
        odd = {record["type"]: record["data"] for record in self.hub.events(vid="ODD")}
        self.assertEqual(odd, {f"odd-{i}": data for i, data in enumerate(ACCEPTED_DATA)})
        twins = self.hub.twins()
        self.assertEqual({vid for vid in twins if vid.startswith("HOSTILE")}, set(),
                         "a refused message has made a twin")
        copters = {vid: twin for vid, twin in twins.items() if vid in self.trace.states}
        self.assertEqual(self.trace.difference(copters), "")
        records = [r for r in self.hub.events(kind="event") if r["vid"] != "ODD"]
        self.assertEqual(self.trace.event_difference(records), "")

    def setUp(self):
        super().setUp()
        self.trace = Trace(COPTERS)

    def test_10000_hostile_messages_are_refused_each_for_its_reason(self):
        refused = self.publish(HOSTILE)
        self.assertEqual(len(refused), HOSTILE)
        self.expect_refused(refused)
        reasons = collections.Counter(message[0] for message in refused.values())
        counted = {dict(labels)["reason"]: count for labels, count
                   in self.hub.metrics()["fleethub_rejected_total"].items() if count}
        self.assertEqual(counted, reasons)
        self.assertEqual(self.hub.metric("messages_total", outcome="rejected"), HOSTILE)
        for reason, count in reasons.items():
            self.assertEqual(len(self.hub.events(kind="rejected", type=reason)), count, reason)
        self.expect_good()

    def test_hostile_messages_are_on_record_once_though_the_hub_is_killed(self):
        def kill():
            self.hub.kill()
            self.hub.start()
            self.hub.kill()
            self.hub.start(ready=False)
        self.expect_refused(self.publish(3000, kill))
        self.expect_good()

    def test_wrong_clocks_are_counted_and_freeze_nothing(self):
        with self.stack.leaf.client() as client:
            for message in clocks():  # each stored, and stamped by the broker, before the next
                client.js_publish(*message)

        def states():
            return {vid: twin["state"] for vid, twin in self.hub.twins().items()}
        want = {f"CLOCK-{i}": {"battery": {"remaining": 0.5}, "mode": {"mode": "RTL"}}
                for i in range(len(YEARS))}
        wait_until(lambda: states() == want, 20, "the good ones have the last word")
        self.assertEqual(self.hub.metric("clock_skew_total"), 2 * len(YEARS))
        self.assertEqual(self.hub.metric("rejected_total"), 0)
        meta = self.hub.json("/v1/vehicles/CLOCK-3", metadata="true")["metadata"]
        self.assertNotIn("9999", json.dumps(meta))


if __name__ == "__main__":
    unittest.main()

"""Positions: a read that waits for what another read, or a write, has seen, on any hub."""

import threading
import time
import unittest
from base64 import urlsafe_b64decode, urlsafe_b64encode

from harness import Stack, envelope, wait_until

WAIT_MAX_MS = 5000


def read_number(data, at):
    """A number of the token's and where it ends: seven bits a byte, the lowest first."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def number(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def ahead(token, by=1000):
    """The position `by` messages further in TWIN_STATE, the first of its streams, at a time that it
    does not know (0)."""
    data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert data[1] & 1
    now_us = int.from_bytes(data[2:10], "big")
    seq, end = read_number(data, 16)
    _, end = read_number(data, end)
    changed = data[:16] + number(seq + by) + number(now_us) + data[end:]
    return urlsafe_b64encode(changed).decode().rstrip("=")


def subject(vid, what):
    return f"fleet.test.veh.{vid}.{what}"


class Positions(unittest.TestCase):
    """Two hubs for all of them: they only add."""

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(leaf=False)
        cls.stack.__enter__()
        cls.addClassCleanup(cls.stack.__exit__, None, None, None)
        cls.hub = cls.stack.hub
        cls.other = cls.stack.add_hub().start()
        cls.nats = cls.stack.nats.client()
        cls.addClassCleanup(cls.nats.close)
        cls.nats.js_publish(subject("P-1", "state.mode"), envelope({"mode": "AUTO"}))
        for hub in (cls.hub, cls.other):
            wait_until(lambda h=hub: h.get("/v1/vehicles/P-1").status == 200, 10, "P-1 is known")

    def position(self, hub=None, path="/v1/vehicles/P-1"):
        return (hub or self.hub).get(path).headers["fleet-position"]

    def publish(self, mode, vid="P-1"):
        return self.nats.js_publish(subject(vid, "state.mode"), envelope({"mode": mode}))

    def ahead(self, by=1000):
        return ahead(self.position(), by)

    def test_every_read_of_twins_takes_a_position_and_carries_one(self):
        token = self.position()
        for path in ("/v1/vehicles", "/v1/vehicles/P-1", "/v1/vehicles/P-1/desired",
                     "/v1/vehicles/P-1/reported", "/v1/vehicles/P-1/config",
                     "/v1/vehicles/P-1/meta", "/v1/vehicles/P-1/delta",
                     "/v1/vehicles/P-1/state/mode", "/v1/fleet/stats", "/v1/fleet/fields"):
            for hub in (self.hub, self.other):
                reply = hub.get(path, min_position=token)
                self.assertEqual(reply.status, 200, (path, reply))
                self.assertIn("fleet-position", reply.headers, path)

    def test_what_one_hub_showed_the_other_shows_from_its_position_on(self):
        """Without the wait this fails now and then: each hub reads at its own pace."""
        for i in range(300):
            hub, other = (self.hub, self.other) if i % 2 else (self.other, self.hub)
            self.publish(f"M{i}")
            wait_until(lambda h=hub, n=i: h.json("/v1/vehicles/P-1/state/mode")["mode"] == f"M{n}",
                       5, "one hub shows it")
            token = self.position(hub)
            reply = other.get("/v1/vehicles/P-1/state/mode", min_position=token)
            self.assertEqual(reply.status, 200, reply)
            self.assertEqual(reply.json()["mode"], f"M{i}")

    def test_a_read_waits_for_what_is_not_there_yet(self):
        token = self.ahead(3)
        answers = []
        reader = threading.Thread(target=lambda: answers.append(
            self.hub.get("/v1/vehicles/P-1/state/mode", min_position=token, wait_ms=5000)))
        reader.start()
        for mode in ("A", "B"):
            self.publish(mode)
        wait_until(lambda: self.hub.json("/v1/vehicles/P-1/state/mode")["mode"] == "B", 5,
                   "two of three are there")
        self.assertEqual(answers, [])
        self.publish("C")
        reader.join(10)
        self.assertEqual(answers[0].status, 200, answers[0])
        self.assertEqual(answers[0].json()["mode"], "C")

    def test_what_does_not_come_is_a_504_within_the_time(self):
        token = self.ahead()
        for wait_ms, least in ((0, 0), (300, 0.3), (None, 1.0)):
            began = time.monotonic()
            parameters = {} if wait_ms is None else {"wait_ms": wait_ms}
            reply = self.hub.get("/v1/vehicles", min_position=token, **parameters)
            took = time.monotonic() - began
            self.assertEqual(reply.status, 504, reply)
            self.assertEqual(reply.headers["content-type"], "application/problem+json")
            self.assertGreaterEqual(took, least)
            self.assertLess(took, least + 4)

    def test_a_wait_is_never_longer_than_five_seconds(self):
        began = time.monotonic()
        reply = self.hub.get("/v1/vehicles", min_position=self.ahead(), wait_ms=600000)
        self.assertEqual(reply.status, 504)
        self.assertLess(time.monotonic() - began, WAIT_MAX_MS / 1000 + 3)

    def test_what_is_no_position_is_a_400(self):
        good = self.position()
        for bad in ("", "nonsense", good[:-2], good + "AA", "latest"):
            self.assertEqual(self.hub.get("/v1/vehicles", min_position=bad).status, 400, bad)
        for bad in ("", "soon", "-1", "1.5", "1s"):
            reply = self.hub.get("/v1/vehicles", min_position=good, wait_ms=bad)
            self.assertEqual(reply.status, 400, bad)
        self.assertEqual(self.hub.get("/livez", min_position=good).status, 400)

    def test_many_may_wait_and_nobody_else_does(self):
        """More than there are threads, and the event threads go on."""
        token = self.ahead(1)
        answers = []
        readers = [threading.Thread(target=lambda: answers.append(
            self.hub.get("/v1/vehicles/P-1/state/mode", min_position=token, wait_ms=5000)))
            for _ in range(60)]
        for reader in readers:
            reader.start()
        wait_until(lambda: self.hub.metric("http_connections") >= 60, 10, "all of them wait")
        self.assertEqual(self.hub.get("/v1/vehicles/P-1").status, 200)
        self.assertEqual(answers, [])
        self.publish("Z")
        for reader in readers:
            reader.join(10)
        self.assertEqual([reply.status for reply in answers], [200] * 60)
        self.assertEqual({reply.json()["mode"] for reply in answers}, {"Z"})

    def test_the_record_is_waited_for(self):
        for i in range(20):
            self.nats.js_publish(subject("P-2", "evt.waypoint"), envelope({"n": i}))
            token = wait_until(lambda n=i: self.event_position(), 5, "a twin has heard of it")
            reply = self.other.get("/v1/events", vid="P-2", min_position=token, wait_ms=5000)
            self.assertEqual(reply.status, 200, reply)
            self.assertEqual([r["data"]["n"] for r in reply.json()["events"]],
                             list(range(i, -1, -1)))

    def event_position(self):
        """Of this hub, once it has read all events."""
        end = self.nats.stream_info("TWIN_EVENTS")["state"]["last_seq"]
        reply = self.hub.get("/v1/vehicles/P-2")
        applied = self.hub.metric("messages_total", stream="TWIN_EVENTS")
        return reply.status == 200 and applied >= end and self.position()

    def test_a_position_outlives_a_restart(self):
        self.publish("BEFORE")
        wait_until(lambda: self.other.json("/v1/vehicles/P-1/state/mode")["mode"] == "BEFORE", 5,
                   "it is there")
        token = self.position(self.other)
        self.other.kill()
        self.other.start()
        reply = self.other.get("/v1/vehicles/P-1/state/mode", min_position=token)
        self.assertEqual((reply.status, reply.json()["mode"]), (200, "BEFORE"))


class Epochs(unittest.TestCase):
    def test_a_position_of_another_epoch_is_a_410_and_those_who_wait_are_let_go(self):
        with Stack(leaf=False) as stack, stack.nats.client() as nats:
            hub = stack.hub
            nats.js_publish(subject("E-1", "state.mode"), envelope({"mode": "AUTO"}))
            wait_until(lambda: hub.get("/v1/vehicles/E-1").status == 200, 10, "E-1 is known")
            token = hub.get("/v1/vehicles/E-1").headers["fleet-position"]
            config = nats.stream_info("TWIN_STATE")["config"]
            nats.js_api("STREAM.DELETE.TWIN_STATE")
            nats.js_api("STREAM.CREATE.TWIN_STATE", config)
            nats.js_publish(subject("E-1", "state.mode"), envelope({"mode": "RTL"}))
            wait_until(lambda: hub.json("/v1/vehicles/E-1/state/mode")["mode"] == "RTL", 30,
                       "the hub reads the new stream")
            reply = hub.get("/v1/vehicles/E-1", min_position=token)
            self.assertEqual(reply.status, 410, reply)
            self.assertEqual(reply.headers["content-type"], "application/problem+json")
            fresh = hub.get("/v1/vehicles/E-1").headers["fleet-position"]
            self.assertEqual(hub.get("/v1/vehicles/E-1", min_position=fresh).status, 200)

    def test_a_hub_that_stops_keeps_nobody_waiting(self):
        with Stack(leaf=False) as stack, stack.nats.client() as nats:
            hub = stack.hub
            nats.js_publish(subject("E-1", "state.mode"), envelope({"mode": "AUTO"}))
            wait_until(lambda: hub.get("/v1/vehicles/E-1").status == 200, 10, "E-1 is known")
            token = hub.get("/v1/vehicles").headers["fleet-position"]
            answers = []
            reader = threading.Thread(target=lambda: answers.append(
                hub.get("/v1/vehicles", min_position=ahead(token), wait_ms=5000)))
            reader.start()
            wait_until(lambda: hub.metric("http_connections") >= 2, 5, "it waits")
            began = time.monotonic()
            self.assertEqual(hub.stop(), 0)
            reader.join(10)
            self.assertLess(time.monotonic() - began, 5)  # less than it would have waited
            self.assertEqual(answers[0].status, 503)


if __name__ == "__main__":
    unittest.main()

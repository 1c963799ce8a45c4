"""GET /v1/events/stream: the record as it grows, over breaks, restarts and slow clients."""

import json
import socket
import threading
import time
import unittest
import urllib.parse

from harness import StackCase, envelope, wait_until
from harness.process import scaled

MANY = 6000


class Follower:
    """A client that keeps the records it is sent, in order."""

    def __init__(self, hub, last_id=None, read=True, receive_bytes=None, **parameters):
        self.records, self.resets, self.ids, self.comments = [], [], [], 0
        self.parameters, self.receive_bytes = parameters, receive_bytes
        self.may_read = threading.Event()
        if read:
            self.may_read.set()
        self.last_id, self.ended = last_id, False
        self.open(hub)

    def open(self, hub):
        path = "/v1/events/stream"
        if self.parameters:
            path += "?" + urllib.parse.urlencode(self.parameters)
        head = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n"
        if self.last_id is not None:
            head += f"Last-Event-ID: {self.last_id}\r\n"
        self.socket = socket.socket()
        if self.receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.socket.settimeout(scaled(20))
        self.socket.connect(("127.0.0.1", hub.port))
        self.socket.sendall((head + "\r\n").encode())
        self.input = self.socket.makefile("rb")
        self.status = int(self.input.readline().split()[1])
        while self.input.readline().strip():
            pass
        if self.status != 200:
            self.body = self.input.read()
            return
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self._read, args=(self.input,), daemon=True)
        self.thread.start()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.may_read.set()
        if self.status == 200:
            self.thread.join(scaled(20))
        self.input.close()
        self.socket.close()

    def _read(self, source):
        fields = {}
        try:
            while True:
                self.may_read.wait()
                line = source.readline()
                if not line.endswith(b"\n"):
                    break
                line = line.decode().rstrip("\n")
                name, _, value = line.partition(":")
                if line == "":
                    self._take(fields)
                    fields = {}
                elif name == "":
                    self.comments += 1
                else:
                    fields[name] = value.removeprefix(" ")
        except (OSError, ValueError):
            pass
        self.ended = True

    def _take(self, fields):
        if "id" in fields:
            self.last_id = fields["id"]
        if "data" not in fields:
            return
        data = json.loads(fields["data"])
        if fields["event"] == "record":
            assert str(data["seq"]) == fields["id"], fields
            self.records.append(data)
        else:
            self.resets.append(data["reason"])


class Following(StackCase):
    def follow(self, hub=None, **options):
        client = Follower(hub or self.hub, **options)
        self.addCleanup(client.close)
        self.assertEqual(client.status, 200)
        return client

    def publish(self, count, vid="F-1", first=0, **more):
        with self.stack.nats.client() as client:
            client.js_publish_all([(f"fleet.test.veh.{vid}.evt.waypoint", envelope(dict(more, index=i), seq=i))
                                   for i in range(first, first + count)])

    def wait_for(self, client, count, timeout=40):
        wait_until(lambda: len(client.records) >= count, timeout, f"{count} records were sent")
        self.assertEqual(len(client.records), count)

    def test_what_is_recorded_comes_once_and_in_order_to_whom_asked_for_it(self):
        self.publish(3)
        self.stack.wait_archived()
        everything = self.follow()
        events = self.follow(kind="event")
        some = self.follow(filter='data.index >= 5 AND vid = "F-1"')
        none = self.follow(vid="NOBODY")
        wait_until(lambda: all(c.comments for c in (everything, events, some, none)), 20, "all are heard")
        self.publish(7, first=3)
        self.publish(2, vid="F-2")
        self.wait_for(events, 9)
        self.wait_for(some, 5)
        self.assertEqual(events.records, self.hub.events(kind="event", order_by="seq")[3:])
        self.assertEqual(some.records, [r for r in events.records if r["data"]["index"] >= 5])
        seqs = [r["seq"] for r in everything.records]
        self.assertEqual(seqs, list(range(seqs[0], seqs[0] + len(seqs))))
        self.assertEqual(none.records, [])

    def test_from_the_beginning_to_now_and_on(self):
        self.publish(MANY)
        self.stack.wait_archived()
        client = self.follow(last_id="0", kind="event")
        self.publish(50, vid="F-2")
        self.wait_for(client, MANY + 50)
        self.assertEqual(client.records, self.hub.events(kind="event", order_by="seq"))

    def test_a_break_is_no_gap_on_the_same_hub_and_on_another(self):
        other = self.stack.add_hub().start()
        client = self.follow(kind="event")
        self.publish(5)
        self.wait_for(client, 5)
        self.hub.kill()
        wait_until(lambda: client.ended, 20, "the stream has ended")
        self.publish(5, first=5)
        client.close()
        client.open(other)
        self.addCleanup(client.close)
        self.publish(5, first=10)
        self.wait_for(client, 15)
        self.hub.start()
        client.close()
        self.publish(5, first=15)
        client.open(self.hub)
        self.wait_for(client, 20)
        self.assertEqual([r["data"]["index"] for r in client.records], list(range(20)))
        self.assertEqual(client.resets, [])

    def test_a_client_that_does_not_read_misses_nothing_and_holds_up_nobody(self):
        slow = self.follow(kind="event", read=False, receive_bytes=4096)
        quick = self.follow(kind="event")
        wait_until(lambda: quick.comments, 20, "the quick one is heard")
        self.publish(MANY, padding="x" * 2000)
        self.wait_for(quick, MANY, 90)
        slow.may_read.set()
        self.wait_for(slow, MANY, 90)
        self.assertEqual(slow.records, quick.records)

    def test_the_database_goes_and_comes(self):
        client = self.follow(kind="event")
        self.publish(5)
        self.wait_for(client, 5)
        self.stack.postgres.stop()
        self.publish(5, first=5)
        refused = Follower(self.hub)
        self.addCleanup(refused.close)
        self.assertEqual(refused.status, 503)
        self.stack.postgres.start()
        self.wait_for(client, 10)

    def test_ids_that_lead_nowhere_begin_now_and_say_so(self):
        self.publish(3)
        self.stack.wait_archived()
        for mark in ("nonsense", "-1", "99999999", "1" * 30):
            client = self.follow(last_id=mark, kind="event")
            wait_until(lambda: client.resets, 20, "it is told")
            self.assertEqual(client.resets, ["bad_id"])
            self.assertEqual(client.records, [])
        self.publish(1, first=3)
        self.wait_for(client, 1)

    def test_records_that_retention_took_are_told_of(self):
        self.publish(20)
        self.stack.wait_archived()
        first = self.hub.events(kind="event", order_by="seq")[10]["seq"]
        self.stack.postgres.query(f"DELETE FROM records WHERE seq < {first}")
        client = self.follow(last_id="2", kind="event")
        self.wait_for(client, 10)
        self.assertEqual(client.resets, ["gone"])

    def test_a_stop_ends_the_streams(self):
        client = self.follow()
        wait_until(lambda: client.comments, 20, "it is heard")
        started = time.monotonic()
        self.assertEqual(self.hub.stop(), 0)
        wait_until(lambda: client.ended, 5, "the stream has ended")
        self.assertLess(time.monotonic() - started, scaled(10))

    def test_following_is_on_record(self):
        self.follow(vid="F-1")
        self.stack.wait_archived()
        wait_until(lambda: [r["data"]["query"] for r in self.hub.events(type="record_streamed")] == [{"vid": "F-1"}],
                   20, "who follows is on record")

    def test_followers_are_counted_and_forgotten(self):
        clients = [self.follow() for _ in range(5)]
        self.assertEqual(self.hub.metric("record_followers"), 5)
        for client in clients:
            client.close()
        # What is sent tells that nobody is there.
        wait_until(lambda: self.publish(1) or self.hub.metric("record_followers") == 0, 40,
                   "all are forgotten")


if __name__ == "__main__":
    unittest.main()

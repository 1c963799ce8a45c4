"""Those who keep a stream open all day: dashboards with live queries and followers of the record; some
read slowly, some break off and come back where they were."""

import json
import random
import socket
import threading
import time

from .live import LiveClient
from .process import scaled, wait_until

SLOW_RECEIVE_BYTES = 4096
BREAK_S = 12.0        # how long one that breaks off stays
SLOW_S = (0.5, 3.0)   # how long a slow one reads nothing
LIVE_FILTER_SHARE = 20  # each live query sees one in so many of the fleet's vehicles


class LeanLiveClient(LiveClient):
    """Keeps the model, and of the events none."""

    def _take(self, event):
        super()._take(event)
        self.events.clear()


class RecordFollower:
    """GET /v1/events/stream without a filter: every record of the log has to come, once and in order,
    over all breaks."""

    def __init__(self, hub, receive_bytes=None):
        self.hub, self.receive_bytes = hub, receive_bytes
        self.last = None   # the seq of the last record
        self.count = 0
        self.wrong = []
        self.may_read = threading.Event()
        self.may_read.set()
        self.socket = None

    def open(self):
        head = "GET /v1/events/stream HTTP/1.0\r\nHost: localhost\r\n"
        if self.last is not None:
            head += f"Last-Event-ID: {self.last}\r\n"
        self.ended = False
        self.socket = socket.socket()
        if self.receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.socket.settimeout(scaled(30))
        self.socket.connect(("127.0.0.1", self.hub.port))
        self.socket.sendall((head + "\r\n").encode())
        self.input = self.socket.makefile("rb")
        status = int(self.input.readline().split()[1])
        if status != 200:
            self.socket.close()
            raise OSError(f"the stream of the record: {status}")
        while self.input.readline().strip():
            pass
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self._read, args=(self.input,), daemon=True)
        self.thread.start()
        return self

    def close(self):
        if not self.socket:
            return
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.may_read.set()
        self.thread.join(scaled(30))
        self.input.close()
        self.socket.close()
        self.socket = None

    def reopen(self):
        self.close()
        return self.open()

    def _read(self, source):
        name = number = None
        try:
            while True:
                self.may_read.wait()
                line = source.readline()
                if not line.endswith(b"\n"):
                    break
                if line.startswith(b"event:"):
                    name = line[6:].strip()
                elif line.startswith(b"id:"):
                    number = int(line[3:])
                elif line.startswith(b"data:") and name == b"record":
                    self._take(number, line)
                elif line.startswith(b"data:") and name == b"reset":
                    self.wrong.append(json.loads(line[5:]))
        except (OSError, ValueError):
            pass
        self.ended = True

    def _take(self, number, line):
        if self.last is not None and number != self.last + 1:
            self.wrong.append(f"{number} after {self.last}")
        if b'"seq":%d' % number not in line.replace(b" ", b""):
            self.wrong.append(f"id {number} is not the record's seq")
        self.last = number
        self.count += 1


class Crowd:
    """`live` live queries and `followers` of the record. Every third of them is slow, every third
    breaks off now and then."""

    def __init__(self, hub, vids, seed, live=18, followers=3):
        self.hub = hub
        self.rng = random.Random(seed)
        share = max(1, len(vids) // LIVE_FILTER_SHARE)
        self.live = []
        for number in range(live):
            first = self.rng.randrange(len(vids) - share + 1)
            some = (f'vid >= "{vids[first]}" AND vid <= "{vids[first + share - 1]}"')
            fields = ("vid,state.position,state.mode", "vid,delta", "vid,reported,state.mode")
            self.live.append(LeanLiveClient(
                hub, filter=some if number % 2 else f'{some} AND state.mode.armed = true',
                fields=fields[number % len(fields)], max_hz=1,
                receive_bytes=SLOW_RECEIVE_BYTES if number % 3 == 0 else None))
        self.followers = [RecordFollower(hub, SLOW_RECEIVE_BYTES if number % 3 == 0 else None)
                          for number in range(followers)]
        self.everyone = self.live + self.followers
        self.reopened = self.cut_off = 0
        self.failures = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        for one in self.everyone:
            one.open()
        self.thread.start()
        return self

    def slow(self):
        return self.everyone[0::3]

    def breaking(self):
        return self.everyone[1::3]

    def _run(self):
        next_break = time.monotonic() + BREAK_S
        while not self.ended.wait(self.rng.uniform(*SLOW_S)):
            try:
                for one in self.slow():
                    if self.rng.random() < 0.5:
                        one.may_read.clear()
                    else:
                        one.may_read.set()
                if time.monotonic() >= next_break:
                    next_break += BREAK_S
                    self.rng.choice(self.breaking()).reopen()
                    self.reopened += 1
                self._revive()
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error)[:500])

    def _revive(self):
        """Those that the hub has cut off, for being too slow, come back as a browser does."""
        for one in self.everyone:
            if one.ended:
                one.may_read.set()
                one.reopen()
                self.cut_off += 1

    def settle(self):
        """No more faults; everybody reads, and is connected."""
        self.ended.set()
        self.thread.join()
        for one in self.everyone:
            one.may_read.set()
            if one.ended:
                one.reopen()

    def wait_caught_up(self, head, timeout):
        """Every live query is what a list says, every follower has the record up to `head`."""
        for one in self.followers:
            wait_until(lambda f=one: f.last is not None and f.last >= head, timeout,
                       f"a follower of the record has come from {one.last} to {head}")
        for one in self.live:
            one.wait_same(timeout=timeout)

    def complaints(self):
        found = list(self.failures)
        for one in self.followers:
            found += [f"a follower of the record: {wrong}" for wrong in one.wrong[:3]]
        for one in self.live:
            found += [f"a live query: {wrong}" for wrong in one.wrong[:3]]
        return found

    def close(self):
        for one in self.everyone:
            one.close()

"""A vehicle's gateway by the letter of the contract (§1): what it publishes it keeps until `archived`
covers the sequence of its publish acknowledgement, and otherwise publishes it again under the same
Nats-Msg-Id. It makes its messages from numbers, so that afterwards all of them can be told again."""

import collections
import json
import random
import select
import socket
import threading
import time

READ_BYTES = 1 << 20
CONNECT_S = 2
CONNECT_PAUSE_S = 0.05
ROUND_S = 0.05
TICK_S = 0.25
ANSWER_S = 3       # without an answer to a publish it is repeated
STANDSTILL_S = 10  # so it is while positions are heard and do not come to cover it


class Kept:
    __slots__ = ("stream", "seq", "epoch", "sent")

    def __init__(self, stream):
        self.stream = stream
        self.seq = 0  # of its acknowledgement on this connection; 0: none yet
        self.epoch = None  # the one that was known then
        self.sent = 0.0


class Gateway:
    """`make(number)`: (stream, subject, msg_id, payload). Counts start at 0 and have no holes.

    Every other message is repeated less than the contract asks for: not for a new epoch of its stream,
    as long as the connection to the broker stands, and so what it acknowledged is there. A hub that
    passes over a stored message is not helped out there."""

    def __init__(self, port, archived_subject, make):
        self.port, self.archived_subject, self.make = port, archived_subject, make
        self.inbox = f"_INBOX.{random.getrandbits(64):016x}"
        self.lock = threading.Lock()
        self.kept = {}  # number: Kept; the thread's
        self.published = self.stored = self.archived_count = 0
        self.acknowledged = bytearray()  # by number: 1 once it was stored somewhere
        self.repeated = collections.Counter()
        self.fresh = []  # numbers not yet sent
        self.positions = {}  # stream: (epoch, seq, since when)
        self.closed = False
        self.error = None
        self.wake_out, self.wake_in = socket.socketpair()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def publish(self, count):
        """Hands over the next `count` messages; returns at once."""
        with self.lock:
            self.fresh.extend(range(self.published, self.published + count))
            self.published += count
        self.wake_in.send(b"x")

    def kept_count(self):
        """Those that `archived` has not covered yet."""
        with self.lock:
            return self.published - self.archived_count

    def close(self):
        self.closed = True
        self.wake_in.send(b"x")
        self.thread.join(CONNECT_S + 5)
        self.wake_in.close()
        self.wake_out.close()

    # ---- the thread ----

    def _run(self):
        try:
            while not self.closed:
                try:
                    link = socket.create_connection(("127.0.0.1", self.port), CONNECT_S)
                except OSError:
                    time.sleep(CONNECT_PAUSE_S)
                    continue
                try:
                    self._session(link)
                except OSError:
                    pass
                finally:
                    link.close()
        except Exception as error:  # told by whoever waits for it
            self.error = error
            raise

    def _frame(self, number):
        _, subject, msg_id, payload = self.make(number)
        headers = b"NATS/1.0\r\nNats-Msg-Id: %s\r\n\r\n" % msg_id
        return b"HPUB %s %s.%d %d %d\r\n%s%s\r\n" % (
            subject, self.inbox.encode(), number, len(headers), len(headers) + len(payload),
            headers, payload)

    def _take_fresh(self):
        with self.lock:
            fresh, self.fresh = self.fresh, []
        self.acknowledged.extend(bytes(len(fresh)))
        for number in fresh:
            self.kept[number] = Kept(self.make(number)[0])
        return fresh

    def _send(self, numbers, why=None):
        now = time.monotonic()
        for number in numbers:
            kept = self.kept.get(number)
            if not kept:
                continue
            kept.seq, kept.epoch, kept.sent = 0, None, now
            self.out += self._frame(number)
            if why:
                self.repeated[why] += 1

    def _session(self, link):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setblocking(False)
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": False,
                   "lang": "python-test", "version": "1", "protocol": 1, "name": "gateway"}
        self.out = bytearray(b"CONNECT %s\r\nSUB %s.* 1\r\nSUB %s 2\r\n" % (
            json.dumps(options).encode(), self.inbox.encode(), self.archived_subject.encode()))
        self.waiting = bytearray()
        self.positions.clear()
        self._send(list(self.kept), "reconnect")  # acknowledged is not yet on disk
        ticked = time.monotonic()
        while not self.closed:
            writers = [link] if self.out else []
            readable, writable, _ = select.select([link, self.wake_out], writers, [], ROUND_S)
            if self.wake_out in readable:
                self.wake_out.recv(READ_BYTES)
                self._send(self._take_fresh())
            if link in readable:
                data = link.recv(READ_BYTES)
                if not data:
                    return
                self.waiting += data
                self._read()
            if writable:
                del self.out[:link.send(self.out)]
            if time.monotonic() - ticked > TICK_S:
                ticked = time.monotonic()
                self._tick(ticked)

    def _read(self):
        at = 0
        while True:
            end = self.waiting.find(b"\r\n", at)
            if end < 0:
                break
            line = bytes(self.waiting[at:end])
            if line.startswith(b"MSG "):
                words = line.split()
                size = int(words[-1])
                if len(self.waiting) < end + 4 + size:
                    break
                self._message(words[1], words[2], bytes(self.waiting[end + 2:end + 2 + size]))
                at = end + 4 + size
                continue
            if line == b"PING":
                self.out += b"PONG\r\n"
            at = end + 2
        del self.waiting[:at]

    def _message(self, subject, sid, data):
        if sid == b"2":
            for stream, position in json.loads(data).items():
                self._archived(stream, position["epoch"], position["seq"])
            return
        kept = self.kept.get(int(subject.rpartition(b".")[2]))
        before, found, rest = data.partition(b'"seq":')
        if not found or b'"error"' in before:
            return  # refused: repeated when the time for an answer has passed
        if kept:
            number = int(subject.rpartition(b".")[2])
            kept.seq = int(rest.partition(b",")[0].rstrip(b"} "))
            kept.epoch = self.positions.get(kept.stream, (None,))[0]
            if not self.acknowledged[number]:
                self.acknowledged[number] = 1
                self.stored += 1

    def _archived(self, stream, epoch, seq):
        known = self.positions.get(stream)
        moved = not known or (epoch, seq) != known[:2]
        self.positions[stream] = (epoch, seq, time.monotonic() if moved else known[2])
        done, again = [], []
        for number, kept in self.kept.items():
            if kept.stream != stream or not kept.seq:
                continue
            if kept.epoch is None or number % 2:  # None: acknowledged before a position was heard
                kept.epoch = epoch
            if kept.epoch != epoch:
                again.append(number)
            elif kept.seq <= seq:
                done.append(number)
        for number in done:
            del self.kept[number]
        with self.lock:
            self.archived_count += len(done)
        self._send(again, "new epoch")

    def _tick(self, now):
        late = [number for number, kept in self.kept.items()
                if not kept.seq and kept.sent and now - kept.sent > ANSWER_S]
        self._send(late, "no answer")
        for stream, (_, seq, since) in list(self.positions.items()):
            if now - since < STANDSTILL_S:
                continue
            self._send([number for number, kept in self.kept.items()
                        if kept.stream == stream and kept.seq > seq and number % 2 == 0
                        and now - kept.sent > STANDSTILL_S], "not archived")

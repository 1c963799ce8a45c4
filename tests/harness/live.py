"""A client of a live query: Server-Sent Events over a plain socket, and the model of the fleet that it
keeps from them."""

import collections
import json
import socket
import threading
import urllib.parse

from .process import scaled, wait_until

READ_BYTES = 64 * 1024
CONNECT_S = 10


class Refused(AssertionError):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]!r}")
        self.status, self.body = status, body


Event = collections.namedtuple("Event", "name id data")


class LiveClient:
    """Reads in a thread of its own. `model` is what the events say: {vid: data}."""

    def __init__(self, hub, receive_bytes=None, read=True, **parameters):
        self.hub, self.parameters = hub, parameters
        self.receive_bytes = receive_bytes
        self.model, self.events, self.resets = {}, [], []
        self.readies = self.comments = 0
        self.last_id = None
        self.wrong = []  # events that make no sense to one who has never been away
        self.strict = True
        self.lock = threading.Lock()
        self.may_read = threading.Event()
        if read:
            self.may_read.set()
        self.socket = self.thread = None
        self.ended = False

    # ---- the connection ----

    def open(self, hub=None, last_id=True):
        """Connects, with the last id where there is one."""
        self.hub = hub or self.hub
        path = "/v1/vehicles/stream"
        if self.parameters:
            path += "?" + urllib.parse.urlencode(self.parameters)
        resumes = last_id and self.last_id
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
        if resumes:
            head += f"Last-Event-ID: {self.last_id}\r\n"
            self.strict = False
        self.socket = socket.socket()
        if self.receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.socket.settimeout(scaled(CONNECT_S))
        self.socket.connect(("127.0.0.1", self.hub.port))
        self.socket.sendall((head + "\r\n").encode())
        self.ended, self.rest, self.text = False, b"", ""
        status, headers = self._read_head()
        if status != 200:
            while len(self.rest) < int(headers["content-length"]):
                self.rest += self.socket.recv(READ_BYTES)
            raise Refused(status, self.rest)
        self.headers = headers
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self._read, args=(self.socket,), daemon=True)
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
        if self.thread:
            self.thread.join(scaled(CONNECT_S))
        self.socket.close()
        self.socket = self.thread = None

    def __enter__(self):
        return self.open()

    def __exit__(self, *_):
        self.close()

    def reopen(self, hub=None):
        """As a browser does after a break."""
        self.close()
        return self.open(hub)

    def _read_head(self):
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(READ_BYTES)
            if not more:
                raise OSError("no HTTP answer")
            data += more
        head, _, self.rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(lines[0].split()[1]), headers

    def _read(self, connection):
        try:
            data = self.rest
            while True:
                data = self._take_chunks(data)
                if data is None:
                    break
                self.may_read.wait()
                more = connection.recv(READ_BYTES)
                if not more:
                    break
                data += more
        except OSError:
            pass
        self.ended = True

    def _take_chunks(self, data):
        """What is left of the data behind its last whole chunk; None after the last one."""
        at = 0
        while True:
            end = data.find(b"\r\n", at)
            if end < 0:
                return data[at:]
            size = int(data[at:end], 16)
            if len(data) < end + 4 + size:
                return data[at:]
            self._take_text(data[end + 2:end + 2 + size])
            if size == 0:
                return None
            at = end + 4 + size

    # ---- events ----

    def _take_text(self, data):
        self.text = self.text + data.decode("utf-8", "strict") if isinstance(self.text, str) else ""
        *blocks, self.text = self.text.split("\n\n")
        for block in blocks:
            self._take_block(block)

    def _take_block(self, block):
        fields = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                assert name not in fields, block
                fields[name] = value.removeprefix(" ")
            else:
                self.comments += 1
        if fields:
            assert set(fields) == {"event", "id", "data"}, block
            with self.lock:
                self._take(Event(fields["event"], fields["id"], json.loads(fields["data"])))

    def _take(self, event):
        self.events.append(event)
        self.last_id = event.id
        vid = event.data.get("vid")
        if self.strict and event.name in ("enter", "update", "leave") and \
                (vid in self.model) != (event.name != "enter"):
            self.wrong.append(event)
        if event.name in ("enter", "update"):
            self.model[vid] = event.data
        elif event.name == "leave":
            self.model.pop(vid, None)
        elif event.name == "ready":
            self.readies += 1
        elif event.name == "reset":
            self.resets.append(event.data["reason"])
            self.model.clear()
        else:
            self.wrong.append(event)

    def seen(self):
        """The model, as it is between two events."""
        with self.lock:
            return dict(self.model)

    def count(self, name, vid=None):
        with self.lock:
            return sum(1 for e in self.events
                       if e.name == name and vid in (None, e.data.get("vid")))

    def wait_ready(self, times=1, timeout=10):
        wait_until(lambda: self.readies >= times, timeout, "the live query is ready")
        return self

    def expected(self, hub=None):
        """What a list says, asked as the live query is."""
        wanted = {k: v for k, v in self.parameters.items() if k != "max_hz"}
        return {twin["vid"]: twin for twin in
                (hub or self.hub).pages("/v1/vehicles", "vehicles", page_size=1000, **wanted)}

    def difference(self, hub=None):
        """What the model and the list do not agree on."""
        seen, wanted = self.seen(), self.expected(hub)
        return {vid: (seen.get(vid), wanted.get(vid)) for vid in set(seen) | set(wanted)
                if seen.get(vid) != wanted.get(vid)}

    def wait_same(self, hub=None, timeout=15):
        last = []

        def same():
            last[:] = [self.difference(hub)]
            return not last[0]
        try:
            wait_until(same, timeout, "the model is what the list says")
        except AssertionError as error:
            sample = dict(list(last[0].items())[:2])
            raise AssertionError(f"{error}; {self.parameters}; {len(last[0])} differ: "
                                 f"{str(sample)[:1500]}") from None

"""A link to PostgreSQL that fails in the middle of a COMMIT: the moment at which a client cannot know
what became of its transaction."""

import socket
import struct
import threading

BUFFER_BYTES = 256 * 1024
HOLD_POLL_S = 0.05
TYPE_AND_LENGTH = struct.Struct("!cI")
LENGTH = struct.Struct("!I")
WORD = b"COMMIT\0"
ASKING = (b"Q", b"P")  # a simple query, or one that is parsed first

# What may happen to a COMMIT, and what becomes of the transaction.
CUTS = {
    "before": "nothing of it is passed on: rolled back",
    "half": "half of its bytes are passed on: rolled back",
    "after": "it is passed on, the connection closed at once: nearly always committed",
    "answer": "it is passed on, the server's answer is not: committed",
    "held": "it is passed on late, when nobody waits for it any more",
    "answer_held": "its answer is passed on late",
}


class Connection:
    def __init__(self, near, far):
        self.near, self.far = near, far
        self.watched = False  # its COMMITs may be cut
        self.drop_answer = self.hold_answer = False

    def close(self):
        for one in (self.near, self.far):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class CommitProxy:
    """Listens on 127.0.0.1 and passes on to PostgreSQL's socket. `watched`: the application_name of
    the connections whose COMMITs count."""

    def __init__(self, socket_path, watched):
        self.socket_path, self.watched = socket_path, watched.encode()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closed = False
        self.lock = threading.Lock()
        self.connections = set()
        self.cut = self.judge = None
        self.fired = threading.Event()
        self.released = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cut, judge=lambda: True):
        """The next COMMIT for which judge() is true is cut so. It is asked while the COMMIT waits.
        fired tells when that has happened; what is held, until release()."""
        assert cut in CUTS
        self.fired.clear()
        self.released.clear()
        with self.lock:
            self.cut, self.judge = cut, judge

    def disarm(self):
        with self.lock:
            self.cut = self.judge = None

    def release(self):
        self.released.set()

    def close(self):
        self.closed = True
        self.release()
        self.listener.close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            connection.close()

    # ---- inside ----

    def _accept(self):
        while not self.closed:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                far.connect(self.socket_path)
            except OSError:
                near.close()
                far.close()
                continue
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(near, far)
            with self.lock:
                self.connections.add(connection)
            for pump in (self._up, self._down):
                threading.Thread(target=self._pump, args=(pump, connection), daemon=True).start()

    def _pump(self, pump, connection):
        try:
            pump(connection)
        except OSError:
            pass
        connection.close()
        with self.lock:
            self.connections.discard(connection)

    def _up(self, connection):
        """From the client, message by message."""
        waiting = bytearray()
        started = False
        while True:
            data = connection.near.recv(BUFFER_BYTES)
            if not data:
                return
            waiting += data
            while True:
                size = self._message_bytes(waiting, started)
                if not size or len(waiting) < size:
                    break
                message = bytes(waiting[:size])
                del waiting[:size]
                if not started:
                    started = True
                    connection.watched = self.watched in message
                elif connection.watched and message[:1] in ASKING and WORD in message:
                    if not self._commit(connection, message):
                        return
                    continue
                connection.far.sendall(message)

    @staticmethod
    def _message_bytes(waiting, started):
        if not started:  # the first message has no type
            return LENGTH.unpack_from(waiting)[0] if len(waiting) >= LENGTH.size else 0
        if len(waiting) < TYPE_AND_LENGTH.size:
            return 0
        return 1 + TYPE_AND_LENGTH.unpack_from(waiting)[1]

    def _take(self):
        """The cut that this COMMIT is to meet, None for none."""
        with self.lock:
            cut, judge = self.cut, self.judge
            if not cut or not judge():
                return None
            self.cut = self.judge = None
            return cut

    def _commit(self, connection, message):
        """False when the connection is to be closed."""
        cut = self._take()
        if cut == "half":
            connection.far.sendall(message[:len(message) // 2])
        elif cut == "held":
            self.fired.set()
            self._wait_released()
            connection.far.sendall(message)
            return True
        elif cut != "before":
            connection.drop_answer = cut == "answer"
            connection.hold_answer = cut == "answer_held"
            connection.far.sendall(message)
        if cut in ("before", "half", "after"):
            connection.close()
            self.fired.set()
            return False
        return True

    def _wait_released(self):
        while not self.closed and not self.released.wait(HOLD_POLL_S):
            pass

    def _down(self, connection):
        while True:
            data = connection.far.recv(BUFFER_BYTES)
            if not data:
                return
            if connection.drop_answer:
                self.fired.set()
                return
            if connection.hold_answer:
                connection.hold_answer = False
                self.fired.set()
                self._wait_released()
            connection.near.sendall(data)

"""A TCP link that can be cut, stalled and restored: what lies between two servers in a test."""

import socket
import threading

BUFFER_BYTES = 64 * 1024
POLL_S = 0.2


class Proxy:
    """Listens on a port of its own and passes everything on to `target` (host, port).

    up:    connections are made and served
    cut:   every connection is closed, new ones are closed at once
    stall: connections stay open and nothing passes, as on a link that loses every packet
    """

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.flowing = threading.Event()
        self.flowing.set()
        self.is_cut = False
        self.closed = False
        self.lock = threading.Lock()
        self.pairs = set()
        self.passed_bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        with self.lock:
            self.is_cut = True
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            _shut(pair)
        self.flowing.set()

    def stall(self):
        self.flowing.clear()

    def restore(self):
        with self.lock:
            self.is_cut = False
        self.flowing.set()

    def close(self):
        self.closed = True
        self.cut()
        _shut((self.listener,))

    def _accept(self):
        while not self.closed:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(self.target, timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            pair = (near, far)
            with self.lock:
                if self.is_cut:
                    _shut(pair)
                    continue
                self.pairs.add(pair)
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=(pair, source, sink), daemon=True).start()

    def _pump(self, pair, source, sink):
        try:
            while True:
                data = source.recv(BUFFER_BYTES)
                if not data:
                    break
                while not self.flowing.wait(POLL_S):
                    if self.closed:
                        return
                sink.sendall(data)
                self.passed_bytes += len(data)
        except OSError:
            pass
        with self.lock:
            self.pairs.discard(pair)
        _shut(pair)


def _shut(sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()

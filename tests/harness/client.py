"""A NATS client on plain sockets, as much of it as the tests need: publish with headers, subscribe,
request, JetStream publishing with a window of unanswered messages, stream info and KV."""

import base64
import json
import queue
import random
import socket
import threading
import time

from .process import scaled

READ_BYTES = 256 * 1024
READER_END_S = 5
JS_WINDOW = 256  # published and not yet acknowledged


class NatsError(Exception):
    def __init__(self, text, code=0):
        super().__init__(text)
        self.code = code


class Message:
    __slots__ = ("subject", "reply", "data", "headers", "status")

    def __init__(self, subject, reply, header_block, data):
        self.subject, self.reply, self.data = subject, reply, data
        self.headers, self.status = {}, ""
        lines = header_block.decode("utf-8", "replace").split("\r\n") if header_block else []
        if lines:
            self.status = lines[0].partition(" ")[2].strip()
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                self.headers[name.strip()] = value.strip()

    def json(self):
        return json.loads(self.data)


class Subscription:
    """Messages in order of arrival; next() waits for one."""

    def __init__(self, client, sid, subject):
        self.client, self.sid, self.subject = client, sid, subject
        self.messages = queue.SimpleQueue()

    def next(self, timeout=5):
        try:
            return self.messages.get(timeout=scaled(timeout))
        except queue.Empty:
            raise TimeoutError(f"no message on {self.subject}") from None

    def unsubscribe(self):
        self.client.unsubscribe(self)


class NatsClient:
    def __init__(self, port, host="127.0.0.1", name="test", user=None, password=None, tls=None,
                 inbox="_INBOX"):
        self.socket = socket.create_connection((host, port), timeout=scaled(5))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb", READ_BYTES if not tls else 0)
        self.info = json.loads(self.input.readline().split(b" ", 1)[1])
        if tls:  # the greeting comes before it
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
            self.input = self.socket.makefile("rb", READ_BYTES)
        self.write_lock = threading.Lock()
        self.subscriptions, self.waiting = {}, {}
        self.next_sid = 0
        self.pongs = queue.SimpleQueue()
        self.errors = []
        self.closed = False
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "lang": "python-test", "version": "1", "protocol": 1, "name": name}
        if user:
            options.update({"user": user, "pass": password})
        self._write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        line = self.input.readline()
        if not line.startswith(b"PONG"):
            raise NatsError(f"no PONG after CONNECT: {line!r}")
        self.socket.settimeout(None)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.inbox = f"{inbox}.{random.getrandbits(64):016x}"
        self._subscribe(self.inbox + ".*", None)

    def close(self):
        self.closed = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.reader.join(READER_END_S)
        self.input.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- core ----

    def publish(self, subject, data=b"", headers=None, reply=None):
        self._write(_frame(subject, data, headers, reply))

    def subscribe(self, subject):
        return self._subscribe(subject, True)

    def unsubscribe(self, subscription):
        self.subscriptions.pop(subscription.sid, None)
        self._write(b"UNSUB %d\r\n" % subscription.sid)

    def flush(self, timeout=10):
        self._write(b"PING\r\n")
        try:
            self.pongs.get(timeout=scaled(timeout))
        except queue.Empty:
            raise TimeoutError("no PONG") from None

    def request(self, subject, data=b"", headers=None, timeout=5):
        answers = queue.SimpleQueue()
        token = self._expect(answers.put)
        try:
            self.publish(subject, data, headers, f"{self.inbox}.{token}")
            message = answers.get(timeout=scaled(timeout))
        except queue.Empty:
            raise TimeoutError(f"no answer from {subject}") from None
        finally:
            self.waiting.pop(token, None)
        if message.status.startswith("503"):
            raise NatsError(f"nobody answers {subject}", 503)
        return message

    # ---- JetStream ----

    def js_api(self, name, body=None, timeout=5):
        payload = json.dumps(body).encode() if body is not None else b""
        answer = self.request("$JS.API." + name, payload, timeout=timeout).json()
        if "error" in answer:
            raise NatsError(f"{name}: {answer['error']}", answer["error"].get("err_code", 0))
        return answer

    def js_publish(self, subject, data, msg_id=None, headers=None, timeout=5):
        """The sequence it was stored at."""
        if msg_id:
            headers = dict(headers or {}, **{"Nats-Msg-Id": msg_id})
        answer = self.request(subject, data, headers, timeout).json()
        if "error" in answer:
            raise NatsError(f"{subject}: {answer['error']}", answer["error"].get("err_code", 0))
        return answer["seq"]

    def js_publish_all(self, messages, timeout=60):
        """Publishes (subject, data[, headers]) in order with a window; every one must be stored.

        Returns the sequences, in the order of the messages."""
        messages = [m if len(m) == 3 else (*m, None) for m in messages]
        sequences = [0] * len(messages)
        failures = []
        room = threading.Semaphore(JS_WINDOW)
        left = threading.Semaphore(0)

        def answered(index):
            def done(message):
                try:
                    answer = message.json()
                    sequences[index] = answer["seq"]
                except (ValueError, KeyError):
                    failures.append((messages[index][0], message.status, message.data[:200]))
                room.release()
                left.release()
            return done

        deadline = time.monotonic() + scaled(timeout)
        for index, (subject, data, headers) in enumerate(messages):
            if not room.acquire(timeout=max(0, deadline - time.monotonic())):
                raise TimeoutError(f"message {index} of {len(messages)} was not stored")
            token = self._expect(answered(index))
            self.publish(subject, data, headers, f"{self.inbox}.{token}")
        for _ in messages:
            if not left.acquire(timeout=max(0, deadline - time.monotonic())):
                raise TimeoutError("not every message was stored")
        if failures:
            raise NatsError(f"{len(failures)} not stored, the first: {failures[0]}")
        return sequences

    def stream_info(self, stream):
        return self.js_api(f"STREAM.INFO.{stream}")

    def stream_message(self, stream, seq):
        answer = self.js_api(f"STREAM.MSG.GET.{stream}", {"seq": seq})["message"]
        return answer["subject"], base64.b64decode(answer.get("data", ""))

    def kv_put(self, bucket, key, value):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.js_publish(f"$KV.{bucket}.{key}", data)

    def kv_delete(self, bucket, key):
        return self.js_publish(f"$KV.{bucket}.{key}", b"", headers={"KV-Operation": "DEL"})

    def kv_get(self, bucket, key):
        """The newest value's bytes, None where there is none."""
        try:
            answer = self.js_api(f"STREAM.MSG.GET.KV_{bucket}",
                                 {"last_by_subj": f"$KV.{bucket}.{key}"})
        except NatsError as error:
            if error.code == 10037:  # no message found
                return None
            raise
        return base64.b64decode(answer["message"].get("data", ""))

    # ---- inside ----

    def _write(self, data):
        with self.write_lock:
            self.socket.sendall(data)

    def _subscribe(self, subject, keep):
        with self.write_lock:
            self.next_sid += 1
            sid = self.next_sid
        subscription = Subscription(self, sid, subject)
        if keep:
            self.subscriptions[sid] = subscription
        self._write(b"SUB %s %d\r\n" % (subject.encode(), sid))
        return subscription

    def _expect(self, callback):
        token = f"{random.getrandbits(48):012x}"
        self.waiting[token] = callback
        return token

    def _deliver(self, sid, message):
        subscription = self.subscriptions.get(sid)
        if subscription:
            subscription.messages.put(message)
            return
        callback = self.waiting.pop(message.subject.rpartition(".")[2], None)
        if callback:
            callback(message)

    def _read(self):
        try:
            while True:
                line = self.input.readline()
                if not line:
                    return
                verb, _, rest = line.rstrip(b"\r\n").partition(b" ")
                if verb in (b"MSG", b"HMSG"):
                    self._read_message(verb, rest.split())
                elif verb == b"PING":
                    self._write(b"PONG\r\n")
                elif verb == b"PONG":
                    self.pongs.put(True)
                elif verb == b"-ERR":
                    self.errors.append(rest.decode("utf-8", "replace"))
        except (OSError, ValueError):
            if not self.closed:
                self.errors.append("connection lost")

    def _read_message(self, verb, words):
        headed = verb == b"HMSG"
        sizes = [int(words.pop())]
        if headed:
            sizes.insert(0, int(words.pop()))
        subject, sid = words[0].decode(), int(words[1])
        reply = words[2].decode() if len(words) > 2 else None
        body = self.input.read(sizes[-1] + 2)[:-2]
        cut = sizes[0] if headed else 0
        self._deliver(sid, Message(subject, reply, body[:cut], body[cut:]))


def _frame(subject, data, headers, reply):
    if isinstance(data, str):
        data = data.encode()
    words = [subject if isinstance(subject, bytes) else subject.encode()]
    if reply:
        words.append(reply.encode())
    if not headers:
        return b"PUB %s %d\r\n%s\r\n" % (b" ".join(words), len(data), data)
    block = "NATS/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
    head = block.encode()
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (
        b" ".join(words), len(head), len(head) + len(data), head, data)

"""Vehicles that answer commands, as the contract asks of them: one client for all of a fleet, which
keeps an account of what reached each of them, and of what each of them did."""

import collections
import datetime
import json
import queue
import threading
import time

from .process import wait_until
from .trace import envelope

Received = collections.namedtuple("Received", "vid type cmd_id data message_id")
ENV = "test"


def seconds(text):
    """Of a timestamp in UTC, since 1970."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp() + float("0." + (fraction or "0"))


class Vehicles:
    """`answer(received)` says what a vehicle reports: a list of statuses, or of (status, fields).
    A repetition gets the last report again, as the contract demands, and makes a vehicle do
    nothing; what has expired on its way is refused (`late`)."""

    def __init__(self, client, vids, answer=lambda received: ["accepted", "completed"]):
        self.client, self.vids, self.answer = client, list(vids), answer
        self.received, self.last, self.late = [], {}, set()
        self.lock = threading.Lock()
        self.subscription = client.subscribe(f"fleet.{ENV}.veh.*.cmd.>")
        client.flush()
        self.stopped = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopped = True
        self.thread.join()

    def appear(self, hub, vids=None, **states):
        """Publishes a state of each, so that all are online."""
        vids = self.vids if vids is None else list(vids)
        self.report(vids, **states)
        wait_until(lambda: set(vids) <= set(hub.twins()), 30, "the vehicles are there")

    def report(self, vids=None, **states):
        for vid in self.vids if vids is None else vids:
            for kind, data in (states or {"mode": {"mode": "AUTO", "armed": True}}).items():
                self.client.publish(f"fleet.{ENV}.veh.{vid}.state.{kind}", envelope(data))
        self.client.flush()

    def ack(self, cmd_id, status, vid=None, kind="any", bare=False, **fields):
        vid = vid or cmd_id.split(".")[1]
        body = dict({"cmd_id": cmd_id, "status": status}, **fields)
        text = json.loads(envelope({}))
        if bare:
            del text["data"]
            text.update(body)
        else:
            text["data"] = body
        self.client.publish(f"fleet.{ENV}.veh.{vid}.cmdack.{kind}", json.dumps(text).encode())

    def of(self, vid, kind=None):
        with self.lock:
            return [r for r in self.received if r.vid == vid and kind in (None, r.type)]

    def count(self):
        with self.lock:
            return len(self.received)

    def _run(self):
        while not self.stopped:
            try:
                message = self.subscription.messages.get(timeout=0.1)
            except queue.Empty:
                continue
            vid = message.subject.split(".")[3]
            if vid not in self.vids:
                continue
            data = message.json()["data"]
            received = Received(vid, message.subject.split(".cmd.")[1], data["cmd_id"], data,
                                message.headers.get("Nats-Msg-Id"))
            with self.lock:
                known = received.cmd_id in self.last
                self.received.append(received)
            if known:
                for status, fields in self.last[received.cmd_id][-1:]:
                    self.ack(received.cmd_id, status, vid, received.type, **fields)
                continue
            if time.time() >= seconds(data["expires_at"]):
                self.late.add(received.cmd_id)
            answers = ["rejected"] if received.cmd_id in self.late else self.answer(received)
            reports = [(r, {}) if isinstance(r, str) else r for r in answers]
            self.last[received.cmd_id] = reports
            for status, fields in reports:
                self.ack(received.cmd_id, status, vid, received.type, **fields)

"""What people and programs ask of a hub all day: lists, twins, statistics, history, writes to the
shadow, group commands, exports and verification, each in a thread of its own at its own pace."""

import datetime
import json
import os
import random
import threading
import time

from .fleets import JSON
from .hub import command as run_fleethub
from .trace import timestamp

TIMEOUT_S = 60
ACCOUNTED_MAX = 20  # failures that are kept word by word
LATENCIES_MAX = 200000
BUSY = (429, 503, 504)  # a refusal that says: try again

FILTERS = (
    'presence.status = "online"',
    "state.battery.remaining < 0.5",
    "distance(state.position, 59.95, 10.80) < 3000",
    'state.mode.armed = true AND vid = "VID-1*"',
    "bbox(state.position, 10.7, 59.9, 10.9, 60.0) AND state.position.rel_alt > 5",
    "age(state.position) <= 10s AND NOT delta:*",
)
STATS = ({"group_by": "presence.status", "stats": "count"},
         {"group_by": "state.mode.mode",
          "stats": "count,avg(state.battery.remaining),p95(state.battery.remaining)"},
         {"stats": "count,max(state.position.rel_alt)"})
# What fleetsim's vehicles do within a second, so that what became of it is theirs to say.
COMMANDS = (
    {"type": "set_mode", "params": {"mode": "LOITER"}},
    {"type": "hold"},
    {"type": "set_mode", "params": {"mode": "AUTO"}},
    {"type": "param.set", "params": {"name": "cruise_speed", "value": 6}},
    {"type": "rtl"},
    {"type": "set_mode", "params": {"mode": "GUIDED"},
     "verify": {"filter": 'state.mode.mode = "GUIDED"', "within_s": 30}},
)


class Worker:
    """Does one thing again and again, `rate` times a second at most, until it is told to stop."""

    def __init__(self, name, rate, act):
        self.name, self.act = name, act
        self.pause_s = 1.0 / rate
        self.done = self.busy = 0
        self.failures, self.latencies = [], []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.ended.set()
        self.thread.join(TIMEOUT_S * 3)
        if self.thread.is_alive():
            self.fail("it does not come to an end")

    def fail(self, text):
        if len(self.failures) < ACCOUNTED_MAX:
            self.failures.append(str(text)[:500])

    def _run(self):
        while not self.ended.wait(self.pause_s):
            began = time.monotonic()
            try:
                self.act(self)
            except (OSError, AssertionError, ValueError, KeyError) as error:
                self.fail(repr(error))
            self.done += 1
            if len(self.latencies) < LATENCIES_MAX:
                self.latencies.append(time.monotonic() - began)

    def percentile_ms(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


class Users:
    """All of them. `commands` are the ids of the group commands, `writes` how many shadow writes were
    answered with 200."""

    def __init__(self, stack, vids, seed, scale=1.0):
        self.hub, self.folder, self.vids = stack.hub, stack.folder.path, vids
        self.rng = random.Random(seed)
        self.commands, self.writes = [], 0
        self.turn = 0
        plan = (("lists", 2, self.list), ("pages", 0.2, self.pages), ("twins", 8, self.twin),
                ("statistics", 1, self.stats), ("history", 0.5, self.history),
                ("records", 1, self.records), ("shadow writes", 4, self.write),
                ("commands", 0.25, self.command), ("followed commands", 0.2, self.follow_command),
                ("exports", 1 / 45, self.export), ("audit exports", 1 / 120, self.audit_export),
                ("verifications", 1 / 90, self.verify))
        self.workers = [Worker(name, rate * scale, act) for name, rate, act in plan]

    def start(self):
        for worker in self.workers:
            worker.start()
        return self

    def stop(self):
        for worker in self.workers:
            worker.ended.set()
        for worker in self.workers:
            worker.stop()

    # ---- what is asked ----

    def ask(self, worker, method, path, headers=None, body=None, expect=(200,), **parameters):
        """The reply; None where the hub said that it is too busy."""
        from urllib.parse import urlencode
        if parameters:
            path += "?" + urlencode(parameters)
        reply = self.hub.request(method, path, headers, body, timeout=TIMEOUT_S)
        if reply.status in BUSY:
            worker.busy += 1
            return None
        if reply.status not in expect:
            raise AssertionError(f"{method} {path}: {reply}")
        return reply

    def one_of(self, items):
        return self.rng.choice(items)

    def list(self, worker):
        reply = self.ask(worker, "GET", "/v1/vehicles", filter=self.one_of(FILTERS), page_size=50,
                         order_by="state.battery.remaining desc")
        if reply and "vehicles" not in reply.json():
            raise AssertionError(f"no list: {reply}")

    def pages(self, worker):
        """All of the fleet, page by page: every vehicle once."""
        seen, token = set(), None
        while True:
            more = {"page_token": token} if token else {}
            reply = self.ask(worker, "GET", "/v1/vehicles", page_size=200, fields="presence.status",
                             **more)
            if not reply:
                return
            page = reply.json()
            vids = {twin["vid"] for twin in page["vehicles"]}
            assert not vids & seen, "a vehicle on two pages"
            seen |= vids
            token = page.get("next_page_token")
            if not token:
                break
        assert seen == set(self.vids), f"{len(seen)} vehicles on all pages, not {len(self.vids)}"

    def twin(self, worker):
        vid = self.one_of(self.vids)
        reply = self.ask(worker, "GET", f"/v1/vehicles/{vid}", metadata="true")
        assert not reply or reply.json()["vid"] == vid, reply

    def stats(self, worker):
        reply = self.ask(worker, "GET", "/v1/fleet/stats", **self.one_of(STATS))
        if reply:
            answer = reply.json()
            assert sum(group["count"] for group in answer["groups"]) == len(self.vids), answer

    def history(self, worker):
        """Of the last minute, as a dashboard draws a track."""
        began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
        reply = self.ask(worker, "GET", f"/v1/vehicles/{self.one_of(self.vids)}/history",
                         type="position", start_time=timestamp(began))
        assert not reply or reply.json()["states"], reply

    def records(self, worker):
        vid = self.one_of(self.vids)
        reply = self.ask(worker, "GET", "/v1/events", **self.one_of(
            ({"kind": "event", "page_size": 100}, {"vid": vid}, {"filter": f'vid = "{vid}"'},
             {"kind": "command", "page_size": 20}, {"type": "mode_change", "order_by": "seq"})))
        assert not reply or "events" in reply.json(), reply

    def write(self, worker):
        """Each write is another value, so that each makes a revision."""
        self.turn += 1
        vid = self.vids[self.turn % len(self.vids)]
        body = json.dumps({"cruise_speed": 4 + self.turn % 8000 / 1000})
        reply = self.ask(worker, "PATCH", f"/v1/vehicles/{vid}/desired", JSON, body)
        if reply:
            self.writes += 1

    def post_command(self, worker, vids):
        body = dict(self.one_of(COMMANDS), target={"vids": vids}, ttl_s=60, confirm=len(vids),
                    complete_within_s=120, reason="soak")
        reply = self.ask(worker, "POST", "/v1/commands", JSON, json.dumps(body), expect=(202,))
        if not reply:
            return None
        self.commands.append(reply.json()["id"])
        return self.commands[-1]

    def command(self, worker):
        first = self.rng.randrange(len(self.vids))
        count = min(50, len(self.vids))
        self.post_command(worker, [self.vids[(first + i) % len(self.vids)] for i in range(count)])

    def follow_command(self, worker):
        """A command to one vehicle, whose stream is read to its end."""
        command_id = self.post_command(worker, [self.one_of(self.vids)])
        if command_id:
            reply = self.hub.request("GET", f"/v1/commands/{command_id}/stream", timeout=300)
            assert reply.status == 200 and b"event:" in reply.body, reply

    # ---- the record ----

    def export(self, worker):
        reply = self.ask(worker, "GET", "/v1/events", {"Accept-Encoding": "gzip"}, format="ndjson",
                         kind="command")
        assert not reply or reply.headers["content-type"].startswith("application/x-ndjson"), reply

    def run(self, *words):
        result = run_fleethub(*words, timeout=600)
        assert result.returncode == 0, f"fleethub {' '.join(words)}: {result.stdout}{result.stderr}"
        return result.stdout

    def audit_export(self, worker):
        """A part of the record as a file, which is then judged by itself."""
        path = os.path.join(self.folder, "export")
        config = os.path.join(self.folder, f"{self.hub.name}.yaml")
        self.run("audit", "export", "--config", config, "--output", path, "--vid",
                 self.one_of(self.vids))
        self.run("audit", "verify", path)
        os.unlink(path)

    def verify(self, worker):
        reply = self.ask(worker, "GET", "/v1/audit/verify")
        assert not reply or reply.json()["ok"] is True, reply

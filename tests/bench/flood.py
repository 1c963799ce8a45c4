#!/usr/bin/env python3
"""A dashboard beside what others may do to a hub: 10,000 connections that ask for nothing, 1,000 clients
that ask for the whole fleet and read a byte now and then, and a flood of requests by one principal, within
its rate and far beyond it; all the while 1,000 vehicles send 22,000 messages a second.

    tests/bench/flood.py [--idle N] [--slow N] [--vehicles N] [--seconds S] [--rounds N] [--build DIR]

The dashboard lists, reads a twin and asks for statistics every 100 ms, over a connection of its own. After
each question it asks a process that does nothing but answer (`control`): what that takes longer is the
machine's, which these clients share with the hub, and not the hub's doing. They are processes of their own
(--nice: how nice they are, so that they take less from the hub that clients on other machines would not).

The fold is told of by /metrics: messages a second, the most that it was behind, and how long a message took
from the broker's storing it to its being in the twin (`fold_p99` is the bound of the histogram's bucket).

Undisturbed and disturbed times take turns in one run, since others may load the machine. FLOOD_KINDS
names some of idle, slow, within, beyond, all.
"""

import http.client
import math
import multiprocessing
import os
import resource
import select
import socket
import subprocess
import time

from common import options, resident_mib, show

STATE_BYTES = 4 << 30
TICKS = os.sysconf("SC_CLK_TCK")
EVERY_S = 0.1
SETTINGS = {"nats": {"limits": {"state_bytes": STATE_BYTES}}, "auth": {"mode": "tokens"},
            "http": {"limits": {"connections": 16384, "per_address": 2000}}}
ADDRESS_SHARE = 900  # connections from each of 127.0.0.1, 127.0.0.2, …
FLOOD_CONNECTIONS = 16
PIPELINED = 8
WITHIN_PER_S = 90  # of the 6,000 a minute


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def connect(port, number, receive_bytes=None):
    client = socket.socket()
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.bind((f"127.0.0.{2 + number // ADDRESS_SHARE}", 0))
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    return client


def head(path, token):
    return f"GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


class Crowd:
    """Processes of clients, told to begin and to end; each tells how many it has."""

    def __init__(self, niceness):
        self.niceness, self.members = niceness, []

    def add(self, work, *words):
        here, there = multiprocessing.Pipe()
        process = multiprocessing.Process(target=self.run, args=(work, there, *words), daemon=True)
        process.start()
        self.members.append((process, here))
        return here.recv()

    def run(self, work, pipe, *words):
        os.nice(self.niceness)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        work(pipe, *words)

    def stop(self):
        told = []
        for process, pipe in self.members:
            pipe.send("end")
            told.append(pipe.recv() if pipe.poll(60) else None)
            process.terminate()
            process.join(20)
        self.members = []
        return told


def idle(pipe, port, count, first):
    """Connections on which nothing is asked; those that the hub closes are made anew."""
    clients = [connect(port, first + i) for i in range(count)]
    pipe.send(len(clients))
    again = 0
    while not pipe.poll(1):
        for i, client in enumerate(clients):
            client.setblocking(False)
            try:
                gone = client.recv(1) == b""
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if gone:
                client.close()
                clients[i] = connect(port, first + i)
                again += 1
    pipe.send(again)


def sip(pipe, port, token, count, first):
    """Each asks for all of the fleet, and takes 64 bytes a second."""
    clients = {}
    cut = refused = 0
    for i in range(count):
        clients[i] = connect(port, first + i, 4096)
        clients[i].sendall(head("/v1/vehicles?page_size=1000", token))
    pipe.send(len(clients))
    while not pipe.poll(1):
        for i, client in clients.items():
            client.setblocking(False)
            try:
                piece = client.recv(64)
            except BlockingIOError:
                continue
            except OSError:
                piece = b""
            refused += b" 429 " in piece[:32] or b" 503 " in piece[:32]
            if not piece:
                cut += 1
                client.close()
                clients[i] = connect(port, first + i, 4096)
                clients[i].sendall(head("/v1/vehicles?page_size=1000", token))
    pipe.send((cut, refused))


def flood(pipe, port, token, per_second):
    """Requests at this rate, or as fast as they are answered; how many got which status."""
    def reopen(i):
        client = connect(port, 9 * ADDRESS_SHARE + i)
        client.settimeout(5)
        return client
    clients = [reopen(i) for i in range(FLOOD_CONNECTIONS)]
    request = head("/v1/vehicles?page_size=10", token)
    statuses, sent, began = {}, 0, time.monotonic()
    pipe.send(len(clients))
    while not pipe.poll(0):
        for i, client in enumerate(clients):
            batch = PIPELINED if not per_second else 1
            if per_second and sent >= (time.monotonic() - began) * per_second:
                time.sleep(0.005)
                continue
            try:
                client.sendall(request * batch)
                sent += batch
                data = b""
                while data.count(b"HTTP/1.1 ") < batch:
                    piece = client.recv(1 << 20)
                    if not piece:
                        raise ConnectionError
                    data += piece
                while select.select([client], [], [], 0)[0]:
                    piece = client.recv(1 << 20)
                    if not piece:
                        raise ConnectionError
                for part in data.split(b"HTTP/1.1 ")[1:]:
                    statuses[part[:3].decode()] = statuses.get(part[:3].decode(), 0) + 1
            except OSError:
                client.close()
                clients[i] = reopen(i)
                statuses["closed"] = statuses.get("closed", 0) + 1
    pipe.send((sent / (time.monotonic() - began), statuses))


def control(pipe):
    """Answers each piece that comes with as much."""
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    client = listener.accept()[0]
    while True:
        client.sendall(client.recv(1 << 16))


class Dashboard:
    PATHS = ("/v1/vehicles?page_size=50&order_by=state.battery.remaining", "/v1/vehicles/{vid}",
             "/v1/fleet/stats?group_by=presence.status&stats=count,avg(state.battery.remaining)")

    def __init__(self, port, token, vid):
        self.port, self.headers = port, {"Authorization": f"Bearer {token}"}
        self.paths = [path.format(vid=vid) for path in self.PATHS]
        self.connection, self.asked = None, 0
        here, there = multiprocessing.Pipe()
        multiprocessing.Process(target=control, args=(there,), daemon=True).start()
        self.control = socket.create_connection(("127.0.0.1", here.recv()))

    def ask(self, path):
        if time.monotonic() - self.asked > 10 and self.connection:  # the hub has closed it meanwhile
            self.connection.close()
            self.connection = None
        self.asked = time.monotonic()
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    def look(self, seconds):
        """How long each answer took, and each of the control, ms."""
        times, controls, end = [], [], time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            for path in self.paths:
                asked = time.monotonic()
                self.ask(path)
                answered = time.monotonic()
                self.control.sendall(b"x" * 1000)
                self.control.recv(1 << 16)
                times.append((answered - asked) * 1e3)
                controls.append((time.monotonic() - answered) * 1e3)
            time.sleep(max(0, EVERY_S - (time.monotonic() - began)))
        return times, controls


def at(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * share))]


class Watch:
    """What was seen in so many seconds: times of answers, messages a second, cores, the fold."""

    FOLDED = 'fleethub_apply_latency_seconds_bucket{stream="TWIN_STATE",le="'

    def __init__(self, hub, dashboard, seconds):
        def metrics():
            text = hub.get("/metrics", dashboard.headers).body.decode()
            lines = [line.rpartition(" ") for line in text.splitlines() if line[:1] not in "#"]
            return {name: float(value) for name, _, value in lines}
        first, cpu, began = metrics(), cpu_seconds(hub.process.pid), time.monotonic()
        self.times, self.controls, self.lag = [], [], 0
        while time.monotonic() - began < seconds:
            times, controls = dashboard.look(1)
            self.times += times
            self.controls += controls
            self.lag = max(self.lag, metrics()['fleethub_lag_messages{stream="TWIN_STATE"}'])
        elapsed, last = time.monotonic() - began, metrics()
        def more(start):
            return sum(v - first.get(k, 0) for k, v in last.items() if k.startswith(start))
        self.rate = more("fleethub_messages_total") / elapsed
        self.cores = (cpu_seconds(hub.process.pid) - cpu) / elapsed
        self.folded = {float(k[len(self.FOLDED):-2]): v - first.get(k, 0)
                       for k, v in last.items() if k.startswith(self.FOLDED)}


def folded_within(watches, share):
    """The bound, ms, of the bucket that ends this share of the messages."""
    counts = {}
    for watch in watches:
        for bound, count in watch.folded.items():
            counts[bound] = counts.get(bound, 0) + count
    return next(bound for bound in sorted(counts)
                if counts[bound] >= share * counts[math.inf]) * 1e3


def disturb(kind, chosen, hub, tokens):
    crowd = Crowd(chosen.nice)
    if kind in ("idle", "all"):
        for first in range(0, chosen.idle, 2500):
            crowd.add(idle, hub.port, min(2500, chosen.idle - first), 10 * ADDRESS_SHARE + first)
    if kind in ("slow", "all"):
        crowd.add(sip, hub.port, tokens["slow"], chosen.slow, 30 * ADDRESS_SHARE)
    if kind in ("within", "beyond", "all"):
        crowd.add(flood, hub.port, tokens["flood"], WITHIN_PER_S if kind == "within" else 0)
    return crowd


def tell(kind, calm, wild):
    def both(name, unit, of):
        show(f"flood.{kind}.{name}", of(wild), unit, of(calm))
    def mean(name):
        return lambda watches: sum(getattr(watch, name) for watch in watches) / len(watches)
    def share(name, part):
        return lambda watches: at([t for watch in watches for t in getattr(watch, name)], part)
    both("dashboard_p50", "ms", share("times", 0.5))
    both("dashboard_p99", "ms", share("times", 0.99))
    both("control_p99", "ms", share("controls", 0.99))
    both("fold_rate", "messages/s", mean("rate"))
    both("fold_p50", "ms", lambda watches: folded_within(watches, 0.5))
    both("fold_p99", "ms", lambda watches: folded_within(watches, 0.99))
    both("most_lag", "messages", lambda watches: max(watch.lag for watch in watches))
    both("hub_cpu", "cores", mean("cores"))


def measure(chosen):
    from harness import Stack, wait_until
    from harness.hub import PROGRAM
    with Stack(SETTINGS) as stack:
        hub = stack.hub
        tokens = {name: subprocess.run(
            [PROGRAM, "token", "create", "--role=viewer", f"--name={name}", f"--nats.url={stack.nats.url}"],
            capture_output=True, text=True, check=True).stdout.strip()
            for name in ("dashboard", "slow", "flood")}
        sim = stack.fleetsim("fly", "--vehicles", str(chosen.vehicles), "--duration", "3600")
        own = {"Authorization": f"Bearer {tokens['dashboard']}"}
        def known():
            reply = hub.get("/v1/vehicles?page_size=1", own)
            return reply.status == 200 and reply.json()["total_size"] == chosen.vehicles and reply
        vid = wait_until(known, 60, "all of them fly").json()["vehicles"][0]["vid"]
        dashboard = Dashboard(hub.port, tokens["dashboard"], vid)
        dashboard.look(2)
        kinds = chosen.kinds.split(",")
        calm, wild = {k: [] for k in kinds}, {k: [] for k in kinds}
        for _ in range(chosen.rounds):
            for kind in kinds:
                calm[kind].append(Watch(hub, dashboard, chosen.seconds))
                crowd = disturb(kind, chosen, hub, tokens)
                wild[kind].append(Watch(hub, dashboard, chosen.seconds))
                resident = resident_mib(hub.process.pid)
                print("#", kind, crowd.stop(), flush=True)
                show(f"flood.{kind}.hub_resident", resident, "MiB")
        for kind in kinds:
            tell(kind, calm[kind], wild[kind])
        sim.process.kill()


def main():
    chosen = options(__doc__, idle=10000, slow=1000, vehicles=1000, seconds=10, rounds=3, nice=19)
    chosen.kinds = os.environ.get("FLOOD_KINDS", "idle,slow,within,beyond,all")
    measure(chosen)


if __name__ == "__main__":
    main()

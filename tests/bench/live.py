#!/usr/bin/env python3
"""Live queries under load: 1,000 clients with filters of their own while 1,000 vehicles send 22,000
messages a second, and 10,000 clients that hear of one event a second.

    tests/bench/live.py [--clients N] [--quiet N] [--vehicles N] [--seconds S] [--build DIR]
"""

import json
import os
import subprocess
import threading
import time
import urllib.parse

from common import options, resident_mib, show

MESSAGES_PER_VEHICLE = 22
STATE_BYTES = 4 << 30
VEHICLES_EACH = 10  # of a client's filter
PER_CLIENT_LIMIT_MIB = 150
TICKS = os.sysconf("SC_CLK_TCK")
SETTINGS = {"nats": {"limits": {"state_bytes": STATE_BYTES}},
            "http": {"limits": {"connections": 16384, "per_address": 16384}},
            "presence": {"stale_after_s": 300, "offline_after_s": 600}}
SETTLE_S = 30


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Clients:
    """bench_live, asked line by line."""

    def __init__(self, build, folder, port, targets):
        path = os.path.join(folder, "targets")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(target + "\n" for target in targets)
        self.child = subprocess.Popen([os.path.join(build, "tests", "bench_live"), str(port), path],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def stop(self):
        self.child.stdin.close()
        self.child.wait(20)


def target(filter_text, max_hz=None):
    query = {"filter": filter_text, "fields": "presence.last_seen"}
    if max_hz:
        query["max_hz"] = max_hz
    return "/v1/vehicles/stream?" + urllib.parse.urlencode(query)


def check(stack, clients):
    """Whether every client comes to hold what a list says, now that all is silent. Nothing makes up
    for an event that was dropped: nobody is heard again, and nobody goes stale."""
    path = os.path.join(stack.folder.path, "list")
    began = time.monotonic()
    while True:
        with open(path, "w", encoding="utf-8") as file:
            for vid, twin in stack.hub.twins().items():
                file.write(f"{vid} {twin['presence']['last_seen']}\n")
        checked = clients.ask(f"check {path}")
        checked["settled_s"] = time.monotonic() - began
        if checked["wrong"] == 0 or checked["settled_s"] > SETTLE_S:
            return checked
        time.sleep(0.1)


def busy(chosen):
    from harness import Stack, wait_until
    with Stack(SETTINGS) as stack:
        hub = stack.hub
        sim = stack.fleetsim("fly", "--vehicles", str(chosen.vehicles), "--duration",
                             str(chosen.seconds + 25), "--wait-archived", "60")
        wait_until(lambda: hub.metric("vehicles") == chosen.vehicles, 30, "all of them fly")
        vids = sorted(hub.twins())

        def own_filter(i):
            mine = [vids[(i * VEHICLES_EACH + j) % len(vids)] for j in range(VEHICLES_EACH)]
            some = " OR ".join(f'vid = "{vid}"' for vid in mine)
            return f'({some}) AND presence.status = "online" AND state.battery.remaining >= 0'
        before = resident_mib(hub.process.pid)
        clients = Clients(chosen.build, stack.folder.path, hub.port,
                          [target(own_filter(i), 1) for i in range(chosen.clients)])
        ready = clients.ask("ready")["ready"]
        time.sleep(3)
        clients.ask("begin")
        messages, cpu, began = hub.metric("messages_total"), cpu_seconds(hub.process.pid), \
            time.monotonic()
        most_lag = 0
        while time.monotonic() - began < chosen.seconds:
            most_lag = max(most_lag, hub.metric("lag_messages", stream="TWIN_STATE"))
            time.sleep(0.5)
        elapsed = time.monotonic() - began
        rate = (hub.metric("messages_total") - messages) / elapsed
        used = (cpu_seconds(hub.process.pid) - cpu) / elapsed
        report = clients.ask("report")
        after = resident_mib(hub.process.pid)
        sim.wait()
        checked = check(stack, clients)
        clients.stop()
        wanted = chosen.clients * VEHICLES_EACH
        show("live.busy.ready", ready, "clients", chosen.clients)
        show("live.busy.changes", rate, "changes/s", chosen.vehicles * MESSAGES_PER_VEHICLE)
        show("live.busy.updates", report["update"] / report["seconds"], "events/s", wanted)
        show("live.busy.fewest_of_a_client", report["fewest_updates"] / report["seconds"],
             "events/s", VEHICLES_EACH)
        show("live.busy.longest_gap_of_a_client", report["longest_gap_ms"], "ms", 1000)
        show("live.busy.age_p50", report["age_p50_ms"], "ms")
        show("live.busy.age_p99", report["age_p99_ms"], "ms")
        show("live.busy.not_as_the_list", checked["wrong"], "vehicles", checked["right"])
        show("live.busy.settled_in", checked["settled_s"], "s")
        show("live.busy.closed_or_reset", report["closed"] + report["reset"], "clients")
        show("live.busy.most_lag_of_the_fold", most_lag, "messages")
        show("live.busy.hub_cpu", used, "cores", 2)
        show("live.busy.resident_of_clients", after - before, "MiB")


def quiet(chosen):
    from harness import Stack, envelope, wait_until
    with Stack(SETTINGS, leaf=False) as stack, stack.nats.client() as nats:
        hub = stack.hub
        nats.js_publish("fleet.test.veh.Q-1.state.mode", envelope({"mode": "AUTO"}))
        wait_until(lambda: hub.metric("vehicles") == 1, 10, "the vehicle is known")
        hub.twins()
        before = resident_mib(hub.process.pid)
        began = time.monotonic()
        clients = Clients(chosen.build, stack.folder.path, hub.port,
                          [target(f'vid = "Q-*" AND NOT meta.number = {i}')
                           for i in range(chosen.quiet)])
        ready = clients.ask("ready")["ready"]
        opened = time.monotonic() - began
        clients.ask("begin")
        stop = threading.Event()
        sent = [0]

        def publish():
            while not stop.wait(1):
                nats.js_publish("fleet.test.veh.Q-1.state.mode", envelope({"mode": "AUTO"}))
                sent[0] += 1
        publisher = threading.Thread(target=publish)
        publisher.start()
        cpu, began = cpu_seconds(hub.process.pid), time.monotonic()
        most = 0
        while time.monotonic() - began < chosen.seconds:
            most = max(most, resident_mib(hub.process.pid))
            time.sleep(0.2)
        used = (cpu_seconds(hub.process.pid) - cpu) / (time.monotonic() - began)
        stop.set()
        publisher.join()
        time.sleep(1)
        report = clients.ask("report")
        checked = check(stack, clients)
        clients.stop()
        show("live.quiet.ready", ready, "clients", chosen.quiet)
        show("live.quiet.opened_in", opened, "s")
        show("live.quiet.events", report["update"], "events", sent[0] * chosen.quiet)
        show("live.quiet.fewest_of_a_client", report["fewest_updates"], "events", sent[0])
        show("live.quiet.age_p50", report["age_p50_ms"], "ms")
        show("live.quiet.age_p99", report["age_p99_ms"], "ms")
        show("live.quiet.age_max", report["age_max_ms"], "ms")
        show("live.quiet.not_as_the_list", checked["wrong"], "clients", checked["right"])
        show("live.quiet.closed_or_reset", report["closed"] + report["reset"], "clients")
        show("live.quiet.hub_cpu", used, "cores")
        show("live.quiet.resident", most, "MiB", PER_CLIENT_LIMIT_MIB)
        show("live.quiet.resident_of_clients", most - before, "MiB", PER_CLIENT_LIMIT_MIB)


def main():
    chosen = options(__doc__, clients=1000, quiet=10000, vehicles=1000, seconds=20)
    if chosen.clients:
        busy(chosen)
    if chosen.quiet:
        quiet(chosen)


if __name__ == "__main__":
    main()

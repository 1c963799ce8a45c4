"""The whole: hub nats-server, leaf nats-server behind a link that can be cut, PostgreSQL, hubs, and
a fleet that publishes at the leaf."""

import json
import os
import signal

from .hub import Hub
from .process import BUILD_DIR, Process, TempFolder, wait_until
from .proxy import Proxy
from .servers import NatsServer, Postgres

FLEETSIM = os.environ.get("FLEETSIM_PROGRAM") or os.path.join(BUILD_DIR, "tools", "fleetsim")
LOG_LINES = 25
ENV, REGION = "test", "eu-north"


class Stack:
    """with Stack() as stack: … ends everything, whatever happened. On a failure the servers' last
    lines are printed."""

    def __init__(self, settings=None, leaf=True, start=True):
        self.settings = settings or {}
        self.with_leaf = leaf
        self.start_all = start
        self.hubs, self.sims = [], []
        self.folder = self.nats = self.leaf = self.link = self.postgres = None

    def __enter__(self):
        self.folder = TempFolder()
        try:
            self.postgres = Postgres(self.folder)
            self.nats = NatsServer(self.folder.path, "hub-nats", jetstream=True)
            if self.start_all:
                self.postgres.start()
                self.nats.start()
                if self.with_leaf:
                    self.start_leaf()
                self.add_hub().start()
        except BaseException:
            self.__exit__(AssertionError, None, None)
            raise
        return self

    def start_leaf(self):
        self.link = Proxy(("127.0.0.1", self.nats.leaf_port))
        self.leaf = NatsServer(self.folder.path, "leaf-nats", remote_port=self.link.port).start()
        self.wait_leaf()

    def wait_leaf(self):
        """Until the leaf passes JetStream requests on to the hub."""
        def through():
            with self.leaf.client() as client:
                return client.js_api("INFO", timeout=1)
        wait_until(lambda: _attempt(through), 20, "JetStream answers through the leaf")

    @property
    def hub(self):
        return self.hubs[0]

    def add_hub(self, settings=None):
        hub = Hub(self.folder.path, self.nats.url, self.postgres.dsn(),
                  name=f"fleethub-{len(self.hubs) + 1}",
                  settings=settings or self.settings, env=ENV,
                  region=REGION)
        self.hubs.append(hub)
        return hub

    def fleetsim(self, *words):
        """Starts the fleet tool against the leaf."""
        sim = FleetSim(self, words)
        self.sims.append(sim)
        return sim

    def replay(self, path, *words, speed="0"):
        """Ends once all of it is archived. States are repeated until the stream has them, so that
        also the last ones arrive through a link that was cut."""
        return self.fleetsim("replay", "--speed", speed, "--state-acks", "--wait-acks", "120",
                             "--wait-archived", "180", *words, path)

    def wait_archived(self, timeout=60):
        """Until every event, acknowledgement and record that is in a stream now is committed, as the
        hub announces it to gateways (and, for its own records, in its metrics)."""
        with self.nats.client() as client:
            ends = {name: client.stream_info(name)["state"]["last_seq"]
                    for name in ("TWIN_EVENTS", "TWIN_ACK")}
            positions = client.subscribe(f"fleet.{ENV}.hub.{REGION}.archived")

            def covered():
                archived = positions.next(5).json()
                return all(archived[name]["seq"] >= end for name, end in ends.items())
            wait_until(covered, timeout, f"the archive covers {ends}")
            end = client.stream_info("TWIN_RECORD")["state"]["last_seq"]
        wait_until(lambda: max(hub.metric("archived_seq", stream="TWIN_RECORD")
                               for hub in self.hubs if hub.process and hub.process.alive()) >= end,
                   timeout, f"TWIN_RECORD is archived up to {end}")

    def expect_trace(self, trace, hub=None, timeout=60):
        """Every twin's state is the last message of its type, every event is on record once."""
        hub = hub or self.hub
        differences = []

        def same():
            differences.append(trace.difference(hub.twins()))
            return differences[-1] == ""
        try:
            wait_until(same, timeout, "the twins are what the recording ends with")
        except AssertionError as error:
            raise AssertionError(f"{error}: {differences[-1:]}") from None
        self.wait_archived(timeout)
        records = wait_until(lambda: [hub.events(kind="event")], 10, "the record can be read")[0]
        difference = trace.event_difference(records)
        if difference:
            raise AssertionError(difference)

    def __exit__(self, kind, value, traceback):
        if kind is not None:
            self.show_logs()
        trouble = "\n".join(filter(None, (hub.trouble() for hub in self.hubs)))
        # Innermost last: nobody is left waiting for a server that has gone.
        processes = [s.process for s in self.sims] + [h.process for h in self.hubs]
        processes += [s.process for s in (self.leaf, self.nats) if s]
        for process in processes:
            if process and process.alive():
                process.send(signal.SIGCONT)
                process.kill()
        if self.postgres:
            self.postgres.end()
        if self.link:
            self.link.close()
        self.folder.remove()
        if trouble:
            raise AssertionError(trouble)

    def show_logs(self):
        for name in sorted(os.listdir(self.folder.path)):
            if name.endswith((".log", ".err")):
                path = os.path.join(self.folder.path, name)
                with open(path, encoding="utf-8", errors="replace") as log:
                    lines = [line for line in log.read().splitlines()
                             if "[INF]" not in line][-LOG_LINES:]
                print(f"---- {name} ----\n" + "\n".join(line[:400] for line in lines), flush=True)


class FleetSim:
    """A run of the fleet tool; its report is one JSON object on standard output."""

    def __init__(self, stack, words):
        number = len(stack.sims) + 1
        self.path = os.path.join(stack.folder.path, f"fleetsim-{number}.log")
        server = stack.leaf or stack.nats
        self.process = Process([FLEETSIM, words[0], "--url", server.url, "--env", ENV, *words[1:]],
                               self.path)

    def wait(self, timeout=120):
        """Its report, once it has ended well."""
        status = self.process.wait(timeout)
        if status != 0:
            raise AssertionError(f"fleetsim ended with {status}:\n{self.process.log_tail()}")
        return self.report()

    def report(self):
        for line in reversed(self.process.log().splitlines()):
            if line.startswith("{"):
                return json.loads(line)
        raise AssertionError("fleetsim has not reported:\n" + self.process.log_tail())

    def stop(self):
        self.process.send(signal.SIGTERM)
        return self.wait(20)


def _attempt(call):
    try:
        return call()
    except Exception:  # whatever a server that is starting up answers: not yet
        return None

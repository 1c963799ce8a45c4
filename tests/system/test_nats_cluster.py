"""deploy/nats/secure-cluster.conf: three servers, of which any one may go, and with it the leader of a stream."""

import os
import unittest

from harness import Stack, envelope, wait_until
from harness.client import NatsClient, NatsError
from harness.process import free_port
from harness.secured import Secured, SecuredFolder

SERVERS = 3
VID = "V-1"
BEFORE, DURING = 40, 80  # events


class Publisher:
    """A gateway's duty: publishes each event again until it is acknowledged."""

    def __init__(self, client):
        self.client, self.again = client, 0

    def publish(self, kind, what, number):
        data = envelope({"number": number}, boot="b1", seq=number)

        def stored():
            try:
                return self.client.js_publish(f"fleet.test.veh.{VID}.{kind}.{what}", data,
                                              f"{VID}-{kind}-{number}", timeout=2)
            except (NatsError, TimeoutError, OSError):
                self.again += 1
                return None
        wait_until(stored, 40, f"event {number} is stored")


class Cluster(unittest.TestCase):
    def setUp(self):
        self.stack = Stack(start=False)
        self.stack.__enter__()
        self.addCleanup(self.end)
        self.servers = {}
        self.folder = SecuredFolder(os.path.join(self.stack.folder.path, "secured"))
        self.password = self.folder.add_user(VID)
        self.start_cluster()
        self.stack.postgres.start()
        self.stack.nats.port = next(iter(self.servers.values())).port
        self.hub = self.stack.add_hub()
        self.hub.config["nats"]["url"] = ",".join(
            f"tls://hub:hub-password@127.0.0.1:{server.port}" for server in self.servers.values())
        self.hub.config["nats"]["tls"] = {"ca": self.folder.cert}
        self.hub.config["nats"]["replicas"] = SERVERS
        self.hub.start()
        self.publisher = Publisher(self.leaf())

    def end(self):
        good = self._outcome.success
        self.stack.__exit__(None if good else AssertionError, None, None)
        for server in self.servers.values():
            server.process.kill()
            if not good:
                print(f"---- {server.what} ----\n{server.process.log_tail()}")

    def start_cluster(self):
        self.leaf_ports = [free_port() for _ in range(SERVERS)]
        route_ports = [free_port() for _ in range(SERVERS)]
        routes = ", ".join(f'"tls://127.0.0.1:{port}"' for port in route_ports)
        for number in range(SERVERS):
            port, name = free_port(), f"hub-{number + 1}"
            self.servers[name] = Secured(self.folder.path, "secure-cluster.conf", port, {
                **self.folder.environment(), "FLEETHUB_NATS_NAME": name,
                "FLEETHUB_NATS_LISTEN": f"127.0.0.1:{port}",
                "FLEETHUB_LEAFNODE_LISTEN": f"127.0.0.1:{self.leaf_ports[number]}",
                "FLEETHUB_ROUTE_LISTEN": f"127.0.0.1:{route_ports[number]}",
                "FLEETHUB_ROUTES": f"[{routes}]",
                "FLEETHUB_NATS_STORE": os.path.join(self.folder.path, name)}, name=name)
        wait_until(lambda: self.ask("INFO"), 30, "the cluster has a leader")

    def leaf(self):
        """A client at the vehicle's own leaf node, which was told of one of the three."""
        port = free_port()
        self.servers["leaf"] = Secured(self.folder.path, "secure-leaf.conf", port, {
            "FLEETHUB_LEAF_NAME": VID, "FLEETHUB_LEAF_PORT": str(port),
            "FLEETHUB_TLS_CA": self.folder.cert,
            "FLEETHUB_LEAF_REMOTE": f"tls://{VID}:{self.password}@127.0.0.1:{self.leaf_ports[0]}"})
        client = NatsClient(port, inbox=f"_INBOX.{VID}")
        self.addCleanup(client.close)
        return client

    def ask(self, name):
        """From whichever server answers."""
        for server in [one for one in self.servers.values() if one.process.alive()]:
            try:
                with NatsClient(server.port, user="hub", password="hub-password",
                                tls=self.folder.tls) as client:
                    return client.js_api(name, timeout=2)
            except (NatsError, TimeoutError, OSError):
                continue
        return None

    def whole(self):
        info = self.ask("STREAM.INFO.TWIN_EVENTS")
        return info and all(peer["current"] for peer in info["cluster"]["replicas"])

    def archived(self):
        return sorted(record["data"]["number"] for record in self.hub.events(kind="event"))

    def test_the_leader_of_a_stream_dies_and_nothing_is_lost(self):
        for number in range(BEFORE):
            self.publisher.publish("evt", "waypoint", number)
        info = wait_until(lambda: self.ask("STREAM.INFO.TWIN_EVENTS"), 20, "the stream is there")
        self.assertEqual(info["config"]["num_replicas"], SERVERS)
        leader = info["cluster"]["leader"]
        self.servers[leader].process.kill()
        for number in range(BEFORE, BEFORE + DURING):
            self.publisher.publish("evt", "waypoint", number)
        self.publisher.publish("state", "mode", BEFORE + DURING)
        wait_until(lambda: self.archived() == list(range(BEFORE + DURING)), 60,
                   "every event is on record, once")
        wait_until(lambda: self.hub.json(f"/v1/vehicles/{VID}")["state"].get("mode") ==
                   {"number": BEFORE + DURING}, 30, "the twin has the last state")
        self.assertEqual(self.hub.metric("stream_epochs_total"), 0)
        self.servers[leader].start()
        wait_until(self.whole, 60, "who was gone has caught up")


if __name__ == "__main__":
    unittest.main()

"""A hub for which there is no memory, or no file descriptor: it answers, goes on, and recovers."""

import mmap
import os
import resource
import socket
import unittest

import harness.hub
from harness import Stack, envelope, wait_until
from harness.process import BUILD_DIR, scaled

VEHICLES = 20
ROUNDS = 6


def subject(vid, what):
    return f"fleet.test.veh.{vid}.{what}"


class Memory(unittest.TestCase):
    """One stack: the hub's own allocations fail, one of so many, while messages and requests come."""

    def setUp(self):
        program = harness.hub.PROGRAM
        harness.hub.PROGRAM = os.path.join(BUILD_DIR, "tests", "fleethub_oom")
        self.addCleanup(setattr, harness.hub, "PROGRAM", program)
        self.stack = Stack(leaf=False, start=False)
        self.stack.__enter__()
        self.addCleanup(self.end)
        path = os.path.join(self.stack.folder.path, "oom")
        with open(path, "wb") as file:
            file.write(bytes(4))
        with open(path, "r+b") as file:
            self.one_of = mmap.mmap(file.fileno(), 4)
        os.environ["FLEETHUB_OOM"] = path
        self.addCleanup(os.environ.pop, "FLEETHUB_OOM")
        self.stack.postgres.start()
        self.stack.nats.start()
        self.hub = self.stack.add_hub().start()

    def end(self):
        good = self._outcome.success
        self.stack.__exit__(None if good else AssertionError, None, None)

    def fail_one_of(self, count):
        self.one_of[:4] = count.to_bytes(4, "little")

    def statuses(self, requests):
        found = set()
        for method, path, body in requests:
            try:
                reply = self.hub.request(method, path, {"Content-Type": "application/json"}, body)
                found.add(reply.status)
                if reply.status == 503:
                    self.assertIn("retry-after", reply.headers, reply)
            except (OSError, ValueError):
                found.add(None)  # the connection was cut, or not let in
        return found

    def test_want_of_memory_is_an_answer_and_nothing_is_lost(self):
        requests = [("GET", "/v1/vehicles", None), ("GET", "/v1/vehicles/V-1", None),
                    ("GET", "/v1/fleet/stats?group_by=state.battery.n", None), ("GET", "/v1/events", None),
                    ("GET", '/v1/vehicles?filter=state.battery.n%20%3E%200%20AND%20vid%3A%2A', None),
                    ("PATCH", "/v1/vehicles/V-1/desired", '{"led": 1}'), ("GET", "/livez", None),
                    ("POST", "/v1/commands", '{"type": "rtl", "target": {"all": true}, "dry_run": true}'),
                    ("PUT", "/v1/groups/g", '{"vids": ["V-1"]}'), ("GET", "/metrics", None)]
        found = set()
        with self.stack.nats.client() as nats:
            for i, rate in enumerate((100, 30, 10, 4, 2, 1)[:ROUNDS]):
                self.fail_one_of(rate)
                for number in range(VEHICLES):
                    nats.js_publish(subject(f"V-{number}", "state.battery"), envelope({"n": i + 1}))
                    nats.js_publish(subject(f"V-{number}", "evt.waypoint"), envelope({"n": i + 1}))
                for _ in range(3):
                    found |= self.statuses(requests)
                self.assertTrue(self.hub.process.alive(), self.hub.process.log_tail())
                self.fail_one_of(0)
                wait_until(lambda: self.hub.get("/livez").status == 200, 30, "it answers again")
        self.assertIn(503, found)
        # A failure that comes by way of another library's error is a 500.
        self.assertFalse(found - {200, 201, 400, 404, 409, 412, 422, 500, 503, 504, None}, found)

        def whole():
            twins = self.hub.twins()
            return (len(twins) == VEHICLES and
                    {twin["state"]["battery"]["n"] for twin in twins.values()} == {ROUNDS})
        wait_until(whole, 60, "the twins are what was sent last")
        self.stack.wait_archived()
        events = [(r["vid"], r["data"]["n"]) for r in self.hub.events(kind="event")]
        self.assertEqual(sorted(events), sorted((f"V-{v}", n + 1) for v in range(VEHICLES)
                                                for n in range(ROUNDS)))
        reply = self.hub.request("PATCH", "/v1/vehicles/V-2/desired",
                                 {"Content-Type": "application/json"}, '{"led": 2}')
        self.assertEqual(reply.status, 200, reply)


class Files(unittest.TestCase):
    def setUp(self):
        self.stack = Stack(leaf=False)
        self.stack.__enter__()
        self.addCleanup(self.end)
        self.hub = self.stack.hub

    def end(self):
        good = self._outcome.success
        self.stack.__exit__(None if good else AssertionError, None, None)

    def ask(self, connection):
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.recv(65536).split(b"\r\n", 1)[0]

    def test_want_of_file_descriptors_is_borne_and_ends(self):
        pid = self.hub.process.pid
        with self.stack.nats.client() as nats:
            nats.js_publish(subject("V-1", "state.mode"), envelope({"mode": "A"}))
            wait_until(lambda: "V-1" in self.hub.twins(), 20, "the vehicle is known")
            inside = [socket.create_connection(("127.0.0.1", self.hub.port), scaled(20)) for _ in range(4)]
            for connection in inside:
                self.assertIn(b"200", self.ask(connection))
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = len(os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, before[1]))
            crowd = [socket.create_connection(("127.0.0.1", self.hub.port), scaled(20)) for _ in range(100)]
            for connection in crowd:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            # Who is inside is served, and the fold goes on.
            for connection in inside:
                self.assertIn(b"200", self.ask(connection))
            nats.js_publish(subject("V-1", "state.mode"), envelope({"mode": "B"}))

            def folded():
                inside[0].sendall(b"GET /v1/vehicles/V-1/state/mode HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return b'"B"' in inside[0].recv(65536)
            wait_until(folded, 20, "the fold goes on")
            self.assertTrue(self.hub.process.alive(), self.hub.process.log_tail())
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            for connection in crowd:
                connection.close()
            wait_until(lambda: self.hub.get("/livez").status == 200, 40, "newcomers are served again")
            for _ in range(20):
                self.assertEqual(self.hub.get("/v1/vehicles").status, 200)
            for connection in inside:
                connection.close()
            self.hub.wait_ready()


if __name__ == "__main__":
    unittest.main()

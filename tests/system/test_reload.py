"""SIGHUP: the configuration read again while the hub runs. SIGUSR2: clients are sent elsewhere."""

import json
import copy
import http.client
import signal
import unittest

from harness import StackCase, envelope, wait_until
from harness.hub import merged
from harness.live import LiveClient
from harness.process import scaled

JSON = {"Content-Type": "application/json"}


class Reload(StackCase):
    settings = {"presence": {"stale_after_s": 30, "offline_after_s": 60}}

    def reload(self, **changes):
        """Changes the file, and waits until the hub has looked at it."""
        self.hub.config = merged(copy.deepcopy(self.hub.config), changes)
        self.hub.write_config()
        before = self.said()
        self.hub.process.send(signal.SIGHUP)
        wait_until(lambda: self.said() > before, 10, "the hub has read it again")

    def said(self):
        log = self.hub.process.log()
        return sum(line.count("hub.reloaded") - line.count("hub.reloaded detail=")
                   for line in log.splitlines()) + log.count("the configuration in force stays")

    def test_what_may_change_does_at_once_and_the_rest_is_named(self):
        with self.stack.nats.client() as client:
            client.js_publish("fleet.test.veh.V-1.state.mode", envelope({"mode": "AUTO"}))
        wait_until(lambda: "V-1" in self.hub.twins(), 10, "it is there")
        self.assertEqual(self.hub.twins()["V-1"]["presence"]["status"], "online")
        self.reload(presence={"stale_after_s": 1, "offline_after_s": 3},
                    log={"level": "debug"}, nats={"replicas": 3})
        wait_until(lambda: self.hub.twins()["V-1"]["presence"]["status"] == "offline", 20,
                   "the new limits hold")
        log = self.hub.process.log()
        self.assertIn("presence.stale_after_s: changed", log)
        self.assertIn("log.level: changed", log)
        self.assertIn("nats.replicas: needs a restart", log)
        self.assertNotIn("nats.url", log.split("hub.reloaded", 1)[1])
        wait_until(lambda: self.hub.get("/livez") and "level=debug" in self.hub.process.log(), 10,
                   "what was not worth a line is now")
        self.expect_request_logged("/v1/vehicles/V-1", "status=200", "principal=local", "vid=V-1")
        line = self.expect_request_logged("/v1/vehicles", "status=200", "principal=local")
        self.assertNotIn("vid=", line)
        self.reload(log={"level": "debug", "format": "json"})
        line = json.loads(self.expect_request_logged("/v1/vehicles/V-1/delta", '"status":"200"'))
        self.assertEqual((line["level"], line["event"], line["principal"], line["vid"]),
                         ("debug", "http.request", "local", "V-1"))

    def expect_request_logged(self, path, *parts):
        """The line of a request, found by the id that the answer carries."""
        request_id = self.hub.get(path).headers["x-request-id"]

        def line():
            return next((line for line in self.hub.process.log().splitlines()
                         if request_id in line and "http.request" in line), None)
        found = wait_until(line, 10, f"the request {request_id} is in the log")
        for part in parts:
            self.assertIn(part, found)
        return found

    def test_a_bad_one_changes_nothing(self):
        self.reload(http={"limits": {"body_bytes": 2048}})
        self.assertEqual(self.put_group(3000), 413)
        self.reload(http={"limits": {"body_bytes": "plenty"}}, presence={"offline_after_s": 1})
        log = self.hub.process.log()
        self.assertIn("http.limits.body_bytes: expects bytes", log)
        self.assertIn("presence.offline_after_s: 1 s is below", log)
        self.assertEqual(self.put_group(3000), 413)
        self.assertEqual(self.put_group(1000), 201)
        self.reload(http={"limits": {"body_bytes": 4096}}, presence={"offline_after_s": 60})
        self.assertEqual(self.put_group(3000), 201)

    def put_group(self, size):
        name = f"g{size}"
        body = '{"filter": "' + "vid:* AND vid:*".ljust(size) + '"}'
        return self.hub.request("PUT", f"/v1/groups/{name}", JSON, body).status

    def test_connections_are_bounded_anew(self):
        self.reload(http={"limits": {"per_address": 3}})
        held = []
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(5))
            connection.request("GET", "/livez")
            self.assertEqual(connection.getresponse().read(), b'{"status":"alive"}')
            held.append(connection)
        with self.assertRaises(OSError):
            self.hub.get("/livez")
        held[0].close()
        wait_until(lambda: self.hub.get("/livez").status == 200, 10, "there is room again")
        for connection in held:
            connection.close()

    def test_access_may_be_switched_on(self):
        self.assertEqual(self.hub.get("/v1/vehicles").status, 200)
        client = LiveClient(self.hub).open().wait_ready()
        self.addCleanup(client.close)
        self.reload(auth={"mode": "tokens"})
        self.assertEqual(self.hub.get("/v1/vehicles").status, 401)
        with self.stack.nats.client() as nats:  # whoever was let in by nobody is told of nothing any more
            nats.js_publish("fleet.test.veh.V-2.state.mode", envelope({"mode": "AUTO"}))
        wait_until(lambda: client.ended, 10, "the stream ends")
        self.assertNotIn("V-2", client.seen())
        self.assertEqual(self.hub.get("/livez").status, 200)
        self.reload(auth={"mode": "off"})
        self.assertEqual(self.hub.get("/v1/vehicles").status, 200)

    def test_commands_go_by_the_new_policy(self):
        with self.stack.nats.client() as client:
            client.js_publish("fleet.test.veh.V-1.state.mode", envelope({"mode": "AUTO"}))
        wait_until(lambda: "V-1" in self.hub.twins(), 10, "it is there")
        body = ('{"type": "takeoff", "params": {"alt": 50}, "target": {"vids": ["V-1"]}, '
                '"dry_run": true}')

        def blocked():
            reply = self.hub.request("POST", "/v1/commands", JSON, body)
            self.assertEqual(reply.status, 200, reply)
            return len(reply.json()["blocked"])
        wait_until(lambda: self.hub.request("POST", "/v1/commands", JSON, body).status == 200, 20,
                   "commands are taken")
        self.assertEqual(blocked(), 0)
        self.reload(commands={"policy": {"max_alt_m": 20}})
        self.assertEqual(blocked(), 1)


class Drain(StackCase):
    def test_clients_are_sent_elsewhere_and_none_is_refused(self):
        client = LiveClient(self.hub).open().wait_ready()
        self.addCleanup(client.close)
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(10))
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/vehicles")
        self.assertIsNone(connection.getresponse().getheader("Connection"))
        self.hub.process.send(signal.SIGUSR2)
        wait_until(lambda: self.hub.get("/readyz").status == 503, 10, "balancers are told")
        self.assertIn("draining", self.hub.get("/readyz").body.decode())
        wait_until(lambda: client.ended, 10, "streams end")
        self.assertEqual(self.hub.get("/v1/vehicles").status, 200)
        self.assertEqual(self.hub.get("/v1/vehicles").headers["connection"], "close")
        self.assertEqual(self.hub.stop(), 0)
        self.hub.start()
        self.assertEqual(self.hub.get("/readyz").status, 200)


if __name__ == "__main__":
    unittest.main()

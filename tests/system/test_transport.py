"""TLS in front of everything, and pages of other origins."""

import http.client
import json
import os
import ssl
import subprocess
import tempfile
import unittest
import warnings

from harness import Stack, StackCase, envelope, wait_until
from harness.hub import PROGRAM
from harness.process import scaled

ORIGIN = "https://ops.example.org"


def openssl(*words):
    subprocess.run(["openssl", *words], capture_output=True, check=True, timeout=scaled(60))


class Tls(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fleethub-test-")
        self.addCleanup(folder.cleanup)
        self.cert = os.path.join(folder.name, "cert.pem")
        self.key = os.path.join(folder.name, "key.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=IP:127.0.0.1")
        self.stack = Stack(start=False)
        self.stack.__enter__()
        self.addCleanup(self.end)
        self.stack.nats.start()
        self.stack.postgres.start()

    def end(self):
        good = self._outcome.success
        self.stack.__exit__(None if good else AssertionError, None, None)

    def connection(self, hub, context=None):
        context = context or ssl.create_default_context(cafile=self.cert)
        return http.client.HTTPSConnection("127.0.0.1", hub.port, context=context,
                                           timeout=scaled(10))

    def ask(self, hub, path):
        connection = self.connection(hub)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()

    def test_every_answer_comes_over_tls_1_2_or_later(self):
        hub = self.stack.add_hub({"http": {"tls": {"cert": self.cert, "key": self.key}}})
        hub.get = lambda path, *_, **__: self.plain(hub, path)
        hub.start(ready=False)
        wait_until(lambda: self.ask(hub, "/readyz")[0] == 200, 30, "it is ready")
        with self.stack.nats.client() as client:
            for i in range(300):
                client.publish(f"fleet.test.veh.V-{i}.state.mode", envelope({"mode": "x" * 500}))
        wait_until(lambda: json.loads(self.ask(hub, "/v1/vehicles")[2])["total_size"] == 300, 20,
                   "the vehicles are there")
        status, headers, body = self.ask(hub, "/v1/vehicles?format=ndjson")
        self.assertEqual((status, len(body.splitlines())), (200, 300))
        self.assertIn("Strict-Transport-Security", headers)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        connection = self.connection(hub, old)
        with self.assertRaises(ssl.SSLError):
            connection.request("GET", "/livez")
        connection.close()

    def plain(self, hub, path):
        """What the harness asks, through TLS."""
        class Reply:
            status = self.ask(hub, path)[0]
        return Reply

    def test_a_stream_over_tls_tells_of_changes(self):
        hub = self.stack.add_hub({"http": {"tls": {"cert": self.cert, "key": self.key}}})
        hub.get = lambda path, *_, **__: self.plain(hub, path)
        hub.start(ready=False)
        wait_until(lambda: self.ask(hub, "/readyz")[0] == 200, 30, "it is ready")
        connection = self.connection(hub)
        connection.request("GET", "/v1/vehicles/stream")
        reply = connection.getresponse()
        self.assertEqual(reply.readline(), b"event: ready\n")
        with self.stack.nats.client() as client:
            client.publish("fleet.test.veh.V-1.state.mode", envelope({"mode": "AUTO"}))
        while b"event: enter" not in reply.readline():
            pass
        connection.close()

    def test_files_that_are_none_say_so(self):
        hub = self.stack.add_hub({"http": {"tls": {"cert": self.key + ".none", "key": self.key}}})
        hub.write_config()
        self.stack.hubs.remove(hub)
        done = subprocess.run([PROGRAM, "run", "--migrate", "--config", hub.config_path],
                              capture_output=True, text=True, timeout=scaled(60), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file", done.stderr)


class Cors(StackCase):
    settings = {"http": {"cors_origins": [ORIGIN]}, "auth": {"mode": "tokens"}}

    def test_pages_of_a_named_origin_may_read_and_others_may_not(self):
        reply = self.hub.request("OPTIONS", "/v1/vehicles", {
            "Origin": ORIGIN, "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization"})
        self.assertEqual(reply.status, 204)
        self.assertEqual(reply.headers["access-control-allow-origin"], ORIGIN)
        self.assertIn("Authorization", reply.headers["access-control-allow-headers"])
        self.assertIn("PATCH", reply.headers["access-control-allow-methods"])
        reply = self.hub.get("/v1/vehicles", {"Origin": ORIGIN})
        self.assertEqual(reply.status, 401)  # and the page may know why
        self.assertEqual(reply.headers["access-control-allow-origin"], ORIGIN)
        self.assertIn("Fleet-Position", reply.headers["access-control-expose-headers"])
        for origin in ("https://evil.example.org", ORIGIN + ".evil.org", "null", ORIGIN.upper()):
            reply = self.hub.get("/livez", {"Origin": origin})
            self.assertNotIn("access-control-allow-origin", reply.headers, origin)
            reply = self.hub.request("OPTIONS", "/v1/vehicles", {
                "Origin": origin, "Access-Control-Request-Method": "GET"})
            self.assertEqual(reply.status, 405, origin)


if __name__ == "__main__":
    unittest.main()

"""A hub with access control, two vehicles, and tokens made on the command line."""

import json
import subprocess

from .case import StackCase
from .hub import PROGRAM
from .process import scaled, wait_until
from .trace import envelope

OWN, OTHER = "OWN-1", "OTHER-1"


def subject(vid, what):
    return f"fleet.test.veh.{vid}.{what}"


def bearer(token):
    return {"Authorization": f"Bearer {token}"} if token else {}


class AccessCase(StackCase):
    settings = {"auth": {"mode": "tokens"}}

    def setUp(self):
        super().setUp()
        self.nats = self.stack.nats.client()
        self.addCleanup(self.nats.close)
        for vid in (OWN, OTHER):
            self.nats.js_publish(subject(vid, "state.position"), envelope({"lat": 59, "lon": 10}))
            self.nats.js_publish(subject(vid, "state.battery"), envelope({"remaining": 0.5}))
            self.nats.js_publish(subject(vid, "evt.battery.low"), envelope({"n": 1}))
        self.admin = self.token("admin")
        for hub in self.stack.hubs:
            wait_until(lambda h=hub: h.get("/v1/vehicles", bearer(self.admin)).json()["total_size"]
                       == 2, 20, "the vehicles are there")

    def cli(self, *words, expected=0):
        done = subprocess.run([PROGRAM, *words, f"--nats.url={self.stack.nats.url}"],
                              capture_output=True, text=True, timeout=scaled(30), check=False)
        self.assertEqual(done.returncode, expected, done.stderr)
        return done.stdout if expected == 0 else done.stderr

    def token(self, role, **lists):
        """Made on the command line, and known to every hub."""
        words = [f"--{name}={','.join(items) if isinstance(items, (list, tuple)) else items}"
                 for name, items in lists.items()]
        token = self.cli("token", "create", f"--role={role}", f"--name=a {role}", *words).strip()
        for hub in self.stack.hubs:
            wait_until(lambda h=hub: self.status(token, "POST", "/v1/access:check",
                                                 {"action": "read"}, hub=h) == 200, 10,
                       "the token is known")
        return token

    def call(self, token, method, path, body=None, hub=None, **headers):
        hub = hub or self.hub
        head = dict(bearer(token), **headers)
        if body is not None:
            head["Content-Type"] = "application/json"
            body = json.dumps(body)
        return hub.request(method, path, head, body)

    def status(self, *words, **named):
        return self.call(*words, **named).status

    def get(self, token, path, hub=None):
        reply = self.call(token, "GET", path, hub=hub)
        self.assertEqual(reply.status, 200, (path, reply))
        return reply.json()

    def vids(self, token, hub=None):
        return {twin["vid"] for twin in self.get(token, "/v1/vehicles", hub)["vehicles"]}

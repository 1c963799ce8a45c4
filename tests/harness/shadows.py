"""What the tests of shadows and of what a crash leaves of them have in common."""

import contextlib
import json
import os

from .case import StackCase
from .process import wait_until
from .trace import envelope

VID = "VID-001"
KEY = f"fleet/test/veh/{VID}/"
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}


@contextlib.contextmanager
def failpoint(name):
    """The programs started meanwhile end there, as by kill -9 (hub/failpoint.h)."""
    os.environ["FLEETHUB_FAILPOINT"] = name
    try:
        yield
    finally:
        del os.environ["FLEETHUB_FAILPOINT"]


class ShadowCase(StackCase):
    def setUp(self):
        super().setUp()
        self.client = self.stack.nats.client()
        self.addCleanup(self.client.close)

    def appear(self, vid=VID):
        self.client.js_publish(f"fleet.test.veh.{vid}.state.mode", envelope({"mode": "AUTO"}))
        wait_until(lambda: self.hub.get(f"/v1/vehicles/{vid}").status == 200, 10, f"{vid} appears")

    def write(self, method, part, value, headers=None, vid=VID, hub=None, **options):
        body = value if isinstance(value, (bytes, str)) else json.dumps(value)
        return (hub or self.hub).request(method, f"/v1/vehicles/{vid}/{part}",
                                         dict(JSON, **(headers or {})), body, **options)

    def patch(self, value, headers=None, **options):
        return self.write("PATCH", "desired", value, headers, **options)

    def put(self, value, headers=None, **options):
        return self.write("PUT", "desired", value, headers, **options)

    def expect(self, reply, status, value=None):
        self.assertEqual(reply.status, status, reply)
        if status >= 400:
            self.assertEqual(reply.headers["content-type"], "application/problem+json")
        if value is not None:
            self.assertEqual(reply.json(), value)
        return reply

    def records(self, **parameters):
        """Oldest first."""
        self.stack.wait_archived()
        return self.hub.events(kind="shadow", order_by="seq", **parameters)

    def expect_settled(self, records=None):
        """Every request has one outcome. Returns {request's id: its outcome}."""
        records = self.records() if records is None else records
        requests = [r for r in records if r["type"] == "requested"]
        outcomes = {}
        for record in records:
            if record["type"] in ("applied", "refused"):
                self.assertNotIn(record["data"]["request"], outcomes)
                outcomes[record["data"]["request"]] = record
        self.assertEqual(sorted(outcomes), sorted(r["id"] for r in requests))
        return requests, outcomes

    def kv_seq(self, part="desired"):
        answer = self.client.js_api("STREAM.MSG.GET.KV_TWIN_SHADOW",
                                    {"last_by_subj": "$KV.TWIN_SHADOW." + KEY + part})
        return answer["message"]["seq"]

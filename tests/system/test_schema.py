"""What schema/ says is what the hub does: every operation, asked well and badly, answers as the
OpenAPI document says; messages are as their schemas say."""

import base64
import datetime
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import unittest
import urllib.parse

from harness import OWN_TRACES, Proxy, Reply, Stack, StackCase, Trace, envelope, timestamp, wait_until
from harness.process import BUILD_DIR, scaled
from harness.schemas import MISSING, OpenApi, Schemas, errors, jsonschema, names, read

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")
BUNDLER = os.path.join(BUILD_DIR, "tools", "openapi-bundle")
BUNDLED = os.path.join(BUILD_DIR, "schema", "openapi.json")
SAMPLE_EVERY = 25  # of the recorded states
TAGGED_TRIES = 5
STALE_S, OFFLINE_S = 4, 5
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}

# Access is still to come; what is away, and positions, have tests of their own.
ELSEWHERE = {403, 410, 503, 504}
FULL = ("putGroup", 409)  # with 4,096 groups


@unittest.skipUnless(jsonschema, MISSING)
class Documents(unittest.TestCase):
    """Schemas and examples by themselves."""

    def test_schemas_are_schemas(self):
        for name in names():
            jsonschema.Draft202012Validator.check_schema(read(name))
        with open(BUNDLED, encoding="utf-8") as file:
            document = json.load(file)
        for name, schema in document["components"]["schemas"].items():
            with self.subTest(schema=name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_examples_are_as_their_schemas_say(self):
        schemas = Schemas()
        seen = 0
        for name in names():
            examples = read(name).get("examples", [])
            seen += len(examples)
            for example in examples:
                self.assertEqual(errors(schemas.validator(name), example), "", name)
        self.assertGreater(seen, 15)

    def test_examples_of_the_openapi_document_are_as_their_schemas_say(self):
        with open(BUNDLED, encoding="utf-8") as file:
            openapi = OpenApi(json.load(file))
        seen = []

        def look(value, place):
            if isinstance(value, list):
                for index, item in enumerate(value):
                    look(item, f"{place}/{index}")
            if not isinstance(value, dict):
                return
            examples = [(value["schema"], value["example"])] if "example" in value else []
            if "schema" in value and isinstance(value.get("examples"), dict):
                examples += [(value["schema"], e["value"]) for e in value["examples"].values()]
            if isinstance(value.get("examples"), list):
                examples += [(value, example) for example in value["examples"]]
            for schema, example in examples:
                seen.append(place)
                self.assertEqual(openapi.errors(schema, example), "", place)
            for name, item in value.items():
                if name not in ("example", "examples"):
                    look(item, f"{place}/{name}")
        look(openapi.closed, "")
        self.assertGreater(len(seen), 40)

    def test_every_schema_is_used(self):
        with open(BUNDLED, encoding="utf-8") as file:
            used = {name + ".json" for name in json.load(file)["components"]["schemas"]}
        for entry in read("subjects.json")["subjects"]:
            used |= {entry["schema"], entry.get("data", entry["schema"])}
        self.assertEqual(set(names()) - used, {"config.schema.json"})

    def test_schemas_refuse_what_is_wrong(self):
        """Each change of a good example makes it a bad one."""
        changes = {
            "envelope.json": [("timestamp", None), ("timestamp", "today"), ("timestamp", 1),
                              ("data", None), ("data", []), ("seq", -1), ("seq", 0.5),
                              ("seq", 1 << 63), ("boot", 7), ("vid", "a.b"), ("vid", "stream")],
            "state-position.json": [("lat", 91), ("lon", "10"), ("heading", -1), ("lat", None)],
            "state-battery.json": [("remaining", 71)],
            "state-mode.json": [("armed", "yes")],
            "state-health.json": [("errors", -1)],
            "event.json": [("severity", "bad"), ("severity", 8)],
            "command.json": [("params", {"lat": 1}), ("params", {"lat": 1, "lon": 1, "alt": -1}),
                             ("cmd_id", "x"), ("expires_at", None), ("extra", 1)],
            "acknowledgement.json": [("timestamp", None)],
            "archived.json": [("TWIN_EVENTS", {"seq": 1}), ("TWIN_STATE", {"epoch": "x", "seq": 1})],
            "record.json": [("kind", "gossip"), ("severity", "bad"), ("id", "x"), ("seq", 0),
                            ("received", "2026-01-15T10:30:00Z"), ("vid", None)],
            "record-message.json": [("data", {"from": "stale"}), ("kind", None)],
            "twin.json": [("vid", None), ("revision", {"desired": -1}), ("mood", "good")],
            "problem.json": [("type", "/problems/other"), ("status", 200), ("colour", "red")],
        }
        schemas = Schemas()
        for name, replaced in changes.items():
            example = read(name)["examples"][0]
            for member, value in replaced:
                bad = dict(example, **{member: value})
                if value is None:
                    bad.pop(member)
                with self.subTest(schema=name, member=member, value=value):
                    self.assertNotEqual(errors(schemas.validator(name), bad), "")


class Bundler(unittest.TestCase):
    """The tool that makes one document of schema/."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="fleethub-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def bundle(self, yaml, **files):
        self.write("openapi.yaml", yaml)
        for name, text in files.items():
            self.write(name + ".json", text)
        self.out = os.path.join(self.folder, "out.json")
        return subprocess.run(
            [BUNDLER, os.path.join(self.folder, "openapi.yaml"), self.out,
             os.path.join(self.folder, "out.c")], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=scaled(30))

    def good(self, yaml, **files):
        result = self.bundle(yaml, **files)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        with open(self.out, encoding="utf-8") as file:
            return json.load(file)

    def bad(self, word, yaml, **files):
        result = self.bundle(yaml, **files)
        self.assertEqual(result.returncode, 1, yaml)
        self.assertIn(word, result.stderr)
        self.assertFalse(os.path.exists(self.out))

    def test_values_are_what_yaml_says(self):
        made = self.good("components: {schemas: {}}\n"
                         "a: [1, -2.5, 1e3, true, false, null, ~x, 'yes', \"1\", plain text]\n"
                         "b: &twice {c: 0.1}\nd: *twice\ne: |\n  two\n  lines\n")
        self.assertEqual(made["a"], [1, -2.5, 1000, True, False, None, "~x", "yes", "1",
                                     "plain text"])
        self.assertEqual((made["b"], made["d"]), ({"c": 0.1}, {"c": 0.1}))
        self.assertEqual(made["e"], "two\nlines\n")

    def test_schemas_join_the_document_and_references_are_written_anew(self):
        made = self.good(
            "components: {schemas: {Own: {$ref: one.json}}}\n"
            "x: {$ref: 'two.json#/$defs/deep'}\ny: {$ref: '#/components/schemas/Own'}\n",
            one='{"$schema": "x", "$id": "y", "items": {"$ref": "two.json"}, "not": {"$ref": "#"}}',
            two='{"$defs": {"deep": {"$ref": "#/$defs/other"}, "other": {"$ref": "one.json"}}}')
        self.assertEqual(made["components"]["schemas"], {
            "Own": {"$ref": "#/components/schemas/one"},
            "one": {"items": {"$ref": "#/components/schemas/two"},
                    "not": {"$ref": "#/components/schemas/one"}},
            "two": {"$defs": {"deep": {"$ref": "#/components/schemas/two/$defs/other"},
                              "other": {"$ref": "#/components/schemas/one"}}}})
        self.assertEqual(made["x"], {"$ref": "#/components/schemas/two/$defs/deep"})
        self.assertEqual(made["y"], {"$ref": "#/components/schemas/Own"})

    def test_what_leads_nowhere_or_is_read_differently_is_refused(self):
        some = "components: {schemas: {}}\n"
        self.bad("leads nowhere", some + "x: {$ref: '#/components/schemas/None'}")
        self.bad("leads nowhere", some + "x: {$ref: 'one.json#/$defs/none'}", one="{}")
        self.bad("none.json", some + "x: {$ref: none.json}")
        self.bad("same folder", some + "x: {$ref: ../one.json}")
        self.bad("one.json:1:", some + "x: {$ref: one.json}", one='{"a": 1, "a": 2}')
        self.bad("is a schema of the document and a file",
                 "components: {schemas: {one: {}}}\nx: {$ref: one.json}", one="{}")
        self.bad("components/schemas", "a: 1")
        self.bad("openapi.yaml:2:4: not every reader", some + "a: no")
        self.bad("not every reader", some + "a: 2026-01-15")
        self.bad("twice", some + "a: 1\na: 2")
        self.bad("merge keys", some + "a: &a {b: 1}\nc: {<<: *a}")
        self.bad("tags", some + "a: !!int 1")
        self.bad("deeply", some + "a: &a [*a]")
        self.bad("nothing in it", "")
        self.bad("openapi.yaml:", "a: [")
        self.bad("overflow", some + "x: {$ref: one.json}", one='{"a": 1e999}')

    def test_usage(self):
        result = subprocess.run([BUNDLER], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                check=False, timeout=scaled(30))
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage", result.stderr)


@unittest.skipUnless(jsonschema, MISSING)
class Answers(StackCase):
    """Real answers beside the document that the hub itself serves."""

    settings = {"presence": {"stale_after_s": STALE_S, "offline_after_s": OFFLINE_S},
                "http": {"limits": {"body_bytes": 65536}}}

    def setUp(self):
        super().setUp()
        self.openapi = OpenApi(self.hub.json("/openapi.json"))
        with open(BUNDLED, encoding="utf-8") as file:
            self.assertEqual(self.openapi.document, json.load(file))

    def ask(self, method, path, status, headers=None, body=None, hub=None):
        """One request; its answer has to be as described, and of this status."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        reply = (hub or self.hub).request(method, path, headers, body)
        found = self.openapi.reply_errors(method, path, reply)
        self.assertEqual(found, "", f"{method} {path}: {reply!r}")
        self.assertEqual(reply.status, status, f"{method} {path}: {reply!r}")
        if reply.headers.get("content-type") == "application/problem+json":
            self.assertEqual(reply.json()["status"], status)
            self.assertEqual(reply.json()["request_id"], reply.headers["x-request-id"])
        return reply

    def fill(self):
        """A fleet with something of everything."""
        with self.stack.nats.client() as client:
            client.js_publish_all(Trace(COPTERS).messages("test"))
            client.js_publish("fleet.test.veh.ODD.state.position", envelope({"lat": "north"}))
            client.js_publish("fleet.test.veh.ODD.state.battery.cells", envelope({"v": [4.1, None]}))
            client.js_publish("fleet.test.veh.ODD.evt.landed", b"{")
            client.js_publish("fleet.test.veh.ODD.cmdack.rtl",
                              envelope({"cmd_id": "c.ODD", "status": "accepted"}))
            client.kv_put("TWIN_SHADOW", "fleet/test/veh/COPTER-01/reported", {"mode": "AUTO"})
            client.kv_put("TWIN_SHADOW", "fleet/test/veh/COPTER-02/desired", {"mode": "RTL"})
            client.kv_put("TWIN_SHADOW", "fleet/test/veh/SHADOW/meta", {"site": "oslo"})
        self.stack.wait_archived()
        wait_until(lambda: self.hub.get("/v1/vehicles/SHADOW").status == 200, 10, "shadows are read")
        wait_until(lambda: self.hub.events(kind="presence", type="offline"), 30, "presence is on record")

    def appear(self, vid):
        with self.stack.nats.client() as client:
            client.js_publish(f"fleet.test.veh.{vid}.state.mode", envelope({"mode": "AUTO"}))
        wait_until(lambda: self.hub.get(f"/v1/vehicles/{vid}").status == 200 and
                   self.hub.json(f"/v1/vehicles/{vid}")["presence"]["status"] == "online", 10,
                   f"{vid} is online")

    def test_every_operation_answers_as_described(self):
        self.fill()
        for part in (self.fleet, self.live, self.vehicle, self.history, self.shadow, self.registration,
                     self.groups, self.commands, self.access, self.record, self.followed, self.audit,
                     self.operation):
            with self.subTest(part=part.__name__):
                part()
        described = {(operation["operationId"], int(status))
                     for _, _, operation in self.openapi.operations()
                     for status in operation["responses"] if status != "default"}
        missing = sorted(e for e in described - self.openapi.met if e[1] not in ELSEWHERE and e != FULL)
        self.assertEqual(missing, [], "described, and not brought about here")

    def waits(self, path):
        """What every read knows."""
        mark = "&" if "?" in path else "?"
        position = self.hub.get("/v1/vehicles?page_size=1").headers["fleet-position"]
        self.ask("GET", f"{path}{mark}min_position={position}&wait_ms=5000", 200)
        self.ask("GET", f"{path}{mark}min_position=nonsense", 400)
        self.ask("GET", f"{path}{mark}min_position={position}&wait_ms=long", 400)
        self.ask("GET", f"{path}{mark}colour=red", 400)

    def tagged(self, path):
        """What has an ETag. It may change between two requests (a vehicle falls silent, a checkpoint covers a
        record), but not each time."""
        for _ in range(TAGGED_TRIES):
            reply = self.ask("GET", path, 200)
            again = self.hub.get(path, {"If-None-Match": reply.headers["etag"]})
            self.assertEqual(self.openapi.reply_errors("GET", path, again), "")
            if again.status == 304:
                return reply
        raise AssertionError(f"GET {path} has another ETag each time: {again!r}")

    def fleet(self):
        lists = "/v1/vehicles"
        page = self.ask("GET", lists + "?page_size=5&metadata=true&order_by=state.battery.remaining", 200)
        whole = Schemas().validator("twin.json", "#/$defs/whole")
        for twin in page.json()["vehicles"]:
            self.assertEqual(errors(whole, twin), "")
            self.assertIn("metadata", twin)
        token = page.json()["next_page_token"]
        self.ask("GET", lists + "?fields=state.position,presence.status,revision.meta", 200)
        self.ask("GET", lists + "?format=csv&fields=vid,state.mode.mode", 200)
        self.ask("GET", lists + "?format=geojson&page_size=7", 200)
        lines = self.ask("GET", lists, 200, {"Accept": "application/x-ndjson"})
        for line in lines.body.splitlines():
            self.assertEqual(errors(whole, json.loads(line)), "")
        for bad in ("filter=stat.x=1", "filter=(", "order_by=meta.x+up", "fields=,", "page_size=x",
                    "format=xml", "format=csv", "metadata=perhaps", f"page_token={token}",
                    "page_token=x", "format=ndjson&page_token=x", "page_size=1&page_size=2"):
            self.ask("GET", f"{lists}?{bad}", 400)
        self.ask("GET", lists, 406, {"Accept": "image/png"})
        self.waits(lists)

        stats = "/v1/fleet/stats"
        self.ask("GET", stats, 200)
        self.ask("GET", stats + "?group_by=presence.status,state.mode.armed&stats=count,"
                 "avg(state.battery.remaining),p95(state.battery.current),sum(meta.none)", 200)
        for bad in ("stats=median(meta.x)", "group_by=nothing", "filter=(", "stats="):
            self.ask("GET", f"{stats}?{bad}", 400)
        self.waits(stats)
        self.waits("/v1/fleet/fields")

    def listen(self, path, until, headers=None):
        """[(event, id, data)] of a stream, up to the first event of that name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(30))
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, b"")
            self.assertEqual(self.openapi.reply_errors("GET", path, reply), "", path)
            events, fields = [], {}
            while not events or events[-1][0] != until:
                line = answer.readline().decode().rstrip("\n")
                name, _, value = line.partition(": ")
                if line == "":
                    if "data" in fields:
                        events.append((fields["event"], fields["id"], json.loads(fields["data"])))
                    fields = {}
                elif line and not line.startswith(":"):
                    fields[name] = value
            return events
        finally:
            connection.close()

    def live(self):
        path = "/v1/vehicles/stream"
        content = self.openapi.operation("GET", path)["responses"]["200"]["content"]
        described = content["text/event-stream"]["x-events"]
        whole = Schemas().validator("twin.json", "#/$defs/whole")
        seen = set()

        def listen(*words, **options):
            events = self.listen(*words, **options)
            for name, mark, data in events:
                self.assertEqual(self.openapi.errors(described[name], data), "", name)
                self.assertTrue(mark)
                seen.add(name)
            return events
        events = listen(path, "ready")
        self.assertEqual(len(events), self.hub.json("/v1/vehicles")["total_size"] + 1)
        for _, _, twin in events[:-1]:
            self.assertEqual(errors(whole, twin), "")
        mark = listen(path + "?fields=meta&max_hz=0.5&filter=meta.live=1", "ready")[-1][1]
        for value in (1, 2):
            self.ask("PATCH", "/v1/vehicles/COPTER-05/meta", 200, MERGE, {"live": value})
            listen(path + "?fields=meta&filter=meta.live=1", "ready", headers={"Last-Event-ID": mark})
        listen(path, "ready", headers={"Last-Event-ID": "nonsense"})
        self.assertEqual(seen, set(described))
        for bad in ("filter=(", "fields=,", "max_hz=0", "max_hz=often", "order_by=vid",
                    "min_position=nonsense"):
            self.ask("GET", f"{path}?{bad}", 400)

    def followed(self):
        path = "/v1/events/stream"
        content = self.openapi.operation("GET", path)["responses"]["200"]["content"]
        described = content["text/event-stream"]["x-events"]
        for words, until, mark in (("?kind=event", "record", "0"), ("", "reset", "nonsense")):
            name, number, data = self.listen(path + words, until, {"Last-Event-ID": mark})[-1]
            self.assertEqual(self.openapi.errors(described[name], data), "", name)
            self.assertTrue(number.isdigit())
        for bad in ("filter=(", "kind=gossip", "vid=a.b", "type=", "order_by=seq", "min_position=nonsense"):
            self.ask("GET", f"{path}?{bad}", 400)

    def vehicle(self):
        path = "/v1/vehicles/COPTER-01"
        self.tagged(path)
        self.tagged(path + "?fields=state.mode&metadata")
        self.ask("GET", path + "?fields=nothing.here", 400)
        self.ask("GET", path + "?metadata=perhaps", 400)
        self.ask("GET", "/v1/vehicles/NOBODY", 404)
        self.waits(path)
        for vid in ("ODD", "SHADOW", "COPTER-02"):
            self.tagged("/v1/vehicles/" + vid + "?metadata=true")
        for kind in ("position", "mode"):
            self.tagged(f"{path}/state/{kind}")
        self.tagged("/v1/vehicles/ODD/state/battery.cells")
        self.ask("GET", f"{path}/state/nothing", 404)
        self.ask("GET", "/v1/vehicles/NOBODY/state/mode", 404)
        self.waits(path + "/state/mode")
        for part in ("desired", "reported", "config", "meta", "delta"):
            self.tagged(f"{path}/{part}")
            self.tagged(f"/v1/vehicles/COPTER-02/{part}")
            self.ask("GET", f"/v1/vehicles/NOBODY/{part}", 404)
            self.waits(f"{path}/{part}")

    def history(self):
        path = "/v1/vehicles/COPTER-01/history"
        since = timestamp(datetime.datetime.now(datetime.timezone.utc)
                          - datetime.timedelta(hours=1))
        self.ask("GET", f"{path}?page_size=3&start_time={since}", 200)
        self.ask("GET", f"{path}?type=mode&end_time={since}", 200)
        for bad in ("type=a..b", "start_time=today", "page_token=x", "page_size=x"):
            self.ask("GET", f"{path}?{bad}", 400)
        self.ask("GET", "/v1/vehicles/NOBODY/history", 404)
        self.waits(path + "?page_size=1")
        revisions = self.ask("GET", "/v1/vehicles/COPTER-02/desired/history", 200)
        self.assertEqual(len(revisions.json()["revisions"]), 1)
        self.ask("GET", "/v1/vehicles/NOBODY/desired/history", 404)
        self.waits("/v1/vehicles/COPTER-02/desired/history")

    def shadow(self):
        for part in ("desired", "meta", "config"):
            path = f"/v1/vehicles/COPTER-03/{part}"
            written = self.ask("PATCH", path, 200, dict(MERGE, **{"If-Match": '"0"'}), {"a": 1})
            self.ask("PATCH", path, 200, JSON, {"b": None})
            self.ask("PUT", path, 200, dict(JSON, **{"If-Match": written.headers["etag"]}),
                     {"c": {"d": [1, "é"]}})
            for method, headers in (("PATCH", MERGE), ("PUT", JSON)):
                self.ask(method, path, 412, dict(headers, **{"If-Match": '"1"'}), {"a": 2})
                self.ask(method, path, 400, headers, [1])
                self.ask(method, path, 400, headers, "{")
                self.ask(method, path + "?force=true", 400, headers, {})
                self.ask(method, path, 415, {"Content-Type": "text/plain"}, "x")
                self.ask(method, path, 413, headers, {"x": "y" * 70000})
                self.ask(method, f"/v1/vehicles/NOBODY/{part}", 404, headers, {"a": 1})
            self.ask("PUT", path, 415, MERGE, {"a": 1})
            self.tagged(path)

    def registration(self):
        path = "/v1/vehicles/NEW-01"
        self.ask("PUT", path, 412, dict(JSON, **{"If-Match": '"x"'}), {})
        self.ask("PUT", path, 201, JSON, {"meta": {"site": "bergen"}})
        self.ask("PUT", path, 200, JSON, {})
        self.ask("PUT", path, 200)
        for bad in ({"colour": "red"}, {"meta": 1}, []):
            self.ask("PUT", path, 400, JSON, bad)
        self.ask("PUT", "/v1/vehicles/a.b", 400, JSON, {})
        self.ask("PUT", path, 413, JSON, {"meta": {"x": "y" * 70000}})
        self.ask("PUT", path, 415, {"Content-Type": "text/plain"}, "x")
        self.ask("DELETE", path, 412, {"If-Match": '"x"'})
        self.ask("DELETE", path + "?force=perhaps", 400)
        self.ask("DELETE", path, 204)
        self.ask("DELETE", path, 404)
        self.appear("NEW-02")
        self.ask("DELETE", "/v1/vehicles/NEW-02", 409)
        self.ask("DELETE", "/v1/vehicles/NEW-02?force=true", 204)

    def groups(self):
        path = "/v1/groups/night"
        self.ask("PUT", path, 201, JSON, {"vids": ["COPTER-02", "COPTER-01"]})
        written = self.ask("PUT", path, 200, JSON, {"filter": "meta.site:*"})
        self.ask("PUT", path, 412, dict(JSON, **{"If-Match": '"1"'}), {"vids": []})
        for bad in ({"filter": "stat.x = 1"}, {"filter": 'group("night")'}, {"vids": [1]}, [], {}):
            self.ask("PUT", path, 400, JSON, bad)
        self.ask("PUT", path, 413, JSON, {"vids": ["x" * 64] * 1000})
        self.ask("PUT", path, 415, MERGE, {"vids": []})
        self.ask("PUT", "/v1/groups/day", 201, JSON, {"vids": []})
        self.assertIn("next_page_token", self.ask("GET", "/v1/groups?page_size=1", 200).json())
        for bad in ("page_size=x", "page_token=x"):
            self.ask("GET", f"/v1/groups?{bad}", 400)
        self.assertEqual(self.tagged(path).headers["etag"], written.headers["etag"])
        self.ask("GET", "/v1/groups/nobody", 404)
        self.waits("/v1/groups")
        self.waits(path)
        self.ask("DELETE", path, 412, {"If-Match": '"1"'})
        self.ask("DELETE", path + "?colour=red", 400)
        self.ask("DELETE", path, 204)
        self.ask("DELETE", path, 404)

    def access(self):
        for path, good, bad in (
                ("/v1/tokens", {"name": "desk", "role": "viewer", "vehicles": ["COPTER-*"],
                                "deny": ["state.position"], "expires": "2100-01-01T00:00:00Z"},
                 {"name": "desk", "role": "boss"}),
                ("/v1/grants", {"subject": "https://id#ann", "role": "operator", "vehicles": [],
                                "allow": ["cmd.>"], "reason": "nights"}, {"subject": ""})):
            keyed = dict(JSON, **{"Idempotency-Key": "once"})
            made = self.ask("POST", path, 201, JSON, good)
            self.ask("POST", path, 201, keyed, good)
            self.assertTrue(self.ask("POST", path, 201, keyed, good).json()["replayed"])
            self.ask("POST", path, 409, keyed, dict(good, role="viewer", vehicles=["X"]))
            self.ask("POST", path, 400, JSON, bad)
            self.ask("POST", path, 413, JSON, {"name": "x" * 70000})
            self.ask("POST", path, 415, {"Content-Type": "text/plain"}, "{}")
            self.assertIn("next_page_token", self.ask("GET", path + "?page_size=1", 200).json())
            self.ask("GET", path + "?page_size=x", 400)
            self.ask("DELETE", made.headers["location"], 204)
            self.ask("DELETE", made.headers["location"], 404)
        path = "/v1/access:check"
        self.ask("POST", path, 200, JSON, {"action": "read", "vid": "COPTER-01"})
        self.ask("POST", path, 400, JSON, {"action": "dance"})
        self.ask("POST", path, 404, JSON, {"action": "read", "subject": "nobody"})
        self.ask("POST", path, 413, JSON, {"action": "x" * 70000})
        self.ask("POST", path, 415, {"Content-Type": "text/plain"}, "{}")

    def commands(self):
        """Nobody answers them: what is sent times out, what is not sent expires."""
        path = "/v1/commands"
        rtl = {"type": "rtl", "target": {"vids": ["COPTER-01", "UNKNOWN"]}, "ttl_s": 1,
               "reason": "test", "verify": {"filter": 'state.mode.mode = "RTL"', "within_s": 5}}
        goto = {"type": "goto", "params": {"lat": 59.9, "lon": 10.7, "alt": 40},
                "target": {"all": True}, "confirm": 1000, "ttl_s": 300, "wait": "accepted",
                "rollout": {"batch": 1, "interval_ms": 60000, "abort_failed_pct": 10,
                            "abort_min": 5}}
        keyed = dict(JSON, **{"Idempotency-Key": "once"})
        self.ask("POST", path, 200, JSON, dict(goto, dry_run=True))
        first = self.ask("POST", path, 202, keyed, rtl)
        self.assertTrue(self.ask("POST", path, 202, keyed, rtl).json()["replayed"])
        self.ask("POST", path, 409, keyed, goto)
        self.ask("POST", path, 409, JSON, dict(goto, confirm=1))
        self.ask("POST", path, 422, JSON, dict(rtl, target={"filter": 'vid = "NOBODY"'}))
        for bad in ({}, [], dict(rtl, colour="red"), dict(rtl, type="velocity"), dict(rtl, ttl_s=301),
                    dict(rtl, target={"filter": "("}), dict(goto, params={"lat": 1}),
                    dict(rtl, verify={"filter": ""}), dict(rtl, rollout={"batch": 0})):
            self.ask("POST", path, 400, JSON, bad)
        self.ask("POST", path, 413, JSON, dict(rtl, target={"vids": ["x" * 64] * 1000}))
        self.ask("POST", path, 415, MERGE, rtl)
        second = self.ask("POST", path, 202, JSON, goto).headers["location"]
        one = first.headers["location"]
        described = self.openapi.operation("GET", one + "/stream")["responses"]["200"]["content"][
            "text/event-stream"]["x-events"]
        wait_until(lambda: self.hub.json(one)["status"] == "failed", 20, "nobody answers it")
        events = self.listen(one + "/stream", "command")
        self.assertEqual({name for name, _, _ in events}, set(described))
        for name, mark, data in events:
            self.assertEqual(self.openapi.errors(described[name], data), "", name)
            self.assertTrue(mark)
        self.tagged(one)
        token = self.ask("GET", one + "/vehicles?page_size=1", 200).json()["next_page_token"]
        self.ask("GET", f"{one}/vehicles?page_size=1&page_token={token}", 200)
        self.ask("GET", one + "/vehicles?state=timed_out", 200)
        token = self.ask("GET", path + "?page_size=1", 200).json()["next_page_token"]
        self.ask("GET", f"{path}?page_size=1&page_token={token}", 200)
        self.ask("GET", path + "?status=running&type=goto", 200)
        for bad in ("page_size=x", "page_token=x", "status=odd", f"page_token={token}&type=goto"):
            self.ask("GET", f"{path}?{bad}", 400)
        for bad in ("page_size=x", "page_token=x", "state=odd"):
            self.ask("GET", f"{one}/vehicles?{bad}", 400)
        retried = self.ask("POST", one + ":retry", 202, keyed | {"Idempotency-Key": "twice"})
        self.assertEqual(retried.json()["retry_of"], first.json()["id"])
        self.ask("POST", one + ":retry", 409, keyed, {})
        self.ask("POST", second + ":retry", 422, JSON, {})
        for action, ended in (("pause", 409), ("resume", 409), ("cancel", 409)):
            self.ask("POST", f"{second}:{action}", 200)
            self.ask("POST", f"{one}:{action}", ended)
        for action in ("pause", "resume", "cancel", "retry"):
            self.ask("POST", f"{second}:{action}", 400, JSON, {"colour": "red"})
            self.ask("POST", f"{second}:{action}", 413, JSON, {"x": "x" * 65536})
            self.ask("POST", f"{second}:{action}", 415, {"Content-Type": "text/plain"}, "{}")
            self.ask("POST", f"/v1/commands/none:{action}", 404)
        for none in ("/v1/commands/none", "/v1/commands/none/vehicles", "/v1/commands/none/stream"):
            self.ask("GET", none, 404)

    def record(self):
        self.stack.wait_archived()
        page = self.ask("GET", "/v1/events?page_size=3&kind=event&order_by=seq", 200).json()
        self.ask("GET", "/v1/events?page_size=3&kind=event&order_by=seq&page_token="
                 + page["next_page_token"], 200)
        kinds = set()
        token = ""
        while token is not None:
            page = self.ask("GET", f"/v1/events?page_size=1000{token}", 200).json()
            kinds |= {(r["kind"], r["type"]) for r in page["events"] if r["kind"] != "event"}
            token = "&page_token=" + page["next_page_token"] if "next_page_token" in page else None
        self.assertLessEqual({("rejected", "not_json"), ("presence", "offline"), ("ack", "rtl"),
                              ("shadow", "requested"), ("shadow", "applied"), ("shadow", "outside"),
                              ("access", "group_written"), ("access", "group_deleted"),
                              ("access", "record_read"),
                              ("system", "registered"), ("system", "retired")}, kinds)
        for bad in ("vid=a.b", "kind=gossip", "type=", "start_time=x", "end_time=x", "order_by=vid",
                    "page_size=x", "page_token=x"):
            self.ask("GET", f"/v1/events?{bad}", 400)
        for lists in ("/v1/events", "/v1/vehicles/COPTER-01/timeline"):
            self.exported(lists)
        record = "/v1/events/" + page["events"][0]["id"]
        self.tagged(record)
        self.ask("GET", "/v1/events/" + "0" * 32, 404)
        timeline = "/v1/vehicles/COPTER-01/timeline"
        self.assertIn("next_page_token", self.ask("GET", timeline + "?page_size=1", 200).json())
        for bad in ("vid=COPTER-01", "kind=gossip", "type=", "start_time=x", "end_time=x", "order_by=vid",
                    "page_size=x", "page_token=x"):
            self.ask("GET", f"{timeline}?{bad}", 400)
        self.ask("GET", "/v1/vehicles/NOBODY/timeline", 404)
        self.waits(timeline)
        self.waits("/v1/events?page_size=1")
        self.waits(record)

    def exported(self, lists):
        wanted = "filter=" + urllib.parse.quote('kind = "event" AND NOT severity:* AND seq > 0')
        self.ask("GET", f"{lists}?{wanted}&page_size=2", 200)
        record = Schemas().validator("record.json")
        for words in ("format=ndjson", "format=ndjson&page_size=2"):
            lines = self.ask("GET", f"{lists}?{words}", 200).body.splitlines()
            self.assertGreater(len(lines), 1)
            for line in lines:
                self.assertEqual(errors(record, json.loads(line)), "")
        self.ask("GET", lists, 200, {"Accept": "text/csv"})
        self.ask("GET", lists, 406, {"Accept": "image/png"})
        for bad in ("filter=presence.status:*", "filter=(", "format=geojson", "format=csv&page_token=x"):
            self.ask("GET", f"{lists}?{bad}", 400)

    def audit(self):
        path = "/v1/audit/checkpoints"
        page = self.ask("GET", path, 200).json()
        self.assertGreater(len(page["checkpoints"]), 0)
        self.ask("GET", path + "?page_size=x", 400)
        self.ask("GET", path + "?page_token=x", 400)
        self.ask("GET", "/v1/audit/consistency?from=1", 200)
        self.ask("GET", "/v1/audit/consistency?from=1&to=2", 200)
        self.ask("GET", "/v1/audit/consistency", 400)
        self.assertTrue(self.ask("GET", "/v1/audit/verify", 200).json()["ok"])

    def operation(self):
        for path in ("/livez", "/readyz", "/readyz?verbose", "/metrics", "/version"):
            self.ask("GET", path, 200)
        self.ask("GET", "/readyz?verbose=perhaps", 400)
        self.tagged("/openapi.json")

    def test_what_is_away_is_told_as_described(self):
        self.appear("NEW-01")
        self.stack.postgres.stop()
        self.hub.wait_ready("degraded")
        self.ask("GET", "/readyz", 200)
        self.ask("GET", "/v1/events", 503)
        for audit in ("checkpoints", "consistency?from=1", "verify"):
            self.ask("GET", "/v1/audit/" + audit, 503)
        self.ask("GET", "/v1/vehicles/NEW-01/timeline", 503)
        self.ask("GET", "/v1/events/stream", 503)
        self.ask("GET", "/v1/events/" + "0" * 32, 503)
        self.stack.nats.stop()
        self.hub.wait_ready("unready")
        self.ask("GET", "/readyz", 503)
        path = "/v1/vehicles/NEW-01"
        for read_path in ("/v1/vehicles", path, path + "/state/mode", path + "/desired"):
            self.assertIn("age", self.ask("GET", read_path, 200).headers)
        for part in ("desired", "meta", "config"):
            self.ask("PATCH", f"{path}/{part}", 503, MERGE, {"a": 1})
            self.ask("PUT", f"{path}/{part}", 503, JSON, {"a": 1})
        self.ask("PUT", path, 503, JSON, {})
        self.ask("DELETE", path, 503)
        self.ask("PUT", "/v1/groups/night", 503, JSON, {"vids": []})
        self.ask("DELETE", "/v1/groups/night", 503)
        self.ask("GET", path + "/history", 503)
        self.ask("GET", path + "/desired/history", 503)


    def land(self, stack, vid):
        """An event, which the stack's hub has applied."""
        with stack.nats.client() as client:
            client.js_publish(f"fleet.test.veh.{vid}.evt.landed", envelope({}))
        wait_until(lambda: stack.hub.get(f"/v1/vehicles/{vid}").status == 200, 30, f"{vid} is known")

    def everywhere(self, position, status, hub):
        """Every operation that takes a position, with this one."""
        with self.stack.nats.client() as client:
            record = json.loads(client.stream_message("TWIN_RECORD", 1)[1])["id"]
        names_of = {"{vid}": "NEW-01", "{type}": "mode", "{name}": "night", "{id}": record}
        asked = 0
        for method, path, operation in self.openapi.operations():
            if str(status) not in operation["responses"]:
                continue
            for name, value in names_of.items():
                path = path.replace(name, value)
            asked += 1
            self.ask(method.upper(), f"{path}?min_position={position}&wait_ms=1", status, hub=hub)
        self.assertGreater(asked, 14)

    def test_positions_of_another_epoch_are_told_as_described(self):
        self.appear("NEW-01")
        self.ask("PUT", "/v1/groups/night", 201, JSON, {"vids": []})
        self.land(self.stack, "NEW-02")
        position = self.hub.get("/v1/vehicles").headers["fleet-position"]
        with self.stack.nats.client() as client:
            config = client.stream_info("TWIN_EVENTS")["config"]
            client.js_api("STREAM.DELETE.TWIN_EVENTS")
            client.js_api("STREAM.CREATE.TWIN_EVENTS", config)
        self.land(self.stack, "NEW-03")
        self.stack.wait_archived()
        self.everywhere(position, 410, self.hub)

    def test_positions_that_are_not_reached_are_told_as_described(self):
        """One hub is cut off, with the archive behind; the other one knows more, and dies."""
        self.appear("NEW-01")
        self.ask("PUT", "/v1/groups/night", 201, JSON, {"vids": []})
        link = Proxy(("127.0.0.1", self.stack.nats.port))
        self.addCleanup(link.close)
        second = self.stack.add_hub(dict(self.settings, nats={"url": f"nats://127.0.0.1:{link.port}"}))
        second.start()
        link.cut()
        second.wait_ready("unready")
        self.stack.postgres.stop()
        self.land(self.stack, "NEW-03")
        position = self.hub.get("/v1/vehicles").headers["fleet-position"]
        self.hub.kill()
        self.stack.postgres.start()
        def reads_the_record():
            checks = second.get("/readyz?verbose").json()["checks"]
            return all(check["ok"] for check in checks if check["name"] == "postgres")
        wait_until(reads_the_record, 20, "the second hub reaches the record")
        self.everywhere(position, 504, second)


@unittest.skipUnless(jsonschema, MISSING)
class Messages(unittest.TestCase):
    """What crosses NATS, beside its schemas."""

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(leaf=False)
        cls.stack.__enter__()
        cls.addClassCleanup(cls.stack.__exit__, None, None, None)
        cls.hub = cls.stack.hub
        cls.schemas = Schemas()

    def expect(self, subject, payload, stream=None):
        self.assertEqual(self.schemas.message_errors(subject, payload), "",
                         f"{subject}: {payload[:300]!r}")
        if stream:
            self.assertEqual(self.schemas.entry(subject).get("stream"), stream)

    def read_stream(self, client, stream, every=1):
        """[(subject, payload)]; KV markers of deletion left out."""
        state = client.stream_info(stream)["state"]
        messages = []
        for seq in range(state["first_seq"], state["last_seq"] + 1, every):
            subject, data = client.stream_message(stream, seq)
            if data or not stream.startswith("KV_"):
                messages.append((subject, data))
        return messages

    def test_recorded_flights_and_fleetsim_publish_what_the_schemas_say(self):
        for line in Trace(COPTERS).lines[::SAMPLE_EVERY]:
            subject = f"fleet.test.veh.{line['vid']}.{line['subject']}"
            self.expect(subject, envelope(line["data"]))
        self.stack.replay(COPTERS).wait(120)
        with self.stack.nats.client() as client:
            for stream, every in (("TWIN_STATE", SAMPLE_EVERY), ("TWIN_EVENTS", 1)):
                messages = self.read_stream(client, stream, every)
                self.assertGreater(len(messages), 600)
                for subject, data in messages:
                    self.expect(subject, data, stream)

    def test_a_simulated_fleet_publishes_what_the_schemas_say(self):
        self.stack.fleetsim("fly", "--vehicles", "3", "--duration", "3").wait(60)
        with self.stack.nats.client() as client:
            for stream in ("TWIN_STATE", "TWIN_EVENTS", "KV_TWIN_SHADOW"):
                for subject, data in self.read_stream(client, stream)[-400:]:
                    self.expect(subject, data, stream)

    def test_what_the_hub_publishes_is_as_the_schemas_say(self):
        path = "/v1/vehicles/WRITTEN"
        self.assertEqual(self.hub.request("PUT", path, JSON, '{"meta": {"a": 1}}').status, 201)
        for value in ('{"mode": "RTL", "x": null}', '{"mode": {"deep": []}}'):
            self.assertEqual(self.hub.request("PUT", path + "/desired", JSON, value).status, 200)
        with self.stack.nats.client() as client:
            archived = client.subscribe("fleet.test.hub.*.archived")
            client.js_publish("fleet.test.veh.WRITTEN.evt.landed", b"[1]")
            client.js_publish("fleet.test.veh.WRITTEN.state.mode", b"\xff")
            client.kv_put("TWIN_SHADOW", "fleet/test/veh/WRITTEN/config", {"outside": True})
            self.assertEqual(
                self.hub.request("PUT", "/v1/groups/a", JSON, '{"vids": ["WRITTEN"]}').status, 201)
            self.assertEqual(self.hub.request("DELETE", path + "?force=true").status, 204)
            wait_until(lambda: self.hub.events(vid="WRITTEN", kind="system", type="retired"), 20,
                       "the retirement is on record")
            records = self.read_stream(client, "TWIN_RECORD")
            self.assertGreater(len(records), 6)
            for subject, data in records:
                self.expect(subject, data, "TWIN_RECORD")
            kinds = {json.loads(data)["kind"] for _, data in records}
            self.assertLessEqual({"shadow", "system", "rejected"}, kinds)
            for stream in ("KV_TWIN_SHADOW", "KV_TWIN_ACCESS"):
                values = self.read_stream(client, stream)
                self.assertGreater(len(values), 0)
                for subject, data in values:
                    self.expect(subject, data, stream)
            message = archived.next(10)
            self.expect(message.subject, message.data)
            self.assertLessEqual({"TWIN_EVENTS", "TWIN_ACK"}, set(message.json()))

    def test_the_hub_refuses_what_the_schema_of_envelopes_refuses(self):
        """The schema says nothing of bounds in bytes and depth, or of the calendar."""
        now, ack = timestamp(), {"cmd_id": "c.V", "status": "accepted"}
        good = {"timestamp": now, "data": {}}
        cases = [
            ("evt.t0", good), ("evt.t1", dict(good, boot="b", seq=0, vid="ENV", other=[1])),
            ("evt.t2", dict(good, timestamp="2026-01-15t10:30:00.5+02:00")),
            ("evt.t3", dict(good, seq=(1 << 63) - 1)), ("evt.t4", {"timestamp": now}),
            ("evt.t5", {"data": {}}), ("evt.t6", dict(good, seq=-1)),
            ("evt.t7", dict(good, seq=1.5)), ("evt.t8", dict(good, seq=1 << 63)),
            ("evt.t9", dict(good, boot=1)), ("evt.t10", dict(good, data=[])),
            ("evt.t11", dict(good, timestamp=1)), ("evt.t12", dict(good, timestamp="2026-01-15")),
            ("evt.t13", dict(good, boot=None)), ("evt.t14", [good]), ("evt.t15", dict(good, vid=1)),
            ("cmdack.t16", dict(good, data=ack)), ("cmdack.t17", dict(ack, timestamp=now)),
            ("cmdack.t18", ack),
        ]
        with self.stack.nats.client() as client:
            for kind, message in cases:
                client.js_publish(f"fleet.test.veh.ENV.{kind}", json.dumps(message).encode())
        self.stack.wait_archived()
        records = self.hub.events(vid="ENV")
        rejected = {json.loads(base64.b64decode(r["data"]["payload"])).__repr__()
                    for r in records if r["kind"] == "rejected"}
        for kind, message in cases:
            subject = f"fleet.test.veh.ENV.{kind}"
            refused = self.schemas.message_errors(subject, json.dumps(message)) != ""
            with self.subTest(subject=subject):
                self.assertEqual(refused, json.loads(json.dumps(message)).__repr__() in rejected)


if __name__ == "__main__":
    unittest.main()

"""Access: who gets in, what each may see and do, and how soon a change of that counts."""

import base64
import json
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest

from harness import wait_until
from harness.access import OTHER, OWN, AccessCase, bearer
from harness.live import LiveClient
from harness.hub import PROGRAM
from harness.process import TempFolder, scaled
from harness.servers import NatsServer

ROLES = ("viewer", "auditor", "operator", "admin")
SOON_S = 1.0  # within which a change counts on every hub (contract §6)


def roles_for(method, path):
    """Who may call it, as contract §6 has it."""
    if path == "/v1/access:check":
        return ROLES
    audited = re.match(r"/v1/(events|audit|tokens|grants)", path) or path.endswith("/timeline")
    if method == "GET":
        return ("auditor", "admin") if audited else ROLES
    if re.match(r"/v1/(groups|commands)", path) or path.endswith("/desired"):
        return ("operator", "admin")
    return ("admin",)


class Matrix(AccessCase):
    """Every route of the OpenAPI document × every role × a vehicle of one's own and another's."""

    VALUES = {"type": "position", "name": "g", "id": "0" * 32}

    def operations(self):
        document = self.hub.get("/openapi.json").json()
        for path, item in document["paths"].items():
            for method in item:
                if path.startswith("/v1/") and method in ("get", "put", "patch", "post", "delete"):
                    yield method.upper(), path, item[method]

    def begin(self, token, method, path, body):
        """The status alone: a stream has no end."""
        text = "" if body is None else json.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in bearer(token).items())
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        with socket.create_connection(("127.0.0.1", self.hub.port), scaled(15)) as connection:
            connection.sendall((head + "\r\n" + text).encode())
            answer = b""
            while b"\r\n" not in answer:
                piece = connection.recv(4096)
                self.assertTrue(piece, f"{method} {path}: no answer")
                answer += piece
        return int(answer.split()[1])

    def test_every_route_for_every_role(self):
        tokens = {role: self.token(role, vehicles=["OWN-*"]) for role in ROLES}
        tried = 0
        for method, template, operation in self.operations():
            body = {} if "requestBody" in operation else None
            for vid in (OWN, OTHER) if "{vid}" in template else (None,):
                path = template.replace("{vid}", vid or "")
                for name, value in self.VALUES.items():
                    path = path.replace("{" + name + "}", value)
                self.assertEqual(self.begin(None, method, path, body), 401, (method, path))
                self.assertEqual(self.begin("fh_0_x", method, path, body), 401, (method, path))
                for role, token in tokens.items():
                    status = self.begin(token, method, path, body)
                    tried += 1
                    what = (method, path, role, status)
                    if role not in roles_for(method, template):
                        self.assertEqual(status, 403, what)
                    elif vid == OTHER:
                        self.assertIn(status, (403, 404), what)
                        self.assertTrue(status == 404 or method == "PUT", what)
                    else:
                        self.assertNotIn(status, (401, 403, 500), what)
        self.assertGreater(tried, 100)
        for path in ("/livez", "/readyz", "/version", "/openapi.json", "/metrics"):
            self.assertEqual(self.begin(None, "GET", path, None), 200, path)


class Seeing(AccessCase):
    def test_what_is_hidden_is_nowhere(self):
        mine = self.token("auditor", vehicles=["OWN-*"])
        self.assertEqual(self.vids(mine), {OWN})
        self.assertEqual(self.get(mine, "/v1/vehicles")["total_size"], 1)
        self.assertEqual(self.get(mine, "/v1/fleet/stats")["groups"][0]["count"], 1)
        self.assertEqual(self.status(mine, "GET", f"/v1/vehicles/{OTHER}"), 404)
        self.assertEqual(self.call(mine, "GET", f"/v1/vehicles/{OTHER}").json()["type"],
                         self.call(mine, "GET", "/v1/vehicles/NOWHERE").json()["type"])
        self.stack.wait_archived()
        self.assertEqual({r["vid"] for r in self.get(mine, "/v1/events?kind=event")["events"]},
                         {OWN})
        self.assertEqual({r["vid"] for r in self.get(self.admin, "/v1/events?kind=event")["events"]},
                         {OWN, OTHER})

    def test_a_denied_part_is_missing_and_asking_for_it_is_refused(self):
        token = self.token("viewer", deny=["state.position"])
        twin = self.get(token, f"/v1/vehicles/{OWN}")
        self.assertEqual(set(twin["state"]), {"battery"})
        for path in ("?filter=state.position.lat%20%3E%201", "?order_by=state.position.lat"):
            self.assertEqual(self.status(token, "GET", "/v1/vehicles" + path), 403, path)
        self.assertEqual(self.status(token, "GET",
                                     "/v1/fleet/stats?stats=max(state.position.lat)"), 403)
        self.assertEqual(self.status(token, "GET", f"/v1/vehicles/{OWN}/state/position"), 403)
        self.assertEqual(self.status(token, "GET", f"/v1/vehicles/{OWN}/state/battery"), 200)

    def test_what_may_be_seen_may_not_therefore_be_written(self):
        """Two scopes: one reads all, one operates on one's own."""
        token = self.token("operator", vehicles=["OWN-*"])
        grant = self.call(self.admin, "POST", "/v1/grants",
                          {"subject": token.split("_")[1], "role": "viewer", "reason": "overview"})
        self.assertEqual(grant.status, 201, grant)
        self.assertEqual(self.vids(token), {OWN, OTHER})
        self.assertEqual(self.status(token, "PATCH", f"/v1/vehicles/{OWN}/desired", {"led": 1}), 200)
        self.assertEqual(self.status(token, "PATCH", f"/v1/vehicles/{OTHER}/desired", {"led": 1}),
                         403)


class Changing(AccessCase):
    def setUp(self):
        super().setUp()
        self.other = self.stack.add_hub().start()
        wait_until(lambda: self.vids(self.admin, self.other) == {OWN, OTHER}, 20,
                   "the other hub is as far")

    def test_a_revoked_token_ends_everywhere_open_streams_included(self):
        token = self.token("viewer")
        clients = [LiveClient(hub, access_token=token).open().wait_ready()
                   for hub in (self.hub, self.other)]
        self.addCleanup(lambda: [client.close() for client in clients])
        self.assertEqual(self.status(self.admin, "DELETE", "/v1/tokens/" + token.split("_")[1]), 204)
        began = time.monotonic()
        for client in clients:
            wait_until(lambda c=client: c.ended, 10, "the stream ends")
        self.assertLess(time.monotonic() - began, scaled(SOON_S))
        for hub in (self.hub, self.other):
            self.assertEqual(self.status(token, "GET", "/v1/vehicles", hub=hub), 401)
            self.assertEqual(self.vids(self.admin, hub), {OWN, OTHER})

    def test_an_expired_token_ends_by_itself(self):
        token = self.token("viewer", expires="4s")
        client = LiveClient(self.other, access_token=token).open().wait_ready()
        self.addCleanup(client.close)
        wait_until(lambda: client.ended, 10, "the stream ends")
        self.assertEqual(self.status(token, "GET", "/v1/vehicles"), 401)
        self.assertIn("expired", self.call(token, "GET", "/v1/vehicles").json()["detail"])

    def test_a_grant_counts_and_its_end_too(self):
        token = self.token("viewer", vehicles=["OWN-*"])
        client = LiveClient(self.other, access_token=token).open().wait_ready()
        self.addCleanup(client.close)
        self.assertEqual(set(client.seen()), {OWN})
        reply = self.call(self.admin, "POST", "/v1/grants",
                          {"subject": token.split("_")[1], "vehicles": ["OTHER-*"],
                           "reason": "stand-in"})
        self.assertEqual(reply.status, 201, reply)
        wait_until(lambda: self.vids(token, self.other) == {OWN, OTHER}, SOON_S, "it counts")
        wait_until(lambda: client.ended, SOON_S, "what is open begins anew with the new rights")
        where = reply.headers["location"]
        self.assertEqual(self.status(self.admin, "DELETE", where), 204)
        wait_until(lambda: self.vids(token, self.other) == {OWN}, SOON_S, "it has ended")
        self.assertEqual(self.status(self.admin, "DELETE", where), 404)

    def test_changes_are_on_record_once(self):
        token = self.token("viewer")
        self.call(self.admin, "DELETE", "/v1/tokens/" + token.split("_")[1])
        self.stack.wait_archived()

        def changes():
            found = self.get(self.admin, "/v1/events?kind=access&page_size=1000")["events"]
            return sorted((r["type"], r["actor"]) for r in found if r["type"].startswith("token_"))
        admin_id = self.admin.split("_")[1]
        wait_until(lambda: changes() == [("token_revoked", admin_id), ("token_written", "cli"),
                                         ("token_written", "cli")], 20, "each is on record once")
        text = self.call(self.admin, "GET", "/v1/events?kind=access&page_size=1000").body.decode()
        self.assertNotIn(token.split("_", 2)[2], text)
        self.assertNotIn("secret", text)


class Minting(AccessCase):
    def make(self, token, **body):
        return self.call(token, "POST", "/v1/tokens", dict({"name": "x", "role": "viewer"}, **body))

    def test_nobody_gives_away_more_than_is_his(self):
        mine = self.token("admin", vehicles=["OWN-*"], deny=["state.position"])
        good = {"vehicles": ["OWN-1*"], "deny": ["state.*"]}
        self.assertEqual(self.make(mine, **good).status, 201)
        for body in ({}, {"vehicles": ["OWN-*"]}, {"vehicles": ["*"], "deny": ["state.position"]},
                     {"vehicles": ["OWN-*", "OTHER-1"], "deny": ["state.position"]},
                     {"vehicles": ["OWN-*"], "deny": ["state.battery"]}, {"deny": [">"]}):
            self.assertEqual(self.make(mine, **body).status, 403, body)
        shown = self.get(mine, "/v1/tokens")["tokens"]
        self.assertEqual({tuple(t.get("vehicles", ())) for t in shown}, {("OWN-1*",), ("OWN-*",)})
        whole = self.admin.split("_")[1]
        self.assertNotIn(whole, [t["id"] for t in shown])
        self.assertEqual(self.status(mine, "DELETE", f"/v1/tokens/{whole}"), 404)
        self.assertEqual(len(self.get(self.admin, "/v1/tokens")["tokens"]), 3)

    def test_bodies_that_make_no_sense_are_a_400(self):
        for body in ({"role": "root"}, {"role": None}, {"name": ""}, {"name": "a\nb"},
                     {"vehicles": "OWN-*"}, {"vehicles": ["a*b"]}, {"vehicles": [""]},
                     {"allow": ["state..x"]}, {"allow": [">.x"]}, {"deny": [7]},
                     {"expires": "tomorrow"}, {"expires": "2020-01-01T00:00:00Z"}, {"more": 1}):
            reply = self.make(self.admin, **body)
            self.assertEqual(reply.status, 400, (body, reply))
        self.assertEqual(self.call(self.admin, "POST", "/v1/tokens", {"role": "viewer"}).status, 400)

    def test_a_token_is_shown_once(self):
        made = self.make(self.admin, name="desk").json()
        self.assertRegex(made["token"], r"^fh_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$")
        listed = self.call(self.admin, "GET", "/v1/tokens").body.decode()
        self.assertIn(made["id"], listed)
        self.assertNotIn(made["token"].split("_", 2)[2], listed)
        self.assertEqual(self.vids(made["token"]), {OWN, OTHER})

    def test_the_same_key_makes_one_token_and_one_grant(self):
        def keyed(path, body, key="again", token=self.admin):
            return self.call(token, "POST", path, body, **{"Idempotency-Key": key})
        for path, body, other in (
                ("/v1/tokens", {"name": "desk", "role": "viewer"}, {"name": "desk", "role": "auditor"}),
                ("/v1/grants", {"subject": "i#s", "role": "viewer"}, {"subject": "i#t", "role": "viewer"})):
            first = keyed(path, body)
            self.assertEqual(first.status, 201, first)
            made = first.json()
            again = keyed(path, dict(reversed(body.items())))
            self.assertEqual(again.status, 201, again)
            self.assertEqual(again.headers["location"], first.headers["location"])
            made.pop("token", None)  # its secret is kept nowhere
            self.assertEqual(again.json(), dict(made, replayed=True))
            self.assertEqual(keyed(path, other).status, 409)
            mine = keyed(path, body, token=self.token("admin"))
            self.assertNotEqual(mine.json()["id"], made["id"])
            kind = path.rpartition("/")[2]
            self.assertEqual(sum(one["id"] == made["id"] for one in
                                 self.get(self.admin, path)[kind]), 1)
            self.assertEqual(self.status(self.admin, "DELETE", f"{path}/{made['id']}"), 204)
            self.assertEqual(keyed(path, body).status, 409)
            for key in ("", "k" * 256):
                self.assertEqual(keyed(path, body, key).status, 400, key)

    def test_the_question_what_is_allowed(self):
        mine = self.token("operator", vehicles=["OWN-*"], deny=["cmd.arm"])
        for body, allowed in (({"action": "read"}, True),
                              ({"action": "read", "vid": OWN, "path": "state.position"}, True),
                              ({"action": "read", "vid": OTHER}, False),
                              ({"action": "read", "path": "evt.landed"}, False),
                              ({"action": "write", "vid": OWN, "path": "desired.led"}, True),
                              ({"action": "write", "vid": OWN, "path": "meta.site"}, False),
                              ({"action": "command", "vid": OWN, "path": "cmd.rtl"}, True),
                              ({"action": "command", "vid": OWN, "path": "cmd.arm"}, False)):
            answer = self.call(mine, "POST", "/v1/access:check", body)
            self.assertEqual(answer.json()["allowed"], allowed, (body, answer))
            self.assertTrue(answer.json()["rule"])
            asked = self.call(self.admin, "POST", "/v1/access:check",
                              dict(body, subject=mine.split("_")[1]))
            self.assertEqual(asked.json(), answer.json())
        admin_id = self.admin.split("_")[1]
        self.assertEqual(self.status(mine, "POST", "/v1/access:check",
                                     {"action": "read", "subject": admin_id}), 403)
        own = {"action": "read", "subject": mine.split("_")[1]}
        self.assertTrue(self.call(mine, "POST", "/v1/access:check", own).json()["allowed"])
        self.rules_name_what_decides()
        for body in ({}, {"action": "fly"}, {"action": 7}, {"action": "a" * 16},
                     {"action": "read", "vid": 7}, {"action": "read", "vid": "A" * 200},
                     {"action": "read", "vid": "A\0"}, {"action": "read", "path": ["state"]},
                     {"action": "read", "path": "a" * 300}, {"action": "read", "subject": None},
                     {"action": "read", "more": 1}):
            reply = self.call(self.admin, "POST", "/v1/access:check", body)
            self.assertEqual(reply.status, 400, (body, reply))

    def rules_name_what_decides(self):
        """Of somebody else, whose scopes have lists of parts, and one of no vehicle."""
        bounded = self.token("operator", allow=["state.*", "cmd.rtl"]).split("_")[1]
        nothing = self.call(self.admin, "POST", "/v1/tokens",
                            {"name": "n", "role": "viewer", "vehicles": []}).json()["id"]
        for subject, body, allowed, rule in (
                (bounded, {"action": "read", "path": "state.mode"}, True, "allow state.*"),
                (bounded, {"action": "read", "path": "meta.site"}, False, "no scope"),
                (bounded, {"action": "command", "path": "cmd.rtl"}, True, "allow cmd.rtl"),
                (bounded, {"action": "command", "path": "cmd.arm"}, False, "no scope"),
                (bounded, {"action": "read", "path": "cmd.rtl"}, False, "no scope"),
                (bounded, {"action": "write", "path": "d"}, False, "no scope"),
                (nothing, {"action": "read"}, False, "no scope")):
            def answer():
                return self.call(self.admin, "POST", "/v1/access:check",
                                 dict(body, subject=subject))
            wait_until(lambda: answer().status == 200, SOON_S, "the token is known")
            said = answer().json()
            self.assertEqual(said["allowed"], allowed, (body, said))
            self.assertIn(rule, said["rule"], body)
        for subject in ("nobody", "issuer#" + "a" * 400, "a" * 600):
            self.assertIn(self.status(self.admin, "POST", "/v1/access:check",
                                      {"action": "read", "subject": subject}), (400, 404))

    def test_lists_have_pages_and_what_is_no_token_lets_nobody_in(self):
        ids = {self.make(self.admin, name=f"t{n}").json()["id"] for n in range(3)}
        ids.add(self.admin.split("_")[1])
        found, path = [], "/v1/tokens?page_size=1"
        while path:
            page = self.get(self.admin, path)
            found += [t["id"] for t in page["tokens"]]
            token = page.get("next_page_token")
            path = token and f"/v1/tokens?page_size=1&page_token={token}"
            self.assertLessEqual(len(found), len(ids))
            if token:
                self.assertEqual(self.status(self.admin, "GET",
                                             f"/v1/grants?page_token={token}"), 400)
        self.assertEqual(sorted(found), sorted(ids))
        for query in ("page_size=x", "page_token=AAAA"):
            self.assertEqual(self.status(self.admin, "GET", "/v1/tokens?" + query), 400, query)
        self.assertEqual(self.status(self.admin, "DELETE", "/v1/tokens/" + "a" * 60), 404)
        token_id, secret = self.admin.split("_", 2)[1:]
        for bearer_text in ("fh_", "fh__x", "fh_" + "a" * 60 + "_x", "fh_" + token_id,
                            f"fh_{token_id}_", f"fh_{token_id}_{secret}x", f"fh_{token_id}_x",
                            f"fh_{token_id[:-1]}_{secret}", "fh_" + "a" * 6000,
                            "a.b.c", "x" * 8500):
            reply = self.call(bearer_text, "GET", "/v1/vehicles")
            self.assertIn(reply.status, (401, 431), (bearer_text[:80], reply))
        self.assertEqual(self.status(self.admin, "GET", "/v1/vehicles"), 200)

    def test_the_command_line_lists_and_revokes(self):
        token = self.token("operator", vehicles=["OWN-*"])
        token_id = token.split("_")[1]
        self.assertIn(token_id, self.cli("token", "list"))
        listed = [json.loads(line) for line in self.cli("token", "list", "--json").splitlines()]
        self.assertEqual(len(listed), 2)
        self.cli("token", "revoke", token_id)
        wait_until(lambda: self.status(token, "GET", "/v1/vehicles") == 401, SOON_S, "it is gone")
        self.assertIn("no token", self.cli("token", "revoke", token_id, expected=1))
        self.assertNotIn(token_id, self.cli("token", "list"))
        self.assertIn("role", self.cli("token", "create", "--name=x", "--role=boss", expected=2))


class Full(unittest.TestCase):
    def test_the_command_line_makes_no_more_than_hubs_are_to_hold(self):
        most, key = 16384, "$KV.TWIN_ACCESS.auth.grant."
        folder = TempFolder()
        self.addCleanup(folder.remove)
        nats = NatsServer(folder.path, "nats", jetstream=True).start()
        self.addCleanup(nats.stop)
        client = nats.client()
        self.addCleanup(client.close)
        client.js_api("STREAM.CREATE.KV_TWIN_ACCESS", {
            "name": "KV_TWIN_ACCESS", "subjects": ["$KV.TWIN_ACCESS.>"], "storage": "file"})
        client.js_publish_all([(f"{key}{n}", b"{}") for n in range(most)])

        def create():
            return subprocess.run([PROGRAM, "token", "create", "--role=viewer", "--name=n", f"--nats.url={nats.url}"],
                                  capture_output=True, text=True, timeout=scaled(60), check=False)
        refused = create()
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"there are {most} tokens and grants already", refused.stderr)
        client.kv_delete("TWIN_ACCESS", "auth.grant.7")
        made = create()
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertRegex(made.stdout, r"^fh_[0-9a-f]{16}_")


class Denials(AccessCase):
    def denied(self):
        found = self.get(self.admin, "/v1/events?kind=access&page_size=1000")["events"]
        return [r for r in found if r["type"].startswith("denied")]

    def test_refusals_are_on_record_and_floods_are_counted(self):
        viewer = self.token("viewer")
        reply = self.call(viewer, "GET", "/v1/events")
        self.assertEqual(reply.status, 403)
        for _ in range(40):
            self.assertEqual(self.status(None, "GET", "/v1/vehicles"), 401)
        self.stack.wait_archived()
        known = wait_until(lambda: [r for r in self.denied() if r["actor"]], 20, "it is on record")
        self.assertEqual(known[0]["actor"], viewer.split("_")[1])
        self.assertEqual(known[0]["request_id"], reply.headers["x-request-id"])
        self.assertEqual(known[0]["data"]["path"], "/v1/events")
        # The minute may have turned once meanwhile.
        single = [r for r in self.denied() if not r["actor"] and r["type"] == "denied"]
        self.assertIn(len(single), range(10, 21))
        self.assertGreater(self.hub.metric("access_denied_total", reason="unauthenticated"), 39)
        # What was only counted is on record at the latest when the hub ends.
        self.hub.stop()
        self.hub.start()
        self.stack.wait_archived()
        wait_until(lambda: sum(r["data"]["count"] for r in self.denied()
                               if r["type"] == "denied_count") == 40 - len(single), 20,
                   "the rest is counted")


class Flood(AccessCase):
    settings = {"auth": {"mode": "tokens"}, "http": {"limits": {"requests_per_minute": 300}}}

    def test_a_flood_of_one_principal_is_a_429(self):
        viewer, other = self.token("viewer"), self.token("viewer")
        reply = None
        for _ in range(3000):
            reply = self.call(viewer, "GET", f"/v1/vehicles/{OWN}/state/battery")
            if reply.status != 200:
                break
        self.assertEqual(reply.status, 429)
        self.assertGreaterEqual(int(reply.headers["retry-after"]), 1)
        self.assertEqual(self.status(other, "GET", "/v1/groups"), 200)


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Jwt(AccessCase):
    ISSUER = "https://id.example.org"

    def openssl(self, *words):
        return subprocess.run(["openssl", *words], capture_output=True, check=True,
                              timeout=scaled(30)).stdout

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fleethub-test-")
        self.addCleanup(folder.cleanup)
        self.key = os.path.join(folder.name, "key.pem")
        public = os.path.join(folder.name, "public.pem")
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", self.key)
        self.openssl("pkey", "-in", self.key, "-pubout", "-out", public)
        self.settings = {"auth": {"mode": "tokens", "jwt": [
            {"issuer": self.ISSUER, "audience": "fleethub", "algorithm": "EdDSA",
             "key_file": public}]}}
        super().setUp()

    def jwt(self, **claims):
        body = dict({"iss": self.ISSUER, "aud": "fleethub", "sub": "ann",
                     "exp": time.time() + 600}, **claims)
        text = ".".join(url64(json.dumps(part).encode())
                        for part in ({"alg": "EdDSA", "typ": "JWT"}, body))
        path = self.key + ".text"
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        signature = self.openssl("pkeyutl", "-sign", "-inkey", self.key, "-rawin", "-in", path)
        return f"{text}.{url64(signature)}"

    def test_a_role_holds_alone_until_grants_bound_it(self):
        ann = self.jwt(fleet_role="operator")
        name = self.ISSUER + "#ann"
        self.assertEqual(self.vids(ann), {OWN, OTHER})
        self.assertEqual(self.status(ann, "PATCH", f"/v1/vehicles/{OTHER}/desired", {"a": 1}), 200)
        self.stack.wait_archived()
        wait_until(lambda: name in {r["actor"] for r in
                                    self.get(self.admin, "/v1/events?kind=shadow")["events"]}, 20,
                   "the record says who it was")
        reply = self.call(self.admin, "POST", "/v1/grants",
                          {"subject": name, "vehicles": ["OWN-*"], "reason": "her own"})
        self.assertEqual(reply.status, 201, reply)
        wait_until(lambda: self.vids(ann) == {OWN}, SOON_S, "the grant bounds it")
        self.assertEqual(self.status(ann, "PATCH", f"/v1/vehicles/{OTHER}/desired", {"a": 2}), 404)
        # An admin of those vehicles cannot set her free.
        mine = self.token("admin", vehicles=["OWN-*"])
        self.assertEqual(self.status(mine, "DELETE", reply.headers["location"]), 403)
        self.assertEqual(self.vids(ann), {OWN})
        self.assertEqual(self.status(self.admin, "DELETE", reply.headers["location"]), 204)
        wait_until(lambda: self.vids(ann) == {OWN, OTHER}, SOON_S, "its role holds alone again")

    def test_grants_that_have_expired_still_bound(self):
        ann = self.jwt(fleet_role="viewer")
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        self.call(self.admin, "POST", "/v1/grants",
                  {"subject": self.ISSUER + "#ann", "vehicles": ["OWN-*"], "expires": until})
        wait_until(lambda: self.vids(ann) == {OWN}, SOON_S, "it bounds")
        wait_until(lambda: self.status(ann, "GET", "/v1/vehicles") == 403, 10,
                   "nothing is left, rather than everything")

    def test_without_a_role_there_is_nothing_and_bad_ones_are_a_401(self):
        self.assertEqual(self.status(self.jwt(), "GET", "/v1/vehicles"), 403)
        self.assertEqual(self.status(self.jwt(fleet_role="boss"), "GET", "/v1/vehicles"), 403)
        for claims in ({"exp": time.time() - 1}, {"aud": "else"}, {"iss": "https://evil.example"},
                       {"nbf": time.time() + 60}, {"sub": ""}):
            reply = self.call(self.jwt(fleet_role="admin", **claims), "GET", "/v1/vehicles")
            self.assertEqual(reply.status, 401, claims)
            self.assertIn("invalid_token", reply.headers["www-authenticate"])

    def test_a_stream_ends_with_its_token(self):
        client = LiveClient(self.hub, access_token=self.jwt(fleet_role="viewer",
                                                            exp=time.time() + 4))
        client.open().wait_ready()
        self.addCleanup(client.close)
        wait_until(lambda: client.ended, 10, "the stream ends")


if __name__ == "__main__":
    unittest.main()

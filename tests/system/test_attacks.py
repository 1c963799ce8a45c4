"""Attacks on the HTTP interface that no other test tries: what crosses the parser of requests, and what
those who may see a part try in order to learn of the rest. docs/attacks.md lists all of them."""

import gzip
import json
import socket
import time
import unittest
import urllib.parse

from harness import wait_until
from harness.access import OTHER, OWN, AccessCase, bearer, subject
from harness.live import LiveClient, Refused
from harness.process import scaled
from harness.trace import envelope

SMUGGLED = b"GET /v1/tokens HTTP/1.1\r\nHost: h\r\n\r\n"
SOON_S = 10


def quoted(text):
    return urllib.parse.quote(text, safe="")


class Attacks(AccessCase):
    """One stack for all of them: what one changes is no other's."""

    @classmethod
    def setUpClass(cls):
        cls.shared = None

    @classmethod
    def tearDownClass(cls):
        if cls.shared:
            cls.shared.nats.close()
            cls.shared.stack.__exit__(None, None, None)

    def setUp(self):
        if type(self).shared is None:
            super().setUp()
            self._cleanups.clear()  # it stays until the class has ended
            type(self).shared = self
            self.viewer = self.token("viewer", vehicles=["OWN-*"])
            self.careful = self.token("operator", deny=["state.position", "desired.>", "meta.secret"])
            self.nats.kv_put("TWIN_SHADOW", f"fleet/test/veh/{OWN}/desired", {"code": "4711"})
            self.nats.kv_put("TWIN_SHADOW", f"fleet/test/veh/{OWN}/meta", {"secret": "s", "site": "a"})
            wait_until(lambda: self.get(self.admin, f"/v1/vehicles/{OWN}")["meta"], SOON_S, "its meta")
        for name in ("stack", "nats", "admin", "viewer", "careful"):
            setattr(self, name, getattr(type(self).shared, name))

    # ---- on the wire ----

    def raw(self, request, token=None, wait_s=0.5):
        """All that is answered until the hub closes the connection, or has been silent for a while
        after a whole answer."""
        if token:
            request = request.replace(b"\r\n", f"\r\nAuthorization: Bearer {token}\r\n".encode(), 1)
        with socket.create_connection(("127.0.0.1", self.hub.port), scaled(15)) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was refused before its end
            answer = b""
            while True:
                connection.settimeout(scaled(wait_s if answer else 15))
                try:
                    piece = connection.recv(65536)
                except (ConnectionError, TimeoutError):
                    break
                if not piece:
                    break
                answer += piece
        return answer

    def statuses(self, answer):
        return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]

    def test_a_body_of_uncertain_length_smuggles_no_request(self):
        heads = [b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Content-Length: 3\r\nContent-Length: 90",
                 b"Content-Length: 3\r\nContent-Length: 3", b"Content-Length: +3", b"Content-Length: -1",
                 b"Content-Length: 3, 3", b"Content-Length: 0x3", b"Content-Length: 3a", b"Content-Length: ",
                 b"Content-Length: 18446744073709551617", b"Content-Length: 9999999999999999999999",
                 b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity",
                 b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                 b"Transfer-Encoding: identity", b"Transfer-Encoding : chunked",
                 b"Transfer-Encoding:\tchunked\r\nContent-Length: 3", b"Transfer-Encoding:\x0bchunked",
                 b"Content-Length : 3", b" Content-Length: 3", b"X: y\r\n Content-Length: 3"]
        for head in heads:
            with self.subTest(head=head):
                answer = self.raw(b"POST /v1/access:check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                                  + head + b"\r\n\r\n{}\n" + SMUGGLED, self.admin)
                # The smuggled request would have been answered without a token: 401. (The library
                # answers some by itself, and writes the head of that 400 twice.)
                self.assertFalse(set(self.statuses(answer)) - {400, 413, 501}, answer[:400])

    def test_bad_chunks_end_the_connection(self):
        for chunks in (b"zz\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n{}", b"-1\r\n{}\r\n", b"2\r\n{}xx0\r\n\r\n",
                       b"0x2\r\n{}\r\n0\r\n\r\n", b" 2\r\n{}\r\n0\r\n\r\n", b"\r\n", b"2 ;\0\r\n{}\r\n"):
            with self.subTest(chunks=chunks):
                answer = self.raw(b"POST /v1/access:check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                                  b"Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED, self.admin)
                self.assertNotIn(401, self.statuses(answer), answer[:2000])
                self.assertLessEqual(len(self.statuses(answer)), 1, answer[:2000])
                self.assertFalse([s for s in self.statuses(answer) if s not in (400, 413)], answer[:400])

    def test_request_lines_that_are_none_are_refused(self):
        for line in (b"GET /v1/vehicles", b"GET /v1/vehicles HTTP/9.9",
                     b"GET\t/v1/vehicles\tHTTP/1.1", b"G\0T /v1/vehicles HTTP/1.1", b"\xff\xfe /v1 HTTP/1.1",
                     b"GET /v1/veh\0icles HTTP/1.1", b"GET http:// HTTP/1.1", b"GET * HTTP/1.1",
                     b"CONNECT evil:80 HTTP/1.1", b"PRI * HTTP/2.0", b"GET " + b"/a" * 20000 + b" HTTP/1.1"):
            with self.subTest(line=line[:60]):
                answer = self.raw(line + b"\r\nHost: h\r\nConnection: close\r\n\r\n", self.admin, 2)
                for status in self.statuses(answer):
                    self.assertIn(status, (400, 401, 404, 405, 414, 431, 505), answer[:300])
        self.assertEqual(self.status(self.viewer, "GET", "/v1/groups"), 200)

    def test_pipelined_requests_keep_their_own_credentials(self):
        line = b"GET /v1/tokens HTTP/1.1\r\nHost: h\r\n"
        own = b"Authorization: Bearer " + self.admin.encode() + b"\r\n"
        low = b"Authorization: Bearer " + self.viewer.encode() + b"\r\n"
        last = b"Connection: close\r\n"
        answer = self.raw(line + own + b"\r\n" + line + b"\r\n" + line + low + b"\r\n" + line + own + b"\r\n"
                          + line + last + b"\r\n", None, 15)
        self.assertEqual(self.statuses(answer), [200, 401, 403, 200, 401])

    def test_http_1_0_is_answered_once(self):
        answer = self.raw(f"GET /v1/vehicles/{OWN} HTTP/1.0\r\nAuthorization: Bearer {self.admin}\r\n\r\n".encode() +
                          SMUGGLED)
        self.assertEqual(answer.count(b"\r\nX-Request-Id:"), 1)
        self.assertIn(b"200", answer.split(b"\r\n", 1)[0])

    def test_a_path_leads_to_its_own_route_alone(self):
        for path in ("/livez/../v1/vehicles", "/v1/vehicles/../tokens", "/v1/vehicles/%2e%2e/tokens",
                     "/v1/vehicles/..%2ftokens", "/v1/%2e/vehicles", "//v1/vehicles", "/v1//vehicles",
                     "/v1/vehicles/%2fetc%2fpasswd", "/v1/vehicles/..%5c..%5cetc", "/v1/vehicles;a=b",
                     "/v1/vehicles/OWN-1%00", "/v1/vehicles/OWN-1%c0%af", "/v1/vehicles/%c0%ae%c0%ae/tokens",
                     "/v1/vehicles/%ed%a0%80", "/v1/vehicles/%", "/v1/vehicles/%zz", "/openapi.json/../v1/tokens",
                     "/V1/vehicles", "/v1/vehicles/", "/v1/vehicles%3ffilter=x", "/v1/vehicles/OWN-1%2fdesired",
                     "/v1/vehicles/%252e%252e/tokens", "/metrics/../v1/vehicles"):
            for token in (None, self.admin):
                head = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
                status = self.statuses(self.raw(head, token))
                with self.subTest(path=path, known=bool(token)):
                    self.assertEqual(len(status), 1)
                    self.assertIn(status[0], (400, 401, 404))

    def test_names_in_paths_are_no_subjects_keys_or_statements(self):
        for vid in ("*", ">", "OWN-*", "OWN-1.state", "OWN-1 ", "'", "' OR 1=1 --", "a/b", "$JS", "stream.x",
                    "\r\nPUB x 0\r\n", "x" * 65, "..", "%s%n", "O\u00dcN-1"):
            for path, method in (("", "GET"), ("/desired", "GET"), ("/history?type=position", "GET"),
                                 ("/timeline", "GET"), ("/desired", "PATCH"), ("", "PUT"), ("", "DELETE")):
                with self.subTest(vid=vid, path=path, method=method):
                    body = {} if method in ("PATCH", "PUT") else None
                    reply = self.call(self.admin, method, "/v1/vehicles/" + quoted(vid) + path, body)
                    self.assertIn(reply.status, (400, 404), reply)
        for kind in ("*", ">", "position.>", "position'--", "../position", "a b"):
            self.assertIn(self.status(self.admin, "GET", f"/v1/vehicles/{OWN}/state/{quoted(kind)}"), (400, 404))
            self.assertIn(self.status(self.admin, "GET",
                                      f"/v1/vehicles/{OWN}/history?type={quoted(kind)}"), (400, 404))
        for name in ("*", ">", "a.b", "token.x", "../x", "a b", "auth", "x" * 200, "a\0b"):
            status = self.status(self.admin, "PUT", "/v1/groups/" + quoted(name), {"vids": [OWN]})
            self.assertTrue(status in (400, 404) or name == "auth", (name, status))
        for name in ("*", ">", "..", "'", "00*"):
            for path in ("/v1/tokens/", "/v1/grants/"):
                self.assertIn(self.status(self.admin, "DELETE", path + quoted(name)), (400, 404))
            self.assertIn(self.status(self.admin, "GET", "/v1/commands/" + quoted(name)), (400, 404))
            self.assertIn(self.status(self.admin, "GET", "/v1/events/" + quoted(name)), (400, 404))
        self.assertTrue(self.get(self.admin, "/v1/tokens")["tokens"])

    def test_statements_in_parameters_are_values(self):
        everything = len(self.get(self.admin, "/v1/events?page_size=1000")["events"])
        self.assertGreater(everything, 0)
        for text in ("' OR '1'='1", "'; DROP TABLE records; --", "\\", "%", "_", "$1", "x\u2019 OR 1=1"):
            for name in ("vid", "type", "kind"):
                reply = self.call(self.admin, "GET", f"/v1/events?{name}={quoted(text)}")
                self.assertTrue(reply.status == 400 or reply.json()["events"] == [], (name, text, reply))
            asked = quoted("type = " + json.dumps(text))
            self.assertEqual(self.get(self.admin, f"/v1/events?filter={asked}")["events"], [])
        self.assertGreaterEqual(len(self.get(self.admin, "/v1/events?page_size=1000")["events"]), everything)

    def test_a_method_is_what_the_request_line_says(self):
        for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
            reply = self.call(self.admin, "GET", f"/v1/vehicles/{OWN}", **{name: "DELETE"})
            self.assertEqual(reply.json()["vid"], OWN)
            self.assertEqual(self.status(self.viewer, "GET", "/v1/tokens", **{name: "POST"}), 403)
        self.assertEqual(self.status(self.admin, "GET", f"/v1/vehicles/{OWN}?_method=DELETE"), 400)
        for method in ("TRACE", "TRACK", "PROPFIND", "CONNECT", "OPTIONS", "get", "PUTX"):
            self.assertIn(self.status(self.admin, method, "/v1/vehicles"), (400, 404, 405, 501), method)
        self.assertEqual(self.vids(self.admin), {OWN, OTHER})

    def test_nothing_of_a_request_becomes_a_header_or_a_log_line(self):
        evil = quoted("x\r\nSet-Cookie: a=b\r\n\r\n<script>")
        before = len(self.hub.process.log().splitlines())
        for path in (f"/v1/vehicles?filter={evil}", f"/v1/{evil}", f"/v1/vehicles/{evil}",
                     f"/v1/vehicles?page_token={evil}", f"/v1/vehicles?fields=vid,{evil}",
                     f"/v1/vehicles?{evil}=1", f"/v1/events?type={evil}"):
            reply = self.call(self.admin, "GET", path, **{"X-Request-Id": "a b level=error", "Origin": "http://evil"})
            self.assertNotIn("set-cookie", reply.headers, path)
            self.assertNotIn("access-control-allow-origin", reply.headers)
            self.assertRegex(reply.headers["x-request-id"], "^[0-9a-f]{32}$")
            self.assertTrue(reply.headers["content-type"].startswith("application/"))
            self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
        for line in self.hub.process.log().splitlines()[before:]:
            self.assertFalse(line.startswith(("Set-Cookie", "<script>", "\r")), line)

    def test_who_a_proxy_says_it_is_counts_for_nothing(self):
        headers = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "::1",
                   "X-Original-URL": "/livez", "X-Rewrite-URL": "/livez", "X-Forwarded-User": "admin",
                   "X-Remote-User": "admin", "Cookie": "token=" + self.admin}
        self.assertEqual(self.status(None, "GET", "/v1/vehicles", **headers), 401)
        self.assertEqual(self.status(self.viewer, "GET", "/v1/tokens", **headers), 403)

    # ---- bodies ----

    def test_bodies_made_to_cost_cost_little(self):
        many = ",".join(f'"k{i}":{i}' for i in range(60000))
        bodies = {"deep": "[" * 400000, "deep_objects": '{"a":' * 100000, "names_twice": '{"a":1,"a":2}',
                  "names_twice_escaped": '{"a":1,"\\u0061":2}', "many_names": "{" + many + "}",
                  "huge_number": '{"a":' + "9" * 500000 + "}", "huge_exponent": '{"a":1e999999999}',
                  "nan": '{"a":NaN}', "nul": '{"a":"\0"}', "lone_surrogate": '{"a":"\\ud800"}',
                  "byte_order_mark": "\ufeff{}", "two": "{}{}", "array": "[]", "text": '"x"', "empty": ""}
        bodies = {name: body.encode() for name, body in bodies.items()}
        bodies["overlong"] = b'{"a":"\xc0\xaf"}'
        bodies["not_utf8"] = b'{"a":"\xff"}'
        head = dict(bearer(self.admin), **{"Content-Type": "application/json"})
        for name, body in bodies.items():
            with self.subTest(body=name):
                began = time.monotonic()
                reply = self.hub.request("POST", "/v1/access:check", head, body)
                self.assertEqual(reply.status, 400, reply)
                self.assertLess(time.monotonic() - began, scaled(10))
        self.assertEqual(self.hub.request("POST", "/v1/access:check", head, b" " * (2 << 20)).status, 413)

    def test_a_packed_body_is_not_unpacked(self):
        bomb = gzip.compress(b'{"action":"read"}' + b" " * (50 << 20))
        for coding in ("gzip", "deflate", "br", "x"):
            reply = self.call_bytes(bomb, **{"Content-Encoding": coding})
            self.assertIn(reply.status, (400, 415), (coding, reply))

    def call_bytes(self, body, **headers):
        head = dict(bearer(self.admin), **{"Content-Type": "application/json"}, **headers)
        return self.hub.request("POST", "/v1/access:check", head, body)

    def test_numbers_beyond_all_measure_are_clamped_or_refused(self):
        big = "9" * 400
        for path in (f"/v1/vehicles?page_size={big}", "/v1/vehicles?page_size=-1"):
            self.assertIn(self.status(self.admin, "GET", path), (200, 400), path)
        for path in (f"/v1/vehicles?min_position=x&wait_ms={big}", f"/v1/vehicles/stream?max_hz={big}",
                     "/v1/vehicles/stream?max_hz=nan", "/v1/vehicles/stream?max_hz=1e-400",
                     f"/v1/events?start_time={big}", f"/v1/audit/consistency?from={big}&to=-{big}",
                     "/v1/vehicles?filter=" + quoted("age(state.position) < " + big + "d"),
                     "/v1/vehicles?filter=" + quoted("(" * 2000 + "vid:*" + ")" * 2000),
                     "/v1/vehicles?filter=" + quoted(" AND ".join(["vid:*"] * 65))):
            self.assertEqual(self.status(self.admin, "GET", path), 400, path[:100])

    # ---- credentials ----

    def test_credentials_in_other_places_or_forms_are_none(self):
        token_id, secret = self.admin.split("_", 2)[1:]
        for value in ("Basic YWRtaW46YWRtaW4=", f"bearer{self.admin}", f"Bearer {self.admin}x",
                      f"Bearer {self.admin[:-1]}", f"Bearer fh_{token_id}_", f"Bearer fh__{secret}",
                      f"Bearer fh_{token_id}_{secret.swapcase()}", f"Bearer FH_{token_id}_{secret}",
                      "Bearer", "Bearer null", f"Token {self.admin}", f"Bearer {self.admin},{self.admin}"):
            self.assertEqual(self.call(None, "GET", "/v1/vehicles", Authorization=value).status, 401, value)
        self.assertEqual(self.status(None, "GET", f"/v1/vehicles?access_token={self.admin}"), 401)
        twice = b"GET /v1/groups HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n\r\n"
        self.assertEqual(self.statuses(self.raw(twice, self.admin)), [400])

    def test_a_wrong_secret_is_refused_as_an_unknown_token_is(self):
        """Nobody learns by asking which tokens there are."""
        token_id = self.admin.split("_")[1]
        details = {self.call(f"fh_{known}_{secret}", "GET", "/v1/vehicles").json()["detail"]
                   for known in (token_id, "0" * 16) for secret in ("x", "A" * 43)}
        self.assertEqual(len(details), 1)

    def test_a_token_in_an_address_is_not_logged(self):
        client = LiveClient(self.hub, access_token=self.viewer).open().wait_ready()
        client.close()
        self.call(None, "GET", f"/v1/vehicles/stream?access_token={self.viewer}x")
        self.assertNotIn(self.viewer.split("_", 2)[2], self.hub.process.log())

    # ---- what is hidden, asked in roundabout ways ----

    def test_validators_tell_nothing_of_what_is_hidden(self):
        hidden = f"/v1/vehicles/{OTHER}"
        etag = self.call(self.admin, "GET", hidden).headers["etag"]
        for name in ("If-None-Match", "If-Match"):
            for value in (etag, "*", '"0"'):
                reply = self.call(self.viewer, "GET", hidden, **{name: value})
                self.assertEqual(reply.status, 404, (name, value))
                nowhere = self.call(self.viewer, "GET", "/v1/vehicles/NOWHERE", **{name: value})
                self.assertEqual(set(reply.headers), set(nowhere.headers))
        writer = self.token("operator", vehicles=["OWN-*"])
        for value in ('"0"', '"1"', "*"):
            self.assertEqual(self.status(writer, "PATCH", hidden + "/desired", {"a": 1},
                                         **{"If-Match": value}), 404)

    def test_an_etag_does_not_tell_that_a_denied_part_changed(self):
        path = f"/v1/vehicles/{OWN}?fields=state.position,state.battery"
        before = self.call(self.careful, "GET", path)
        whole = self.call(self.admin, "GET", path).headers["etag"]
        self.assertNotEqual(before.headers["etag"], whole)
        self.nats.js_publish(subject(OWN, "state.position"), envelope({"lat": 61, "lon": 11}))
        wait_until(lambda: self.call(self.admin, "GET", path).headers["etag"] != whole, SOON_S, "it moved")
        after = self.call(self.careful, "GET", path)
        self.assertEqual(after.json()["state"], before.json()["state"])

    def test_filters_orders_and_statistics_ask_for_nothing_that_is_denied(self):
        denied = ("state.position.lat > 0", "NOT state.position.lat > 0", "vid:* OR state.position:*",
                  "distance(state.position, 59, 10) < 500", "age(state.position) < 1h",
                  'inside(state.position, "POLYGON((0 0, 1 0, 1 1, 0 0))")', "bbox(state.position, 0, 0, 1, 1)",
                  'meta.secret = "s*"', 'desired.code = "4711"', "delta.code:*",
                  'state.position = "x" AND vid = "NOBODY"')
        for text in denied:
            for path in ("/v1/vehicles?filter=", "/v1/fleet/stats?filter=", "/v1/vehicles/stream?filter="):
                with self.subTest(filter=text, path=path):
                    self.assertEqual(self.status(self.careful, "GET", path + quoted(text)), 403)
        for path in ("/v1/vehicles?order_by=" + quoted("distance(state.position, 59, 10)"),
                     "/v1/vehicles?order_by=meta.secret", "/v1/fleet/stats?group_by=meta.secret",
                     "/v1/fleet/stats?stats=p95(state.position.lat)", "/v1/vehicles?order_by=desired.code"):
            self.assertEqual(self.status(self.careful, "GET", path), 403, path)
        fields = {f["path"] for f in self.get(self.careful, "/v1/fleet/fields")["fields"]}
        self.assertFalse({f for f in fields if f.startswith(("state.position", "desired", "meta.secret"))}, fields)
        self.assertIn("meta.site", fields)

    def test_the_delta_does_not_show_a_desired_that_is_denied(self):
        admin = self.get(self.admin, f"/v1/vehicles/{OWN}")
        self.assertEqual(admin["delta"], {"code": "4711"})
        text = self.call(self.careful, "GET", f"/v1/vehicles/{OWN}").body.decode()
        self.assertNotIn("4711", text)
        for path in ("/delta", "/desired", "/desired/history"):
            reply = self.call(self.careful, "GET", f"/v1/vehicles/{OWN}{path}")
            self.assertNotIn("4711", reply.body.decode(), path)
        client = LiveClient(self.hub, access_token=self.careful).open().wait_ready()
        self.addCleanup(client.close)
        self.assertNotIn("4711", json.dumps([str(e) for e in client.events]))

    def test_what_is_denied_is_not_written_either(self):
        """Of another vehicle than the other tests look at. What access:check says is what happens."""
        part = f"/v1/vehicles/{OTHER}/"
        clerk = self.token("admin", deny=["desired.>", "meta.secret"])
        inner = self.token("operator", allow=["desired.led", "desired.mode"])
        whole = self.token("operator", allow=["desired.>"])
        self.assertEqual(self.status(self.admin, "PUT", part + "desired", {"code": "4711"}), 200)
        self.assertEqual(self.status(self.admin, "PUT", part + "meta", {"secret": "s"}), 200)
        revision = self.get(self.admin, f"/v1/vehicles/{OTHER}")["revision"]
        for token, method, what, body, path, status in (
                (self.careful, "PATCH", "desired", {"code": "4711"}, "desired.code", 403),  # a right guess
                (self.careful, "PATCH", "desired", {"code": None}, "desired.code", 403),
                (self.careful, "PUT", "desired", {}, "desired", 403),
                (self.careful, "PATCH", "desired", {}, "desired", 403),
                (clerk, "PUT", "meta", {"secret": "s"}, "meta", 403),
                (clerk, "PATCH", "meta", {"site": "b", "secret": None}, "meta.secret", 403),
                (inner, "PUT", "desired", {"led": 1}, "desired", 403),
                (inner, "PATCH", "desired", {"led": 1, "code": "4712"}, "desired.code", 403)):
            with self.subTest(method=method, what=what, body=body):
                self.assertEqual(self.status(token, method, part + what, body), status)
                self.assert_allowed(token, "write", path, False)
        self.assertEqual(self.status(clerk, "PUT", f"/v1/vehicles/{OTHER}", {"meta": {}}), 403)
        self.assertEqual(self.get(self.admin, f"/v1/vehicles/{OTHER}")["revision"], revision)
        for token, method, what, body, path, shown in (
                (inner, "PATCH", "desired", {"led": 1}, "desired.led", {"led": 1}),
                (inner, "PATCH", "desired", {}, "desired.mode", {"led": 1}),
                (clerk, "PATCH", "meta", {"site": "b"}, "meta.site", {"site": "b"}),
                (whole, "PATCH", "desired", {"a": 1}, "desired.a", {"code": "4711", "led": 1, "a": 1}),
                (whole, "PUT", "desired", {"code": "4711", "led": 2}, "desired", {"code": "4711", "led": 2})):
            with self.subTest(method=method, what=what, body=body):
                reply = self.call(token, method, part + what, body)
                self.assertEqual((reply.status, reply.json()), (200, shown))
                self.assert_allowed(token, "write", path, True)
        self.assertEqual(self.get(self.admin, part + "meta"), {"secret": "s", "site": "b"})
        self.past_of_what_is_denied(part, inner)

    def assert_allowed(self, token, action, path, allowed):
        answer = self.call(token, "POST", "/v1/access:check", {"action": action, "vid": OTHER, "path": path})
        self.assertEqual(answer.json()["allowed"], allowed, (path, answer))

    def past_of_what_is_denied(self, part, inner):
        for token, status in ((self.careful, 403), (inner, 200), (self.admin, 200)):
            for path in ("desired", "desired/history"):
                self.assertEqual(self.status(token, "GET", part + path), status, path)
            self.assert_allowed(token, "read", "desired", status == 200)
        seen = [r["value"] for r in self.get(inner, part + "desired/history")["revisions"]]
        self.assertEqual(seen, [{"led": 2}, {"led": 1}, {"led": 1}, {}])

    def grant(self, token, **body):
        return self.call(token, "POST", "/v1/grants", body)

    def test_a_bounded_admin_frees_nobody_of_his_bounds(self):
        mine, desk = self.token("admin", vehicles=["OWN-*"]), self.token("viewer", vehicles=["OWN-*"])
        own = mine.split("_")[1]
        made = {}
        for name, body in (
                ("his own denial", {"subject": own, "deny": ["state.position"]}),
                ("one of two grants of a JWT", {"subject": "https://id#ann"}),
                ("the other of the two", {"subject": "https://id#ann"}),
                ("a scope of a token", {"subject": desk.split("_")[1], "deny": []})):
            reply = self.grant(self.admin, vehicles=["OWN-*"], **body)
            self.assertEqual(reply.status, 201, reply)
            made[name] = reply.headers["location"]
        self.assertEqual(self.status(mine, "GET", f"/v1/vehicles/{OWN}/state/position"), 403)
        denying = made.pop("his own denial")
        self.assertEqual(self.status(mine, "DELETE", denying), 403)
        self.assertEqual(self.status(self.admin, "DELETE", denying), 204)
        self.assertEqual(self.status(mine, "GET", f"/v1/vehicles/{OWN}/state/position"), 200)
        for name, path in made.items():
            self.assertEqual(self.status(mine, "DELETE", path), 204 if "token" in name else 403, name)

    def test_a_bounded_admin_locks_nobody_out(self):
        mine, desk = self.token("admin", vehicles=["OWN-*"]), self.token("viewer", vehicles=["OWN-*"])
        above, beside = self.admin.split("_")[1], desk.split("_")[1]
        self.assertEqual(self.grant(self.admin, subject="https://id#bob", vehicles=["OWN-1"]).status, 201)
        for body, status in (({"subject": above, "deny": [">"]}, 403),
                             ({"subject": above}, 403),
                             ({"subject": "https://id#root"}, 403),
                             ({"subject": "0123456789abcdef"}, 403),
                             ({"subject": beside, "deny": ["state.battery"]}, 403),
                             ({"subject": beside}, 201),
                             ({"subject": "https://id#bob"}, 201)):
            reply = self.grant(mine, vehicles=["OWN-*"], **body)
            self.assertEqual(reply.status, status, (body, reply))
        self.assertEqual(self.vids(self.admin), {OWN, OTHER})
        for token in (self.admin, desk):
            self.assertEqual(set(self.get(token, f"/v1/vehicles/{OWN}")["state"]), {"position", "battery"})

    def test_a_stream_goes_on_from_no_other_viewers_id(self):
        client = LiveClient(self.hub, access_token=self.admin).open().wait_ready()
        ids = [event.id for event in client.events if event.id]
        client.close()
        self.assertTrue(ids)
        thief = LiveClient(self.hub, access_token=self.viewer)
        thief.last_id = ids[-1]
        thief.open().wait_ready()
        self.addCleanup(thief.close)
        self.assertEqual(thief.events[0].name, "reset")
        self.assertEqual(set(thief.seen()), {OWN})

    def test_a_page_goes_on_from_no_other_viewers_token(self):
        token = self.get(self.admin, "/v1/vehicles?page_size=1")["next_page_token"]
        self.assertEqual(self.status(self.viewer, "GET", f"/v1/vehicles?page_size=1&page_token={token}"), 400)
        own = self.get(self.admin, "/v1/vehicles?page_size=1&order_by=vid+desc")["next_page_token"]
        for forged in ("", "AAAA", own, token[:-2], token + "AA", "." * 100, "A" * 6000):
            self.assertIn(self.status(self.viewer, "GET", f"/v1/vehicles?page_size=1&page_token={forged}"),
                          (400,), forged[:20])

    def test_a_group_does_not_name_what_is_hidden(self):
        self.assertIn(self.status(self.admin, "PUT", "/v1/groups/both", {"vids": [OWN, OTHER]}), (200, 201))
        self.assertEqual(self.get(self.viewer, "/v1/groups/both")["vids"], [OWN])
        self.assertNotIn(OTHER, self.call(self.viewer, "GET", "/v1/groups").body.decode())
        found = self.get(self.viewer, "/v1/vehicles?filter=" + quoted('group("both")'))
        self.assertEqual((found["total_size"], [v["vid"] for v in found["vehicles"]]), (1, [OWN]))
        found = self.get(self.viewer, "/v1/fleet/stats?filter=" + quoted('group("both")'))
        self.assertEqual(found["groups"][0]["count"], 1)
        # Whoever sees a part of it changes none of it, and finds out nothing by trying.
        bounded = self.token("operator", vehicles=["OWN-*"])
        for method, name, body in (("PUT", "both", {"vids": [OWN]}), ("PUT", "both", {"vids": [OWN, OTHER]}),
                                   ("DELETE", "both", None), ("PUT", "new", {"vids": [OWN, OTHER]})):
            self.assertEqual(self.status(bounded, method, f"/v1/groups/{name}", body), 403, (method, name, body))
        self.assertEqual(self.get(self.admin, "/v1/groups/both")["vids"], sorted([OWN, OTHER]))
        self.assertIn(self.status(bounded, "PUT", "/v1/groups/own", {"vids": [OWN]}), (200, 201))
        self.assertEqual(self.status(bounded, "DELETE", "/v1/groups/own"), 204)
        # One that is on a denied part may not be asked for.
        self.assertIn(self.status(self.admin, "PUT", "/v1/groups/north",
                                  {"filter": "state.position.lat > 0"}), (200, 201))
        self.assertEqual(self.status(self.careful, "GET", "/v1/vehicles?filter=" + quoted('group("north")')), 403)

    def test_a_group_that_is_defined_anew_asks_for_nothing_that_is_denied(self):
        def define(text):
            self.assertIn(self.status(self.careful, "PUT", "/v1/groups/mine", {"filter": text}), (200, 201))

        define('vid = "*"')
        client = LiveClient(self.hub, access_token=self.careful, filter='group("mine")').open().wait_ready()
        self.addCleanup(client.close)
        self.assertIn(OWN, client.seen())
        define("state.position.lat > 80")
        wait_until(lambda: client.ended, SOON_S, "the end of the stream")
        self.assertEqual(client.count("leave"), 0)
        with self.assertRaises(Refused) as refused:
            client.reopen()
        self.assertEqual(refused.exception.status, 403)
        define('vid = "*"')
        wish = {"type": "rtl", "target": {"vids": [OWN]}, "verify": {"filter": 'group("mine")'}}
        self.assertEqual(self.status(self.careful, "POST", "/v1/commands", wish), 403)

    def test_the_record_of_a_hidden_vehicle_is_not_there(self):
        auditor = self.token("auditor", vehicles=["OWN-*"])
        self.stack.wait_archived()
        hidden = self.get(self.admin, f"/v1/events?vid={OTHER}")["events"]
        self.assertTrue(hidden)
        self.assertEqual(self.status(auditor, "GET", "/v1/events/" + hidden[0]["id"]), 404)
        self.assertEqual(self.get(auditor, f"/v1/events?vid={OTHER}")["events"], [])
        self.assertEqual(self.status(auditor, "GET", f"/v1/vehicles/{OTHER}/timeline"), 404)
        found = self.get(auditor, "/v1/events?page_size=1000")["events"]
        self.assertEqual({r["vid"] for r in found if r["vid"]}, {OWN})
        self.assertNotIn(OTHER, json.dumps(found))

    def test_a_command_says_nothing_of_hidden_targets(self):
        operator = self.token("operator", vehicles=["OWN-*"])
        for target in ({"all": True}, {"filter": 'vid = "*"'}, {"vids": [OWN, OTHER]}):
            tried = self.call(operator, "POST", "/v1/commands",
                              {"type": "rtl", "target": target, "dry_run": True})
            self.assertEqual(tried.status, 200, tried)
            self.assertEqual(tried.json()["total"] - len(tried.json()["blocked"]), 1, tried)
        hidden, nowhere = (self.call(operator, "POST", "/v1/commands",
                                     {"type": "rtl", "target": {"vids": [vid]}, "dry_run": True})
                           for vid in (OTHER, "NOWHERE"))
        self.assertEqual(hidden.status, nowhere.status)
        self.assertEqual(hidden.body.replace(OTHER.encode(), b"NOWHERE").split(b"request_id")[0],
                         nowhere.body.split(b"request_id")[0])

    # ---- much at once ----

    def test_unknown_paths_and_names_make_no_new_metric(self):
        before = sum(len(values) for values in self.hub.metrics().values())
        for i in range(50):
            self.status(self.viewer, "GET", f"/v1/nothing-{i}")
            self.status(self.viewer, "GET", f"/v1/vehicles/NOBODY-{i}")
            self.status(None, f"ODD{i}", "/v1/vehicles")
        text = self.hub.get("/metrics").body.decode()
        self.assertNotIn("nothing-", text)
        self.assertNotIn("NOBODY-", text)
        self.assertLess(sum(len(values) for values in self.hub.metrics().values()), before + 60)


class Shares(AccessCase):
    """No principal has all streams, and none the others."""

    settings = {"auth": {"mode": "tokens"}, "http": {"limits": {"streams_per_principal": 3}}}

    def test_one_principal_has_no_more_than_its_share_of_streams(self):
        greedy, other = self.token("viewer"), self.token("viewer")
        clients = [LiveClient(self.hub, access_token=greedy).open().wait_ready() for _ in range(3)]
        self.addCleanup(lambda: [client.close() for client in clients])
        reply = self.call(greedy, "GET", "/v1/vehicles/stream")
        self.assertEqual(reply.status, 429, reply)
        self.assertIn("streams_per_principal", reply.json()["detail"])
        self.assertGreaterEqual(int(reply.headers["retry-after"]), 1)
        LiveClient(self.hub, access_token=other).open().wait_ready().close()
        clients.pop().close()
        again = wait_until(lambda: self.reopened(greedy), 40, "what was closed counts no more")
        clients.append(again)

    def reopened(self, token):
        client = LiveClient(self.hub, access_token=token)
        try:
            return client.open().wait_ready()
        except Refused:
            client.close()
            return None


if __name__ == "__main__":
    unittest.main()

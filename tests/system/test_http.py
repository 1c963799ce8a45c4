"""The conventions of the HTTP interface, as any client sees them."""

import gzip
import json
import os
import unittest

from harness import OWN_TRACES, Stack, Trace, wait_until

COPTERS = os.path.join(OWN_TRACES, "copter-fleet-20.ndjson")


class Http(unittest.TestCase):
    """One hub for all of them: they only read."""

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(leaf=False)
        cls.stack.__enter__()
        cls.addClassCleanup(cls.stack.__exit__, None, None, None)
        cls.hub = cls.stack.hub
        cls.trace = Trace(COPTERS)
        with cls.stack.nats.client() as client:
            client.js_publish_all(cls.trace.messages("test"))
            for part, value in (("desired", {"mode": "RTL", "led": 1}), ("reported", {"led": 1})):
                client.kv_put("TWIN_SHADOW", f"fleet/test/veh/COPTER-01/{part}", value)
        cls.stack.expect_trace(cls.trace)
        wait_until(lambda: cls.hub.json("/v1/vehicles/COPTER-01")["reported"], 10,
                   "the shadow is there")

    def problem(self, path, status, *words, method="GET", headers=None):
        reply = self.hub.request(method, path, headers)
        self.assertEqual(reply.status, status, path)
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        body = reply.json()
        self.assertLessEqual({"type", "title", "status", "detail", "request_id"}, set(body))
        self.assertEqual(body["status"], status)
        for word in words:
            self.assertIn(word, body["detail"])
        return reply

    def test_get_carries_a_strong_etag_and_honours_if_none_match(self):
        for path in ("/v1/vehicles/COPTER-01", "/v1/vehicles/COPTER-01/desired",
                     "/v1/vehicles/COPTER-01/state/position"):
            first = self.hub.get(path)
            etag = first.headers["etag"]
            self.assertRegex(etag, r'^"[^"]+"$')
            for condition in (etag, "*", f'"no", {etag}', f"W/{etag}"):
                again = self.hub.get(path, {"If-None-Match": condition})
                self.assertEqual((again.status, again.body), (304, b""), condition)
                self.assertEqual(again.headers["etag"], etag)
            other = self.hub.get(path, {"If-None-Match": '"other"'})
            self.assertEqual((other.status, other.body), (200, first.body))

    def test_etag_of_a_shadow_part_is_its_revision(self):
        twin = self.hub.json("/v1/vehicles/COPTER-01")
        for part in ("desired", "reported"):
            reply = self.hub.get(f"/v1/vehicles/COPTER-01/{part}")
            self.assertEqual(reply.headers["etag"], f'"{twin["revision"][part]}"')

    def test_etag_changes_with_the_twin(self):
        before = self.hub.get("/v1/vehicles/COPTER-19").headers["etag"]
        with self.stack.nats.client() as client:
            client.kv_put("TWIN_SHADOW", "fleet/test/veh/COPTER-19/meta", {"site": "oslo"})
        wait_until(lambda: self.hub.get("/v1/vehicles/COPTER-19").headers["etag"] != before, 10,
                   "another revision, another tag")

    def test_gzip_where_the_client_accepts_it(self):
        plain = self.hub.get("/v1/vehicles?page_size=20")
        self.assertNotIn("content-encoding", plain.headers)
        for accepted in ("gzip", "br, gzip;q=0.5", "*"):
            packed = self.hub.get("/v1/vehicles?page_size=20", {"Accept-Encoding": accepted})
            self.assertEqual(packed.headers.get("content-encoding"), "gzip", accepted)
            self.assertIn("accept-encoding", packed.headers["vary"].lower())
            self.assertLess(len(packed.body), len(plain.body) / 2)
            self.assertEqual(len(json.loads(gzip.decompress(packed.body))["vehicles"]), 20)
        for refused in ("gzip;q=0", "identity", "br"):
            reply = self.hub.get("/v1/vehicles?page_size=20", {"Accept-Encoding": refused})
            self.assertNotIn("content-encoding", reply.headers, refused)

    def test_unknown_and_bad_parameters_are_a_400_that_names_them(self):
        self.problem("/v1/vehicles?colour=red", 400, "colour")
        self.problem("/v1/vehicles/COPTER-01?page_size=3", 400, "page_size")
        self.problem("/v1/events?vidd=COPTER-01", 400, "vidd")
        self.problem("/v1/events?kind=gossip", 400, "kind")
        self.problem("/v1/events?start_time=yesterday", 400, "start_time")
        self.problem("/v1/vehicles?page_size=many", 400, "page_size")

    def test_unknown_things_are_a_404(self):
        self.problem("/v1/vehicles/NOBODY", 404, "NOBODY")
        self.problem("/v1/vehicles/COPTER-01/state/nothing", 404)
        self.problem("/v1/vehicles/COPTER-01/soul", 404)
        self.problem("/v2/vehicles", 404)

    def test_wrong_method_is_a_405_that_says_what_is_allowed(self):
        reply = self.problem("/livez", 405, method="DELETE")
        self.assertIn("GET", reply.headers["allow"])

    def test_a_page_of_another_site_reads_and_changes_nothing_while_access_is_off(self):
        port = self.hub.port
        for host in ("evil.example.org", f"evil.example.org:{port}", "localhost.evil.org"):
            for path in ("/v1/vehicles", "/v1/vehicles/COPTER-01", "/metrics"):
                self.problem(path, 403, "localhost", "auth.mode", headers={"Host": host})
            self.assertEqual(self.hub.get("/livez", {"Host": host}).status, 200)
        self.problem("/v1/vehicles/COPTER-01", 403, "http.cors_origins", method="DELETE",
                     headers={"Origin": "https://evil.example.org"})
        for host in ("localhost", f"[::1]:{port}", f"127.0.0.1:{port}"):
            self.assertEqual(self.hub.get("/v1/vehicles/COPTER-01", {"Host": host}).status, 200)

    def test_head_is_get_without_the_body(self):
        got = self.hub.get("/v1/vehicles/COPTER-01")
        head = self.hub.request("HEAD", "/v1/vehicles/COPTER-01")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["etag"], got.headers["etag"])
        self.assertEqual(head.headers["content-length"], str(len(got.body)))

    def test_pages_of_vehicles_are_full_but_the_last_and_hold_each_once(self):
        for size in (1, 7, 19, 20, 21):
            seen, parameters = [], {"page_size": size}
            while True:
                page = self.hub.json("/v1/vehicles", **parameters)
                self.assertEqual(page["total_size"], 20)
                seen.append([twin["vid"] for twin in page["vehicles"]])
                if not page.get("next_page_token"):
                    break
                parameters["page_token"] = page["next_page_token"]
            self.assertEqual(sum(seen, []), sorted(self.trace.states), size)
            self.assertTrue(all(len(page) == size for page in seen[:-1]), size)

    def test_page_size_is_clamped(self):
        events = self.hub.json("/v1/events", kind="event", page_size=5000)["events"]
        self.assertEqual(len(events), len(self.trace.events))
        self.assertEqual(len(self.hub.json("/v1/vehicles", page_size=0)["vehicles"]), 1)
        self.assertEqual(len(self.hub.json("/v1/events")["events"]), 100)

    def test_page_token_of_another_query_is_a_400(self):
        token = self.hub.json("/v1/events", page_size=5)["next_page_token"]
        self.problem(f"/v1/events?page_size=5&kind=event&page_token={token}", 400, "page_token")
        self.problem(f"/v1/vehicles?page_token={token}", 400, "page_token")
        self.problem("/v1/events?page_token=nonsense", 400, "page_token")

    def test_events_are_newest_first_and_selected_by_what_is_asked(self):
        everything = self.hub.events()
        seqs = [record["seq"] for record in everything]
        self.assertEqual(seqs, sorted(seqs, reverse=True))
        events = self.hub.events(kind="event")
        self.assertEqual(events, [r for r in everything if r["kind"] == "event"])
        self.assertEqual(len(events), len(self.trace.events))
        for page_size in (1, 250):
            mine = self.hub.events(vid="COPTER-07", page_size=page_size)
            self.assertEqual(mine, [r for r in everything if r["vid"] == "COPTER-07"])
        armed = self.hub.events(type="armed", kind="event")
        self.assertEqual(armed, [r for r in events if r["type"] == "armed"])
        self.assertGreater(len(armed), 0)
        self.assertEqual(self.hub.events(kind="rejected"), [])

    def test_times_of_a_selection_are_half_open(self):
        everything = self.hub.events(kind="event")
        moments = sorted({record["received"] for record in everything})
        low, high = moments[len(moments) // 3], moments[2 * len(moments) // 3]
        chosen = self.hub.events(kind="event", start_time=low, end_time=high)
        self.assertEqual(chosen, [r for r in everything if low <= r["received"] < high])
        self.assertGreater(len(chosen), 0)
        self.assertEqual(self.hub.events(kind="event", end_time=moments[0]), [])

    def test_record_has_the_members_of_the_contract(self):
        record = self.hub.json("/v1/events", kind="event", page_size=1)["events"][0]
        self.assertEqual(set(record), {
            "id", "seq", "hash", "kind", "vid", "region", "type", "severity", "actor", "request_id",
            "boot", "vehicle_seq", "timestamp", "received", "archived", "stream", "stream_seq",
            "data"})
        self.assertEqual((record["kind"], record["stream"]), ("event", "TWIN_EVENTS"))
        self.assertEqual(record["boot"], "b1")

    def test_twin_has_the_members_of_the_contract(self):
        twin = self.hub.json("/v1/vehicles/COPTER-01")
        self.assertEqual(set(twin), {"vid", "region", "presence", "state", "reported", "desired",
                                     "delta", "delta_since", "config", "meta", "revision"})
        self.assertEqual(twin["desired"], {"mode": "RTL", "led": 1})
        self.assertEqual(twin["reported"], {"led": 1})
        self.assertEqual(twin["delta"], {"mode": "RTL"})
        self.assertIsNotNone(twin["delta_since"])
        self.assertEqual((twin["config"], twin["revision"]["config"]), ({}, 0))
        self.assertGreater(twin["revision"]["desired"], 0)
        self.assertEqual(self.hub.json("/v1/vehicles/COPTER-01/delta"), {"mode": "RTL"})

    def test_parts_of_a_twin(self):
        twin = self.hub.json("/v1/vehicles/COPTER-01")
        for part in ("desired", "reported", "config", "meta"):
            self.assertEqual(self.hub.json(f"/v1/vehicles/COPTER-01/{part}"), twin[part])
        for kind, data in twin["state"].items():
            self.assertEqual(self.hub.json(f"/v1/vehicles/COPTER-01/state/{kind}"), data)

    def test_what_reads_twins_carries_a_position(self):
        for path in ("/v1/vehicles", "/v1/vehicles/COPTER-01", "/v1/vehicles/COPTER-01/desired"):
            self.assertTrue(self.hub.get(path).headers.get("fleet-position"), path)

    def test_metadata_only_where_asked(self):
        self.assertNotIn("metadata", self.hub.json("/v1/vehicles/COPTER-01"))
        twin = self.hub.json("/v1/vehicles/COPTER-01", metadata="true")
        self.assertEqual(set(twin["metadata"]) >= set(twin["state"]) or "state" in twin["metadata"],
                         True)
        self.assertIn('"b1"', json.dumps(twin["metadata"]))

    def test_operation_routes(self):
        self.assertEqual(self.hub.get("/livez").status, 200)
        self.assertEqual(self.hub.json("/readyz?verbose")["status"], "ready")
        self.assertIn("version", self.hub.json("/version"))
        metrics = self.hub.get("/metrics")
        self.assertTrue(metrics.headers["content-type"].startswith("text/plain"))
        self.assertEqual(self.hub.metric("vehicles"), 20)
        self.assertEqual(self.hub.metric("records_total", kind="event"), len(self.trace.events))
        self.assertEqual(sum(self.hub.metrics()["fleethub_build_info"].values()), 1)


if __name__ == "__main__":
    unittest.main()

"""Reading the record over HTTP: filters, exports and who has read it, on a hub with everything."""

import csv
import http.client
import io
import json
import socket
import unittest
import urllib.parse

from harness import StackCase, envelope, wait_until
from harness.access import OTHER, OWN, AccessCase
from harness.process import scaled

EVENTS = 40
MANY = 12000


def store_events(stack, count, vid="R-1", kind="waypoint", **more):
    with stack.nats.client() as client:
        client.js_publish_all([(f"fleet.test.veh.{vid}.evt.{kind}",
                                envelope(dict(more, index=i), seq=i, boot="b"))
                               for i in range(count)])


def slow_down(stack):
    """From now on each row that is read takes ten milliseconds."""
    columns = stack.postgres.query(
        "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute "
        "WHERE attrelid = 'records'::regclass AND attnum > 0 AND attname <> 'raw'")
    stack.postgres.query(
        "CREATE FUNCTION slow(raw bytea) RETURNS bytea STABLE LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.01); RETURN raw; END $$; "
        "ALTER TABLE records RENAME TO records_kept; "
        f"CREATE VIEW records AS SELECT {columns}, slow(raw) AS raw FROM records_kept")


class Reading(StackCase):
    def lines(self, path="/v1/events", **parameters):
        reply = self.hub.get(path, format="ndjson", **parameters)
        self.assertEqual((reply.status, reply.headers["content-type"]), (200, "application/x-ndjson"))
        return [json.loads(line) for line in reply.body.decode().splitlines()]

    def statements(self):
        """Of the hub's readers, those that run at this moment."""
        return int(self.stack.postgres.query(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fleethub reader' "
            "AND state = 'active'"))

    def test_a_filter_finds_what_the_list_has(self):
        store_events(self.stack, EVENTS, severity="warning", phase="takeoff")
        store_events(self.stack, EVENTS, "R-2", "landed", phase="landing")
        self.stack.wait_archived()
        events = self.hub.events(kind="event")
        self.assertEqual(len(events), 2 * EVENTS)
        half = events[EVENTS]["received"]
        for text, chosen in (
                ('vid = "R-2" AND data.index >= 10', lambda r: r["vid"] == "R-2" and r["data"]["index"] >= 10),
                ('severity = "warning"', lambda r: r["severity"] == "warning"),
                ('data.phase = "land*" OR vehicle_seq = 3',
                 lambda r: r["data"]["phase"].startswith("land") or r["vehicle_seq"] == 3),
                (f'received >= "{half}"', lambda r: r["received"] >= half),
                (f'received < "{half}" AND NOT data.index = 1',
                 lambda r: r["received"] < half and r["data"]["index"] != 1),
                ("age(received) > 1h", lambda r: False)):
            wanted = [r for r in events if chosen(r)]
            for page_size in (3, 1000):
                self.assertEqual(self.hub.events(kind="event", filter=text, page_size=page_size), wanted, text)
            self.assertEqual(self.lines(kind="event", filter=text), wanted, text)
        self.hub.request("PUT", "/v1/groups/pair", {"Content-Type": "application/json"},
                         json.dumps({"vids": ["R-2"]}))
        wait_until(lambda: self.hub.get("/v1/groups/pair").status == 200, 10, "the group is there")
        self.assertEqual(self.hub.events(kind="event", filter='group("pair")'),
                         [r for r in events if r["vid"] == "R-2"])

    def test_pages_do_not_move_as_records_come(self):
        store_events(self.stack, EVENTS)
        self.stack.wait_archived()
        before = self.hub.events(kind="event")
        page = self.hub.json("/v1/events", kind="event", page_size=15)
        seen = page["events"]
        for index in range(2):
            store_events(self.stack, 5, f"LATE-{index}")
            self.stack.wait_archived()
            page = self.hub.json("/v1/events", kind="event", page_size=15, page_token=page["next_page_token"])
            seen += page["events"]
        self.assertEqual(seen, before)
        self.assertNotIn("next_page_token", page)

    def test_exports_hold_all_there_is_in_either_order(self):
        store_events(self.stack, MANY)
        self.stack.wait_archived()
        newest_first = self.lines(kind="event")
        self.assertEqual([r["seq"] for r in newest_first],
                         sorted((r["seq"] for r in newest_first), reverse=True))
        self.assertEqual(sorted(r["data"]["index"] for r in newest_first), list(range(MANY)))
        self.assertEqual(self.lines(kind="event", order_by="seq"), newest_first[::-1])
        self.assertEqual(self.lines("/v1/vehicles/R-1/timeline", kind="event"), newest_first)
        some = [r for r in newest_first if r["data"]["index"] % 2000 == 7]
        text = " OR ".join(f"data.index = {r['data']['index']}" for r in some)
        self.assertEqual(self.lines(filter=text), some)
        packed, body = self.hub.unzipped("/v1/events?format=ndjson&kind=event")
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertEqual([json.loads(line) for line in body.splitlines()], newest_first)

    def test_csv_is_a_table_of_which_no_cell_is_a_formula(self):
        with self.stack.nats.client() as client:
            client.js_publish("fleet.test.veh.R-1.evt.note", envelope(
                {"text": '=HYPERLINK("x"), "quoted"\n'}, boot="=1+1", seq=7))
            client.js_publish("fleet.test.veh.-R.evt.note", envelope({}, boot="@a,b", seq=8))
        self.stack.wait_archived()
        for more in ({}, {"page_size": 10}):
            reply = self.hub.get("/v1/events", {"Accept": "text/csv"}, type="note", order_by="seq", **more)
            self.assertEqual(reply.headers["content-type"].split(";")[0], "text/csv")
            rows = list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
            records = self.hub.events(type="note", order_by="seq")
            self.assertEqual(len(rows), 2)
            for row, record in zip(rows, records):
                self.assertEqual(list(row), list(record))
                self.assertEqual(json.loads(row["data"]), record["data"])
                self.assertEqual(row["boot"], "'" + record["boot"])
                self.assertEqual((row["seq"], row["hash"]), (str(record["seq"]), record["hash"]))
                self.assertEqual((row["actor"], row["received"]), ("", record["received"]))
            self.assertEqual((rows[0]["vid"], rows[1]["vid"]), ("R-1", "'-R"))

    def test_csv_of_a_page_leads_to_the_next(self):
        store_events(self.stack, 5)
        self.stack.wait_archived()
        path, rows = "/v1/events?format=csv&kind=event&page_size=2", []
        while path:
            reply = self.hub.get(path)
            rows += list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
            link = reply.headers.get("link")
            path = link and link[1:link.index(">")]
        self.assertEqual([row["vehicle_seq"] for row in rows], ["4", "3", "2", "1", "0"])

    def test_a_client_that_leaves_ends_its_statement(self):
        # No row matches, and to look at each takes its time: the scan is long, and sends nothing.
        store_events(self.stack, 3000)
        self.stack.wait_archived()
        slow_down(self.stack)
        connection = socket.create_connection(("127.0.0.1", self.hub.port), timeout=scaled(10))
        self.addCleanup(connection.close)
        path = "/v1/events?format=ndjson&kind=event&filter=" + urllib.parse.quote("data.index = -1")
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: self.statements() == 1, 10, "the export's statement runs")
        connection.close()
        wait_until(lambda: self.statements() == 0, 8, "the statement has ended")
        wait_until(lambda: self.hub.metric("record_exports") == 0, 8, "the export has ended")

    def test_an_export_bears_a_database_that_goes_and_comes(self):
        store_events(self.stack, MANY)
        self.stack.wait_archived()
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(40))
        connection.request("GET", "/v1/events?format=ndjson&kind=event&order_by=seq")
        answer = connection.getresponse()
        head = answer.read(100000)
        self.stack.postgres.stop()
        self.stack.postgres.start()
        records = [json.loads(line) for line in (head + answer.read()).decode().splitlines()]
        connection.close()
        self.assertEqual([r["data"]["index"] for r in records], list(range(MANY)))

    def test_an_export_that_cannot_end_is_cut_and_not_whole(self):
        store_events(self.stack, MANY, padding="x" * 2000)
        self.stack.wait_archived()
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(60))
        connection.request("GET", "/v1/events?format=ndjson&kind=event&order_by=seq")
        answer = connection.getresponse()
        answer.read(100000)
        self.stack.postgres.stop()
        with self.assertRaises((http.client.IncompleteRead, OSError)):
            answer.read()
        connection.close()

    def test_more_exports_than_there_is_room_for_are_told_to_come_back(self):
        store_events(self.stack, MANY, padding="x" * 1000)
        self.stack.wait_archived()
        open_ones = []
        for _ in range(40):
            connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(20))
            connection.sock = socket.socket()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sock.settimeout(scaled(20))
            connection.sock.connect(("127.0.0.1", self.hub.port))
            connection.request("GET", "/v1/events?format=csv&kind=event")
            open_ones.append((connection, connection.getresponse()))
            self.addCleanup(connection.close)
        refused = [answer for _, answer in open_ones if answer.status == 503]
        self.assertEqual(len(refused), 40 - self.hub.metric("record_exports"))
        self.assertGreater(len(refused), 0)
        self.assertGreater(int(refused[0].headers["Retry-After"]), 0)
        self.assertEqual(self.hub.get("/v1/events", page_size=1).status, 200)
        for connection, _ in open_ones:
            connection.close()
        wait_until(lambda: self.hub.metric("record_exports") == 0, 40, "the exports have ended")
        self.assertEqual(len(self.lines(kind="event")), MANY)

    def test_whoever_reads_the_record_is_on_record(self):
        store_events(self.stack, 2)
        self.stack.wait_archived()
        one = self.hub.events(kind="event")[0]
        known = {r["id"] for r in self.hub.events(kind="access")}
        asked = [("/v1/events?vid=R-1&page_size=1", "record_read", {"vid": "R-1", "page_size": "1"}),
                 ("/v1/vehicles/R-1/timeline?kind=event", "record_read", {"kind": "event"}),
                 (f"/v1/events/{one['id']}", "record_read", {}),
                 ("/v1/events?format=ndjson", "record_exported", {"format": "ndjson"})]
        for index, (path, _, _) in enumerate(asked):
            self.assertEqual(self.hub.get(path, {"X-Request-Id": f"audit-{index}"}).status, 200)
        self.assertEqual(self.hub.get("/v1/events?vid=a.b", {"X-Request-Id": "audit-9"}).status, 400)
        self.stack.wait_archived()
        made = {r["request_id"]: r for r in self.hub.events(kind="access") if r["id"] not in known
                and r["request_id"].startswith("audit-")}
        self.assertEqual(sorted(made), [f"audit-{index}" for index in range(len(asked))])
        for index, (path, kind, query) in enumerate(asked):
            record = made[f"audit-{index}"]
            self.assertEqual((record["type"], record["actor"], record["vid"]), (kind, "local", None))
            self.assertEqual(record["data"], {"method": "GET", "path": path.partition("?")[0],
                                              "query": query, "remote": "127.0.0.1"})

    def test_a_reading_that_cannot_be_recorded_does_not_happen(self):
        store_events(self.stack, 1)
        self.stack.wait_archived()
        one = self.hub.events(kind="event")[0]
        self.stack.nats.stop()
        for path in ("/v1/events", f"/v1/events/{one['id']}", "/v1/vehicles/R-1/timeline",
                     "/v1/events?format=csv"):
            reply = self.hub.get(path)
            self.assertEqual(reply.status, 503, path)
            self.assertNotIn(b"waypoint", reply.body)

    def test_a_stop_ends_exports_in_time(self):
        store_events(self.stack, MANY, padding="x" * 2000)
        self.stack.wait_archived()
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(20))
        connection.request("GET", "/v1/events?format=ndjson")
        connection.getresponse().read(1000)
        self.assertEqual(self.hub.stop(), 0)
        connection.close()


class Sight(AccessCase):
    """The record for those who may not see all of it."""

    def fill(self):
        head = {"Content-Type": "application/json", "Authorization": f"Bearer {self.admin}"}
        for vid in (OWN, OTHER):
            for pin in (1, 2):
                reply = self.hub.request("PUT", f"/v1/vehicles/{vid}/desired", head,
                                         json.dumps({"pin": pin, "mode": "A"}))
                self.assertEqual(reply.status, 200, reply)
            self.nats.js_publish(f"fleet.test.veh.{vid}.evt.secret", envelope({}))
        self.stack.wait_archived()

    def records(self, token, path):
        reply = self.call(token, "GET", path)
        self.assertEqual(reply.status, 200, reply)
        return [json.loads(line) for line in reply.body.decode().splitlines()]

    def test_what_is_hidden_or_denied_is_in_no_list_export_or_filter(self):
        self.fill()
        mine = self.token("auditor", vehicles=["OWN-*"], deny=["desired.pin", "evt.secret"])
        everything = self.records(self.admin, "/v1/events?format=ndjson")
        seen = self.records(mine, "/v1/events?format=ndjson")
        self.assertEqual({r["vid"] for r in seen}, {OWN})
        self.assertEqual({r["seq"] for r in seen},
                         {r["seq"] for r in everything if r["vid"] == OWN and r["type"] != "secret"})
        changes = [r for r in seen if r["type"] == "requested"]
        self.assertEqual([(r["data"]["before"], r["data"]["after"], r["hash"]) for r in changes],
                         [({"mode": "A"}, {"mode": "A"}, None), ({}, {"mode": "A"}, None)])
        whole = [r for r in seen if r["hash"]]
        self.assertEqual(whole, [r for r in everything if r["seq"] in {w["seq"] for w in whole}])
        self.assertEqual(self.records(mine, "/v1/events?format=ndjson&filter=data.after.pin%3A*"), [])
        self.assertEqual(len(self.records(self.admin, "/v1/events?format=ndjson&filter=data.after.pin%3A*")), 4)
        one = self.get(mine, "/v1/events/" + changes[0]["id"])
        self.assertEqual((one["hash"], one["proof"], one["data"]), (None, None, changes[0]["data"]))
        hidden = next(r for r in everything if r["type"] == "secret" and r["vid"] == OWN)
        self.assertEqual(self.status(mine, "GET", "/v1/events/" + hidden["id"]), 404)
        self.assertEqual(self.status(mine, "GET", f"/v1/vehicles/{OTHER}/timeline"), 404)
        self.assertEqual(self.get(mine, f"/v1/vehicles/{OWN}/timeline?page_size=1000")["events"], seen)

    def test_a_group_of_what_is_denied_may_not_be_asked_for(self):
        reply = self.call(self.admin, "PUT", "/v1/groups/high", {"filter": "state.position.lat > 1"})
        self.assertEqual(reply.status, 201, reply)
        path = "/v1/events?filter=" + urllib.parse.quote('group("high")')
        wait_until(lambda: self.status(self.admin, "GET", path) == 200, 10, "the group is known")
        self.assertEqual(self.status(self.token("auditor", deny=["state.position"]), "GET", path), 403)
        self.assertEqual(self.status(self.token("auditor", vehicles=["OWN-*"]), "GET", path), 200)

    def test_an_export_is_cut_when_its_token_is_revoked(self):
        store_events(self.stack, MANY, padding="x" * 2000)
        self.stack.wait_archived()
        token = self.token("auditor")
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=scaled(30))
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/events?format=ndjson&kind=event",
                           headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read(1000)
        self.cli("token", "revoke", token.split("_")[1])
        wait_until(lambda: self.status(token, "GET", "/v1/vehicles") == 401, 10, "the token is void")
        with self.assertRaises((http.client.IncompleteRead, OSError)):
            answer.read()


class Slow(StackCase):
    """A record of which each row takes its time."""

    def test_a_page_that_few_records_fill_is_told_what_to_do(self):
        store_events(self.stack, 2000)
        self.stack.wait_archived()
        slow_down(self.stack)
        reply = self.hub.get("/v1/events", kind="event", filter="data.index = -1")
        self.assertEqual(reply.status, 504, reply)
        self.assertEqual(reply.json()["type"], "/problems/too-broad")
        self.assertIn("format=ndjson", reply.json()["detail"])
        self.assertEqual(len(self.hub.json("/v1/events", kind="event", page_size=5)["events"]), 5)


if __name__ == "__main__":
    unittest.main()

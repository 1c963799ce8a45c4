"""The record in SQL: every query of docs/record-sql.md runs, as the role that may only read, and
finds what it is meant to find; what that role and the hub's own may not do is refused."""

import json
import os
import re
import unittest

from harness import Stack, envelope, wait_until
from harness.process import SOURCE_DIR

PAGE = os.path.join(SOURCE_DIR, "docs", "record-sql.md")
VID = "VID-001"
COMMAND = "rtl-2026-01-15"
HUB_ROLE = "fleethub_hub"
PREFIX = "fleet.test.veh."


def queries():
    with open(PAGE, encoding="utf-8") as page:
        return re.findall(r"^```sql\n(.*?)^```$", page.read(), re.M | re.S)


class RecordInSql(unittest.TestCase):
    """A hub with a role of its own, and a record with something of every kind in it."""

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(start=False)
        cls.stack.__enter__()
        cls.addClassCleanup(cls.stack.__exit__, None, None, None)
        cls.postgres = cls.stack.postgres.start()
        cls.stack.nats.start()
        cls.postgres.query(f"CREATE ROLE {HUB_ROLE} LOGIN; CREATE ROLE maria LOGIN", "postgres")
        cls.hub = cls.stack.add_hub({
            "postgres": {"dsn": cls.postgres.dsn(HUB_ROLE), "admin_dsn": cls.postgres.dsn()},
            "presence": {"stale_after_s": 2, "offline_after_s": 4},
            "record": {"track_s": 1}}).start()
        cls.postgres.query("GRANT fleethub_reader TO maria")
        cls.make_history()

    @classmethod
    def make_history(cls):
        with cls.stack.nats.client() as client:
            def fly():
                client.publish(PREFIX + VID + ".state.position", envelope(
                    {"lat": 59.91, "lon": 10.75, "alt": 120.5, "heading": None}))
                client.publish(PREFIX + VID + ".state.battery", envelope({"remaining": 0.4}))
                client.publish(PREFIX + VID + ".state.mode",
                               envelope({"mode": "AUTO", "armed": True}))
                return cls.count("kind = 'track'") >= 3
            wait_until(fly, 60, "tracks are on record")
            cls.hub.request("PATCH", f"/v1/vehicles/{VID}/desired",
                            {"Content-Type": "application/merge-patch+json"},
                            json.dumps({"mode": "RTL"}))
            for type_, data in (("failsafe", {"severity": "critical"}),
                                ("statustext", {"severity": "warning", "text": "a\0b"})):
                client.js_publish(PREFIX + VID + ".evt." + type_, envelope(data))
            cmd_id = f"{COMMAND}.{VID}"
            for number, (old, new) in enumerate([(None, "pending"), ("pending", "sent")]):
                client.js_publish(
                    f"fleet.test.hub.eu-north.record.command.{VID}",
                    json.dumps({"id": f"{number:032x}", "kind": "command", "vid": VID,
                                "type": "rtl", "actor": "local", "request_id": "r1", "data": {
                                    "command_id": COMMAND, "cmd_id": cmd_id, "from": old,
                                    "to": new, "reason": None, "code": None}}).encode())
            client.js_publish(PREFIX + VID + ".cmdack.rtl", envelope(
                {"cmd_id": cmd_id, "status": "completed"}))
            # Numbers that are none, or that no double holds, break nobody's query.

            def stray():
                client.publish(PREFIX + "ODD.state.position", envelope(None).replace(
                    b"null", b'{"lat":"north","lon":[10],"alt":1e-400,"vx":0}'))
                return cls.count("vid = 'ODD' AND kind = 'track'") > 0
            wait_until(stray, 60, "so is the odd one's")
            wait_until(lambda: cls.count("kind = 'presence'"), 30, "it is offline")
        cls.stack.wait_archived()

    @classmethod
    def count(cls, where):
        return int(cls.postgres.query(f"SELECT count(*) FROM records WHERE {where}"))

    def ask(self, sql):
        return self.postgres.query(sql, user="maria")

    def refused(self, sql, user):
        with self.assertRaises(AssertionError, msg=sql) as raised:
            self.postgres.query(sql, user=user)
        self.assertIn("permission denied", str(raised.exception) + " ")

    # ---- the page ----

    def test_every_query_of_the_page_finds_something(self):
        found = queries()
        self.assertGreater(len(found), 10)
        for sql in found:
            with self.subTest(sql=sql.strip().splitlines()[0]):
                rows = self.ask(sql)
                if "retention_runs ORDER" not in sql:  # nothing is that old here
                    self.assertNotEqual(rows, "")

    def test_page_names_every_column_of_the_views(self):
        with open(PAGE, encoding="utf-8") as page:
            table = {line.split("|")[1].strip(" `"): line for line in page
                     if line.startswith("| `fleet_")}
        self.assertEqual(len(table), 4)
        for view, line in table.items():
            columns = set(self.ask("SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid "
                                   f"= '{view}'::regclass").split())
            columns -= {"seq", "id", "received", "archived", "data"}
            missing = [c for c in columns if f"`{c}`" not in line]
            if view != "fleet_vehicle_timeline":
                missing = [c for c in missing if c not in ("severity", "timestamp")]
            self.assertLessEqual(set(missing), {"boot", "vehicle_seq"}, view)

    # ---- the views ----

    def test_views_show_what_was_published(self):
        self.assertEqual(self.ask("SELECT type, severity, data IS NULL FROM fleet_events "
                                  "ORDER BY seq"),
                         "failsafe|critical|f\nstatustext|warning|t")
        self.assertEqual(self.ask("SELECT kind, command_id, from_state, state, actor, request_id "
                                  "FROM fleet_commands ORDER BY kind DESC, seq"),
                         f"command|{COMMAND}||pending|local|r1\n"
                         f"command|{COMMAND}|pending|sent|local|r1\nack|{COMMAND}||completed||")
        self.assertEqual(self.ask("SELECT DISTINCT lat, lon, alt, heading, mode, armed, "
                                  "battery_remaining, battery_voltage FROM fleet_tracks "
                                  f"WHERE vid = '{VID}' AND mode IS NOT NULL"),
                         "59.91|10.75|120.5||AUTO|t|0.4|")
        self.assertEqual(self.ask("SELECT DISTINCT lat, lon, alt, vx FROM fleet_tracks "
                                  "WHERE vid = 'ODD'"), "|||0")

    def test_views_use_the_indexes(self):
        plan = self.ask("EXPLAIN SELECT * FROM fleet_vehicle_timeline WHERE vid = 'VID-001' "
                        "ORDER BY seq DESC LIMIT 100")
        self.assertIn("vid_seq_kind", plan)
        plan = self.ask("SET enable_seqscan = off; EXPLAIN SELECT * FROM fleet_commands "
                        "ORDER BY seq DESC LIMIT 100")
        self.assertNotIn("Seq Scan", plan)

    # ---- roles ----

    def test_reader_changes_nothing(self):
        for sql in ("UPDATE records SET vid = 'x'", "DELETE FROM records", "TRUNCATE records",
                    "INSERT INTO holds (vid, reason, actor) VALUES ('x', 'x', 'x')",
                    "UPDATE log_head SET holder = 'x'", "DELETE FROM fleet_events",
                    "SELECT record_partitions_ahead(1)", "SELECT * FROM refusals"):
            self.refused(sql, "maria")

    def test_hubs_role_appends_and_cannot_rewrite(self):
        partition = self.postgres.query("SELECT name FROM record_partitions ORDER BY upper LIMIT 1")
        for table in ("records", partition, "records_default", "digests"):
            for sql in (f"UPDATE {table} SET seq = 0", f"DELETE FROM {table}", f"TRUNCATE {table}",
                        f"UPDATE {table} SET seq = seq WHERE false"):
                self.refused(sql, HUB_ROLE)
        self.assertGreater(int(self.postgres.query("SELECT count(*) FROM records",
                                                   user=HUB_ROLE)), 5)
        self.assertEqual(self.postgres.query("SELECT count(*) FROM records_default"), "0")

    def test_migrating_again_changes_nothing(self):
        before = self.grants()
        self.hub.stop()
        self.hub.start()
        self.assertEqual(self.grants(), before)

    def grants(self):
        return self.postgres.query("SELECT relname, relacl FROM pg_class WHERE relacl IS NOT NULL "
                                   "ORDER BY relname")


if __name__ == "__main__":
    unittest.main()

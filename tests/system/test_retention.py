"""Retention and holds with real hubs: what is past it goes, once, with a record of it; what a hold
keeps is still there for whoever asks."""

import json
import unittest

from harness import StackCase, envelope, wait_until
from harness.hub import command
from harness.schemas import MISSING, Schemas, errors, jsonschema

DAYS = 365
OLD_DAYS = 400
VIDS = ("VID-001", "VID-002")
EACH = 10

# As if all that is on record until now had been archived long ago.
AGE = f"""
DO $$ DECLARE p record_partitions; old date := current_date - {OLD_DAYS}; BEGIN
SELECT * INTO STRICT p FROM record_partitions WHERE upper > now() ORDER BY upper LIMIT 1;
EXECUTE format('ALTER TABLE records DETACH PARTITION %I', p.name);
EXECUTE format('ALTER TABLE %I RENAME TO records_old', p.name);
UPDATE records_old SET archived = archived - interval '{OLD_DAYS} days';
EXECUTE format('ALTER TABLE records ATTACH PARTITION records_old FOR VALUES FROM (MINVALUE) '
               'TO (%L)', old + 1);
UPDATE record_partitions SET name = 'records_old', upper = old + 1 WHERE name = p.name;
PERFORM record_partition_make((old + 1)::timestamptz, p.upper); END $$
"""


class Retention(StackCase):
    settings = {"record": {"retention_days": DAYS}}

    def setUp(self):
        super().setUp()
        with self.stack.nats.client() as client:
            for vid in VIDS:
                for i in range(EACH):
                    client.js_publish(f"fleet.test.veh.{vid}.evt.waypoint", envelope({"i": i}))
        self.stack.wait_archived()

    def fleethub(self, *words):
        return command(*words, "--config", self.hub.config_path)

    def good(self, *words):
        result = self.fleethub(*words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def events_of(self, vid, hub=None):
        return (hub or self.hub).events(vid=vid, kind="event")

    def system(self, type_):
        return self.hub.events(kind="system", type=type_)

    def age(self):
        for hub in self.stack.hubs:
            if hub.process:
                hub.stop()
        self.stack.postgres.query(AGE)

    def test_old_records_go_once_however_many_hubs(self):
        other = self.stack.add_hub().start()
        self.age()
        self.assertRegex(self.good("audit", "retention"),
                         r"[0-9]+ records go \(seq 1 to [0-9]+\), 0 stay")
        for hub in self.stack.hubs:
            hub.start()
        records = wait_until(lambda: self.system("retention"), 60, "retention is on record")
        self.assertEqual([self.events_of(vid, other) for vid in VIDS], [[], []])
        data = records[0]["data"]
        self.assertEqual((data["first_seq"], data["kept"]), (1, 0))
        self.assertEqual(data["dropped"], data["last_seq"])
        self.assertGreaterEqual(data["dropped"], 2 * EACH)
        self.assertEqual(len(data["tree"]["root"]), 64)
        self.assertIn("nothing is past", self.good("audit", "retention"))
        self.hub.stop()
        wait_until(lambda: other.metric("archive_writer") == 1, 30, "the other hub writes")
        with self.stack.nats.client() as client:
            client.js_publish("fleet.test.veh.VID-003.evt.waypoint", envelope({}))
        wait_until(lambda: self.events_of("VID-003", other), 30, "the record goes on")
        self.assertEqual(len(other.events(kind="system", type="retention")), 1)

    def test_hold_keeps_what_it_names_until_it_is_removed(self):
        before = self.events_of(VIDS[1])
        hold = self.good("audit", "hold", "add", "--vid", VIDS[1], "--reason",
                         "accident of 15 January").strip()
        self.assertIn(hold, self.good("audit", "hold", "list"))
        listed = json.loads(self.good("audit", "hold", "list", "--json"))
        self.assertEqual((listed["id"], listed["vid"], listed["reason"], listed["from"],
                          listed["removed"]),
                         (hold, VIDS[1], "accident of 15 January", None, None))
        record = wait_until(lambda: self.system("hold_added"), 30, "the hold is on record")[0]
        self.assertEqual((record["vid"], record["data"]["hold"], record["data"]["reason"]),
                         (VIDS[1], hold, "accident of 15 January"))
        self.assertTrue(record["actor"].startswith("os:"))
        self.assertIn(record["id"], [r["id"] for r in
                                     self.hub.json(f"/v1/vehicles/{VIDS[1]}/timeline")["events"]])
        self.age()
        # Beside the events: that the hold was added; the readings of the record above go.
        self.assertRegex(self.good("audit", "retention"),
                         rf"[0-9]+ records go \(seq 1 to [0-9]+\), {EACH + 1} stay")
        plan = [json.loads(line) for line in
                self.good("audit", "retention", "--json").splitlines()]
        self.assertEqual([(p["first_seq"], p["held"]) for p in plan], [(1, EACH + 1)])
        self.hub.start()
        wait_until(lambda: self.system("retention"), 60, "retention is on record")
        self.assertEqual(self.events_of(VIDS[0]), [])
        kept = [dict(r, archived=None) for r in self.events_of(VIDS[1])]
        self.assertEqual(kept, [dict(r, archived=None) for r in before])

        self.good("audit", "hold", "remove", "--id", hold, "--reason", "the case is closed")
        record = wait_until(lambda: self.system("hold_removed"), 30, "so is its removal")[0]
        self.assertEqual(record["data"]["reason"], "the case is closed")
        self.assertEqual(self.good("audit", "hold", "list"), "")
        self.assertIn("the case is closed", self.good("audit", "hold", "list", "--removed"))
        again = self.fleethub("audit", "hold", "remove", "--id", hold, "--reason", "once more")
        self.assertEqual(again.returncode, 1)
        self.assertIn("no such hold", again.stderr)
        self.hub.stop()
        self.hub.start()
        wait_until(lambda: len(self.system("retention")) == 2, 60, "then the rest goes too")
        self.assertEqual(self.events_of(VIDS[1]), [])

    @unittest.skipUnless(jsonschema, MISSING)
    def test_what_is_put_on_record_is_as_its_schema_says(self):
        validator = Schemas().validator("record.json")
        hold = self.good("audit", "hold", "add", "--from", "2020-01-01T00:00:00Z", "--until",
                         "2020-02-01T00:00:00.5Z", "--reason", 'a "period"').strip()
        self.good("audit", "hold", "remove", "--id", hold, "--reason", "done")
        wait_until(lambda: self.system("hold_removed"), 30, "both are on record")
        self.age()
        self.hub.start()
        wait_until(lambda: self.system("retention"), 60, "retention is on record")
        records = self.hub.events(kind="system")
        self.assertGreaterEqual({r["type"] for r in records}, {"retention"})
        for record in records:
            self.assertEqual(errors(validator, record), "", record)

    def test_hub_without_the_owners_rights_keeps_everything_and_works(self):
        """admin_dsn is not the owner: records stay, and are written."""
        self.stack.postgres.query("CREATE ROLE fleethub_hub LOGIN")
        own = {"postgres": {"dsn": self.stack.postgres.dsn("fleethub_hub")}}
        hub = self.stack.add_hub(dict(self.settings, **own))
        hub.config["postgres"]["admin_dsn"] = self.stack.postgres.dsn()
        hub.write_config()
        self.assertEqual(command("migrate", "--config", hub.config_path).returncode, 0)
        del hub.config["postgres"]["admin_dsn"]
        self.age()
        hub.start(migrate=False)
        wait_until(lambda: "record.no_retention" in hub.process.log(), 30, "it says so")
        with self.stack.nats.client() as client:
            client.js_publish("fleet.test.veh.VID-003.evt.waypoint", envelope({}))
        wait_until(lambda: self.events_of("VID-003", hub), 30, "the record goes on")
        self.assertEqual(len(self.events_of(VIDS[0], hub)), EACH)
        result = command("audit", "hold", "add", "--vid", "X", "--reason", "x", "--config",
                         hub.config_path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("permission denied", result.stderr)


if __name__ == "__main__":
    unittest.main()

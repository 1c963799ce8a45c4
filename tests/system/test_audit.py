"""The record proved from outside: over HTTP and by the command line, with a verifier that shares
nothing with the hub."""

import json
import os
import re
import socket
import unittest

from harness import Process, Stack, envelope, scaled, wait_until
from harness.audit import (Bad, Export, Note, Tree, canonical, consistent, included, leaf_hash,
                           of_answer)
from harness.hub import command
from harness.process import SOURCE_DIR

RECORDS = 150


DOCS = os.path.join(SOURCE_DIR, "docs")


class Vectors(unittest.TestCase):
    """docs/record-format.md by itself: its vectors are as it says, for both verifiers."""

    def lines(self, name):
        with open(os.path.join(DOCS, "vectors", name), "rb") as file:
            return file.read().splitlines()

    def document(self):
        with open(os.path.join(DOCS, "record-format.md"), encoding="utf-8") as file:
            return file.read()

    def test_both_verifiers_find_them_good(self):
        for name, records in (("record.ndjson", 5), ("record-part.ndjson", 2)):
            export = Export(self.lines(name))
            self.assertEqual(len(export.records), records)
            result = command("audit", "verify", os.path.join(DOCS, "vectors", name))
            self.assertEqual(result.returncode, 0, result.stderr)
            result = command("audit", "verify", os.path.join(DOCS, "vectors", name), "--json")
            verdict = json.loads(result.stdout)
            self.assertEqual((result.returncode, verdict["ok"], verdict["records_there"]),
                             (0, True, records))

    def test_the_values_in_the_document_are_theirs(self):
        text = self.document()
        records = [line for line in self.lines("record.ndjson") if line.startswith(b'{"id"')]
        self.assertIn("\n    " + canonical(records[1])[0].decode() + "\n", text)
        tree, leaves, roots = Tree(), [], [None]
        for line in records:
            body, told = canonical(line)
            self.assertEqual(leaf_hash(body), told)
            tree.append(told)
            leaves.append(told)
            roots.append(tree.root())
            self.assertIn(f"    leaf {len(leaves) - 1}    {told.hex()}\n", text)
            self.assertIn(f"    root of {len(leaves)} {tree.root().hex()}\n", text)
        path, proof = (re.findall("^    ([0-9a-f]{64})$", part, re.M)
                       for part in text.split("The audit path")[1].split("\n\n")[1:3])
        self.assertTrue(included(leaves[1], 1, 5, map(bytes.fromhex, path), roots[5]))
        self.assertTrue(consistent(3, roots[3], 5, roots[5], map(bytes.fromhex, proof)))
        vkey = re.search("^    key +(\\S+)$", text, re.M).group(1)
        self.assertEqual(Export(self.lines("record.ndjson"), [vkey]).header["keys"], [vkey])


def make_key(stack, name):
    path = os.path.join(stack.folder.path, name)
    made = command("audit", "key", "--output", path, "--env", "test", "--region", "eu-north")
    assert made.returncode == 0, made.stderr
    return path, made.stdout.splitlines()[0]


class Audit(unittest.TestCase):
    def setUp(self):
        self.stack = Stack(leaf=False, start=False)
        self.stack.__enter__()
        self.addCleanup(self._end)
        self.key, self.vkey = make_key(self.stack, "record.key")
        self.checkpoint_file = os.path.join(self.stack.folder.path, "checkpoint")
        self.stack.settings = {"record": {"signing_key_file": self.key, "checkpoint_s": 1,
                                          "checkpoint_file": self.checkpoint_file}}
        self.stack.postgres.start()
        self.stack.nats.start()
        self.hub = self.stack.add_hub().start()

    def _end(self):
        self.stack.__exit__(None if self._outcome.success else AssertionError, None, None)

    # ---- helpers ----

    def publish(self, count=RECORDS, start=1):
        with self.stack.nats.client() as client:
            for i in range(start, start + count):
                client.js_publish(f"fleet.test.veh.V{i % 7}.evt.waypoint",
                                  envelope({"index": i, "text": "\u00e6\n\"x\""}, seq=i))

    def checkpoints(self):
        return self.hub.pages("/v1/audit/checkpoints", "checkpoints", page_size=3)

    def wait_covered(self, records):
        """Until a checkpoint covers that many."""
        return wait_until(lambda: next((c for c in self.checkpoints() if c["size"] >= records),
                                       None), 30, f"a checkpoint covers {records} records")

    def wait_shipped(self, checkpoint):
        """Until the file has that one, or a later one; it is written within a second."""
        def shipped():
            if not os.path.exists(self.checkpoint_file):
                return False
            with open(self.checkpoint_file, encoding="utf-8") as file:
                return Note(file.read()).size >= checkpoint["size"]
        wait_until(shipped, 20, "the newest checkpoint is in the file")

    def records(self):
        """The lines of all records, by seq, as NDJSON has them."""
        reply = self.hub.get("/v1/events?format=ndjson&order_by=seq")
        self.assertEqual(reply.status, 200)
        return [line for line in reply.body.split(b"\n") if line]

    def sql(self, text):
        return self.stack.postgres.query(text)

    def verify(self, *words):
        return command("audit", "verify", "--config", self.hub.config_path, *words)

    def expect(self, result, status, *texts):
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        for text in texts:
            self.assertIn(text, result.stdout + result.stderr)

    # ---- over HTTP ----

    def test_everything_served_is_proved_by_the_document_alone(self):
        self.publish()
        newest = self.wait_covered(RECORDS)
        lines = self.records()[:newest["size"]]
        tree, roots = Tree(), {}
        for place, line in enumerate(lines):
            body, told = canonical(line)
            self.assertEqual(leaf_hash(body), told)
            tree.append(told)
            roots[place + 1] = tree.root()
        for checkpoint in self.checkpoints():
            note = Note(checkpoint["note"])
            self.assertEqual(note.origin, "fleethub/test/eu-north")
            self.assertTrue(note.signed_by(self.vkey))
            self.assertEqual((note.size, note.root.hex()),
                             (checkpoint["size"], checkpoint["root"]))
            if note.size in roots:
                self.assertEqual(note.root, roots[note.size])
        self.prove_inclusion(roots)
        self.prove_consistency(roots)

    def prove_inclusion(self, roots):
        seen = 0
        for record in self.hub.events(order_by="seq")[::13]:
            reply = self.hub.get(f"/v1/events/{record['id']}")
            (body, told), proof = of_answer(reply.body)
            self.assertEqual(leaf_hash(body), told)
            self.assertEqual(proof["index"], record["seq"] - 1)
            hashes = [bytes.fromhex(h) for h in proof["hashes"]]
            root = bytes.fromhex(proof["root"])
            self.assertTrue(included(told, proof["index"], proof["size"], hashes, root))
            self.assertFalse(included(told, proof["index"] + 1, proof["size"], hashes, root))
            if proof["checkpoint"]:
                note = Note(proof["checkpoint"])
                self.assertTrue(note.signed_by(self.vkey))
                self.assertEqual((note.size, note.root), (proof["size"], root))
                self.assertEqual(root, roots.get(note.size, root))
                seen += 1
        self.assertGreater(seen, 5)

    def prove_consistency(self, roots):
        last = max(roots)
        for size in (1, 2, 31, 32, 33, 64, 100, last):
            reply = self.hub.json("/v1/audit/consistency", **{"from": size, "to": last})
            self.assertEqual((reply["from"], reply["to"]), (size, last))
            self.assertEqual(bytes.fromhex(reply["from_root"]), roots[size])
            self.assertEqual(bytes.fromhex(reply["to_root"]), roots[last])
            hashes = [bytes.fromhex(h) for h in reply["hashes"]]
            self.assertTrue(consistent(size, roots[size], last, roots[last], hashes))
            if size < last:
                self.assertFalse(consistent(size, roots[last], last, roots[last], hashes))
        self.assertGreaterEqual(self.hub.json("/v1/audit/consistency", **{"from": 1})["to"], last)
        for words in ({"from": 0}, {"from": "x"}, {"to": 5}, {"from": 5, "to": 4},
                      {"from": 1, "to": 10**9}):
            self.assertEqual(self.hub.get("/v1/audit/consistency", **words).status, 400, words)

    def test_a_proof_stays_the_same_once_a_checkpoint_covers_it(self):
        self.publish(20)
        self.wait_covered(20)
        record = self.hub.events(order_by="seq")[3]
        first = self.hub.get(f"/v1/events/{record['id']}")
        self.publish(20, start=100)
        self.wait_covered(40)
        again = self.hub.get(f"/v1/events/{record['id']}")
        self.assertEqual(first.body, again.body)
        known = self.hub.get(f"/v1/events/{record['id']}", {"If-None-Match": first.headers["etag"]})
        self.assertEqual(known.status, 304)

    def test_verification_over_http_names_the_first_bad_record(self):
        self.publish()
        self.wait_covered(RECORDS)
        good = self.hub.json("/v1/audit/verify")
        self.assertTrue(good["ok"])
        self.assertGreaterEqual(good["records"], RECORDS)
        self.assertRegex(good["head"], "^[0-9a-f]{64}$")
        record = next(r for r in self.hub.events(order_by="seq") if r["seq"] == 17)
        self.sql("UPDATE records SET actor = 'somebody' WHERE seq IN (17, 40)")
        bad = self.hub.json("/v1/audit/verify")
        self.assertFalse(bad["ok"])
        self.assertEqual((bad["first_bad"]["seq"], bad["first_bad"]["id"]), (17, record["id"]))
        self.assertIn("changed", bad["first_bad"]["reason"])
        # The record goes on being written, and the rest stays provable.
        self.publish(10, start=500)
        self.wait_covered(RECORDS + 10)
        self.assertEqual(self.hub.json("/v1/audit/verify")["first_bad"]["seq"], 17)

    # ---- verification that takes long ----

    def hold_tree(self):
        """A session that keeps every verification waiting, until it is ended."""
        Process([os.path.join(self.stack.postgres.bin, "psql"), "-X", "-q", "-d",
                 self.stack.postgres.dsn(), "-c",
                 "BEGIN; LOCK TABLE tree_tiles IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(120)"],
                os.path.join(self.stack.folder.path, "blocker.log"))
        wait_until(lambda: self.sql("SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = "
                                    "l.relation WHERE c.relname = 'tree_tiles' AND l.granted AND "
                                    "l.mode = 'AccessExclusiveLock'") == "1", 20, "it is locked")

    def let_tree_go(self):
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE "
                 "'%LOCK TABLE%' AND pid <> pg_backend_pid()")

    def begin_verification(self):
        connection = socket.create_connection(("127.0.0.1", self.hub.port), timeout=scaled(15))
        self.addCleanup(connection.close)
        connection.sendall(b"GET /v1/audit/verify HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(4096)
            self.assertTrue(piece, received)
            received += piece
        self.assertIn(b"200 OK", received.split(b"\r\n")[0])
        return connection

    def verifications(self):
        return int(self.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                            "'fleethub audit'"))

    def test_a_client_that_waits_is_sent_blanks_and_then_the_verdict(self):
        self.publish(20)
        self.wait_covered(20)
        self.hold_tree()
        connection = self.begin_verification()
        received = b""
        while b" " not in received:
            received += connection.recv(4096)
        self.let_tree_go()
        while b'"ok":true' not in received:
            piece = connection.recv(4096)
            self.assertTrue(piece, received)
            received += piece

    def test_a_client_that_leaves_ends_its_verification(self):
        self.publish(20)
        self.wait_covered(20)
        self.hold_tree()
        connection = self.begin_verification()
        wait_until(lambda: self.verifications() > 0, 20, "it runs")
        connection.close()
        wait_until(lambda: self.verifications() == 0, 30, "it has ended")

    def test_a_few_verifications_wait_and_more_are_refused(self):
        self.publish(20)
        self.wait_covered(20)
        self.hold_tree()
        for _ in range(4):
            self.begin_verification()
        self.assertEqual(self.hub.get("/v1/audit/verify").status, 503)
        self.let_tree_go()
        wait_until(lambda: self.hub.get("/v1/audit/verify").status == 200, 30, "it is taken again")
        self.assertEqual(self.hub.stop(), 0)

    def test_checkpoints_are_published_and_shipped(self):
        self.publish(30)
        self.wait_shipped(self.wait_covered(30))
        with self.stack.nats.client() as client:
            wait_until(lambda: client.stream_info("TWIN_CHECKPOINTS")["state"]["messages"]
                       == len(self.checkpoints()), 20, "every checkpoint is in the stream, once")

    # ---- by the command line ----

    def test_verify_says_what_it_knows_and_what_it_cannot(self):
        self.publish()
        self.wait_shipped(self.wait_covered(RECORDS))
        result = self.verify()
        self.expect(result, 0, "good:", "of fleethub/test/eu-north", "--checkpoint FILE")
        with open(self.checkpoint_file, "rb") as file:
            kept = file.read()
        result = self.verify("--checkpoint", self.checkpoint_file)
        self.expect(result, 0, "good:", "1 from elsewhere")
        self.assertNotIn("--checkpoint", result.stdout)

        self.hub.stop()
        self.sql("DELETE FROM records WHERE seq = 60")
        self.expect(self.verify(), 1, "bad: record 60: it is missing")
        bad = os.path.join(self.stack.folder.path, "bad")
        with open(bad, "wb") as file:
            file.write(kept.replace(b"time 2", b"time 1"))
        self.expect(self.verify("--checkpoint", bad), 2, "not signed by a key that is trusted")
        with open(bad, "wb") as file:
            file.write(b"nonsense")
        self.expect(self.verify("--checkpoint", bad), 2, "bad")
        self.expect(self.verify("--key", bad), 2, "bad")
        self.expect(self.verify("--key", "/nonexistent"), 2, "/nonexistent")
        self.expect(command("audit", "verify", "--postgres.dsn", "host=127.0.0.1 port=1"), 2)

    def test_verify_trusts_the_keys_it_is_given(self):
        self.publish(20)
        self.wait_covered(20)
        _, other = make_key(self.stack, "other.key")
        keys = os.path.join(self.stack.folder.path, "keys")
        with open(keys, "w", encoding="utf-8") as file:
            file.write(other + "\n")
        self.expect(self.verify("--key", keys), 1, "trusted")
        with open(keys, "a", encoding="utf-8") as file:
            file.write(self.vkey + "\n")
        self.expect(self.verify("--key", keys), 0, "good:")

    def test_a_new_key_is_trusted_by_way_of_the_old_one(self):
        self.publish(20)
        self.wait_covered(20)
        self.hub.stop()
        new, new_vkey = make_key(self.stack, "new.key")
        record = self.hub.config["record"]
        record["previous_key_file"], record["signing_key_file"] = self.key, new
        self.hub.start()
        self.publish(5, start=100)
        both = self.wait_covered(27)
        self.assertEqual(both["signatures"], 2)
        self.hub.stop()
        del record["previous_key_file"]
        self.hub.start()
        self.publish(5, start=200)
        one = self.wait_covered(32)
        note = Note(one["note"])
        self.assertEqual(one["signatures"], 1)
        self.assertTrue(note.signed_by(new_vkey))
        self.assertFalse(note.signed_by(self.vkey))
        keys = os.path.join(self.stack.folder.path, "old")
        with open(keys, "w", encoding="utf-8") as file:
            file.write(self.vkey + "\n")
        self.expect(self.verify("--key", keys), 0, "good:")
        named = [r["data"]["key"] for r in self.hub.events(kind="system", type="signing_key",
                                                          order_by="seq")]
        self.assertEqual(named, [self.vkey, new_vkey])

    def test_a_key_is_made_once_and_kept_to_its_owner(self):
        self.assertEqual(os.stat(self.key).st_mode & 0o777, 0o600)
        again = command("audit", "key", "--output", self.key)
        self.assertEqual(again.returncode, 1)
        self.assertIn("exists", again.stderr)
        shown = command("audit", "key", "--public", "--config", self.hub.config_path)
        self.assertEqual(shown.stdout.splitlines()[0], self.vkey)
        self.assertNotIn("PRIVATE", shown.stdout)
        printed = command("audit", "key")
        self.assertIn("BEGIN PRIVATE KEY", printed.stdout)
        self.assertNotIn("PRIVATE", printed.stderr)

    def test_a_hub_with_a_key_it_cannot_use_does_not_start(self):
        self.hub.stop()
        self.hub.config["record"]["signing_key_file"] = self.checkpoint_file + ".none"
        self.hub.write_config()
        result = command("run", "--config", self.hub.config_path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("signing_key_file", result.stderr)

    # ---- exports ----

    def export(self, *words, name="export"):
        path = os.path.join(self.stack.folder.path, name)
        result = command("audit", "export", "--config", self.hub.config_path, "--output", path,
                         *words)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(path, "rb") as file:
            return path, file.read().splitlines()

    def verify_file(self, lines, *words):
        """With neither configuration nor network."""
        path = os.path.join(self.stack.folder.path, "changed")
        with open(path, "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        return command("audit", "verify", path, *words)

    def keys_file(self, *vkeys):
        path = os.path.join(self.stack.folder.path, "vkeys")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(vkey + "\n" for vkey in vkeys))
        return path

    def test_an_export_proves_itself(self):
        self.publish()
        self.wait_covered(RECORDS)
        kept = os.path.join(self.stack.folder.path, "kept")
        with open(kept, "w", encoding="utf-8") as file:
            file.write(self.wait_covered(RECORDS)["note"])
        path, lines = self.export()
        export = Export(lines, [self.vkey])
        self.assertGreaterEqual(len(export.records), RECORDS)
        self.assertEqual(len(export.records), export.header["size"])
        self.assertEqual([n.size for n in export.checkpoints],
                         sorted(c["size"] for c in self.checkpoints()
                                if c["size"] <= export.header["size"]))
        self.stack.postgres.stop()
        self.expect(command("audit", "verify", path), 0, "good:", "--key FILE",
                    "--checkpoint FILE")
        result = command("audit", "verify", path, "--key", self.keys_file(self.vkey),
                         "--checkpoint", kept)
        self.expect(result, 0, "good:", "1 from elsewhere")
        self.assertNotIn("FILE", result.stdout)

    def test_a_part_of_the_record_proves_itself(self):
        self.publish()
        self.wait_covered(RECORDS)
        received = [r["received"] for r in self.hub.events(kind="event", order_by="seq")]
        for words, wanted in (
                (("--vid", "V3"), lambda r: r["vid"] == "V3"),
                (("--from", "40", "--to", "77"), lambda r: 40 <= r["seq"] <= 77),
                (("--start", received[20], "--end", received[50], "--vid", "V1"),
                 lambda r: received[20] <= r["received"] < received[50] and r["vid"] == "V1"),
                (("--vid", "NOBODY"), lambda r: False)):
            with self.subTest(words=words):
                path, lines = self.export(*words)
                export = Export(lines, [self.vkey])
                shown = {r["seq"]: r for r in self.hub.events(order_by="seq")}
                self.assertEqual(export.records, [r for s, r in shown.items()
                                                  if wanted(r) and s <= export.header["size"]])
                self.assertEqual(len(export.checkpoints), 1)
                self.expect(command("audit", "verify", path), 0, "good:", "in the file:")

    def test_an_export_shows_the_record_as_it_was_at_a_checkpoint_given(self):
        self.publish(50)
        early = self.wait_covered(50)
        kept = os.path.join(self.stack.folder.path, "kept")
        with open(kept, "w", encoding="utf-8") as file:
            file.write(early["note"])
        self.publish(50, start=200)
        self.wait_covered(early["size"] + 50)
        path, _ = self.export("--vid", "V3")
        self.expect(command("audit", "verify", path, "--checkpoint", kept), 2, "--checkpoint")
        path, _ = self.export("--vid", "V3", "--checkpoint", kept)
        self.expect(command("audit", "verify", path, "--checkpoint", kept), 0, "good:")

    def test_each_change_of_an_export_is_found_by_seq(self):
        self.publish(40)
        self.wait_covered(40)
        _, lines = self.export()
        places = [i for i, line in enumerate(lines) if line.startswith(b'{"id"')]
        good = self.verify_file(lines)
        self.expect(good, 0, "good:")
        place = places[16]  # seq 17
        line = lines[place]

        def judge(changed, seq, reason):
            self.expect(self.verify_file(changed), 1, f"bad: record {seq}", reason)
            with self.assertRaises(Bad) as caught:
                Export(changed, [self.vkey])
            self.assertEqual(caught.exception.seq, seq)

        record = Export(lines).records[16]
        for member, value in record.items():
            if member in ("seq", "hash"):
                continue
            name = f'"{member}":'.encode()
            start = line.index(name) + len(name)
            other = b'"x"' if value is None else line[start:start + 1] + b" " \
                if member == "data" else b"null"
            end = start + (1 if member == "data" else line[start:].index(b","))
            changed = list(lines)
            changed[place] = line[:start] + other + line[end:]
            if member != "id":
                with self.subTest(member=member):
                    judge(changed, 17, "changed")
        judge(lines[:place] + lines[place + 1:], 17, "stands in its place")
        judge(lines[:place] + [lines[place + 1], line] + lines[place + 2:], 17,
              "stands in its place")
        judge(lines[:place + 1] + [line] + lines[place + 1:], 18, "stands in its place")
        judge(lines[:place], 17, "cut off")
        judge(lines[:-1], Export(lines).header["size"] + 1, "cut off")

    def test_an_export_made_up_by_another_is_found_by_its_key(self):
        """All of it fits together, but for who signed it."""
        self.publish(20)
        self.wait_covered(20)
        _, lines = self.export()
        _, other = make_key(self.stack, "other.key")
        self.expect(self.verify_file(lines, "--key", self.keys_file(other)), 1, "trusted")
        self.expect(self.verify_file(lines, "--key", self.keys_file(self.vkey)), 0, "good:")
        unsigned = [line for line in lines if not line.startswith(b'{"checkpoint"')]
        self.expect(self.verify_file(unsigned, "--key", self.keys_file(self.vkey)), 1, "trusted")

    def test_what_is_no_export_is_unusable(self):
        for lines in ([], [b""], [b"{}"], [b"nonsense"], [b'{"export":"other/1"}'],
                      [b'{"export":"fleethub-record/1"}']):
            self.expect(self.verify_file(lines), 2, "fleethub audit:")
        self.expect(command("audit", "verify", "/nonexistent"), 2, "/nonexistent")
        for words in (("--vid", "a.b"), ("--start", "x"), ("--from", "0"), ("--to", "x")):
            result = command("audit", "export", "--config", self.hub.config_path, *words)
            self.assertEqual(result.returncode, 2, result.stderr)


if __name__ == "__main__":
    unittest.main()

"""The hub ends, or stands still, at each named point of the record lane (hub/failpoint.h); afterwards
each message is on record exactly once, whoever wrote it."""

import os
import re
import time
import unittest

from harness import StackCase, wait_until
from harness.gateway import Gateway
from harness.load import Load
from harness.process import SOURCE_DIR
from harness.record_check import broken_invariants, records, tree_difference
from harness.shadows import failpoint

KILLED = 137
BURST = 1200
TAKEOVER_S = 10  # contract and issue: a writer that froze is replaced within that
HEAD = "SELECT writer, next_seq FROM log_head"


def points():
    """Those of the record lane, as the program has them."""
    with open(os.path.join(SOURCE_DIR, "hub", "failpoint.h"), encoding="utf-8") as header:
        return re.findall(r'X\(RECORD_\w+, "(record_\w+)"\)', header.read())


class RecordCase(StackCase):
    def setUp(self):
        super().setUp()
        self.load = Load("test", "run")
        self.gateway = Gateway(self.stack.nats.port, "fleet.test.hub.eu-north.archived",
                               self.load.make)
        self.addCleanup(self.gateway.close)

    def head(self):
        return tuple(int(word) for word in self.stack.postgres.query(HEAD).split("|"))

    def publish(self, count=BURST):
        self.gateway.publish(count)
        wait_until(lambda: self.gateway.stored == self.gateway.published, 30, "all is stored")

    def wait_own(self):
        """Until what the hubs have put on record is archived; asks no hub, one may stand still."""
        with self.stack.nats.client() as client:
            end = client.stream_info("TWIN_RECORD")["state"]["last_seq"]
        sql = "SELECT coalesce(max(seq), 0) FROM stream_positions WHERE stream = 'TWIN_RECORD'"
        wait_until(lambda: int(self.stack.postgres.query(sql)) >= end, 60, "TWIN_RECORD is archived")

    def expect_once(self):
        wait_until(lambda: self.gateway.kept_count() == 0, 60, "all is archived")
        self.assertIsNone(self.gateway.error)
        self.wait_own()
        self.assertEqual(broken_invariants(self.stack.postgres), {})
        verdict = self.load.judge(records(self.stack.postgres), self.gateway.published)
        self.assertTrue(verdict.good(), str(verdict))
        self.assertEqual(tree_difference(self.stack.postgres, verdict.leaves), "")


class Killed(RecordCase):
    def die_at(self, point):
        self.hub.kill()
        self.publish()
        with failpoint(point):
            self.hub.launch()
        self.publish()  # so that there is a batch behind the first, too
        self.assertEqual(self.hub.process.wait(30), KILLED, point)

    def test_at_each_point_of_the_lane(self):
        self.assertGreaterEqual(len(points()), 10)
        for point in points():
            # The second time there are rows: the first commit is of positions alone.
            with self.subTest(point):
                self.die_at(point if point == "record_claimed" else point + ":2")
                self.hub.start()
                self.expect_once()

    def test_again_and_again_before_anything_is_committed(self):
        for point in ("record_positioned", "record_grown", "record_begun", "record_claimed"):
            self.die_at(point)
        self.assertEqual(int(self.stack.postgres.query(
            "SELECT count(*) FROM records WHERE kind IN ('event', 'ack')")), 0)
        self.hub.start()
        self.expect_once()


class Frozen(RecordCase):
    """Two hubs; the one that writes stands still in the middle of a batch."""

    def test_the_other_takes_over_and_the_thawed_one_writes_nothing(self):
        other = self.stack.add_hub().start()
        for point in ("record_taken:300", "record_gathered", "record_loading:500",
                      "record_inserted", "record_positioned",
                      "record_committed"):
            with self.subTest(point):
                other.wait_ready()
                self.freeze_at(point if ":" in point else point + ":2", other)

    def freeze_at(self, point, other):
        first = self.hub
        other.kill()
        first.kill()
        writer, _ = self.head()
        with failpoint(point + ":freeze"):
            first.launch()
        wait_until(lambda: self.head()[0] == writer + 1, 30, "the first one writes")
        other.start()  # what is measured is the taking over, not a start on a busy machine
        self.publish()
        wait_until(first.process.stands_still, 30, "the writer stands still")
        began = time.monotonic()
        self.publish(10)
        end = self.head()[1]
        wait_until(lambda: self.head()[0] > writer + 1 and self.head()[1] > end, TAKEOVER_S,
                   "the other hub writes")
        took_s = time.monotonic() - began
        self.expect_once()
        now, end = self.head()
        self.assertEqual(now, writer + 2)
        first.process.resume()
        wait_until(lambda: first.metric("archive_writer") == 0, 30, "the thawed one stands by")
        self.publish()
        self.expect_once()
        # The second alone has written: it holds the same number, and the first knows of no commit.
        self.assertEqual(self.head()[0], now)
        print(f"{point}: the other wrote after {took_s:.1f} s", flush=True)


if __name__ == "__main__":
    unittest.main()

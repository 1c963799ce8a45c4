"""Track records: a flight path on record, once however many hubs there are."""

import collections
import datetime
import threading
import unittest

from harness import StackCase, envelope, wait_until
from harness.schemas import MISSING, Schemas, errors, jsonschema

VEHICLES = 20
TRACK_S = 1
PUBLISH_S = 0.3
HOLE_S = 10  # far less than a lease would take to change hands, and more than a machine stutters


class Tracks(StackCase):
    settings = {"presence": {"stale_after_s": 3, "offline_after_s": 600},
                "record": {"track_s": TRACK_S}}

    def setUp(self):
        super().setUp()
        self.landed = threading.Event()
        self.flight = threading.Thread(target=self.fly, daemon=True)
        self.addCleanup(self.land)

    def land(self):
        self.landed.set()
        if self.flight.is_alive():
            self.flight.join()

    def fly(self):
        """Twenty vehicles on their way north; one that only says how it stands."""
        with self.stack.leaf.client() as client:
            step = 0
            while not self.landed.wait(PUBLISH_S):
                step += 1
                for n in range(VEHICLES):
                    subject = f"fleet.test.veh.VID-{n:03}.state."
                    client.publish(subject + "position", envelope(
                        {"lat": 50 + step / 10000, "lon": n, "alt": 100.0}, seq=step, boot="b"))
                    if step % 3 == 0:
                        client.publish(subject + "mode", envelope({"mode": "AUTO", "armed": True}))
                        client.publish(subject + "battery", envelope({"remaining": 0.5}))
                client.publish("fleet.test.veh.MUTE.state.attitude", envelope({"roll": 0}))

    def tracks(self, hub=None):
        return (hub or self.hub).events(kind="track")

    def slots_of(self, records):
        slots = collections.defaultdict(list)
        for record in records:
            slots[record["vid"]].append(record["received"])
        return slots

    def wait_slots(self, count):
        def reached():
            slots = self.slots_of(self.tracks())
            return len(slots) == VEHICLES and min(map(len, slots.values())) >= count
        wait_until(reached, 60, f"{count} slots of each vehicle are on record")

    def test_path_of_every_vehicle_that_is_online(self):
        self.flight.start()
        self.wait_slots(4)
        tracks = self.tracks()
        self.assertNotIn("MUTE", {record["vid"] for record in tracks})
        for vid, slots in self.slots_of(tracks).items():
            self.assertEqual(len(slots), len(set(slots)), vid)
        newest = tracks[0]
        self.assertEqual(newest["type"], "position")
        self.assertEqual(newest["data"]["position"]["lon"], int(newest["vid"][4:]))
        self.assertEqual(newest["data"]["mode"], {"mode": "AUTO", "armed": True})
        self.assertEqual(newest["data"]["battery"], {"remaining": 0.5})
        self.assertEqual(newest["boot"], "b")
        # Northwards, and never backwards.
        path = [r["data"]["position"]["lat"] for r in reversed(tracks) if r["vid"] == "VID-007"]
        self.assertEqual(path, sorted(path))
        self.assertGreater(path[-1], path[0])

    @unittest.skipUnless(jsonschema, MISSING)
    def test_tracks_are_as_their_schema_says(self):
        self.flight.start()
        self.wait_slots(1)
        validator = Schemas().validator("record.json")
        for record in self.tracks():
            self.assertEqual(errors(validator, record), "")

    def test_silence_ends_the_track_and_nothing_is_invented(self):
        self.flight.start()
        self.wait_slots(2)
        self.land()
        wait_until(lambda: {t["presence"]["status"] for t in self.hub.twins().values()} ==
                   {"stale"}, 30, "all have fallen silent")
        self.stack.wait_archived()
        ended = len(self.tracks())
        with self.stack.leaf.client() as client:
            # Somebody else flies on, for two slots: time passes.
            for slot in range(2):
                before = len([r for r in self.tracks() if r["vid"] == "OTHER"])

                def more():
                    client.publish("fleet.test.veh.OTHER.state.mode", envelope({"mode": "AUTO"}))
                    return len([r for r in self.tracks() if r["vid"] == "OTHER"]) > before
                wait_until(more, 30, f"slot {slot} of the other is on record")
        self.assertEqual(len([r for r in self.tracks() if r["vid"] != "OTHER"]), ended)

    def test_two_hubs_make_one_track_and_one_that_dies_leaves_no_hole(self):
        other = self.stack.add_hub().start()
        self.flight.start()
        self.wait_slots(3)
        other.kill()
        self.wait_slots(6)
        self.land()
        self.stack.wait_archived()
        tracks = self.tracks()
        for vid, slots in self.slots_of(tracks).items():
            self.assertEqual(len(slots), len(set(slots)), f"{vid} has a slot twice")
        self.assertEqual(self.hub.metric("tracks_skipped_total"), 0)
        moments = sorted(datetime.datetime.fromisoformat(r["received"].replace("Z", "+00:00"))
                         for r in tracks if r["vid"] == "VID-003")
        holes = [(b - a).total_seconds() for a, b in zip(moments, moments[1:])]
        self.assertLess(max(holes), HOLE_S)


if __name__ == "__main__":
    unittest.main()

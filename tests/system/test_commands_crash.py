"""A hub that dies at named points of a command's life: no vehicle acts twice, every command ends, and
what the hub says of each vehicle is what the vehicle did."""

import unittest

from harness.command_crash import CommandCrashCase

POINTS = ("command_keyed", "command_frozen", "command_persisted", "command_superseded",
          "command_superseded:3", "command_publishing", "command_publishing:4", "command_published",
          "command_published:5", "command_repeated", "command_answered:2", "command_sent:3",
          "command_ack_read:2", "command_accepted:3", "command_reported:2", "command_matched",
          "command_recorded:7", "command_acted", "command_acted:2", "command_chunk_saved",
          "command_chunk_saved:3", "command_saved", "command_ending", "command_ended:2")


class Points(CommandCrashCase):
    def test_every_point(self):
        for point in POINTS:
            with self.subTest(point=point):
                self.die_at(point)
        self.settle()


if __name__ == "__main__":
    unittest.main()

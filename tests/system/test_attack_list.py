"""docs/attacks.md names the tests that try its attacks: they are there."""

import glob
import os
import re
import unittest

from harness.process import SOURCE_DIR

LEAST = 40  # of them there have to be


class AttackList(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(SOURCE_DIR, "docs", "attacks.md"), encoding="utf-8") as page:
            rows = [line for line in page if re.match(r"\| \d+ \|", line)]
        self.attacks = {}
        for row in rows:
            number, _, tests, outcome = [cell.strip() for cell in row.strip("| \n").split(" | ")]
            self.attacks[int(number)] = re.findall(r"`([^`]+)`", tests)
            self.assertTrue(outcome, row)

    def named(self):
        """What may be named: Class.method of the system tests, functions of the tests in C."""
        names = set()
        for path in glob.glob(os.path.join(SOURCE_DIR, "tests", "system", "test_*.py")):
            with open(path, encoding="utf-8") as source:
                current = None
                for line in source:
                    group = re.match(r"class (\w+)", line)
                    current = group.group(1) if group else current
                    method = re.match(r"    def (test_\w+)", line)
                    if method:
                        names.add(f"{current}.{method.group(1)}")
        for path in glob.glob(os.path.join(SOURCE_DIR, "tests", "*", "*test*.c")):
            with open(path, encoding="utf-8") as source:
                text = source.read()
            defined = re.findall(r"^static void (\w+)\(void \*\*", text, re.MULTILINE)
            names |= {name for name in defined if len(re.findall(rf"\b{name}\b", text)) > 1}
        return names

    def test_every_attack_is_tried_by_tests_that_exist(self):
        there = self.named()
        for number, tests in self.attacks.items():
            with self.subTest(attack=number):
                self.assertTrue(tests)
                self.assertEqual([name for name in tests if name not in there], [])

    def test_there_are_as_many_as_there_have_to_be_and_none_is_left_out(self):
        self.assertGreaterEqual(len(self.attacks), LEAST)
        self.assertEqual(sorted(self.attacks), list(range(1, len(self.attacks) + 1)))


if __name__ == "__main__":
    unittest.main()

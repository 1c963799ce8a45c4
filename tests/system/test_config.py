"""Configuration from the outside: what is told about it, and what is refused."""

import os
import unittest

from harness import TempFolder
from harness.hub import command

GOOD = """env: test
region: eu-north
nats:
  url: nats://user:open-sesame@127.0.0.1:4222
postgres:
  dsn: host=/nowhere user=fleethub password=open-sesame dbname=fleethub
auth:
  mode: off
"""


class Config(unittest.TestCase):
    def setUp(self):
        self.folder = TempFolder()
        self.addCleanup(self.folder.remove)
        self.path = os.path.join(self.folder.path, "fleethub.yaml")

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def check(self, text):
        self.write(text)
        return command("config", "check", self.path)

    def test_good_file_passes(self):
        result = self.check(GOOD)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_mistakes_are_named_with_line_and_column(self):
        cases = [
            ("colour: red\n", 9, 1, "colour"),
            ("presence:\n  stale_after_s: soon\n", 10, 18, "stale_after_s"),
            ("log:\n  level: loud\n", 10, 10, "loud"),
            ("http: {listen: nowhere}\n", 9, 16, "listen"),
            ("env: again\n", 9, 1, "env"),
            ("log: [\n", None, None, ""),
        ]
        for text, line, column, word in cases:
            result = self.check(GOOD + text)
            said = result.stdout + result.stderr
            self.assertEqual(result.returncode, 1, text)
            self.assertIn(word, said)
            if line:
                self.assertIn(f"{self.path}:{line}:{column}: ", said)
            else:
                self.assertRegex(said, rf"(?m)^{self.path}:\d+:\d+: ")

    def test_values_that_make_no_sense_together_are_refused(self):
        result = self.check(GOOD + "presence: {stale_after_s: 20, offline_after_s: 10}\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn("offline_after_s", result.stdout + result.stderr)

    def test_every_mistake_is_named_in_one_go(self):
        result = self.check(GOOD + "colour: red\nlog: {level: loud}\n")
        said = result.stdout + result.stderr
        self.assertIn("colour", said)
        self.assertIn("loud", said)

    def test_keys_without_a_default_are_asked_for_by_name(self):
        result = self.check("env: test\n")
        self.assertEqual(result.returncode, 1)
        for key in ("region", "nats.url", "postgres.dsn"):
            self.assertIn(key, result.stdout + result.stderr)

    def test_show_prints_what_is_in_force_and_hides_passwords(self):
        self.write(GOOD)
        result = command("config", "show", self.path, env={"FLEETHUB_REGION": "us-east"})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("us-east", result.stdout)
        self.assertIn("127.0.0.1:8480", result.stdout)
        self.assertNotIn("open-sesame", result.stdout + result.stderr)

    def test_what_is_shown_is_a_configuration_itself(self):
        self.write(GOOD)
        shown = command("config", "show", self.path).stdout
        self.assertEqual(self.check(shown).returncode, 0, shown)

    def test_example_is_good_once_the_four_keys_without_a_default_are_set(self):
        example = command("config", "example")
        self.assertEqual(example.returncode, 0)
        self.write(example.stdout)
        result = command("config", "check", self.path, env={
            "FLEETHUB_ENV": "test", "FLEETHUB_REGION": "eu-north",
            "FLEETHUB_NATS_URL": "nats://127.0.0.1:4222",
            "FLEETHUB_POSTGRES_DSN": "dbname=fleethub"})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_run_refuses_access_off_on_any_other_address(self):
        self.write(GOOD + "http: {listen: '0.0.0.0:0'}\n")
        result = command("run", "--config", self.path)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("auth.mode", result.stdout + result.stderr)

    def test_run_refuses_a_file_that_is_not_there(self):
        result = command("run", "--config", os.path.join(self.folder.path, "missing.yaml"))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("missing.yaml", result.stdout + result.stderr)

    def test_version_and_help(self):
        self.assertRegex(command("version").stdout, r"\d+\.\d+")
        self.assertIn("run", command("help").stdout)
        self.assertNotEqual(command("dance").returncode, 0)


if __name__ == "__main__":
    unittest.main()

"""What shells and readers of manuals make of what the program prints for them."""

import os
import shutil
import subprocess
import unittest

from harness.hub import PROGRAM, command
from harness.process import TempFolder, scaled
from harness.terminal import Shell

# What is typed, and what is offered then: the beginning of a list, or all of it.
CASES = (
    (["ve"], {"vehicles", "version"}),
    (["audit", ""], {"verify", "export", "key", "hold", "retention"}),
    (["audit", "hold", ""], {"add", "list", "remove"}),
    (["send", "rtl", "--wait", ""], {"completed", "accepted"}),
    (["send", "rtl", "--verify-w"], {"--verify-within"}),
    (["send", "mission."], {"mission.start", "mission.upload"}),
    (["token", "create", "--role", "o"], {"operator"}),
    (["events", "--kind", "re"], {"rejected"}),
    (["run", "--log.level", ""], {"debug", "info", "warn", "error"}),
    (["run", "--nats.u"], {"--nats.url"}),
    (["run", "--config", "hub."], {"hub.yaml"}),
    (["config", "check", "hub."], {"hub.yaml"}),
    (["help", "config", "s"], {"show", "schema"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["send", "rtl", "--filter", ""], set()),
    (["bogus", ""], set()),
)
# Runs the completion as bash does, a word a line; prints what is offered.
DRIVE_BASH = """
set -eu
source ./completion.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_fleethub
printf '%s\\n' "${COMPREPLY[@]}"
"""


def run(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=scaled(60), check=False, **options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = TempFolder()
        cls.addClassCleanup(cls.folder.remove)
        for shell, name in (("bash", "completion.bash"), ("zsh", "_fleethub"),
                            ("fish", "completion.fish"), (None, "hub.yaml")):
            with open(os.path.join(cls.folder.path, name), "w", encoding="utf-8") as script:
                if shell:
                    script.write(run(PROGRAM, "completion", shell))

    def shell(self, *argv):
        if not shutil.which(argv[0]):
            self.skipTest(f"{argv[0]} is not installed")
        shell = Shell(argv, self.folder.path)
        self.addCleanup(shell.close)
        return shell

    def bash(self, *words):
        return set(run("bash", "-c", DRIVE_BASH, "drive", "fleethub", *words,
                       cwd=self.folder.path).split())

    def test_bash_offers_what_may_stand_there(self):
        for words, offered in CASES:
            self.assertEqual(self.bash(*words), offered, words)
        # bash makes three words of --name=value.
        self.assertEqual(self.bash("send", "rtl", "--wait", "=", "c"), {"completed"})
        self.assertEqual(self.bash("send", "rtl", "--wait", "="), {"completed", "accepted"})
        self.assertEqual(self.bash("send", "rtl", "--wait", "=", "accepted", "--verify-w"),
                         {"--verify-within"})
        self.assertIn("--filter", self.bash("vehicles", "--"))
        self.assertNotIn("--nats.url", self.bash("vehicles", "--"))

    def test_bash_completes_what_is_typed(self):
        shell = self.shell("bash", "--norc", "--noprofile", "-i")
        shell.typed("source ./completion.bash && echo rea''dy\n", "ready")
        shell.typed("fleethub veh\t", "fleethub vehicles ")
        shell.typed("--or\t", "--order-by ")
        shell.typed("\x15fleethub run --log.level=d\t", "--log.level=debug")
        shell.typed("\x15fleethub config check hu\t", "hub.yaml")

    def test_zsh_completes_what_is_typed(self):
        shell = self.shell("zsh", "-f", "-i")
        shell.typed("fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; echo rea''dy\n",
                    "ready")
        shell.typed("fleethub veh\t", "icles ")
        shell.typed("\x15fleethub audit \t", "verify", "check the record", "retention")
        shell.typed("\x15fleethub send rtl --wait=com\t", "completed")
        shell.typed("\x15fleethub run --nats.u\t", "nats.url=")
        shell.typed("\x15fleethub help config sch\t", "schema")
        shell.typed("\x15fleethub config check hu\t", "hub.yaml")

    def test_fish_offers_what_may_stand_there(self):
        if not shutil.which("fish"):
            self.skipTest("fish is not installed")
        script = "source completion.fish\n" + "".join(
            f"complete -C 'fleethub {' '.join(words)}'\necho ----\n" for words, _ in CASES)
        offered = run("fish", "--no-config", "-c", script, cwd=self.folder.path,
                      env=dict(os.environ, HOME=self.folder.path))
        for (words, expected), text in zip(CASES, offered.split("----\n")):
            self.assertEqual({line.split("\t")[0] for line in text.splitlines()}, expected, words)

    def test_a_shell_that_is_not_known_is_told_which_are(self):
        done = command("completion", "tcsh")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("`bash`, `zsh` or `fish`", done.stderr)


class Manual(unittest.TestCase):
    def setUp(self):
        self.folder = TempFolder()
        self.addCleanup(self.folder.remove)
        self.page = os.path.join(self.folder.path, "fleethub.1")
        with open(self.page, "w", encoding="utf-8") as page:
            page.write(run(PROGRAM, "man"))

    def program(self, name):
        if not shutil.which(name):
            self.skipTest(f"{name} is not installed")
        return name

    def test_groff_has_nothing_to_warn_of(self):
        text = run(self.program("groff"), "-ww", "-man", "-Tascii", "-P-c", "-P-u", "-P-b",
                   self.page)
        self.assertIn("\nNAME\n       fleethub - hub for fleets of vehicles", text)
        self.assertIn("--verify-within", text)

    def test_mandoc_has_nothing_to_say(self):
        self.assertEqual(run(self.program("mandoc"), "-Tlint", "-Wstyle", self.page), "")


if __name__ == "__main__":
    unittest.main()

"""What the documents say: every command shown is run, and prints what is shown; every link, file,
subcommand, flag, route, metric and key that is named exists. tests/harness/documents.py says what a
fenced block's info string means; a block that says nothing known is a failure.

    DOCUMENT=operators python3 -m unittest system.test_docs    runs the commands of that one alone"""

import json
import os
import re
import shutil
import subprocess
import sys
import unittest

from harness import Process, Stack, TempFolder, wait_until
from harness.doc_shell import DocShell, Failed
from harness.documents import COMMAND_LINE, Document, all_documents
from harness.hub import PROGRAM, command as run_fleethub
from harness.process import SOURCE_DIR
from harness.stack import FLEETSIM

ENV = "demo"  # as deploy/quickstart has it, which the documents begin with
TRACE = os.path.join(SOURCE_DIR, "tests", "traces", "copter-fleet-20.ndjson")
BROWSER = os.path.join(SOURCE_DIR, "tests", "harness", "browser.cjs")
# Programs that the project does not need otherwise: what shows them is left out where they are not.
GUESTS = ("node", "nginx", "nats")
# Known by tests of their own.
RUN_ELSEWHERE = {"sql": "tests/system/test_record_sql.py"}
ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w/.:{}-]*)")
KEY = re.compile(r"^(nats|postgres|http|auth|vehicles|twins|commands|record|log)\.(?!conf$)[a-z_.]+$")
# Roles and databases in examples, which look like metrics.
NO_METRICS = ("fleethub_reader", "fleethub_admin", "fleethub_hub", "fleethub_restored", "fleethub_lost")


class Documents(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.documents = [Document(path) for path in all_documents()]
        cls.stack = Stack(start=False)
        cls.stack.__enter__()
        cls.addClassCleanup(cls.end)
        cls.shells, cls.fleets, cls.left_out = [], [], []
        cls.postgres = cls.stack.postgres.start()
        cls.stack.nats.start()
        cls.stack.start_leaf()
        cls.folder = cls.stack.folder.sub("reader")
        cls.start_hubs()
        cls.start_fleets()
        cls.environment = cls.surroundings()

    @classmethod
    def end(cls):
        for shell in cls.shells:
            shell.close()
        for fleet in cls.fleets:
            fleet.kill()
        cls.stack.__exit__(None, None, None)

    @classmethod
    def start_hubs(cls):
        """One that asks for no token, as the quickstart's, and one that does, as in the field."""
        secrets = cls.stack.folder.sub("secrets")
        key = os.path.join(secrets, "signing.key")
        made = run_fleethub("audit", "key", "--output", key, "--env=" + ENV, "--region=eu-north")
        assert made.returncode == 0, made
        # Nobody falls silent while a slow machine gets on with the test.
        settings = {"env": ENV, "presence": {"stale_after_s": 100, "offline_after_s": 200},
                    "record": {"track_s": 5, "checkpoint_s": 1, "signing_key_file": key,
                               "checkpoint_file": cls.path("checkpoint")}}
        cls.hub = cls.stack.add_hub(settings).start()
        cls.field = cls.stack.add_hub(dict(settings, auth={"mode": "tokens"}))
        cls.field.start(ready=False)

    @classmethod
    def start_fleets(cls):
        """As the quickstart does."""
        for words in (("replay", "--speed", "4", "--loop", TRACE),
                      ("fly", "--vehicles", "5", "--prefix", "SIM-", "--duration", "0")):
            log = os.path.join(cls.stack.folder.path, f"fleetsim-{words[0]}.log")
            cls.fleets.append(Process([FLEETSIM, words[0], "--url", cls.stack.leaf.url, "--env", ENV,
                                       *words[1:]], log))
        wait_until(lambda: cls.hub.json("/v1/vehicles", page_size=1)["total_size"] == 25, 60,
                   "25 vehicles are known")
        wait_until(lambda: cls.hub.json("/v1/events", kind="event", page_size=1)["events"], 60,
                   "events are on record")
        wait_until(lambda: os.path.exists(cls.path("checkpoint")), 60, "a checkpoint is in the file")

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def surroundings(cls):
        """A reader's folder: a clone with the programs built, and the hub's configuration."""
        for name, program in (("hub", PROGRAM), ("tools", FLEETSIM)):
            os.makedirs(cls.path("build/" + name))
            os.symlink(program, cls.path(f"build/{name}/{os.path.basename(program)}"))
        for name in ("deploy", "tests", "docs", "schema"):
            os.symlink(os.path.join(SOURCE_DIR, name), cls.path(name))
        shutil.copy(cls.hub.config_path, cls.path("fleethub.yaml"))
        # What stands for /etc/fleethub: the files that a configuration has to find there.
        os.makedirs(cls.path("etc"))
        for words in (("genpkey", "-algorithm", "ed25519", "-out", cls.path("etc/id.key")),
                      ("pkey", "-in", cls.path("etc/id.key"), "-pubout", "-out",
                       cls.path("etc/id.pem"))):
            subprocess.run(["openssl", *words], check=True, capture_output=True)
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("FLEETHUB_", "PG"))}
        environment.update({
            "PATH": ":".join([os.path.dirname(PROGRAM), os.path.dirname(FLEETSIM),
                              os.environ.get("PATH", "/usr/bin:/bin"), "/usr/sbin"]),
            "HOME": cls.folder, "LC_ALL": "C.UTF-8", "FLEETHUB_SERVER": cls.url(cls.hub),
            "PGHOST": cls.stack.postgres.folder, "PGUSER": cls.stack.postgres.user})
        return environment

    @staticmethod
    def url(hub):
        return f"http://127.0.0.1:{hub.port}"

    def here(self, text):
        """What a document says, with what it calls things replaced by what they are called here."""
        for there, here in (("http://127.0.0.1:8480", self.url(self.hub)),
                            ("https://hub.example.org", self.url(self.field)),
                            ("nats://127.0.0.1:4222", self.stack.nats.url),
                            ("127.0.0.1:4223", f"127.0.0.1:{self.stack.leaf.port}"),
                            ("/etc/fleethub/fleethub.yaml", self.path("fleethub.yaml"))):
            text = text.replace(there, here)
        return text

    # ---- what is shown ----

    def test_every_command_shown_works(self):
        for document in self.documents:
            if not re.search(os.environ.get("DOCUMENT", ""), document.path):
                continue
            shell = None
            with self.subTest(document=document.path):
                shell = DocShell(self.folder, self.environment)
                self.shells.append(shell)
                unused = {}
                for block in document.blocks:
                    self.run_block(block, shell, unused)
                self.assertEqual(list(unused), [], "files that no command uses")
            if shell:
                shell.close()
                self.shells.remove(shell)

    def run_block(self, block, shell, unused):
        language, words = block.language, block.info[1:]
        try:
            if language == "console":
                self.run_console(block, words, shell, unused)
            elif language == "sh":
                self.run_script(block, words, shell, unused)
            elif language == "text" and not words:
                self.assertFalse(any(COMMAND_LINE.match(line) for line in block.lines),
                                 "a command in a block of text")
            elif language in RUN_ELSEWHERE and not words:
                self.assertIn(block.path, self.source(RUN_ELSEWHERE[language]).replace(
                    'os.path.join(SOURCE_DIR, "docs", "', "docs/"))
            elif language == "json" and not words:
                json.loads(block.text.replace("…", ""))
            elif block.info == ["yaml", "configuration"]:
                self.check_configuration(block)
            elif block.info == ["javascript", "in-a-browser"]:
                self.run_page(block, shell)
            elif language and len(words) == 1 and re.fullmatch(r"[\w.-]+", words[0]):
                with open(self.path(words[0]), "w", encoding="utf-8") as file:
                    file.write(self.here(block.text))
                unused[words[0]] = block
            else:
                raise Failed("no known kind of block: ```" + " ".join(block.info))
        except (AssertionError, ValueError) as error:
            raise AssertionError(f"{block}: {error}") from None

    def run_console(self, block, words, shell, unused):
        if words not in ([], ["refused"], ["follow"], ["background"]):
            raise Failed(f"no known kind of console: {words}")
        commands = block.commands()
        self.assertGreater(len(commands), 0, "a console without a command")
        for command, shown in commands:
            command = self.here(command)
            for name in [name for name in unused if name in command]:
                del unused[name]
            if not self.guest_is_there(command, block):
                continue
            shown = [self.here(line) for line in shown]
            if words == ["follow"]:
                shell.follow(command, shown)
            elif words == ["background"]:
                shell.background(command)
            else:
                shell.expect(command, shown, refused=words == ["refused"])

    def run_page(self, block, shell):
        with open(self.path("page.js"), "w", encoding="utf-8") as file:
            file.write(self.here(block.text))
        shown = [line.partition("// prints: ")[2] for line in block.lines if "// prints: " in line]
        self.assertGreater(len(shown), 0, "the page says nothing of what it prints")
        if self.guest_is_there("node page.js", block):
            shell.follow(f"node --require {BROWSER} page.js", shown)

    def guest_is_there(self, command, block):
        for guest in GUESTS:
            if re.search(rf"\b{guest} ", command) and not shutil.which(
                    guest, path=self.environment["PATH"]):
                self.left_out.append(f"{block} ({guest} is not installed)")
                return False
        return True

    def check_configuration(self, block):
        path = self.path("shown.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(block.text.replace("/etc/fleethub/", self.path("etc/")))
        done = run_fleethub("config", "check", path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def run_script(self, block, words, shell, unused):
        checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True,
                                 check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        for name in [name for name in unused if name in block.text]:
            del unused[name]
        if not words:
            shell.expect(self.here(block.text), [])
        elif words[0] == "run-by" and len(words) == 2:
            by = self.source(words[1])
            for line in filter(None, (line.split("#")[0] for line in block.lines)):
                self.assertIn(os.path.basename(line.split()[0]), by, f"{words[1]} does not run this")
        elif words not in (["on-a-server"], ["by-hand"]):
            raise Failed(f"no known kind of script: {words}")
        else:
            self.read_script(re.sub(r" #.*", "", block.text.replace("\\\n", " ")))

    def read_script(self, text):
        """What cannot be run here: its units, packages and flags are ours at least."""
        for unit in re.findall(r"(?:systemctl .*|journalctl -u )\b(fleethub[\w-]*)", text):
            self.source(f"deploy/systemd/{unit}.service")
        listed = dict(re.findall(r"^(\S+) +(\w+)$", self.source("deploy/packages.txt"), re.M))
        for packages in re.findall(r"apt-get install (.*)", text):
            named = {word for word in packages.split() if not word.startswith(("-", "./"))}
            self.assertLessEqual(named, set(listed))
            if named & {name for name, role in listed.items() if role == "build"}:
                self.assertLessEqual({n for n, role in listed.items() if role == "build"}, named)
        for program, flags in re.findall(r"^(tests/[\w/.-]+)(.*)$", text, re.M):
            for flag in re.findall(r"--[\w-]+", flags):
                self.assertIn(flag, self.source(program), f"{program} has no {flag}")

    def test_what_is_left_out_is_said(self):
        """Runs behind the other, by its name."""
        if self.left_out:
            self.skipTest("; ".join(self.left_out))

    # ---- what is named ----

    @staticmethod
    def source(path):
        with open(os.path.join(SOURCE_DIR, path), encoding="utf-8") as file:
            return file.read()

    def test_links_lead_somewhere(self):
        anchors = {document.path: set(document.anchors()) for document in self.documents}
        for document in self.documents:
            for path, anchor in document.links():
                with self.subTest(document=document.path, link=path, anchor=anchor):
                    self.assertTrue(os.path.exists(os.path.join(SOURCE_DIR, path)))
                    if anchor:
                        self.assertIn(anchor, anchors[path or document.path])

    def test_files_that_are_named_exist(self):
        named = re.compile(r"\b((?:deploy|docs|schema|migrations|tests|tools|hub|twin)/[\w./-]*\w)")
        for document in self.documents:
            for path in {path for code in document.everything() for path in named.findall(code)}:
                with self.subTest(document=document.path, path=path):
                    where = self.path(path) if path.startswith("build") else path
                    self.assertTrue(os.path.exists(os.path.join(SOURCE_DIR, where)) or
                                    path in ("hub/fleethub", "tools/fleetsim"))

    def test_subcommands_and_flags_that_are_named_exist(self):
        help_of = {}
        called = re.compile(r"(?<![\w/.-])(?:build/hub/)?fleethub ((?:[a-z]+)(?: [a-z]+)?)([^|;&`]*)")
        for document in self.documents:
            for code in document.everything():
                for words, rest in called.findall(code):
                    with self.subTest(document=document.path, code=code):
                        self.assertEqual(self.unknown_flags(words, rest, help_of), [])

    def unknown_flags(self, words, rest, help_of):
        names = [words, words.split()[0]]
        if names[1] in ("help", "version"):
            return []
        for name in names:
            if name not in help_of:
                done = run_fleethub("help", *name.split())
                help_of[name] = done.stdout if done.returncode == 0 else None
        text = help_of[names[0]] or help_of[names[1]]
        if text is None:
            return ["fleethub " + words]
        return [flag for flag in re.findall(r"(?<=\s)--[a-z][\w.-]*", " " + rest)
                if flag != "--config" and not re.search(re.escape(flag) + r"(?![\w.-])", text)]

    def test_routes_that_are_named_exist(self):
        paths = self.hub.json("/openapi.json")["paths"]
        known = {(method.upper(), re.sub(r"\{\w+\}", "*", path))
                 for path, item in paths.items() for method in item}
        for document in self.documents:
            for code in document.everything():
                for method, path in ROUTE.findall(code):
                    with self.subTest(document=document.path, code=code):
                        self.assertTrue(any(
                            method == other and re.fullmatch(
                                re.escape(template).replace(r"\*", r"[^/]+"), path)
                            for other, template in known), f"{method} {path}")

    def test_metrics_that_are_named_exist(self):
        known = set(re.findall(r"^# TYPE (\w+) ", self.hub.get("/metrics").body.decode(), re.M))
        for document in self.documents:
            for code in document.everything():
                for name in re.findall(r"(?<![\w/.-])fleethub_[a-z]\w*", code):
                    if name in NO_METRICS:
                        continue
                    with self.subTest(document=document.path, metric=name):
                        self.assertTrue({name, re.sub("_(bucket|sum|count)$", "", name)} & known)

    def test_keys_of_the_configuration_that_are_named_exist(self):
        shown = run_fleethub("help", "run").stdout
        keys = set(re.findall(r"^  --([a-z_.]+)=", shown, re.M))
        logged = "".join(self.source(f"hub/{name}") for name in os.listdir(
            os.path.join(SOURCE_DIR, "hub")) if name.endswith(".c"))
        for document in self.documents:
            for code in document.inline():
                key = code.split(":")[0].rstrip("*.")
                if KEY.match(key) and not code.startswith("fleethub"):
                    with self.subTest(document=document.path, key=code):
                        self.assertTrue(key in keys or f'"{key}' in logged or
                                        any(k.startswith(key + ".") for k in keys))


class RunnerItself(unittest.TestCase):
    """It finds what is wrong."""

    def setUp(self):
        self.folder = TempFolder()
        self.addCleanup(self.folder.remove)
        self.shell = DocShell(self.folder.path, dict(os.environ))
        self.addCleanup(self.shell.close)

    def document(self, text):
        with open(os.path.join(self.folder.path, "page.md"), "w", encoding="utf-8") as file:
            file.write(text)
        return Document(os.path.join(self.folder.path, "page.md"))

    def wrong(self, *words, **named):
        with self.assertRaises(Failed):
            self.shell.expect(*words, **named)

    def test_what_is_printed_is_held_against_what_is_shown(self):
        self.shell.expect("x=7; echo a $x; echo b", ["a …", "b"])
        self.shell.expect("seq $x", ["1", "…", "7"])
        self.shell.expect("false", [], refused=True)
        self.wrong("echo a", ["b"])
        self.wrong("seq 3", ["1", "2"])
        self.wrong("echo abc", ["a…d"])
        self.wrong("false", [])
        self.wrong("true", [], refused=True)

    def test_what_follows_is_ended_when_it_has_shown_enough(self):
        self.shell.follow("echo one; sleep 0.3; echo two; sleep 1000", ["one", "…", "two"])
        self.shell.expect("echo still here", ["still here"])

    def test_a_block_is_a_command_with_its_lines(self):
        block = self.document("```console\n$ a \\\n  b\nout\n$ c <<E\n> d\n> E\n```\n").blocks[0]
        self.assertEqual(block.commands(), [["a \\\n  b", ["out"]], ["c <<E\nd\nE", []]])

    def test_a_page_with_a_command_outside_a_block_is_refused(self):
        for text in ("text\n\n    fleethub vehicles --json\n", "text\n\n    $ true\n", "```sh\nx\n"):
            with self.assertRaises(ValueError, msg=text):
                self.document(text)

    def test_a_block_of_no_known_kind_is_refused(self):
        runner = Documents()
        for text in ("```\nx\n```", "```bash\nx\n```", "```console always\n$ x\n```",
                     "```sh run-by tests/run\nnothing-of-it\n```", "```text\n$ rm x\n```",
                     "```json\n{\n```", "```sh on-a-server\nif\n```", "```console\n```"):
            with self.assertRaises(AssertionError, msg=text):
                runner.run_block(self.document(text + "\n").blocks[0], self.shell, {})


if __name__ == "__main__":
    sys.exit(unittest.main())

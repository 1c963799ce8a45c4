"""The project's documents taken apart: their fenced blocks, and what their text claims to exist.

The info string of a fence says what a block is, and what is done with it:

    console               commands behind `$ `, with what they print; run in order, in one shell
    console refused       the same; each command ends with another status than 0
    console follow        one command that does not end by itself: it is ended with Ctrl-C when what
                          is shown has come
    console background    runs until the end of the document
    sh                    a script, run in the same shell
    sh on-a-server        needs root, a service manager or other machines: has to be a script whose
                          files of this repository exist
    sh by-hand            takes long: the same
    sh run-by PATH        is run by that file of the repository
    yaml configuration    a whole configuration, which `config check` finds good
    javascript in-a-browser
                          a page's script: run by Node with an EventSource; a comment `// prints: …`
                          for each line that it prints
    LANGUAGE FILE         a file that is written; a command behind it has to use it
    text                  a shape for people: holds no command
    sql                   in record-sql.md, run by test_record_sql

In what is shown `…` is any text within a line, and a line of `…` any number of lines; how wide a
column is does not matter."""

import os
import re

from .process import SOURCE_DIR

FOLDERS = ("", "docs")
# Written for those who work on the project: files and functions rather than commands.
NOT_FOR_USERS = ("ARCHITECTURE.md",)
ELLIPSIS = "…"
PROGRAMS = r"(?:sudo |env )?(?:build/hub/)?(?:fleethub|fleetsim|curl|deploy/\w|tests/\w|psql|node|python3|" \
           r"systemctl|apt|apt-get|dpkg|journalctl|nats-server|nats|podman|docker|cmake|ninja) "
COMMAND_LINE = re.compile(r"^\s*(?:\$ |" + PROGRAMS + ")")
FENCE = re.compile(r"^( *)```(.*)$")


class Block:
    """info: the words behind the fence; lines without the fence's indentation."""

    def __init__(self, path, line, info, lines):
        self.path, self.line, self.info, self.lines = path, line, info, lines

    @property
    def language(self):
        return self.info[0] if self.info else ""

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"

    def __str__(self):
        return f"{self.path}:{self.line}"

    def commands(self):
        """[(command, [lines that it prints])] of a console block; a command goes on behind a `\\` at
        the end of a line, and in lines that begin with `> `."""
        found = []
        goes_on = False
        for line in self.lines:
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif goes_on:
                found[-1][0] += "\n" + line
            elif line.startswith("> ") and found and not found[-1][1]:
                found[-1][0] += "\n" + line[2:]
                continue
            elif not found:
                raise ValueError(f"{self}: what is printed stands before any command")
            else:
                found[-1][1].append(line)
                continue
            goes_on = line.endswith("\\")
        return found


class Document:
    def __init__(self, path):
        self.path = path
        with open(os.path.join(SOURCE_DIR, path), encoding="utf-8") as file:
            self.text = file.read()
        self.blocks, self.indented, self.prose = [], [], []
        self._take_apart()

    def _take_apart(self):
        block = indent = None
        blank = True
        for number, line in enumerate(self.text.splitlines(), 1):
            fence = FENCE.match(line)
            if fence and block is None:
                indent = len(fence.group(1))
                block = Block(self.path, number, fence.group(2).split(), [])
            elif fence:
                self.blocks.append(block)
                block = None
            elif block is not None:
                block.lines.append(line[min(indent, len(line) - len(line.lstrip())):])
            elif line.startswith("    ") and (blank or self.indented[-1:] == [number - 1]):
                self.indented.append(number)
                if COMMAND_LINE.match(line):
                    raise ValueError(f"{self.path}:{number}: a command outside a fenced block")
            else:
                self.prose.append(line)
            blank = not line.strip()
        if block is not None:
            raise ValueError(f"{block}: the block has no end")

    # ---- claims ----

    def links(self):
        """Those into the repository: (path from its root, "" for this page; anchor or "")."""
        for target in re.findall(r"\]\(([^)\s]+)\)", self.text):
            if not re.match(r"[a-z]+:", target):
                path, _, anchor = target.partition("#")
                folder = os.path.dirname(self.path)
                yield os.path.normpath(os.path.join(folder, path)) if path else "", anchor

    def anchors(self):
        """As GitHub makes them of headings."""
        for heading in re.findall(r"^#+ (.*)$", self.text, re.M):
            kept = re.sub(r"[^\w\- ]", "", heading.lower())
            yield kept.replace(" ", "-")

    def inline(self):
        """What stands between single backticks in its prose."""
        return re.findall(r"`([^`\n]+)`", "\n".join(self.prose))

    def everything(self):
        """All that is code: inline, and in blocks a line each."""
        return self.inline() + [line for block in self.blocks for line in block.lines]


def all_documents():
    """Paths from the repository's root, in order."""
    found = []
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(SOURCE_DIR, folder))):
            if name.endswith(".md") and name not in NOT_FOR_USERS:
                found.append(os.path.join(folder, name))
    return found


def pattern(lines):
    """A regular expression for what lines with `…` stand for."""
    parts = []
    for line in lines:
        if line.strip() == ELLIPSIS:
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            exact = re.sub(r"(\\ )+", " +", re.escape(line.rstrip()))
            parts.append(exact.replace(ELLIPSIS, r"[^\n]*") + r" *\n")
    return "".join(parts)

"""A shell in which a document's commands are run one after the other, as a reader would: variables and
the working folder stay."""

import os
import re
import signal
import subprocess
import time

from .documents import pattern
from .process import scaled

COMMAND_S = 60
FOLLOW_S = 30
SHOWN_MAX = 3000  # of what it printed, in a failure
READ_AGAIN_S = 20  # what was written a moment ago, and is on record a moment later
PAUSE_S = 0.1
PROGRESS = re.compile(r"^\[[#.]+\] .*\n?", re.M)  # which a terminal writes over
# What only reads may be asked again; what a pipe does with the answer changes nothing.
READS = re.compile(r"(?:\w+=\S+ )*(curl -\w*G |curl (?!.*(-X|-d|-T|--data|-o)\b)|psql |"
                   r"fleethub (vehicles|events|token list|audit (verify|retention|hold list))\b)", re.S)


class Failed(AssertionError):
    pass


def _difference(what, printed, shown):
    return f"{what}\n---- prints\n{printed[:SHOWN_MAX]}\n---- the document shows\n" + "\n".join(shown)


class DocShell:
    def __init__(self, folder, environment):
        self.folder = folder
        self.count = 0
        self.shell = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
            env=environment, start_new_session=True)
        os.set_blocking(self.shell.stdout.fileno(), False)
        # Job control: what runs in the background is a group of its own, and hears Ctrl-C.
        self._tell("set -m")

    def _tell(self, text):
        self.shell.stdin.write(text.encode() + b"\n")
        self.shell.stdin.flush()

    def _hear(self, mark, what):
        """The word behind `mark`, once the shell says it."""
        heard = ""
        deadline = time.monotonic() + scaled(COMMAND_S)
        while True:
            heard += (self.shell.stdout.read() or b"").decode()
            found = re.search(rf"^{mark} (\S+)$", heard, re.M)
            if found:
                return found.group(1)
            if time.monotonic() > deadline or self.shell.poll() is not None:
                raise Failed(f"not within {scaled(COMMAND_S):g} s: {what}\n{self._printed()}")
            time.sleep(PAUSE_S / 10)

    def _path(self, kind):
        return os.path.join(self.folder, f".{kind}-{self.count}")

    def _printed(self):
        text = ""
        for kind in ("out", "err"):
            with open(self._path(kind), encoding="utf-8", errors="replace") as file:
                text += file.read()
        text = PROGRESS.sub("", text)
        return text + "\n" if text and not text.endswith("\n") else text

    def _begin(self, command, behind):
        self.count += 1
        for kind in ("out", "err"):
            open(self._path(kind), "w", encoding="utf-8").close()
        self._tell(f"{{ {command}\n}} >{self._path('out')} 2>{self._path('err')} </dev/null{behind}")

    def run(self, command):
        """(exit status, what it printed)"""
        self._begin(command, "")
        self._tell(f"echo DONE-{self.count} $?")
        return int(self._hear(f"DONE-{self.count}", command)), self._printed()

    # ---- what a document shows ----

    def expect(self, command, shown, refused=False):
        """Runs it, and holds what it prints against what is shown (nothing: anything)."""
        reads = READS.match(command.strip())
        deadline = time.monotonic() + scaled(READ_AGAIN_S)
        wanted = re.compile(pattern(shown))
        while True:
            status, printed = self.run(command)
            good = (status != 0) == refused
            if good and (not shown or wanted.fullmatch(printed)):
                return
            if not reads or time.monotonic() > deadline:
                break
            time.sleep(PAUSE_S)
        why = f"exit status {status}" if not good else "it prints something else"
        raise Failed(_difference(f"{why}: {command}", printed, shown))

    def background(self, command):
        self._begin(command, " &")

    def follow(self, command, shown):
        """Until what is shown has come; then Ctrl-C, which has to end it."""
        self._begin(command, " &")
        self._tell(f"echo PID-{self.count} $!")
        group = int(self._hear(f"PID-{self.count}", command))
        deadline = time.monotonic() + scaled(FOLLOW_S)
        wanted = re.compile(pattern(shown))
        while not wanted.match(self._printed()):
            if time.monotonic() > deadline:
                raise Failed(_difference(f"not within {scaled(FOLLOW_S):g} s: {command}",
                                         self._printed(), shown))
            time.sleep(PAUSE_S)
        os.killpg(group, signal.SIGINT)
        self._tell(f"wait {group}; echo ENDED-{self.count} $?")
        self._hear(f"ENDED-{self.count}", f"Ctrl-C ends {command}")

    def close(self):
        """Ends the shell and whatever runs in its session."""
        groups = {self.shell.pid}
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.getsid(int(name)) == self.shell.pid:
                    groups.add(os.getpgid(int(name)))
            except ProcessLookupError:
                pass
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.shell.stdin.close()
        self.shell.stdout.close()
        self.shell.wait(scaled(10))

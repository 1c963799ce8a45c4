"""Programs on a terminal: what they write there, and shells that are typed into."""

import os
import pty
import select
import subprocess
import time

from .process import scaled

READ_BYTES = 4096
PAUSE_S = 0.1


def environment(**changes):
    return dict(os.environ, **dict({"TERM": "xterm", "NO_COLOR": ""}, **changes))


def on_terminal(argv, env=None, timeout=30):
    """Runs it with a terminal for its output; what it wrote there, line ends as in a file."""
    controller, terminal = pty.openpty()
    try:
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
                              env=env or environment()) as process:
            os.close(terminal)
            written = b""
            deadline = time.monotonic() + scaled(timeout)
            while True:
                if time.monotonic() > deadline:
                    process.kill()
                    raise AssertionError(f"{argv} does not end: {written!r}")
                if not select.select([controller], [], [], PAUSE_S)[0]:
                    continue
                try:
                    piece = os.read(controller, READ_BYTES)
                except OSError:  # the other side is closed
                    break
                written += piece
            return written.decode().replace("\r\n", "\n")
    finally:
        os.close(controller)


class Shell:
    """An interactive shell. `typed` types and waits for what is to appear."""

    def __init__(self, argv, folder):
        self.controller, terminal = pty.openpty()
        self.process = subprocess.Popen(
            argv, stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder,
            start_new_session=True, env=environment(TERM="dumb", HOME=folder, INPUTRC="/dev/null"))
        os.close(terminal)

    def typed(self, keys, *wanted, timeout=30):
        """Everything written from then on, once all of `wanted` is in it."""
        os.write(self.controller, keys.encode())
        written = ""
        deadline = time.monotonic() + scaled(timeout)
        while not all(text in written for text in wanted):
            if time.monotonic() > deadline:
                raise AssertionError(f"{keys!r}: {wanted} was expected, not {written!r}")
            if select.select([self.controller], [], [], PAUSE_S)[0]:
                written += os.read(self.controller, READ_BYTES).decode(errors="replace")
        return written

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.controller)

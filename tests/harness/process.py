"""Child processes, waiting, ports and folders.

Everything started here is ended by its own pid: by `stop`, by `stop_all` at the interpreter's exit,
and by the kernel when the test's process is killed (the children's parent-death signal).
Processes are started by the main thread only: that signal is tied to the thread.
"""

import atexit
import fcntl
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

SOURCE_DIR = os.environ.get("FLEETHUB_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("FLEETHUB_BUILD_DIR") or os.path.join(SOURCE_DIR, "build")

# A slow machine (or TSan) stretches every bound; no test gets its result from a duration.
TIMEOUT_FACTOR = float(os.environ.get("FLEETHUB_TIMEOUT_FACTOR", "1"))

# Below the kernel's range for outgoing connections, so that a server that is started again finds its
# port as it left it.
PORT_FIRST, PORT_LAST = 15000, 32000
PORT_TRIES = 200
LOG_TAIL_LINES = 40
REPORT_LINES = 120

# What the sanitizers write, ASan, LSan and TSan with a heading, UBSan within a line.
SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|: runtime error: ")

POSTGRES_USER = "postgres"


def scaled(seconds):
    return seconds * TIMEOUT_FACTOR


def wait_until(condition, timeout, what):
    """Polls until condition() is truthy and returns that; fails with the last value otherwise.

    An exception that is a refusal to answer (connection refused, reset) counts as "not yet"."""
    deadline = time.monotonic() + scaled(timeout)
    pause = 0.01
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, TimeoutError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {scaled(timeout):g} s: {what} (last: {last!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


_port_locks = []  # descriptors, held until this process ends


def free_port():
    """A port on 127.0.0.1 that nothing listens on now, and that no other test takes while this process
    lives: also not while the server that has it is being started again."""
    folder = os.path.join(tempfile.gettempdir(), "fleethub-test-ports")
    os.makedirs(folder, mode=0o777, exist_ok=True)
    for _ in range(PORT_TRIES):
        port = random.randint(PORT_FIRST, PORT_LAST)
        lock = os.open(os.path.join(folder, str(port)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _port_locks.append(lock)
        return port
    raise AssertionError("no free port")


class TempFolder:
    """A folder that goes with the test; kept where FLEETHUB_KEEP is set. Others may pass through,
    because PostgreSQL's own folder lies in it and belongs to its own user."""

    def __init__(self, prefix="fleethub-test-"):
        self.path = tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("TMPDIR", "/tmp"))
        os.chmod(self.path, 0o711)
        _folders.append(self)

    def sub(self, name, user=None):
        path = os.path.join(self.path, name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        if user:
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)
        return path

    def remove(self):
        if os.environ.get("FLEETHUB_KEEP"):
            print(f"kept {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)
        if self in _folders:
            _folders.remove(self)


def _state(pid):
    """As the system shows it (R, S, T, Z, …); "" where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(pid):
    return _state(pid) in ("", "Z")


def children(pid):
    """All of them only where the process stands still."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


class Process:
    """A child with its output in a file. `user`: run as that user where we are root."""

    def __init__(self, argv, log_path, user=None, env=None):
        assert threading.current_thread() is threading.main_thread()
        self.argv = list(argv)
        self.log_path = log_path
        self.asked = False  # to end, or its end was waited for
        command = ["setpriv", "--pdeathsig", "KILL"]
        if user and os.geteuid() == 0:
            command += ["--reuid", user, "--regid", user, "--init-groups"]
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(
                command + self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=dict(os.environ, **(env or {})), start_new_session=True)
        self.pid = self.child.pid
        _running.append(self)

    def alive(self):
        return self.child.poll() is None

    def listens(self, port):
        """Whether it listens on that port, and not somebody else who was quicker."""
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        sockets = {f"socket:[{row[9]}]" for row in rows
                   if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
        folder = f"/proc/{self.pid}/fd"
        return any(os.readlink(os.path.join(folder, name)) in sockets
                   for name in os.listdir(folder))

    def send(self, number):
        if self.alive():
            self.asked = self.asked or number not in (signal.SIGSTOP, signal.SIGCONT)
            self.child.send_signal(number)

    def wait(self, timeout):
        """The exit status; negative for a signal. Whoever calls this expects it to end."""
        self.asked = True
        return self._reap(timeout)

    def _reap(self, timeout):
        try:
            status = self.child.wait(scaled(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv[0]} has not ended within {scaled(timeout):g} s\n"
                                 + self.log_tail()) from None
        if self in _running:
            _running.remove(self)
        return status

    def kill(self):
        self.send(signal.SIGKILL)
        return self._reap(10)

    def stop(self, number=signal.SIGTERM, timeout=10):
        self.send(number)
        try:
            return self._reap(timeout)
        except AssertionError:
            self.kill()
            raise

    def died(self):
        """How, where it has ended and nobody had asked it to; else ""."""
        if self.asked or self.alive():
            return ""
        status = self.child.returncode
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"{os.path.basename(self.argv[0])} (pid {self.pid}) has ended by itself: {how}"

    def pause(self):
        self.send(signal.SIGSTOP)

    def resume(self):
        self.send(signal.SIGCONT)

    def stands_still(self):
        """Stopped by a signal, its own or another's."""
        return _state(self.pid) == "T"

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def log_tail(self):
        """Its last lines, or what a sanitizer has found."""
        return self.sanitizer_report() or "\n".join(self.log().splitlines()[-LOG_TAIL_LINES:])

    def sanitizer_report(self):
        """The first one in the log; "" without."""
        lines = self.log().splitlines()
        for i, line in enumerate(lines):
            if SANITIZER.search(line):
                return "\n".join(lines[i:i + REPORT_LINES])
        return ""


_running = []
_folders = []


def stop_all():
    """Whatever a test has left behind, ended by pid."""
    for process in reversed(list(_running)):
        if process.alive():
            process.child.kill()
            process.child.wait()
    _running.clear()
    for folder in list(_folders):
        folder.remove()


atexit.register(stop_all)


def _terminated(number, frame):
    raise SystemExit(128 + number)


signal.signal(signal.SIGTERM, _terminated)

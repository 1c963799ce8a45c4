"""A session with PostgreSQL that stays open, for questions by the thousand: a psql that is talked to
through pipes."""

import os
import select
import subprocess
import time

from .process import scaled

END = "--end--"
READ_BYTES = 64 * 1024
ANSWER_S = 10


class Psql:
    """One thread at a time. A server that goes away is an OSError; the next query connects anew."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.child = None

    def query(self, sql, timeout=ANSWER_S):
        """Rows, each a list of texts."""
        if not self.child or self.child.poll() is not None:
            self._start()
        try:
            self.child.stdin.write(f"{sql};\n\\echo {END}\n".encode())
            self.child.stdin.flush()
            lines = self._read(timeout)
        except OSError:
            self.close()
            raise
        bad = [line for line in lines if line.startswith(("ERROR:", "FATAL:", "psql: error", "server ",
                                                          "connection to server"))]
        if bad:
            self.close()
            raise OSError(f"{sql}: {bad[0]}")
        return [line.split("|") for line in lines if line]

    def close(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child.stdin.close()
            self.child.stdout.close()
            self.child = None

    def _start(self):
        self.close()
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", os.path.join(self.postgres.bin, "psql"), "-X", "-A",
             "-t", "-q", "-h", self.postgres.folder, "-U", self.postgres.user, "-d",
             self.postgres.database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)

    def _read(self, timeout):
        deadline = time.monotonic() + scaled(timeout)
        text = b""
        mark = f"{END}\n".encode()
        while not text.endswith(mark):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
                raise OSError("PostgreSQL has not answered in time")
            data = os.read(self.child.stdout.fileno(), READ_BYTES)
            if not data:
                raise OSError("psql has ended: " + text.decode(errors="replace")[-200:])
            text += data
        return text[:-len(mark)].decode().splitlines()

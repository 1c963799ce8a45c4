"""nats-server as hub or leaf, and a private PostgreSQL cluster: started, killed, started again on
the same data and the same port."""

import os
import shutil
import signal
import socket
import subprocess

from .client import NatsClient
from .process import (BUILD_DIR, POSTGRES_USER, Process, children, free_port, gone, scaled,
                      wait_until)

START_TRIES = 5
MAX_FILE_STORE = "8GB"


def answers(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


class NatsServer:
    """One server. With `jetstream` it is a region's hub: it has streams and takes leaf nodes. With
    `remote_port` it is a leaf: without JetStream of its own, so that what vehicles ask of
    $JS.API passes through to the hub, and the acknowledgements come back."""

    def __init__(self, folder, name, jetstream=False, remote_port=None, program=None):
        self.folder, self.name = folder, name
        self.jetstream, self.remote_port = jetstream, remote_port
        self.program = program or os.environ.get("NATS_SERVER") or shutil.which(
            "nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        self.log_path = os.path.join(folder, f"{name}.log")
        self.process = None
        self.port = self.leaf_port = 0

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def _write_config(self):
        self.config_path = os.path.join(self.folder, f"{self.name}.conf")
        lines = [f"server_name: {self.name}", f"listen: 127.0.0.1:{self.port}",
                 "max_payload: 1MB",
                 # On both sides, or a server denies $JS.API and $KV to the other: they are one
                 # JetStream, the hub's, and the leaf passes on.
                 'default_js_domain: { "$G": "" }']
        if self.jetstream:
            store = os.path.join(self.folder, f"{self.name}-store")
            lines.append(f'jetstream {{ store_dir: "{store}", max_memory_store: 64MB, '
                         f"max_file_store: {MAX_FILE_STORE} }}")
            lines.append(f"leafnodes {{ listen: 127.0.0.1:{self.leaf_port} }}")
        if self.remote_port:
            lines.append("leafnodes { reconnect: 1, remotes: [ "
                         f'{{ url: "nats-leaf://127.0.0.1:{self.remote_port}" }} ] }}')
        with open(self.config_path, "w", encoding="utf-8") as config:
            config.write("\n".join(lines) + "\n")

    def start(self):
        """The first start picks the ports, later ones keep them."""
        for _ in range(1 if self.port else START_TRIES):
            if self.process is None:
                self.port = free_port()
                self.leaf_port = free_port() if self.jetstream else 0
                self._write_config()
            self._launch()
            try:
                wait_until(lambda: not self.process.alive() or self._ready(), 20,
                           f"nats-server {self.name} answers")
            except AssertionError:
                self.process.kill()
                raise
            if self.process.alive():
                return self
            last_words, self.process = self.process.log_tail(), None
        raise AssertionError(f"nats-server {self.name} does not start:\n{last_words}")

    def _launch(self):
        self.process = Process([self.program, "-c", self.config_path], self.log_path)

    def _ready(self):
        if not answers(self.port):
            return False
        if not self.jetstream:
            return True
        with NatsClient(self.port) as client:
            client.js_api("INFO", timeout=1)
            return True

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop(signal.SIGTERM, 20)

    def restart(self, kill=True):
        self.kill() if kill else self.stop()
        self.start()

    def client(self):
        return NatsClient(self.port)


def _copy_tree(source, target):
    """With owners and modes."""
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


class Postgres:
    """A cluster that listens on a socket in its own folder alone. As root it runs as user postgres,
    because PostgreSQL refuses root."""

    # fsync guards against the machine's fall, not the processes' that the tests bring about.
    FRUGAL = ("fsync=off", "shared_buffers=32MB")

    def __init__(self, folder, settings=FRUGAL):
        self.settings = settings
        self.as_user = POSTGRES_USER if os.geteuid() == 0 else None
        self.folder = folder.sub("pg", self.as_user)
        self.data = os.path.join(self.folder, "data")
        self.log_path = os.path.join(folder.path, "postgres.log")
        self.bin = _postgres_bin()
        self.process = None
        self.user = POSTGRES_USER
        self.database = "fleethub"
        self._make()

    def _make(self):
        """initdb costs a second of the processor, and there are hundreds of clusters: the first one
        is kept in the build folder as it came out, the others are copies."""
        initdb = os.path.join(self.bin, "initdb")
        version = self._run([initdb, "--version"]).split()[2]
        kept = os.path.join(BUILD_DIR, f"postgres-{version}-{os.geteuid()}")
        if os.path.isdir(kept):
            _copy_tree(kept, self.data)
            return
        self._run([initdb, "-D", self.data, "-U", self.user, "-A", "trust", "-E", "UTF8",
                   "--locale=C.UTF-8", "--no-sync", "--no-instructions"])
        if not os.path.isdir(BUILD_DIR):
            return
        making = f"{kept}.{os.getpid()}"
        _copy_tree(self.data, making)
        try:
            os.rename(making, kept)
        except OSError:  # another test was quicker
            shutil.rmtree(making)

    def dsn(self, user=None):
        return f"host={self.folder} port=5432 user={user or self.user} dbname={self.database}"

    def _run(self, argv):
        command = []
        if self.as_user:
            command = ["setpriv", "--reuid", self.as_user, "--regid", self.as_user,
                       "--init-groups"]
        result = subprocess.run(command + argv, stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, cwd="/", timeout=scaled(60), check=False)
        if result.returncode != 0:
            raise AssertionError(f"{argv[0]}: {result.stdout}{result.stderr}")
        return result.stdout

    def start(self, create=True):
        settings = ("listen_addresses=", "max_connections=60", *self.settings)
        self.process = Process(
            [os.path.join(self.bin, "postgres"), "-D", self.data, "-k", self.folder,
             *(word for setting in settings for word in ("-c", setting))],
            self.log_path, user=self.as_user)
        wait_until(self.ready, 30, "PostgreSQL answers")
        if create and self.query("SELECT count(*) FROM pg_database WHERE datname = "
                                 f"'{self.database}'", "postgres") == "0":
            self.query(f"CREATE DATABASE {self.database}", "postgres")
        return self

    def ready(self):
        assert self.process.alive(), "PostgreSQL has ended:\n" + self.process.log_tail()
        return subprocess.run(
            [os.path.join(self.bin, "pg_isready"), "-q", "-h", self.folder, "-U", self.user,
             "-d", "postgres"],
            check=False).returncode == 0

    def query(self, sql, database=None, user=None):
        """Rows as text, columns separated by |."""
        return self._run([os.path.join(self.bin, "psql"), "-X", "-A", "-t", "-q", "-v",
                          "ON_ERROR_STOP=1", "-h", self.folder, "-U", user or self.user,
                          "-d", database or self.database, "-c", sql]).strip()

    def stop(self):
        """A fast shutdown: open sessions are ended."""
        self.process.stop(signal.SIGINT, 30)

    def kill(self):
        """The postmaster dies at once; its children notice and go, which the next start needs. It is
        halted first, so that it has no children but those that are waited for."""
        self.process.pause()
        wait_until(self.process.stands_still, 20, "the postmaster stands still")
        orphans = children(self.process.pid)
        self.process.kill()
        wait_until(lambda: all(gone(pid) for pid in orphans), 20, "its children have gone")

    def end(self):
        """For good, at once. Not by SIGKILL where it can be helped: that leaves a segment of shared
        memory behind, of which the machine has a few thousand."""
        if self.process and self.process.alive():
            self.process.send(signal.SIGCONT)
            self.process.stop(signal.SIGQUIT, 30)

    def restart(self, kill=False):
        self.kill() if kill else self.stop()
        self.start()


def _postgres_bin():
    base = "/usr/lib/postgresql"
    versions = sorted((v for v in os.listdir(base) if v.isdigit()), key=int, reverse=True)
    if not versions:
        raise AssertionError("PostgreSQL is not installed")
    return os.path.join(base, versions[0], "bin")

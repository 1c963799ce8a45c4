"""fleethub as a process, and its HTTP interface as a client sees it."""

import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import urllib.parse

from .process import BUILD_DIR, Process, free_port, scaled, wait_until

START_TRIES = 5
PROGRAM = os.environ.get("FLEETHUB_PROGRAM") or os.path.join(BUILD_DIR, "hub", "fleethub")


class Unavailable(OSError):
    """A 503: try again, as its Retry-After says. wait_until does."""


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def yaml(value, indent=0):
    """Block YAML of dicts, lists of scalars and scalars; strings are quoted as in JSON."""
    lines = []
    for name, item in value.items():
        if isinstance(item, dict):
            lines.append(" " * indent + f"{name}:")
            lines.append(yaml(item, indent + 2).rstrip("\n"))
        else:
            lines.append(" " * indent + f"{name}: {json.dumps(item)}")
    return "\n".join(lines) + "\n"


def merged(base, changes):
    result = dict(base)
    for name, item in changes.items():
        both = isinstance(item, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], item) if both else item
    return result


class Hub:
    """One hub. `settings` are changes to the configuration below."""

    def __init__(self, folder, nats_url, dsn, name="hub", settings=None, env="test",
                 region="eu-north"):
        self.folder, self.name = folder, name
        self.log_path = os.path.join(folder, f"{name}.log")
        self.config_path = os.path.join(folder, f"{name}.yaml")
        self.process = None
        self.processes = []
        self.port = 0
        self.config = merged({
            "env": env,
            "region": region,
            "nats": {"url": nats_url, "limits": {
                "state_bytes": 256 << 20, "events_bytes": 256 << 20, "ack_bytes": 64 << 20,
                "record_bytes": 256 << 20}},
            "postgres": {"dsn": dsn},
            "http": {"listen": "127.0.0.1:0"},
            "auth": {"mode": "off"},
            "log": {"level": "info"},
            # A day: tests that look at all of the record are not to meet tracks by chance.
            "record": {"track_s": 86400},
        }, settings or {})

    def write_config(self):
        self.config["http"]["listen"] = f"127.0.0.1:{self.port}"
        with open(self.config_path, "w", encoding="utf-8") as config:
            config.write(yaml(self.config))

    def start(self, ready=True, migrate=True):
        """Starts it and waits until it answers; with `ready`, until its twins are recovered and
        the archive is written. The first start picks the port, later ones keep it."""
        for _ in range(1 if self.port else START_TRIES):
            first = self.port == 0
            if first:
                self.port = free_port()
            self.launch(migrate)
            wait_until(lambda: not self.process.alive() or (
                self.process.listens(self.port) and self.get("/livez").status == 200), 30,
                "the hub answers /livez")
            if self.process.alive():
                break
            if first and "in use" in self.process.log():
                self.processes.remove(self.process)
                self.port = 0
                continue
            raise AssertionError("the hub has ended:\n" + self.process.log_tail())
        if ready:
            self.wait_ready()
        return self

    def launch(self, migrate=True):
        """Starts it and waits for nothing."""
        self.write_config()
        self.process = Process(
            [PROGRAM, "run", "--config", self.config_path] + (["--migrate"] if migrate else []),
            self.log_path)
        self.processes.append(self.process)

    def wait_ready(self, status="ready", timeout=30):
        def reached():
            assert self.process.alive(), "the hub has ended:\n" + self.process.log_tail()
            reply = self.get("/readyz?verbose")
            return reply.json()["status"] == status and reply
        return wait_until(reached, timeout, f"/readyz says {status}")

    def kill(self):
        self.process.kill()

    def stop(self, timeout=10):
        """SIGTERM; the exit status."""
        return self.process.stop(signal.SIGTERM, timeout)

    def trouble(self):
        """What no test may pass over: that it died, and what a sanitizer found; "" for none."""
        deaths = [how for how in (process.died() for process in self.processes) if how]
        if not deaths and not (self.process and self.process.sanitizer_report()):
            return ""
        return "\n".join([f"{self.name}:", *deaths, self.process.log_tail()])

    # ---- HTTP ----

    def request(self, method, path, headers=None, body=None, timeout=15):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=scaled(timeout))
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            data = answer.read()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {error!r}") from error
        finally:
            connection.close()

    def get(self, path, headers=None, **parameters):
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters)
        return self.request("GET", path, headers)

    def json(self, path, **parameters):
        reply = self.get(path, **parameters)
        if reply.status == 503:
            raise Unavailable(f"GET {path}: {reply.body[:500]!r}")
        if reply.status != 200:
            raise AssertionError(f"GET {path} {parameters}: {reply.status} {reply.body[:500]!r}")
        return reply.json()

    def unzipped(self, path):
        reply = self.get(path, {"Accept-Encoding": "gzip"})
        return reply, gzip.decompress(reply.body)

    def pages(self, path, member, **parameters):
        """Every item of a list, page by page."""
        items = []
        while True:
            page = self.json(path, **parameters)
            items += page[member]
            token = page.get("next_page_token")
            if not token:
                return items
            parameters["page_token"] = token

    def twins(self):
        return {twin["vid"]: twin for twin in
                self.pages("/v1/vehicles", "vehicles", page_size=1000)}

    def events(self, **parameters):
        parameters.setdefault("page_size", 1000)
        return self.pages("/v1/events", "events", **parameters)

    def metrics(self):
        """{name: {labels as sorted tuple of pairs: value}}"""
        values = {}
        for line in self.get("/metrics").body.decode().splitlines():
            match = re.fullmatch(r"([a-z_0-9]+)(?:\{(.*)\})? (\S+)", line)
            if match:
                pairs = tuple(sorted(re.findall(r'([a-z_]+)="([^"]*)"', match.group(2) or "")))
                values.setdefault(match.group(1), {})[pairs] = float(match.group(3))
        return values

    def metric(self, name, **labels):
        """The sum over all label values not named."""
        wanted = set(labels.items())
        return sum(value for pairs, value in self.metrics().get("fleethub_" + name, {}).items()
                   if wanted <= set(pairs))


def command(*words, env=None, timeout=30):
    """Runs `fleethub WORDS` to its end."""
    return subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=scaled(timeout),
                          env=dict(os.environ, **(env or {})))

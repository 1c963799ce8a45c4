"""The example configurations of nats-server for the field (deploy/nats/secure-*.conf) as running servers, with
certificates and users of their own."""

import os
import shutil
import ssl
import subprocess

from .process import SOURCE_DIR, Process, scaled, wait_until
from .servers import answers

EXAMPLES = os.path.join(SOURCE_DIR, "deploy", "nats")


class Secured:
    """A nats-server with one of the example configurations."""

    def __init__(self, folder, config, port, environment, name=None):
        self.port, self.log_path = port, os.path.join(folder, f"{name or config}.log")
        self.program = os.environ.get("NATS_SERVER") or shutil.which(
            "nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        self.command = ["env", *(f"{name}={value}" for name, value in environment.items()),
                        self.program, "-c", os.path.join(folder, config)]
        self.what = name or config
        self.start()

    def start(self):
        self.process = Process(self.command, self.log_path)
        wait_until(lambda: not self.process.alive() or answers(self.port), 20,
                   f"{self.what} answers")
        assert self.process.alive(), self.process.log_tail()


class SecuredFolder:
    """The examples as an operator copies them, with a certificate for 127.0.0.1 and users."""

    def __init__(self, path):
        self.path = path
        shutil.copytree(EXAMPLES, path)
        self.cert, self.key = os.path.join(path, "cert.pem"), os.path.join(path, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.cert,
                        "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1"],
                       capture_output=True, check=True, timeout=scaled(60))
        self.tls = ssl.create_default_context(cafile=self.cert)

    def environment(self):
        return {"FLEETHUB_NATS_PASSWORD": "hub-password", "FLEETHUB_TLS_CERT": self.cert,
                "FLEETHUB_TLS_KEY": self.key, "FLEETHUB_TLS_CA": self.cert}

    def add_user(self, vid):
        """The password."""
        return subprocess.run(
            [os.path.join(self.path, "vehicle-user"), "--file",
             os.path.join(self.path, "vehicles.conf"), "test", vid],
            capture_output=True, check=True, text=True, timeout=scaled(20)).stdout.strip()

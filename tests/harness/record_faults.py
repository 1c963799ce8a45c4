"""What tests/torture does to the hubs, PostgreSQL, nats-server and the links between them. A fault
is a function: it calls `load` (or `loaded`, of a moment that it does not choose itself) directly
before it strikes, strikes, and repairs what it broke. It waits for no recovery."""

import os
import signal
import time

from .commit_proxy import CUTS
from .process import children, gone, scaled, wait_until

PAUSE_S = 0.8         # at most, between a kill and the next start
FREEZE_S = 3          # at most, of a server
HOLD_S = (0.2, 7)     # of a COMMIT or its answer; a lease ends after five
TAKEOVER_S = 10       # a hub that froze is replaced within that
CUT_S = 30            # until a COMMIT comes that meets the cut

FAULTS = {}  # name: (function, what it is)


def fault(text):
    def add(function):
        FAULTS[function.__name__] = (function, text)
        return function
    return add


# ---- hubs ----

@fault("kill -9 of the hub that writes")
def hub_kill(torture):
    hub = torture.writer()
    torture.load()
    hub.kill()
    torture.pause(PAUSE_S)
    hub.launch()


@fault("kill -9 of both hubs")
def hubs_kill(torture):
    torture.load()
    for hub in torture.hubs:
        hub.process.send(signal.SIGKILL)
    for hub in torture.hubs:
        hub.kill()
    torture.pause(PAUSE_S)
    for hub in torture.hubs:
        hub.launch()


@fault("SIGSTOP of the hub that writes, for less than its lease")
def hub_freeze(torture):
    hub = torture.writer()
    torture.load()
    hub.process.pause()
    torture.pause(FREEZE_S)
    hub.process.resume()


@fault("SIGSTOP of the hub that writes, until the other one does")
def hub_takeover(torture):
    hub = torture.writer()
    before = torture.writer_number()
    torture.load()
    hub.process.pause()
    try:
        wait_until(lambda: torture.writer_number() > before, TAKEOVER_S, "the other hub takes over")
    finally:
        hub.process.resume()


# ---- PostgreSQL ----

@fault("kill -9 of the postmaster")
def postmaster_kill(torture):
    postgres = torture.postgres
    torture.load()
    postgres.kill()
    torture.pause(PAUSE_S)
    postgres.start(create=False)


@fault("kill -9 of the backend that writes (PostgreSQL recovers by itself)")
def backend_kill(torture):
    pid = torture.backend()
    torture.load()
    send(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid) and torture.postgres.ready(), 30, "PostgreSQL is back")


@fault("SIGSTOP of PostgreSQL, all of it")
def postgres_freeze(torture):
    postmaster = torture.postgres.process.pid
    torture.load()
    pids = [postmaster, *children(postmaster)]
    for pid in pids:
        send(pid, signal.SIGSTOP)
    torture.pause(FREEZE_S)
    for pid in reversed(pids):
        send(pid, signal.SIGCONT)


@fault("SIGSTOP of the backend that writes")
def backend_freeze(torture):
    pid = torture.backend()
    torture.load()
    send(pid, signal.SIGSTOP)
    torture.pause(FREEZE_S)
    send(pid, signal.SIGCONT)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it went by itself


# ---- nats-server ----

@fault("kill -9 of nats-server, started again on the same store")
def nats_kill(torture):
    torture.load()
    torture.nats.kill()
    torture.pause(PAUSE_S)
    torture.nats.start()


@fault("SIGSTOP of nats-server")
def nats_freeze(torture):
    torture.load()
    torture.nats.process.pause()
    torture.pause(FREEZE_S)
    torture.nats.process.resume()


# ---- the link, in the middle of a COMMIT ----

def _cut(name):
    def strike(torture):
        torture.proxy.arm(name, torture.loaded)
        try:
            deadline = time.monotonic() + scaled(CUT_S)
            while not torture.proxy.fired.is_set():
                torture.top_up()
                if time.monotonic() > deadline:
                    raise AssertionError(f"no COMMIT has met the cut ({torture.why_low()})")
            if "held" in name:
                torture.pause(HOLD_S[1], HOLD_S[0])
        finally:
            torture.proxy.disarm()
            torture.proxy.release()
    strike.__name__ = "commit_" + name
    return fault("the link cut at a COMMIT: " + CUTS[name])(strike)


for _name in CUTS:
    _cut(_name)

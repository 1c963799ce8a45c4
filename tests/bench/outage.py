#!/usr/bin/env python3
"""PostgreSQL gone while events keep coming: the hub's memory, what it says of itself, and how fast it catches
up once PostgreSQL is back.

    tests/bench/outage.py [--rate N] [--seconds S] [--build DIR]

Prints one JSON object a line. Run by hand; the stream takes some 400 bytes for each event.
"""

import math
import threading
import time

from common import options, resident_mib, show

ENV = "test"
WARM_S = 10        # before PostgreSQL goes
STEP_S = 0.05
EVENTS_BYTES = 4 << 30
CATCH_UP_S = 1800
SAMPLE_S = 1


class Publisher:
    """Events at a steady rate, in bursts of STEP_S; the stream acknowledges none."""

    def __init__(self, client, rate):
        from harness.load import Load
        self.client, self.rate, self.load = client, rate, Load(ENV, "outage")
        self.sent = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _frame(self, number):
        _, subject, _, payload = self.load.make(number)
        return b"PUB %s %d\r\n%s\r\n" % (subject, len(payload), payload)

    def _run(self):
        began = time.monotonic()
        while not self.stopped.is_set():
            due = math.floor((time.monotonic() - began) * self.rate)
            if due > self.sent:
                self.client.socket.sendall(b"".join(
                    self._frame(number) for number in range(self.sent, due)))
                self.sent = due
            time.sleep(STEP_S)

    def stop(self):
        self.stopped.set()
        self.thread.join()
        self.client.flush()


def on_record(stack):
    return int(stack.postgres.query("SELECT next_seq - 1 FROM log_head"))


def resident_during(pid, seconds):
    samples = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        samples.append(resident_mib(pid))
        time.sleep(SAMPLE_S)
    return samples


def measure(rate, seconds):
    from harness import Stack, wait_until
    settings = {"nats": {"limits": {"events_bytes": EVENTS_BYTES, "ack_bytes": EVENTS_BYTES // 8}}}
    with Stack(settings, leaf=False) as stack, stack.nats.client() as client:
        pid = stack.hub.process.pid
        publisher = Publisher(client, rate)
        warm = resident_during(pid, WARM_S)
        show("outage.resident_before", max(warm), "MiB")
        stack.postgres.stop()
        began, before = time.monotonic(), publisher.sent
        samples = resident_during(pid, seconds)
        say = stack.hub.get("/readyz?verbose").json()["status"]
        lasted = time.monotonic() - began
        show("outage.rate", (publisher.sent - before) / lasted, "events/s", rate)
        show("outage.resident_first_tenth", max(samples[:len(samples) // 10]), "MiB")
        show("outage.resident_last_tenth", max(samples[-(len(samples) // 10):]), "MiB")
        show("outage.readyz_says_degraded", float(say == "degraded"), "bool")
        publisher.stop()
        stack.postgres.start(create=False)
        back, start = time.monotonic(), on_record(stack)
        wait_until(lambda: on_record(stack) > start, 60, "the archive goes on")
        show("outage.goes_on_after", time.monotonic() - back, "s")
        most = 0
        while on_record(stack) < publisher.sent:
            most = max(most, resident_mib(pid))
            if time.monotonic() - back > CATCH_UP_S:
                raise SystemExit(f"{on_record(stack)} of {publisher.sent} on record")
            time.sleep(SAMPLE_S)
        show("outage.catch_up", (publisher.sent - start) / (time.monotonic() - back), "events/s")
        show("outage.resident_catching_up", most, "MiB")
        stack.hub.wait_ready()


def main():
    chosen = options(__doc__, rate=10000, seconds=180)
    measure(chosen.rate, chosen.seconds)


if __name__ == "__main__":
    main()

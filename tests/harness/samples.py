"""What a process and a hub's metrics look like every few seconds, and whether a figure stays flat."""

import os
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2 ** 20


def process_figures(pid):
    """Resident MiB, processor seconds, open files and threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return {"rss_mib": int(fields[21]) * PAGE / MIB,
            "cpu_s": (int(fields[11]) + int(fields[12])) / TICKS,
            "threads": int(fields[17]),
            "fds": len(os.listdir(f"/proc/{pid}/fd"))}


def slope(points):
    """Of the line of least squares through (x, y), in y for each x."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def growth(points):
    """How much the line through them rises from the first to the last."""
    return slope(points) * (points[-1][0] - points[0][0])


class Sampler:
    """Calls `look`, which gives a dict of numbers, every `every_s`, in a thread of its own; `show`
    is called with each sample. A look that fails is kept among `failures`."""

    def __init__(self, look, every_s, show=None):
        self.look, self.every_s, self.show = look, every_s, show
        self.samples, self.failures = [], []
        self.began = time.monotonic()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.ended.set()
        self.thread.join()

    def _run(self):
        while not self.ended.is_set():
            try:
                self.take()
            except OSError as error:
                self.failures.append(repr(error))
            self.ended.wait(self.every_s)

    def take(self):
        sample = dict(self.look(), at_s=time.monotonic() - self.began)
        self.samples.append(sample)
        if self.show:
            self.show(sample)

    def series(self, name, from_s=0.0):
        """(seconds, value) of the samples that have it."""
        return [(sample["at_s"], sample[name]) for sample in self.samples
                if name in sample and sample["at_s"] >= from_s]

    def most(self, name):
        return max((value for _, value in self.series(name)), default=0)

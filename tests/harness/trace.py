"""Recorded flights, and what the hub must hold after one was replayed."""

import collections
import datetime
import json
import os
import random

from .process import SOURCE_DIR

OWN_TRACES = os.path.join(SOURCE_DIR, "tests", "traces")


def find_trace(name):
    """The path of a recording that is not part of the project, None where it is not there."""
    folders = [os.environ.get("FLEETHUB_TRACES"),
               os.path.join(os.path.dirname(SOURCE_DIR), "shared", "traces")]
    for folder in folders:
        if folder and os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    return None


def timestamp(moment=None):
    moment = moment or datetime.datetime.now(datetime.timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def envelope(data, moment=None, **members):
    """An envelope's bytes, at `moment` or now, with boot, seq or vid where given."""
    document = dict({"timestamp": timestamp(moment)}, **members, data=data)
    return json.dumps(document, separators=(",", ":")).encode()


class Trace:
    def __init__(self, path):
        self.path = path
        self.lines = []
        self.states = collections.defaultdict(dict)  # vid: {type: data of the last message}
        self.events = []  # (vid, type, data), in order
        with open(path, encoding="utf-8") as file:
            for text in file:
                line = json.loads(text)
                self.lines.append(line)
                category, _, kind = line["subject"].partition(".")
                if category == "state":
                    self.states[line["vid"]][kind] = line["data"]
                elif category == "evt":
                    self.events.append((line["vid"], kind, line["data"]))

    def duration_s(self):
        return self.lines[-1]["t"] - self.lines[0]["t"]

    def messages(self, env, boot="b1"):
        """[(subject, payload)]: the whole recording, ending now, as one boot of each vehicle."""
        start = (datetime.datetime.now(datetime.timezone.utc)
                 - datetime.timedelta(seconds=self.duration_s()))
        seqs = collections.Counter()
        result = []
        for line in self.lines:
            vid = line["vid"]
            seqs[vid] += 1
            result.append((f"fleet.{env}.veh.{vid}.{line['subject']}",
                           envelope(line["data"], start + datetime.timedelta(seconds=line["t"]),
                                    boot=boot, seq=seqs[vid])))
        return result

    def shuffled(self, messages, within_s, seed=1):
        """The messages as a bad network might bring them: each up to `within_s` late."""
        chance = random.Random(seed)
        order = sorted(range(len(messages)),
                       key=lambda i: self.lines[i]["t"] + chance.random() * within_s)
        return [messages[i] for i in order]

    def difference(self, twins):
        """What is wrong with the twins, as text; "" when each state is the last of its type."""
        if sorted(twins) != sorted(self.states):
            return f"twins are {sorted(twins)}, not {sorted(self.states)}"
        for vid, states in self.states.items():
            if twins[vid]["state"] != states:
                for kind in sorted(set(states) | set(twins[vid]["state"])):
                    have, want = twins[vid]["state"].get(kind), states.get(kind)
                    if have != want:
                        return f"{vid} {kind} is {have}, not {want}"
        return ""

    def event_difference(self, records):
        """The same for records of kind `event`: each of the trace once, none twice."""
        def key(vid, kind, data):
            return (vid, kind, json.dumps(data, sort_keys=True))
        have = collections.Counter(key(r["vid"], r["type"], r["data"]) for r in records)
        want = collections.Counter(key(*event) for event in self.events)
        missing, surplus = want - have, have - want
        if not missing and not surplus:
            return ""
        return (f"{sum(missing.values())} missing, e.g. {list(missing)[:2]}; "
                f"{sum(surplus.values())} too many, e.g. {list(surplus)[:2]}")

"""What must hold after a fleet has flown, whatever was asked of the hub meanwhile: each event,
acknowledgement, command and write is on record exactly once, and each twin is the last message of each
kind that its vehicle sent. Judged from the vehicles' own account, the streams and PostgreSQL's tables."""

import base64
import calendar
import collections
import json
import time

from .fleets import ENDED, FleetCommandCase
from .record_check import broken_invariants, records, tree_difference

EXAMPLES = 3


class Commands(FleetCommandCase):
    """The judgement of command fleets, on a stack that somebody else has."""

    def __init__(self, stack):
        super().__init__("wait_end")
        self.stack = stack

    def setUp(self):
        pass


class Seen:
    """What one pass over the record finds."""

    def __init__(self):
        self.kinds = collections.Counter()
        self.by_type = collections.Counter()  # (kind, type) of what vehicles sent
        self.keys = collections.Counter()     # of what may be there once alone
        self.ends = {}                        # cmd_id: the last state on record
        self.commands = set()
        self.requests, self.outcomes = set(), collections.Counter()
        self.system = collections.Counter()
        self.leaves, self.bad_hashes = [], 0

    def take(self, record):
        self.kinds[record.kind] += 1
        self.leaves.append(bytes.fromhex(record.hash))
        self.bad_hashes += not record.hash_is_right()
        if record.kind in ("event", "ack"):
            self.by_type[record.kind, record.type] += 1
            self.keys[record.kind, record.vid, record.boot, record.vehicle_seq] += 1
        elif record.kind == "command":
            self._take_command(json.loads(record.data))
        elif record.kind == "shadow" and record.type == "requested":
            self.requests.add(record.id)
        elif record.kind == "shadow" and record.type in ("applied", "refused"):
            self.outcomes[json.loads(record.data)["request"], record.type] += 1
        elif record.kind == "system":
            self.system[record.type] += 1

    def _take_command(self, data):
        self.commands.add(data["command_id"])
        if data.get("cmd_id"):
            self.ends[data["cmd_id"]] = data["to"]
        self.keys["command", data["command_id"], data.get("cmd_id"), data.get("to")] += 1


def _some(items):
    items = list(items)
    return f"{len(items)}, e.g. {items[:EXAMPLES]}"


def judge_record(stack, report, users):
    """Complaints about the record, as lines, and what was seen."""
    seen = Seen()
    for record in records(stack.postgres):
        seen.take(record)
    found = [f"{name}: {number}" for name, number in broken_invariants(stack.postgres).items()]
    wrong = tree_difference(stack.postgres, seen.leaves)
    found += [wrong] if wrong else []
    if seen.bad_hashes:
        found.append(f"{seen.bad_hashes} leaf hashes are wrong")
    twice = [key for key, count in seen.keys.items() if count > 1]
    if twice:
        found.append(f"on record more than once: {_some(twice)}")
    found += _judge_sent(seen, report["sent"]["types"])
    found += _judge_writes(seen, users)
    for kind in ("gap", "epoch"):
        if seen.system.get(kind):
            found.append(f"{seen.system[kind]} records of kind system and type {kind}")
    if seen.kinds["rejected"]:
        found.append(f"{seen.kinds['rejected']} messages were refused")
    return found, seen


def _judge_sent(seen, types):
    """What fleetsim says that it has sent, type by type."""
    found = []
    kinds = {"evt": "event", "cmdack": "ack"}
    expected = {(kinds[name.partition(".")[0]], name.partition(".")[2]): count
                for name, count in types.items() if name.partition(".")[0] in kinds}
    for key in sorted(set(expected) | set(seen.by_type)):
        if expected.get(key, 0) != seen.by_type[key]:
            found.append(f"{key[0]} {key[1]}: {expected.get(key, 0)} sent, "
                         f"{seen.by_type[key]} on record")
    return found


def _judge_writes(seen, users):
    found = []
    if len(seen.requests) != users.writes:
        found.append(f"{users.writes} writes were answered, {len(seen.requests)} are on record")
    settled = {request for request, _ in seen.outcomes}
    if settled != seen.requests:
        found.append(f"writes without an outcome: {_some(seen.requests - settled)}")
    twice = [key for key, count in seen.outcomes.items() if count > 1]
    refused = [request for request, kind in seen.outcomes if kind == "refused"]
    if twice or refused:
        found.append(f"writes with two outcomes {_some(twice)}, refused ones {_some(refused)}")
    return found


class Crossings:
    """Commands to one vehicle that came in each other's way: what the vehicle did of the first is not all that counts
    (contract: a recovery command takes over from what is under way, and a mode that another command has
    changed is not seen any more by who verifies it)."""

    MODES = ("hold", "rtl", "set_mode")
    RECOVERY = ("hold", "rtl")
    NEAR_S = 5  # from the end of one to the sending of the one that ended it

    def __init__(self, judge, command_ids):
        self.sent = collections.defaultdict(list)  # vid: (time, command, type)
        for command_id in command_ids:
            kind = judge.hub.get(f"/v1/commands/{command_id}").json()["type"]
            for vid, row in judge.states(command_id).items():
                if row["sent"]:
                    self.sent[vid].append((_seconds(row["sent"]), command_id, kind))

    def __call__(self, vid, row):
        crossing = {("cancelled", "superseded"): self.RECOVERY,
                    ("timed_out", "not_verified"): self.MODES}.get((row["state"], row["reason"]), ())
        first, last = _seconds(row["sent"]) - self.NEAR_S, _seconds(row["updated"]) + self.NEAR_S
        return any(kind in crossing and first <= at <= last and not row["cmd_id"].startswith(command_id)
                   for at, command_id, kind in self.sent[vid])


def _seconds(text):
    whole, _, rest = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + (rest or "0"))


def judge_commands(stack, command_ids, account, seen):
    """What the hub shows of each command is what the vehicles did, and the record says so too."""
    judge = Commands(stack)
    crossed = Crossings(judge, command_ids)
    found, states = [], collections.Counter()
    for command_id in command_ids:
        try:
            command = judge.expect_possible(command_id, account, crossed=crossed)
            for vid, row in judge.states(command_id).items():
                states[row["state"]] += 1
                cmd_id = row["cmd_id"] or f"{command_id}.{vid}"
                on_record = seen.ends.get(cmd_id)
                if on_record != row["state"] and row["state"] != "blocked":
                    found.append(f"{cmd_id} is {row['state']}, on record {on_record}")
            if command["status"] not in ENDED:
                found.append(f"command {command_id} is {command['status']}")
        except AssertionError as error:
            found.append(f"command {command_id}: {str(error)[:300]}")
    missing = set(command_ids) - seen.commands
    if missing:
        found.append(f"commands that are not on record: {_some(missing)}")
    strange = {line["cmd_id"].split(".")[0] for line in account.values()} - set(command_ids)
    if strange:
        found.append(f"vehicles did what nobody asked: {_some(strange)}")
    return found, states


def judge_twins(stack, vids, types):
    """Each twin's states are the last messages of their subjects, as the stream has them."""
    twins = stack.hub.twins()
    wrong = []
    if set(twins) != set(vids):
        return [f"{len(twins)} twins of {len(vids)} vehicles"]
    with stack.nats.client() as client:
        for vid in vids:
            for kind in types:
                answer = client.js_api("STREAM.MSG.GET.TWIN_STATE",
                                       {"last_by_subj": f"fleet.test.veh.{vid}.state.{kind}"},
                                       timeout=30)
                last = json.loads(base64.b64decode(answer["message"]["data"]))["data"]
                if twins[vid]["state"].get(kind) != last:
                    wrong.append(f"{vid} {kind}: {twins[vid]['state'].get(kind)}, not {last}")
    return [f"twins are not the last messages: {_some(wrong)}"] if wrong else []

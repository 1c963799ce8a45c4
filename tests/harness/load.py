"""Events and acknowledgements made from numbers, and what the record must hold of them afterwards:
each exactly once, byte for byte."""

import datetime
import json

VEHICLES = 40
ACK_EVERY = 10    # each so manieth is an acknowledgement
NUL_EVERY = 97    # has a \\u0000, which jsonb refuses
LARGE_EVERY = 211
LARGE_BYTES = 3000
EXAMPLES = 3
START = datetime.datetime(2026, 1, 15, 10, 30)
TYPES = ("waypoint", "mode_change", "battery.low", "statustext")


class Load:
    """`name` sets the messages of one run apart from those of another in the same record."""

    def __init__(self, env, name):
        self.env, self.name = env, name

    def _parts(self, number):
        """vid, kind, type and data's text."""
        vid = f"VID-{number % VEHICLES:03d}"
        if number % ACK_EVERY == ACK_EVERY - 1:
            return (vid, "ack", "rtl",
                    f'{{"cmd_id":"{self.name}-{number}.{vid}","status":"completed"}}')
        text = "reached the waypoint"
        if number % NUL_EVERY == 0:
            text = "\\\\u0000 in the text"
        elif number % LARGE_EVERY == 0:
            text = "long " * (LARGE_BYTES // 5)
        return (vid, "event", TYPES[number % len(TYPES)],
                f'{{"number": {number}, "lat":59.91{number % 1000:03d}0, "severity":"info",'
                f'"text":"{text}","unit":"\\u00b5m"}}')

    def make(self, number):
        """(stream, subject, msg_id, payload) for a Gateway."""
        vid, kind, type_, data = self._parts(number)
        moment = START + datetime.timedelta(milliseconds=number)
        payload = (f'{{"timestamp":"{moment.isoformat(timespec="milliseconds")}Z",'
                   f'"boot":"{self.name}","seq":{number},"data":{data}}}').encode()
        stream, category = (("TWIN_ACK", "cmdack") if kind == "ack" else ("TWIN_EVENTS", "evt"))
        return (stream, f"fleet.{self.env}.veh.{vid}.{category}.{type_}".encode(),
                b"%s-%d" % (self.name.encode(), number), payload)

    def judge(self, records, published):
        """Compares the record with the numbers below `published`."""
        verdict = Verdict(published)
        for record in records:
            verdict.records += 1
            verdict.leaves.append(bytes.fromhex(record.hash))
            if not record.hash_is_right():
                verdict.complain("a leaf hash is wrong", record.seq)
            if record.kind in ("event", "ack"):
                self._judge_one(record, verdict)
        for number, count in enumerate(verdict.seen):
            if count == 0:
                verdict.lost += 1
                verdict.complain("lost", number)
        return verdict

    def _judge_one(self, record, verdict):
        number = record.vehicle_seq
        if record.boot != self.name or number is None or not 0 <= number < verdict.published:
            verdict.complain("a record that nobody published", record.seq)
            return
        if verdict.seen[number]:
            verdict.duplicated += 1
            verdict.complain("duplicated", number)
        verdict.seen[number] = 1
        vid, kind, type_, data = self._parts(number)
        moment_ns = round((START - datetime.datetime(1970, 1, 1)).total_seconds()) * 10**9
        same = (record.vid == vid and record.kind == kind and record.type == type_
                and record.timestamp_ns == moment_ns + number * 10**6
                and record.data == data.encode())
        if not same:
            verdict.complain("not as it was published", number)


class Verdict:
    def __init__(self, published):
        self.published, self.seen = published, bytearray(published)
        self.records = self.lost = self.duplicated = 0
        self.leaves = []  # hashes, in the order of the log
        self.complaints = {}  # what: [how often, the first examples]

    def complain(self, what, where):
        entry = self.complaints.setdefault(what, [0, []])
        entry[0] += 1
        if len(entry[1]) < EXAMPLES:
            entry[1].append(where)

    def good(self):
        return not self.complaints

    def __str__(self):
        text = (f"{self.published} published, {self.records} records, {self.lost} lost, "
                f"{self.duplicated} duplicated")
        return text + (": " + json.dumps(self.complaints) if self.complaints else "")

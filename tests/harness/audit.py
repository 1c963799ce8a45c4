"""A verifier of the record, written from docs/record-format.md alone: it shares nothing with the
hub's own, and needs nothing but Python's standard library."""

import base64
import hashlib
import json
import re

HASH_MEMBER = re.compile(rb',"hash":"([0-9a-f]{64})"')


def leaf_hash(canonical):
    return hashlib.sha256(b"\0" + canonical).digest()


def parent(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()


# ---- Ed25519, RFC 8032 section 5.1; slow, and only for checking ----

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def _add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = f - e, d - c, d + c, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _point(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        raise ValueError("no point")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_M1 % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("no point")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = _point(bytes([0x58] + [0x66] * 31))


def ed25519_verifies(public, message, signature):
    try:
        key, r = _point(public), _point(signature[:32])
    except ValueError:
        return False
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= L:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    h = int.from_bytes(digest, "little") % L
    left, right = _times(s, BASE), _add(r, _times(h, key))
    return ((left[0] * right[2] - right[0] * left[2]) % P == 0
            and (left[1] * right[2] - right[1] * left[2]) % P == 0)


# ---- checkpoints ----

class Note:
    def __init__(self, text):
        body, separator, signatures = text.partition("\n\n")
        if not separator:
            raise ValueError("no empty line ends the text of the checkpoint")
        self.signed = (body + "\n").encode()
        lines = body.split("\n")
        self.origin, self.size = lines[0], int(lines[1])
        self.root = base64.b64decode(lines[2], validate=True)
        self.extensions = lines[3:]
        self.signatures = []
        for line in signatures.splitlines():
            mark, name, data = line.split(" ")
            assert mark == "\N{EM DASH}"
            self.signatures.append((name, base64.b64decode(data, validate=True)))

    def signed_by(self, vkey):
        """Whether the key, as signed-note writes verifier keys, has signed it."""
        name, key_id, key = vkey.split("+", 2)
        key = base64.b64decode(key, validate=True)
        expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
        assert key[0] == 1 and expected.hex() == key_id
        return any(n == name and s[:4] == expected and ed25519_verifies(key[1:], self.signed, s[4:])
                   for n, s in self.signatures)


# ---- proofs, RFC 9162 sections 2.1.3.2 and 2.1.4.2 ----

def included(leaf, index, size, hashes, root):
    if not 0 <= index < size:
        return False
    node, at, last = leaf, index, size - 1
    for sibling in hashes:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = parent(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = parent(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def consistent(size, old_root, of, new_root, hashes):
    if size == of:
        return not hashes and old_root == new_root
    hashes = list(hashes)
    if size & (size - 1) == 0:
        hashes.insert(0, old_root)
    at, last = size - 1, of - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = parent(sibling, old), parent(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = parent(new, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


# ---- records ----

def canonical(line):
    """The bytes that the hash of a record covers, of its line; and the hash that the line has."""
    found = HASH_MEMBER.search(line)
    return line[:found.start()] + line[found.end():], bytes.fromhex(found.group(1).decode())


def of_answer(body):
    """The same of an answer to GET /v1/events/{id}: its last member is the proof."""
    text = body.rstrip()
    cut = text.rindex(b',"proof":')
    proof = json.loads(text)["proof"]
    return canonical(text[:cut] + b"}"), proof


class Tree:
    """The roots of the complete subtrees of what has been appended, the largest first."""

    def __init__(self):
        self.size, self.nodes = 0, []

    def append(self, node, height=0):
        assert self.size % (1 << height) == 0
        self.size += 1 << height
        while self.nodes and self.nodes[-1][0] == height:
            node, height = parent(self.nodes.pop()[1], node), height + 1
        self.nodes.append((height, node))

    def root(self):
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1][1]
        for _, node in reversed(self.nodes[:-1]):
            root = parent(node, root)
        return root


# ---- exports ----

class Bad(Exception):
    def __init__(self, seq, reason):
        super().__init__(f"record {seq}: {reason}")
        self.seq = seq


class Export:
    """Reads a whole export; raises Bad for what is wrong with it first."""

    def __init__(self, lines, vkeys=None):
        lines = list(lines)
        self.header = json.loads(lines[0])
        if self.header["export"] != "fleethub-record/1":
            raise ValueError("no export")
        self.vkeys = vkeys or self.header["keys"]
        self.tree, self.records, self.checkpoints, self.roots = Tree(), [], [], {}
        self.skipped = []
        self.ended = False
        for line in lines[1:]:
            self._line(line)
        if not self.ended:
            raise Bad(self.tree.size + 1, "the file was cut off")
        if self.tree.root().hex() != self.header["root"]:
            raise Bad(1, "the root differs")
        if not any(self.header["selection"].values()):
            self._whole()

    def _line(self, line):
        if line.startswith(b'{"id":"'):
            self._record(line)
            return
        value = json.loads(line)
        if "skip" in value:
            self._skip(value["skip"], [bytes.fromhex(node) for node in value["nodes"]])
        elif "checkpoint" in value:
            self._checkpoint(Note(value["checkpoint"]))
        elif value.get("end"):
            self.ended = True
            if (self.tree.size, len(self.records)) != (self.header["size"], value["records"]):
                raise Bad(self.tree.size + 1, "something is missing")
        else:
            raise Bad(self.tree.size + 1, "unknown line")

    def _record(self, line):
        body, told = canonical(line)
        record = json.loads(line)
        if record["seq"] != self.tree.size + 1:
            raise Bad(self.tree.size + 1, "another record stands here")
        if leaf_hash(body) != told:
            raise Bad(record["seq"], "it was changed")
        self.records.append(record)
        self.tree.append(told)

    def _whole(self):
        """What is not there retention has dropped, and says so."""
        floor = max([r["data"]["floor_seq"] for r in self.records
                     if (r["kind"], r["type"], r["stream"]) == ("system", "retention", None)],
                    default=1)
        for first, last in self.skipped:
            if last >= floor:
                raise Bad(max(first, floor), "it is missing")

    def _skip(self, count, nodes):
        end = self.tree.size + count
        self.skipped.append((self.tree.size + 1, end))
        for node in nodes:
            height = (end - self.tree.size).bit_length() - 1
            if self.tree.size:
                height = min(height, (self.tree.size & -self.tree.size).bit_length() - 1)
            self.tree.append(node, height)
            self.roots[self.tree.size] = self.tree.root()
        if self.tree.size != end:
            raise Bad(self.tree.size + 1, "nodes are missing")

    def _checkpoint(self, note):
        if note.origin != self.header["origin"] or note.size != self.tree.size:
            raise Bad(self.tree.size, "a checkpoint out of place")
        if not any(note.signed_by(vkey) for vkey in self.vkeys):
            raise Bad(note.size, "a checkpoint that is not signed")
        if note.root != self.tree.root():
            raise Bad(note.size, "a checkpoint of something else")
        self.checkpoints.append(note)

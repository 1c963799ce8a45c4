"""The JSON Schemas of schema/ and the OpenAPI document, and whether something is as they say.

It needs Debian's python3-jsonschema. Where that is missing `jsonschema` is None: tests skip, and
say so; in CI it has to be there."""

import json
import os
import re
import warnings

from .process import SOURCE_DIR

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import jsonschema
        from jsonschema import RefResolver
except ImportError:
    if os.environ.get("CI"):
        raise
    jsonschema = None

MISSING = "python3-jsonschema is not installed"
FOLDER = os.path.join(SOURCE_DIR, "schema")
METHODS = ("get", "put", "post", "patch", "delete")
TOKEN = r"[A-Za-z0-9_-]{1,64}"
SUBJECT_PARTS = {"env": TOKEN, "vid": TOKEN, "region": TOKEN, "type": rf"{TOKEN}(?:\.{TOKEN}){{0,3}}"}


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return json.load(file)


def names():
    """The files that are schemas of messages and answers."""
    return sorted(name for name in os.listdir(FOLDER)
                  if name.endswith(".json") and name != "subjects.json")


def closed(schema):
    """The same schema, where each object has no members but those it names, unless it says that
    there may be others. Clients are to bear with new members; tests are not to overlook them."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: closed(item) for name, item in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        result.setdefault("additionalProperties", False)
    return result


def pattern_of(template, parts, other):
    """A regular expression for what fits `{name}` templates."""
    pieces = re.split(r"(\{\w+\})", template)
    return re.compile("".join(parts.get(p[1:-1], other) if p.startswith("{") else re.escape(p)
                              for p in pieces))


def errors(validator, value):
    """What is wrong with it, as text; "" when nothing is."""
    found = sorted(validator.iter_errors(value), key=lambda e: list(map(str, e.absolute_path)))
    return "\n".join(f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:400]}"
                     for e in found[:5])


class Schemas:
    """Those of schema/, each in a file."""

    def __init__(self, close=True):
        self.close = close
        self.store = {}
        for name in names():
            schema = read(name)
            self.store["file:///" + name] = closed(schema) if close else schema
        self.subjects = [(pattern_of(entry["subject"], SUBJECT_PARTS, TOKEN), entry)
                         for entry in read("subjects.json")["subjects"]]

    def validator(self, name, pointer=""):
        uri = "file:///" + name
        resolver = RefResolver(uri, self.store[uri], store=self.store)
        return jsonschema.Draft202012Validator({"$ref": uri + pointer}, resolver=resolver)

    def entry(self, subject):
        """The line of subjects.json that counts, None where there is none."""
        for pattern, entry in self.subjects:
            if pattern.fullmatch(subject):
                return entry
        return None

    def message_errors(self, subject, payload):
        """What is wrong with a message; "" when nothing is."""
        entry = self.entry(subject)
        if not entry:
            return f"no schema for {subject}"
        value = json.loads(payload)
        found = errors(self.validator(entry["schema"]), value)
        if not found and "data" in entry:
            found = errors(self.validator(entry["data"]), value["data"])
        return found


class OpenApi:
    """The document as the hub serves it, and which of it was met."""

    def __init__(self, document):
        self.document = document
        self.closed = closed(document)
        self.paths = [(pattern_of(path, {}, r"[^/:]+"), path) for path in document["paths"]]
        # A path without a parameter goes before one with: /v1/vehicles/stream is no vehicle.
        self.paths.sort(key=lambda entry: entry[1].count("{"))
        self.met = set()  # (operationId, status)

    def followed(self, value):
        while "$ref" in value:
            target = self.closed
            for step in value["$ref"][2:].split("/"):
                target = target[step]
            value = target
        return value

    def operations(self):
        for path, item in self.closed["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method, path, item[method]

    def operation(self, method, path):
        for pattern, template in self.paths:
            if pattern.fullmatch(path.partition("?")[0]):
                return self.closed["paths"][template].get(method.lower())
        return None

    def errors(self, schema, value):
        resolver = RefResolver("", self.closed)
        return errors(jsonschema.Draft202012Validator(schema, resolver=resolver), value)

    def reply_errors(self, method, path, reply):
        """What an answer has that the document does not say, as text; "" when nothing. The status
        has to be among the operation's own: `default` is for what any request may meet."""
        operation = self.operation(method, path)
        if not operation:
            return "no such operation"
        described = operation["responses"].get(str(reply.status))
        if not described:
            return f"{operation['operationId']} does not say that it answers {reply.status}"
        self.met.add((operation["operationId"], reply.status))
        described = self.followed(described)
        return (self._header_errors(described, reply) or self._body_errors(described, reply))

    def _header_errors(self, described, reply):
        for name, header in described.get("headers", {}).items():
            header = self.followed(header)
            value = reply.headers.get(name.lower())
            if value is None:
                if header.get("required"):
                    return f"no header {name}"
                continue
            if header["schema"]["type"] == "integer":
                value = int(value)
            found = self.errors(header["schema"], value)
            if found:
                return f"header {name}: {found}"
        for name in ("etag", "link", "location", "fleet-position", "age", "retry-after"):
            if name in reply.headers and name not in map(str.lower, described.get("headers", {})):
                return f"a header {name} that is not described"
        return ""

    def _body_errors(self, described, reply):
        content = described.get("content")
        if content is None:
            return f"a body: {reply.body[:200]!r}" if reply.body else ""
        media_type = reply.headers.get("content-type", "").partition(";")[0]
        if media_type not in content:
            return f"{media_type} is none of {sorted(content)}"
        if not media_type.endswith("json"):
            return ""
        schema = content[media_type]["schema"]
        if media_type == "application/x-ndjson":
            return ""
        return self.errors(schema, reply.json())

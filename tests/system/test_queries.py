"""Fleet queries against a slow and obvious evaluation of the same question over the twins' JSON."""

import csv
import functools
import gzip
import io
import json
import math
import random
import unittest
import urllib.parse

from harness import Stack, envelope, wait_until

VEHICLES = 300
NASTY = ["=1+1", "+47", "-x", "@home", 'say "hi"', "a,b", "line\r\nbreak", "ünïcödé ☃", "",
         "oslo-1", "plain", " =no formula"]
SITES = ["oslo-north", "oslo-south", "bergen", "tromsø", 17, 17.0, True, None, ["a", 1], {"k": 1}]
MISSING = object()


def at(twin, *names):
    for name in names:
        if not isinstance(twin, dict) or name not in twin:
            return MISSING
        twin = twin[name]
    return twin


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(twin, *names):
    value = at(twin, *names)
    return value if is_number(value) else None


def distance(twin, lat, lon):
    position = at(twin, "state", "position")
    a, b = number(position, "lat"), number(position, "lon")
    if a is None or b is None:
        return None
    a, b, lat, lon = map(math.radians, (a, b, lat, lon))
    h = math.sin((lat - a) / 2) ** 2 + math.cos(a) * math.cos(lat) * math.sin((lon - b) / 2) ** 2
    return 2 * 6371008.8 * math.asin(math.sqrt(h))


def below(value, limit):
    return value is not None and value < limit


# What is asked, and what it means.
TERMS = [
    ("state.battery.remaining < 0.5",
     lambda t: below(number(t, "state", "battery", "remaining"), 0.5)),
    ("state.battery.remaining >= 0.25",
     lambda t: not below(number(t, "state", "battery", "remaining"), 0.25)
     and number(t, "state", "battery", "remaining") is not None),
    ('state.mode.mode = "RTL"', lambda t: at(t, "state", "mode", "mode") == "RTL"),
    ('state.mode.mode != "RTL"',
     lambda t: isinstance(at(t, "state", "mode", "mode"), str)
     and at(t, "state", "mode", "mode") != "RTL"),
    ("state.mode.armed = true", lambda t: at(t, "state", "mode", "armed") is True),
    ('meta.site = "oslo-*"',
     lambda t: isinstance(at(t, "meta", "site"), str)
     and at(t, "meta", "site").startswith("oslo-")),
    ("meta.site = 17", lambda t: is_number(at(t, "meta", "site")) and at(t, "meta", "site") == 17),
    ("meta.site:*",
     lambda t: at(t, "meta", "site") not in (MISSING, None, [], {})),
    ('meta.site:"a"', lambda t: isinstance(at(t, "meta", "site"), list)
     and "a" in at(t, "meta", "site")),
    ("delta:*", lambda t: t["delta"] != {}),
    ("desired.mode = reported.mode",
     lambda t: isinstance(at(t, "desired", "mode"), str)
     and at(t, "desired", "mode") == at(t, "reported", "mode")),
    ("distance(state.position, 59.91, 10.75) < 20000",
     lambda t: below(distance(t, 59.91, 10.75), 20000)),
    ("bbox(state.position, 10.5, 59.8, 10.8, 60)",
     lambda t: distance(t, 0, 0) is not None and 10.5 <= t["state"]["position"]["lon"] <= 10.8
     and 59.8 <= t["state"]["position"]["lat"] <= 60),
    ('state."battery.cells".lowest <= 3.5',
     lambda t: number(t, "state", "battery.cells", "lowest") is not None
     and number(t, "state", "battery.cells", "lowest") <= 3.5),
    ('vid = "V-1*"', lambda t: t["vid"].startswith("V-1")),
    ("revision.desired > 0", lambda t: t["revision"]["desired"] > 0),
    ("age(state.position) < 1h", lambda t: "position" in t["state"]),
]


def random_filter(dice, depth=0):
    if depth == 2 or dice.random() < 0.3:
        return dice.choice(TERMS)
    if dice.random() < 0.25:
        text, holds = random_filter(dice, depth + 1)
        return f"NOT ({text})", lambda t: not holds(t)
    parts = [random_filter(dice, depth + 1) for _ in range(dice.choice((2, 3)))]
    word, combine = dice.choice((("AND", all), ("OR", any)))
    text = f" {word} ".join(f"({text})" for text, _ in parts)
    return text, lambda t: combine(holds(t) for _, holds in parts)


def rank(value):
    if is_number(value):
        return 0, value
    if isinstance(value, str):
        return 1, value.encode()
    if isinstance(value, bool):
        return 2, value
    return 3, 0


def ordered(twins, *keys):
    """By (names, descending) keys and the vid."""
    def compare(a, b):
        for names, descending in keys:
            x, y = rank(at(a, *names)), rank(at(b, *names))
            if x == y:
                continue
            if x[0] == 3 or y[0] == 3:
                return 1 if x[0] == 3 else -1
            return (1 if x > y else -1) * (-1 if descending else 1)
        return (a["vid"] > b["vid"]) - (a["vid"] < b["vid"])
    return sorted(twins, key=functools.cmp_to_key(compare))


def projected(twin, *paths):
    result = {"vid": twin["vid"]}
    for names in paths:
        if at(twin, *names) is MISSING:
            continue
        place = result
        for name in names[:-1]:
            place = place.setdefault(name, {})
        place[names[-1]] = at(twin, *names)
    return result


def fleet(dice):
    """Messages of states, and shadow entries."""
    messages, shadows = [], []
    for i in range(VEHICLES):
        vid = f"V-{i:03d}"
        subject = f"fleet.test.veh.{vid}.state."
        states = {}
        if dice.random() < 0.9:
            states["position"] = {"lat": round(59.7 + dice.random() * 0.5, 6),
                                  "lon": round(10.4 + dice.random() * 0.6, 6),
                                  "heading": dice.choice((None, 12.5))}
            if dice.random() < 0.8:
                states["position"]["alt"] = round(dice.random() * 120, 1)
        if dice.random() < 0.9:
            states["battery"] = {"remaining": round(dice.random(), 2),
                                 "voltage": dice.choice((12, 12.0, 11.9))}
        states["mode"] = {"mode": dice.choice(("AUTO", "RTL", "HOLD")),
                          "armed": dice.random() < 0.5}
        if dice.random() < 0.3:
            states["battery.cells"] = {"lowest": round(3 + dice.random(), 2), "all": [3.7, 3.8]}
        messages += [(subject + kind, envelope(data)) for kind, data in states.items()]
        meta = {"n": i % 50, "note": dice.choice(NASTY)}
        site = dice.choice(SITES)
        if site is not None:
            meta["site"] = site
        shadows.append((vid, "meta", meta))
        if dice.random() < 0.5:
            shadows.append((vid, "desired", {"mode": dice.choice(("AUTO", "RTL")),
                                             "led": {"on": True}}))
            shadows.append((vid, "reported", {"mode": dice.choice(("AUTO", "RTL")),
                                              "led": {"on": True}}))
    return messages, shadows


class Queries(unittest.TestCase):
    """One hub for all of them; some add vehicles whose ids begin with X."""

    @classmethod
    def setUpClass(cls):
        quiet = {"presence": {"stale_after_s": 3600, "offline_after_s": 7200}}
        cls.stack = Stack(quiet, leaf=False)
        cls.stack.__enter__()
        cls.addClassCleanup(cls.stack.__exit__, None, None, None)
        cls.hub = cls.stack.hub
        messages, shadows = fleet(random.Random(20260115))
        with cls.stack.nats.client() as client:
            client.js_publish_all(messages)
            client.js_publish_all([(f"$KV.TWIN_SHADOW.fleet/test/veh/{vid}/{part}",
                                    json.dumps(value).encode()) for vid, part, value in shadows])
        count = {part: sum(1 for _, p, _ in shadows if p == part) for part in ("desired", "meta")}

        def complete():
            twins = cls.hub.twins().values()
            return (len(twins) == VEHICLES
                    and sum(len(t["state"]) for t in twins) == len(messages)
                    and all(sum(t[part] != {} for t in twins) == count[part] for part in count))
        wait_until(complete, 30, "the fleet is there")

    def setUp(self):
        self.twins = sorted((t for t in self.hub.twins().values() if t["vid"].startswith("V-")),
                            key=lambda t: t["vid"])
        self.only = 'vid = "V-*"'

    def problem(self, status, slug, **parameters):
        path = parameters.pop("path", "/v1/vehicles")
        reply = self.hub.get(path, **parameters)
        self.assertEqual(reply.status, status, parameters)
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        body = reply.json()
        self.assertEqual(body["type"], "/problems/" + slug)
        return body

    def vids(self, **parameters):
        return [t["vid"] for t in self.hub.pages("/v1/vehicles", "vehicles", **parameters)]

    # ---- filters ----

    def test_every_term_selects_what_it_says_and_some_but_not_all(self):
        for text, holds in TERMS:
            expected = [t["vid"] for t in self.twins if holds(t)]
            self.assertEqual(self.vids(filter=f"({text}) AND {self.only}", page_size=1000),
                             expected, text)
            self.assertGreater(len(expected), 0, text)

    def test_random_filters_select_what_a_slow_evaluation_selects(self):
        dice = random.Random(7)
        for _ in range(150):
            text, holds = random_filter(dice)
            expected = [t for t in self.twins if holds(t)]
            page = self.hub.json("/v1/vehicles", filter=f"({text}) AND {self.only}", page_size=1000)
            self.assertEqual(page["vehicles"], expected, text)
            self.assertEqual(page["total_size"], len(expected), text)

    # ---- order and pages ----

    def test_order_is_typed_and_pages_hold_each_once(self):
        cases = [
            ("meta.site", [(("meta", "site"), False)]),
            ("meta.site desc", [(("meta", "site"), True)]),
            ("meta.n desc, state.mode.mode", [(("meta", "n"), True),
                                              (("state", "mode", "mode"), False)]),
            ("state.battery.remaining, meta.note desc",
             [(("state", "battery", "remaining"), False), (("meta", "note"), True)]),
            ("state.mode.armed desc", [(("state", "mode", "armed"), True)]),
            ("meta.at.all", []),
        ]
        for text, keys in cases:
            expected = [t["vid"] for t in ordered(self.twins, *keys)]
            for size in (7, 100, 299, 300, 301):
                pages, parameters = [], {"filter": self.only, "order_by": text, "page_size": size}
                while True:
                    page = self.hub.json("/v1/vehicles", **parameters)
                    self.assertEqual(page["total_size"], len(expected))
                    pages.append([t["vid"] for t in page["vehicles"]])
                    if "next_page_token" not in page:
                        break
                    parameters["page_token"] = page["next_page_token"]
                self.assertEqual(sum(pages, []), expected, (text, size))
                self.assertTrue(all(len(p) == size for p in pages[:-1]), (text, size))
                self.assertGreater(len(pages[-1]), 0)

    def test_order_by_distance(self):
        expected = sorted(self.twins, key=lambda t: (distance(t, 59.9, 10.7) is None,
                                                     distance(t, 59.9, 10.7) or 0, t["vid"]))
        got = self.vids(filter=self.only, order_by="distance(state.position, 59.9, 10.7)",
                        page_size=40)
        self.assertEqual(got, [t["vid"] for t in expected])

    def test_order_by_long_texts_pages_like_any_other(self):
        """Their keys do not fit into a token."""
        with self.stack.nats.client() as client:
            for i in range(30):
                text = "x" * 2000 + f"{i % 10:03d}"
                client.kv_put("TWIN_SHADOW", f"fleet/test/veh/XL-{i:02d}/meta",
                              {"long": text, "i": i})
        only = 'vid = "XL-*"'
        wait_until(lambda: self.hub.json("/v1/vehicles", filter=only)["total_size"] == 30, 10,
                   "they are there")
        twins = self.hub.json("/v1/vehicles", filter=only)["vehicles"]
        for descending in (False, True):
            order = "meta.long" + (" desc" if descending else "")
            expected = [t["vid"] for t in ordered(twins, (("meta", "long"), descending))]
            self.assertEqual(self.vids(filter=only, order_by=order, page_size=4), expected)

    def test_vehicles_that_appear_meanwhile_move_nobody(self):
        """Paging neither repeats nor skips who is there throughout, whoever comes in between."""
        dice = random.Random(3)
        there = {t["vid"] for t in self.twins}
        added = []

        def add(client):
            vid = f"V-{dice.randrange(VEHICLES):03d}x{len(added)}"
            client.js_publish(f"fleet.test.veh.{vid}.state.mode",
                              envelope({"mode": "AUTO", "armed": False}))
            client.kv_put("TWIN_SHADOW", f"fleet/test/veh/{vid}/meta", {"n": dice.randrange(60)})
            added.append(vid)
        with self.stack.nats.client() as client:
            for order in ("vid", "meta.n desc", "state.battery.remaining"):
                asked = {"filter": self.only, "order_by": order, "page_size": 20}
                seen, more = [], True
                while more:
                    page = self.hub.json("/v1/vehicles", **asked)
                    seen += [t["vid"] for t in page["vehicles"]]
                    more = "next_page_token" in page
                    asked["page_token"] = page.get("next_page_token")
                    for _ in range(5):
                        add(client)
                self.assertEqual(len(seen), len(set(seen)), order)
                self.assertEqual(there - set(seen), set(), order)
                there.update(added)
                wait_until(lambda: self.hub.json("/v1/vehicles", filter=self.only)["total_size"]
                           == len(there), 10, "they have come")
        self.assertGreater(len(added), 3 * 5)

    def test_token_is_bound_to_filter_and_order(self):
        asked = {"filter": self.only, "order_by": "meta.n", "page_size": 5}
        token = self.hub.json("/v1/vehicles", **asked)["next_page_token"]
        self.assertEqual(len(self.hub.json("/v1/vehicles", page_token=token,
                                           **dict(asked, page_size=9))
                             ["vehicles"]), 9)
        for other in ({"filter": 'vid = "V-1*"'}, {"order_by": "meta.n desc"}, {"order_by": ""}):
            self.problem(400, "bad-page-token", page_token=token, **dict(asked, **other))
        for bad in ("", "x", token[:-1], token + "A", "ä"):
            self.problem(400, "bad-page-token", page_token=bad, **asked)
        self.problem(400, "bad-page-token", page_token=token, format="ndjson", **asked)

    def test_link_leads_to_the_next_page(self):
        seen, path = [], "/v1/vehicles?" + urllib.parse.urlencode(
            {"filter": self.only + ' AND meta.note:*', "order_by": "meta.n desc", "page_size": 60})
        while path:
            reply = self.hub.get(path)
            seen += [t["vid"] for t in reply.json()["vehicles"]]
            link = reply.headers.get("link", "")
            self.assertEqual(bool(link), "next_page_token" in reply.json())
            path = link[1:link.index(">")] if link else None
        self.assertEqual(seen, self.vids(filter=self.only + ' AND meta.note:*',
                                         order_by="meta.n desc"))

    def test_longest_filter_still_pages(self):
        """Also by its Link, unless nearly all of it has to be escaped."""
        for text, links in (("x" * 75, True), ("é" * 38, False)):
            terms = [f'meta.note = "{text}{i}"' for i in range(40)]
            asked = {"filter": f"{self.only} AND ({' OR '.join(terms + ['meta.n >= 0'])})",
                     "order_by": "meta.n", "page_size": 290, "fields": "meta.n"}
            self.assertIn(len(asked["filter"].encode()), range(3000, 4096))
            reply = self.hub.get("/v1/vehicles", **asked)
            first = reply.json()
            second = self.hub.json("/v1/vehicles", page_token=first["next_page_token"], **asked)
            count = len(first["vehicles"]) + len(second["vehicles"])
            self.assertEqual(count, first["total_size"])
            self.assertEqual("link" in reply.headers, links)
            if links:
                link = reply.headers["link"]
                self.assertEqual(self.hub.get(link[1:link.index(">")]).json(), second)
                self.assertEqual(self.hub.get("/v1/vehicles", format="csv", **asked).status, 200)
            else:
                self.problem(400, "bad-parameter", format="csv", **asked)

    # ---- fields ----

    def test_fields_are_nested_as_in_the_twin(self):
        cases = {
            "vid": [],
            "state.battery.remaining,meta.site": [("state", "battery", "remaining"),
                                                  ("meta", "site")],
            'state."battery.cells".lowest, presence.status': [("state", "battery.cells", "lowest"),
                                                               ("presence", "status")],
            "state,state.mode": [("state",)],
            "state.position.lat,state.position": [("state", "position")],
            "meta,desired,delta,delta_since,region,revision.desired,presence": [
                ("meta",), ("desired",), ("delta",), ("delta_since",), ("region",),
                ("revision", "desired"), ("presence",)],
            "desired.led.on,delta.mode,meta.tags.x": [("desired", "led", "on"), ("delta", "mode")],
        }
        for text, paths in cases.items():
            got = self.hub.json("/v1/vehicles", filter=self.only, fields=text,
                                page_size=1000)["vehicles"]
            got = [t for t in got if t["vid"] in {t["vid"] for t in self.twins}]
            self.assertEqual(got, [projected(t, *paths) for t in self.twins], text)
            one = self.hub.json("/v1/vehicles/V-007", fields=text)
            self.assertEqual(one, projected(self.twins[7], *paths), text)

    def test_metadata_beside_fields(self):
        twin = self.hub.json("/v1/vehicles/V-007", fields="meta.n", metadata="true")
        self.assertEqual(set(twin), {"vid", "meta", "metadata"})

    # ---- representations ----

    def test_ndjson_holds_everything_in_order_in_one_answer(self):
        for asked in ({}, {"order_by": "meta.n desc", "fields": "meta.n"},
                      {"filter": "state.mode.armed = true"}):
            asked = dict(asked, filter=f"({asked.get('filter', 'vid:*')}) AND {self.only}")
            expected = self.hub.pages("/v1/vehicles", "vehicles", page_size=1000, **asked)
            for reply in (self.hub.get("/v1/vehicles", format="ndjson", page_size=2, **asked),
                          self.hub.get("/v1/vehicles", {"Accept": "application/x-ndjson"},
                                       **asked)):
                self.assertEqual(reply.headers["content-type"], "application/x-ndjson")
                self.assertEqual([json.loads(line) for line in reply.body.splitlines()], expected)
                self.assertTrue(reply.body.endswith(b"}\n"))
                self.assertTrue(reply.headers["fleet-position"])
        packed = self.hub.get("/v1/vehicles", {"Accept-Encoding": "gzip"}, format="ndjson")
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertEqual(len(gzip.decompress(packed.body).splitlines()),
                         self.hub.json("/v1/vehicles")["total_size"])

    def test_csv_is_read_back_by_a_reader_of_csv(self):
        fields = ["vid", "meta.note", "meta.site", "state.battery.remaining", "state.mode.armed",
                  'state."battery.cells"', "presence.last_seen"]
        names = [("vid",), ("meta", "note"), ("meta", "site"), ("state", "battery", "remaining"),
                 ("state", "mode", "armed"), ("state", "battery.cells"), ("presence", "last_seen")]
        rows, parameters = [], {"filter": self.only, "fields": ",".join(fields), "format": "csv",
                                "page_size": 100}
        path = "/v1/vehicles?" + urllib.parse.urlencode(parameters)
        while path:
            reply = self.hub.get(path)
            self.assertTrue(reply.headers["content-type"].startswith("text/csv"))
            page = list(csv.reader(io.StringIO(reply.body.decode(), newline="")))
            self.assertEqual(page[0], fields)
            self.assertTrue(reply.body.endswith(b"\r\n"))
            rows += page[1:]
            link = reply.headers.get("link", "")
            path = link[1:link.index(">")] if link else None
        rows = {row[0]: row for row in rows}
        for twin in self.twins:
            for cell, path in zip(rows[twin["vid"]], names):
                value = at(twin, *path)
                if value in (MISSING, None):
                    self.assertEqual(cell, "")
                elif isinstance(value, str):
                    formula = value[:1] in ("=", "+", "-", "@") and value != ""
                    self.assertEqual(cell, "'" + value if formula else value)
                else:
                    self.assertEqual(json.loads(cell), value)

    def test_csv_keeps_spreadsheets_from_computing(self):
        reply = self.hub.get("/v1/vehicles", filter=self.only, fields="meta.note", format="csv",
                             page_size=1000)
        cells = [row[0] for row in csv.reader(io.StringIO(reply.body.decode(), newline=""))][1:]
        self.assertEqual([c for c in cells if c[:1] in tuple("=+-@") and c], [])
        self.assertIn("'=1+1", cells)
        self.assertIn("'-x", cells)

    def test_csv_needs_fields(self):
        self.problem(400, "bad-parameter", format="csv")

    def test_geojson_is_a_feature_collection(self):
        for asked in ({}, {"fields": "meta.n"}):
            reply = self.hub.get("/v1/vehicles", filter=self.only, format="geojson",
                                 page_size=1000, **asked)
            self.assertEqual(reply.headers["content-type"], "application/geo+json")
            body = reply.json()
            self.assertEqual(body["type"], "FeatureCollection")
            features = {f["id"]: f for f in body["features"]}
            for twin in self.twins:
                feature = features[twin["vid"]]
                self.assertEqual(feature["type"], "Feature")
                position = twin["state"].get("position")
                if position is None:
                    self.assertIsNone(feature["geometry"])
                else:
                    place = [position["lon"], position["lat"]]
                    self.assertEqual(feature["geometry"], {
                        "type": "Point",
                        "coordinates": place + ([position["alt"]] if "alt" in position else [])})
                self.assertEqual(feature["properties"], projected(twin, ("meta", "n")) if asked
                                 else twin)
        page = self.hub.json("/v1/vehicles", format="geojson", page_size=5)
        self.assertEqual(len(page["features"]), 5)
        rest = self.hub.json("/v1/vehicles", format="geojson", page_size=1000,
                             page_token=page["next_page_token"])
        self.assertEqual(5 + len(rest["features"]), page["total_size"])

    def test_what_cannot_be_represented(self):
        self.problem(400, "bad-parameter", format="xml")
        reply = self.hub.get("/v1/vehicles", {"Accept": "image/png"})
        self.assertEqual(reply.status, 406)
        self.assertEqual(self.hub.get("/v1/vehicles", {"Accept": "image/png, */*;q=0.1"}).status,
                         200)

    # ---- errors ----

    def test_errors_name_the_place_and_what_was_meant(self):
        cases = [
            ("stat.battery.remaining < 1", 0, "state.battery.remaining"),
            ('state.mode.mode = "RTL" AND batery.x = 1', 28, None),
            ("vid = ", 6, None),
            ('vid = "é" AND a.b = 1', 14, None),  # in characters, not bytes
            ('a = 1 AND b = 2 OR c = 3', 0, None),
            ('group("nobody")', 6, None),
        ]
        for text, offset, hint in cases:
            body = self.problem(400, "bad-filter", filter=text)
            self.assertEqual(body["offset"], offset, text)
            if hint:
                self.assertIn(hint, body["hint"])
        for name, text, offset in (("order_by", "meta.n up", 7), ("fields", "vid,stat.mode", 4),
                                   ("fields", "", 0), ("fields", "vid,", 4)):
            body = self.problem(400, "bad-parameter", **{name: text})
            self.assertEqual(body["offset"], offset, text)
            self.assertIn(name, body["detail"])
        body = self.problem(400, "bad-parameter", path="/v1/vehicles/V-001", fields="nothing.here")
        self.assertEqual(body["offset"], 0)
        self.problem(400, "bad-parameter", fields=",".join(["vid"] * 200))
        self.problem(400, "bad-filter", filter=" AND ".join(["vid:*"] * 65))

    # ---- statistics ----

    def stats(self, **parameters):
        return self.hub.json("/v1/fleet/stats", **parameters)

    def test_statistics_are_what_a_slow_evaluation_says(self):
        path = ("state", "battery", "remaining")
        text = ".".join(path)
        names = ("avg", "min", "max", "sum", "p50", "p95")
        asked = ["count"] + [f"{name}({text})" for name in names]
        answer = self.stats(filter=self.only, group_by="state.mode.mode,meta.site",
                            stats=",".join(asked))
        groups = {}
        for twin in self.hub.pages("/v1/vehicles", "vehicles", filter=self.only, page_size=1000):
            key = tuple(json.dumps(1.0 * v if is_number(v) else v)
                        for v in (None if at(twin, *p) is MISSING else at(twin, *p)
                                  for p in (("state", "mode", "mode"), ("meta", "site"))))
            groups.setdefault(key, []).append(number(twin, *path))
        self.assertEqual(sum(map(len, groups.values())), answer["total_size"])
        self.assertEqual(len(answer["groups"]), len(groups))
        for group in answer["groups"]:
            key = tuple(json.dumps(1.0 * v if is_number(v) else v) for v in
                        (group["key"]["state.mode.mode"], group["key"]["meta.site"]))
            values = sorted(v for v in groups[key] if v is not None)
            self.assertEqual(group["count"], len(groups[key]))
            if not values:
                self.assertIsNone(group[asked[1]])
                continue
            self.assertAlmostEqual(group[asked[1]], sum(values) / len(values), 12)
            self.assertEqual((group[asked[2]], group[asked[3]]), (values[0], values[-1]))
            self.assertAlmostEqual(group[asked[4]], sum(values), 9)
            self.assertEqual(group[asked[5]], values[math.ceil(0.50 * len(values)) - 1])
            self.assertEqual(group[asked[6]], values[math.ceil(0.95 * len(values)) - 1])

    def test_statistics_without_groups_or_vehicles(self):
        self.assertEqual(self.stats(filter='vid = "nobody"', stats="count,avg(meta.n)"),
                         {"groups": [{"key": {}, "count": 0, "avg(meta.n)": None}],
                          "total_size": 0})
        self.assertEqual(self.stats(filter='vid = "nobody"', group_by="vid"),
                         {"groups": [], "total_size": 0})
        self.assertEqual(self.stats(filter='vid = "V-007"', group_by="meta.nothing, vid"),
                         {"groups": [{"key": {"meta.nothing": None, "vid": "V-007"}, "count": 1}],
                          "total_size": 1})

    def test_statistics_refuse_what_makes_no_sense(self):
        cases = [
            ("stats", "median(meta.n)", 0), ("stats", "count,avg(stat.x)", 10), ("stats", "avg", 3),
            ("stats", "avg(meta.n", 10), ("stats", "count count", 6), ("stats", "", 0),
            ("group_by", "meta.site,", 10), ("group_by", "x.y", 0),
        ]
        for name, text, offset in cases:
            body = self.problem(400, "bad-parameter", path="/v1/fleet/stats", **{name: text})
            self.assertEqual(body["offset"], offset, text)
        self.problem(400, "bad-filter", path="/v1/fleet/stats", filter="stat.x = 1")

    # ---- fields of the fleet ----

    def test_fleet_fields_name_every_leaf_as_filters_do(self):
        found = {f["path"]: f for f in self.hub.json("/v1/fleet/fields")["fields"]}
        twins = self.hub.twins().values()
        expected = {}

        def quoted(name):
            plain = name and all(c.isascii() and (c.isalnum() or c in "_-") for c in name)
            return name if plain else json.dumps(name)

        def walk(value, path):
            if isinstance(value, dict):
                for name, member in value.items():
                    walk(member, path + [quoted(name)])
            elif value is not None:
                kind = ("boolean" if isinstance(value, bool) else "number" if is_number(value)
                        else "array" if isinstance(value, list) else "string")
                entry = expected.setdefault(".".join(path), [0, set(), []])
                entry[0] += 1
                entry[1].add(kind)
                entry[2].append(value)
        for twin in twins:
            walk(twin, [])
        self.assertEqual(set(found), set(expected))
        for path, (vehicles, kinds, values) in expected.items():
            self.assertEqual(found[path]["vehicles"], vehicles, path)
            self.assertEqual(set(found[path]["types"]), kinds, path)
            self.assertLessEqual(len(found[path]["examples"]), 3)
            for example in found[path]["examples"]:
                self.assertIn(example, values, path)
        self.assertIn('state."battery.cells".lowest', found)
        for path in found:  # each can be asked for
            self.assertEqual(self.hub.get("/v1/vehicles", filter=f"{path}:*", page_size=1).status,
                             200, path)


if __name__ == "__main__":
    unittest.main()

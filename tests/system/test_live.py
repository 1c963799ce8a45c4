"""Live queries: what a client is told, in what order, and after a break."""

import json
import os
import random
import threading
import time
import unittest

from harness import Stack, StackCase, envelope, wait_until
from harness.live import LiveClient, Refused

SITES = ("oslo", "bergen", "tromso")
MODES = ("AUTO", "RTL", "LAND")
CHANGES = 1500
HEARTBEAT_S = 15


def subject(vid, what):
    return f"fleet.test.veh.{vid}.{what}"


class LiveCase(StackCase):
    # Nobody falls silent while a slow machine gets on with the test.
    settings = {"presence": {"stale_after_s": 300, "offline_after_s": 600}}

    def setUp(self):
        super().setUp()
        self.nats = self.stack.nats.client()
        self.addCleanup(self.nats.close)
        self.clients = []
        self.addCleanup(lambda: [client.close() for client in self.clients])

    def live(self, hub=None, **parameters):
        client = LiveClient(hub or self.hub, **parameters)
        self.clients.append(client)
        return client

    def state(self, vid, kind="mode", **data):
        self.nats.js_publish(subject(vid, f"state.{kind}"), envelope(data))

    def fleet(self, count, **data):
        """V-0 … in mode AUTO."""
        self.nats.js_publish_all([(subject(f"V-{i}", "state.mode"),
                                   envelope(dict({"mode": "AUTO"}, **data)))
                                  for i in range(count)])
        for hub in self.stack.hubs:
            wait_until(lambda h=hub: len(h.twins()) >= count, 20, "the fleet is there")

    def meta(self, vid, **data):
        self.nats.kv_put("TWIN_SHADOW", f"fleet/test/veh/{vid}/meta", data)


class Live(LiveCase):
    def test_where_access_is_off_a_page_may_bring_its_token_all_the_same(self):
        self.fleet(1)
        client = self.live(access_token="any").open().wait_ready()
        self.assertEqual(len(client.model), 1)

    def test_snapshot_then_ready_then_changes_in_order(self):
        self.fleet(5)
        client = self.live(filter='state.mode.mode = "AUTO"').open().wait_ready()
        self.assertEqual(client.headers["content-type"], "text/event-stream")
        self.assertEqual(client.headers["cache-control"], "no-store")
        self.assertEqual(client.headers["x-accel-buffering"], "no")
        self.assertNotIn("content-encoding", client.headers)
        self.assertTrue(client.headers["fleet-position"])
        self.assertEqual([e.name for e in client.events], ["enter"] * 5 + ["ready"])
        self.assertEqual(client.events[-1].data, {})
        self.assertEqual(client.seen(), self.hub.twins())
        for mode, name in (("RTL", "leave"), ("AUTO", "enter"), ("AUTO", "update")):
            before = len(client.events)
            self.state("V-3", mode=mode)
            wait_until(lambda n=before: len(client.events) > n, 5, name)
            self.assertEqual(client.events[-1].name, name)
            self.assertEqual(client.events[-1].data["vid"], "V-3")
        self.state("V-9", mode="AUTO")
        wait_until(lambda: client.count("enter", "V-9") == 1, 5, "a new vehicle enters")
        client.wait_same()
        self.assertEqual(client.wrong, [])
        ids = [event.id for event in client.events]
        self.assertTrue(all(ids))
        # An id is a position: what the client has seen, any read of another request has too.
        self.assertEqual(self.hub.get("/v1/vehicles", min_position=ids[-1]).status, 200)

    def test_fields_of_the_data_and_what_touches_none_of_them(self):
        self.fleet(2)
        client = self.live(filter='presence.status:*', fields="state.battery.remaining,meta")
        client.open().wait_ready()
        self.assertEqual(client.model, {"V-0": {"vid": "V-0", "meta": {}},
                                        "V-1": {"vid": "V-1", "meta": {}}})
        for remaining in (0.9, 0.5):
            self.state("V-0", kind="battery", remaining=remaining, voltage=12)
            wait_until(lambda r=remaining:
                       client.model["V-0"].get("state") == {"battery": {"remaining": r}}, 5,
                       "what is among the fields comes")
            for i in range(50):
                self.state("V-0", mode=f"M{i}")  # may be left out
        self.assertLess(client.count("update"), 10)
        self.meta("V-1", site="oslo")
        wait_until(lambda: client.model["V-1"]["meta"] == {"site": "oslo"}, 5, "and so do parts")
        client.wait_same()

    def test_max_hz_bounds_the_events_of_a_vehicle_and_the_last_state_comes(self):
        self.fleet(3)
        slow = self.live(max_hz=2).open().wait_ready()
        fast = self.live().open().wait_ready()
        began = time.monotonic()
        for i in range(300):
            self.state("V-1", mode=f"M{i}")
            time.sleep(0.01)
        for client in (slow, fast):
            wait_until(lambda c=client: c.model["V-1"]["state"]["mode"]["mode"] == "M299", 5,
                       "the last state comes")
        took = time.monotonic() - began
        self.assertLessEqual(slow.count("update", "V-1"), 2 * took + 1)
        self.assertGreaterEqual(slow.count("update", "V-1"), 2 * 3 - 2)
        self.assertGreater(fast.count("update", "V-1"), 100)
        self.assertGreater(self.hub.metric("live_conflated_total"), 200)

    def test_parameters_that_make_no_sense_are_a_400(self):
        for query in ("max_hz=0", "max_hz=-1", "max_hz=often", "max_hz=1001", "max_hz=", "max_hz=nan",
                      "filter=state.", "filter=stat.x=1", "fields=nothing.here", "order_by=vid",
                      "page_size=1", "metadata=true", "min_position=x"):
            reply = self.hub.get("/v1/vehicles/stream?" + query)
            self.assertEqual(reply.status, 400, query)
            self.assertEqual(reply.headers["content-type"], "application/problem+json")
        self.assertEqual(self.hub.metric("live_clients"), 0)

    def test_terms_that_depend_on_time_are_judged_anew(self):
        self.fleet(2)
        fresh = self.live(filter="age(state.mode) < 8s").open().wait_ready()
        old = self.live(filter="age(state.mode) >= 8s").open().wait_ready()
        self.assertEqual(set(fresh.seen()), {"V-0", "V-1"})
        self.assertEqual(old.seen(), {})
        wait_until(lambda: fresh.count("leave") == 2 and old.count("enter") == 2, 15,
                   "they have become old without a message")
        self.state("V-0", mode="RTL")
        wait_until(lambda: set(fresh.seen()) == {"V-0"} and set(old.seen()) == {"V-1"}, 5,
                   "one is fresh again")
        self.assertEqual(fresh.wrong + old.wrong, [])

    def test_comments_come_and_who_has_gone_is_let_go(self):
        self.fleet(1)
        began = time.monotonic()
        stays, goes = self.live().open().wait_ready(), self.live().open().wait_ready()
        self.assertEqual(self.hub.metric("live_clients"), 2)
        goes.close()
        wait_until(lambda: stays.comments >= 1, HEARTBEAT_S + 5, "a comment line")
        self.assertGreater(time.monotonic() - began, HEARTBEAT_S - 5)
        wait_until(lambda: self.hub.metric("live_clients") == 1, 2 * HEARTBEAT_S + 5,
                   "the one that has gone is noticed")
        self.assertFalse(stays.ended)
        self.state("V-0", mode="RTL")
        wait_until(lambda: stays.model["V-0"]["state"]["mode"]["mode"] == "RTL", 5,
                   "the other goes on")

    def test_retirement_is_a_leave(self):
        self.fleet(2)
        client = self.live(filter='vid = "V-*"').open().wait_ready()
        self.assertEqual(self.hub.request("DELETE", "/v1/vehicles/V-1?force=true").status, 204)
        wait_until(lambda: client.count("leave", "V-1") == 1, 5, "V-1 leaves")
        client.wait_same()
        last_id = client.last_id
        client.close()
        self.assertEqual(self.hub.request("DELETE", "/v1/vehicles/V-0?force=true").status, 204)
        client.last_id = last_id
        client.open().wait_ready(times=2)
        self.assertEqual(client.resets, [])
        self.assertEqual(client.seen(), {})

    def test_groups_that_change_let_vehicles_enter_and_leave(self):
        self.fleet(4)
        put = lambda body: self.assertIn(self.hub.request(
            "PUT", "/v1/groups/night", {"Content-Type": "application/json"}, body).status,
            (200, 201))
        put('{"vids": ["V-0", "V-1"]}')
        client = self.live(filter='group("night")').open().wait_ready()
        self.assertEqual(set(client.seen()), {"V-0", "V-1"})
        put('{"vids": ["V-1", "V-2"]}')
        wait_until(lambda: set(client.seen()) == {"V-1", "V-2"}, 5, "the group is another one")
        self.assertEqual(client.wrong, [])
        client.close()
        put('{"filter": "vid = \\"V-3\\""}')
        client.open().wait_ready(times=2)
        self.assertEqual(client.resets, ["other_query"])
        self.assertEqual(set(client.seen()), {"V-3"})
        client.reopen().wait_ready(times=3)
        self.assertEqual(client.resets, ["other_query"])
        self.assertEqual(set(client.seen()), {"V-3"})

    def test_a_hub_that_stops_ends_its_streams(self):
        self.fleet(3)
        clients = [self.live().open().wait_ready() for _ in range(20)]
        deaf = self.live(read=False, receive_bytes=4096).open()
        began = time.monotonic()
        self.assertEqual(self.hub.stop(), 0)
        self.assertLess(time.monotonic() - began, 10)
        for client in clients:
            wait_until(lambda c=client: c.ended, 5, "the stream has ended")
            self.assertEqual(client.text, "")  # between two events
        deaf.close()


class Resuming(LiveCase):
    def setUp(self):
        super().setUp()
        self.other = self.stack.add_hub().start()

    def test_only_what_changed_since_comes_again_on_either_hub(self):
        self.fleet(50)
        for hub in (self.other, self.hub):
            client = self.live(filter='state.mode.mode = "AUTO"').open().wait_ready()
            client.close()
            self.state("V-1", mode="AUTO", armed=hub is self.hub)
            self.state("V-2", mode="RTL")
            self.state("V-51", mode="AUTO")
            self.nats.js_publish(subject("V-3", "evt.waypoint"), envelope({"n": 1}))
            wait_until(lambda: self.hub.metric("messages_total", stream="TWIN_EVENTS") > 0, 5, "heard")
            before = len(client.events)
            client.open(hub).wait_ready(times=2)
            names = {(e.name, e.data.get("vid")) for e in client.events[before:]}
            self.assertLessEqual({("update", "V-1"), ("leave", "V-2"), ("update", "V-51")}, names)
            self.assertEqual(client.resets, [])
            self.assertEqual(client.events[-1].name, "ready")
            self.assertLess(len(names), 10, names)
            client.wait_same(hub)
            client.close()
            self.state("V-2", mode="AUTO")

    def test_what_cannot_be_gone_on_from_is_a_reset_and_a_snapshot(self):
        self.fleet(3)
        client = self.live(filter='state.mode.mode = "AUTO"').open().wait_ready()
        entered, ready = client.events[0].id, client.last_id
        client.close()
        other_filter = self.live(filter='state.mode.mode = "RTL"')
        other_fields = self.live(filter='state.mode.mode = "AUTO"', fields="state")
        cases = [("unfinished", client, entered), ("other_query", other_filter, ready),
                 ("other_query", other_fields, ready), ("bad_id", client, "nonsense"),
                 ("bad_id", client, ready[:-3]), ("bad_id", client, ready.partition(".")[0])]
        for reason, who, last_id in cases:
            who.last_id, who.events = last_id, []
            readies = who.readies
            who.open().wait_ready(times=readies + 1)
            self.assertEqual(who.events[0].name, "reset")
            self.assertEqual(who.events[0].data, {"reason": reason})
            self.assertEqual(who.seen(), who.expected())
            who.close()

    def test_ids_of_a_stream_made_anew_are_a_reset(self):
        self.fleet(3)
        client = self.live().open().wait_ready()
        client.close()
        config = self.nats.stream_info("TWIN_STATE")["config"]
        self.nats.js_api("STREAM.DELETE.TWIN_STATE")
        self.nats.js_api("STREAM.CREATE.TWIN_STATE", config)
        self.state("V-1", mode="RTL")
        wait_until(lambda: self.hub.json("/v1/vehicles/V-1/state/mode")["mode"] == "RTL", 30,
                   "the hub reads the new stream")
        client.open().wait_ready(times=2)
        self.assertEqual(client.resets, ["epoch"])
        client.wait_same()

    def test_a_hub_that_is_behind_is_waited_for(self):
        """The hub is frozen while the other one goes on, and asked while it catches up."""
        self.fleet(3)
        client = self.live().open().wait_ready()
        self.other.process.pause()
        for i in range(2000):
            self.nats.publish(subject("V-1", "state.mode"), envelope({"mode": f"M{i}"}))
        self.state("V-1", mode="LAST")
        wait_until(lambda: client.model["V-1"]["state"]["mode"]["mode"] == "LAST", 10, "it came")
        client.close()
        self.other.process.resume()
        before = len(client.events)
        client.open(self.other).wait_ready(times=2, timeout=20)
        told = [e.data["state"]["mode"]["mode"] for e in client.events[before:]
                if e.data.get("vid") == "V-1"]
        self.assertTrue(client.resets == [] or client.resets == ["behind"])
        self.assertEqual(set(told) - {"LAST"}, set())  # never told what is older than it had
        client.wait_same(self.other)


class Anew(LiveCase):
    settings = dict(LiveCase.settings, twins={"checkpoint_s": 1})

    def setUp(self):
        super().setUp()
        self.other = self.stack.add_hub().start()

    def marked(self):
        mark = self.nats.kv_get("TWIN_LAST", "mark")
        return json.loads(mark)["streams"]["TWIN_STATE"]["seq"] if mark else 0

    def test_a_hub_started_anew_goes_on_from_ids_of_before(self):
        """Of what lies before its own start it knows the times, to a second."""
        self.fleet(20)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 1.5, 5, "the fleet is older than that")
        self.state("V-0", mode="AUTO", round=2)
        wait_until(lambda: self.hub.json("/v1/vehicles/V-0/state/mode").get("round") == 2, 10,
                   "what the client's id will name is younger than the fleet")
        client = self.live(filter='state.mode.mode = "AUTO"').open().wait_ready()
        client.close()
        self.state("V-1", mode="RTL")
        seq = self.nats.stream_info("TWIN_STATE")["state"]["last_seq"]
        wait_until(lambda: self.marked() >= seq, 20, "it is written down")
        self.other.stop()
        self.other.start()
        self.state("V-2", mode="RTL")
        before = len(client.events)
        client.open(self.other).wait_ready(times=2)
        client.wait_same(self.other)
        self.assertEqual(client.resets, [])
        self.assertLess(len(client.events) - before, 10)


class Model(LiveCase):
    """Clients that keep a model, through breaks, on either of two hubs, while the fleet changes."""
    settings = {"presence": {"stale_after_s": 2, "offline_after_s": 4}}
    VEHICLES, CLIENTS = 40, 12

    def setUp(self):
        super().setUp()
        self.other = self.stack.add_hub().start()
        seed = int(os.environ.get("FLEETHUB_TEST_SEED") or random.randrange(1 << 30))
        self.random = random.Random(seed)
        print(f"FLEETHUB_TEST_SEED={seed}", flush=True)

    def term(self):
        r = self.random
        return r.choice((
            lambda: f'state.mode.mode = "{r.choice(MODES)}"',
            lambda: f"state.battery.remaining < {r.random():.2f}",
            lambda: f'meta.site = "{r.choice(SITES)}"',
            lambda: f'presence.status = "{r.choice(("online", "stale", "offline"))}"',
            lambda: f'vid = "V-{r.randrange(4)}*"',
            lambda: "delta:*",
            lambda: f"age(state.mode) < {r.randrange(1, 6)}s",
            lambda: f"bbox(state.position, 10, 59, {10 + r.random():.2f}, 60)",
            lambda: 'group("g")',
        ))()

    def filter(self):
        r = self.random
        terms = [self.term() for _ in range(r.randrange(0, 4))]
        terms = [("NOT " if r.random() < 0.3 else "") + term for term in terms]
        return r.choice((" AND ", " OR ")).join(terms)

    def client(self):
        r = self.random
        parameters = {"filter": self.filter()}
        if r.random() < 0.4:
            parameters["fields"] = ",".join(r.sample(
                ("state.mode", "state.battery.remaining", "meta", "delta", "presence.status",
                 "revision", "state", "desired.led"), r.randrange(1, 4)))
        if r.random() < 0.3:
            parameters["max_hz"] = r.choice((1, 5, 20))
        return self.live(r.choice((self.hub, self.other)), **parameters)

    def change(self):
        r = self.random
        vid = f"V-{r.randrange(self.VEHICLES)}"
        kind = r.randrange(10)
        if kind < 3:
            self.nats.publish(subject(vid, "state.mode"), envelope({"mode": r.choice(MODES)}))
        elif kind < 6:
            self.nats.publish(subject(vid, "state.battery"),
                              envelope({"remaining": round(r.random(), 2)}))
        elif kind < 7:
            self.nats.publish(subject(vid, "state.position"),
                              envelope({"lat": 59 + r.random(), "lon": 10 + r.random()}))
        elif kind < 8:
            self.nats.publish(subject(vid, "evt.waypoint"), envelope({"n": 1}))
        else:
            part = r.choice(("meta", "desired", "reported"))
            value = {"site": r.choice(SITES)} if part == "meta" else {"led": r.randrange(3)}
            self.nats.kv_put("TWIN_SHADOW", f"fleet/test/veh/{vid}/{part}", value)

    def group(self):
        vids = [f"V-{self.random.randrange(self.VEHICLES)}" for _ in range(5)]
        body = '{"vids": [' + ", ".join(f'"{vid}"' for vid in vids) + "]}"
        reply = self.random.choice((self.hub, self.other)).request(
            "PUT", "/v1/groups/g", {"Content-Type": "application/json"}, body)
        self.assertIn(reply.status, (200, 201), reply)

    def test_models_end_equal_to_the_list(self):
        r = self.random
        self.fleet(self.VEHICLES)
        self.group()
        wait_until(lambda: self.other.get("/v1/groups/g").status == 200, 10, "the group is known")
        clients = [self.client().open() for _ in range(self.CLIENTS)]
        for i in range(CHANGES):
            self.change()
            if i % 25 == 0:  # a break at any moment, also in the middle of a snapshot
                client = r.choice(clients)
                client.close()
                for _ in range(r.randrange(30)):
                    self.change()
                client.open(r.choice((self.hub, self.other)))
            if i % 300 == 299:
                self.group()
            if i % 100 == 0:
                time.sleep(0.2)
        # All fall silent; presence ages to its end, and what depends on time comes to rest.
        for hub in (self.hub, self.other):
            wait_until(lambda h=hub: {t["presence"]["status"] for t in h.twins().values()}
                       == {"offline"}, 30, "everybody is offline")
        for client in clients:
            client.wait_same()
            self.assertEqual(client.wrong, [])
            self.assertEqual(set(client.resets) - {"unfinished", "other_query"}, set())
        # And once more from rest: nothing has changed, so next to nothing is told.
        for client in clients:
            readies = client.readies
            client.reopen(r.choice((self.hub, self.other))).wait_ready(readies + 1)
            client.wait_same()


class Slow(LiveCase):
    VEHICLES = 400

    def test_who_does_not_read_holds_nobody_up_and_misses_nothing(self):
        self.fleet(self.VEHICLES, note="x" * 2000)
        deaf = self.live(read=False, receive_bytes=8192).open()
        others = [self.live(filter='vid = "V-1*"').open().wait_ready() for _ in range(3)]
        stop = threading.Event()

        def publish():
            n = 0
            with self.stack.nats.client() as nats:
                while not stop.is_set():
                    n += 1
                    nats.js_publish_all([(subject(f"V-{i}", "state.mode"),
                                          envelope({"mode": f"M{n}", "note": "x" * 2000}))
                                         for i in range(self.VEHICLES)])
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            for _ in range(5):
                counts = [client.count("update") for client in others]
                wait_until(lambda c=counts: all(client.count("update") > n + 300
                                                for client, n in zip(others, c)), 10,
                           "the others are told all the time")
            self.assertEqual(deaf.readies, 0)  # what it was sent fills its socket
            deaf.may_read.set()
            deaf.wait_ready(timeout=20)
            # While everything changes all the time nobody is put off for ever.
            wait_until(lambda: all(deaf.count("update", f"V-{i}") > 0
                                   for i in range(self.VEHICLES)), 20, "each has been told of")
        finally:
            stop.set()
            thread.join()
        self.assertFalse(deaf.ended)
        for client in others + [deaf]:
            client.wait_same()
            self.assertEqual(client.wrong, [])


class Limits(LiveCase):
    settings = {"http": {"limits": {"connections": 32, "per_address": 32}}}

    def test_one_too_many_is_a_503_and_others_still_get_an_answer(self):
        self.fleet(1)
        opened, refused = [], None
        for _ in range(31):
            try:
                opened.append(self.live().open())
            except Refused as error:
                refused = error
                break
        self.assertEqual(refused.status, 503)
        self.assertEqual(len(opened), 30)
        self.assertEqual(self.hub.get("/v1/vehicles/V-0").status, 200)
        for client in opened:
            client.wait_ready()


if __name__ == "__main__":
    unittest.main()

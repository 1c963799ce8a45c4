"""The example configuration of nats-server in deploy/nats: what a vehicle's user may, and what happens
when it tries more, through its own leaf node."""

import json
import os
import sys
import unittest

from harness import Process, Stack, envelope, wait_until
from harness.client import NatsClient, NatsError
from harness.documents import Document
from harness.process import free_port
from harness.secured import Secured, SecuredFolder

OWN, OTHER = "V-1", "V-2"
SILENCE_S = 1  # a request that is not let through gets no answer


def subject(vid, what):
    return f"fleet.test.veh.{vid}.{what}"


class NatsAccess(unittest.TestCase):
    def setUp(self):
        self.stack = Stack(start=False)
        self.stack.__enter__()
        self.addCleanup(self.end)
        self.servers = []
        secured = SecuredFolder(os.path.join(self.stack.folder.path, "secured"))
        self.folder, self.cert = secured.path, secured.cert
        self.tls = secured.tls
        self.passwords = {vid: secured.add_user(vid) for vid in (OWN, OTHER)}
        port, leaf_port = free_port(), free_port()
        self.main = self.start("secure-hub.conf", port, {
            "FLEETHUB_NATS_LISTEN": f"127.0.0.1:{port}",
            "FLEETHUB_LEAFNODE_LISTEN": f"127.0.0.1:{leaf_port}",
            "FLEETHUB_NATS_STORE": os.path.join(self.folder, "store"),
            **secured.environment()})
        self.stack.postgres.start()
        self.stack.nats.port = port
        hub = self.stack.add_hub()
        hub.config["nats"]["url"] = f"tls://hub:hub-password@127.0.0.1:{port}"
        hub.config["nats"]["tls"] = {"ca": self.cert}
        hub.start()
        self.hub = hub
        self.vehicle = self.leaf_client(OWN, leaf_port)
        self.neighbour = self.leaf_client(OTHER, leaf_port)
        self.center = NatsClient(port, user="hub", password="hub-password", tls=self.tls)
        self.addCleanup(self.center.close)

    def end(self):
        good = self._outcome.success
        self.stack.__exit__(None if good else AssertionError, None, None)
        for server in self.servers:
            server.process.kill()

    def start(self, config, port, environment):
        server = Secured(self.folder, config, port, environment)
        self.servers.append(server)
        return server

    def leaf_client(self, vid, leaf_port):
        port = free_port()
        self.start("secure-leaf.conf", port, {
            "FLEETHUB_LEAF_NAME": vid, "FLEETHUB_LEAF_PORT": str(port), "FLEETHUB_TLS_CA": self.cert,
            "FLEETHUB_LEAF_REMOTE":
                f"tls://{vid}:{self.passwords[vid]}@127.0.0.1:{leaf_port}"})
        client = NatsClient(port, inbox=f"_INBOX.{vid}")
        self.addCleanup(client.close)

        def through():
            try:
                return client.js_publish(subject(vid, "state.mode"), envelope({"mode": "AUTO"}),
                                         timeout=1)
            except (NatsError, TimeoutError):
                return None
        wait_until(through, 20, f"what {vid} publishes is stored")
        return client

    def refused(self, attempt, *arguments, **named):
        with self.assertRaises((TimeoutError, NatsError)):
            attempt(*arguments, **named, timeout=SILENCE_S)

    def stored(self, stream):
        state = self.center.stream_info(stream)["state"]
        return state["messages"], state["last_seq"]

    def test_a_vehicle_has_what_it_needs(self):
        wait_until(lambda: self.hub.twins().keys() == {OWN, OTHER}, 20, "both have twins")
        self.vehicle.js_publish(subject(OWN, "evt.landed"), envelope({"n": 1}))
        self.vehicle.kv_put("TWIN_SHADOW", f"fleet/test/veh/{OWN}/reported", {"led": 1})
        wait_until(lambda: self.hub.twins()[OWN]["reported"] == {"led": 1}, 10, "it reports")
        key = f"$KV.TWIN_SHADOW.fleet/test/veh/{OWN}/desired"
        desired = self.vehicle.subscribe(key)
        commands = self.vehicle.subscribe(subject(OWN, "cmd.>"))
        archived = self.vehicle.subscribe("fleet.test.hub.eu-north.archived")
        archived.next(10)
        self.hub.request("PATCH", f"/v1/vehicles/{OWN}/desired",
                         {"Content-Type": "application/json"}, '{"led": 2}')
        self.assertEqual(desired.next(10).json(), {"led": 2})
        self.assertEqual(self.vehicle.request("$JS.API.DIRECT.GET.KV_TWIN_SHADOW." + key).json(),
                         {"led": 2})
        self.center.js_publish(subject(OWN, "cmd.rtl"), b"{}")
        self.assertEqual(commands.next(10).subject, subject(OWN, "cmd.rtl"))

    def test_what_is_anothers_is_out_of_reach(self):
        self.center.kv_put("TWIN_SHADOW", f"fleet/test/veh/{OTHER}/desired", {"secret": 1})
        before = {s: self.stored(s) for s in ("TWIN_STATE", "TWIN_EVENTS", "TWIN_ACK", "TWIN_CMD",
                                              "TWIN_RECORD", "KV_TWIN_SHADOW", "KV_TWIN_ACCESS",
                                              "KV_TWIN_COMMANDS")}
        theirs = f"fleet/test/veh/{OTHER}/"
        publish = self.vehicle.js_publish
        for what in ("state.mode", "evt.armed", "cmdack.rtl", "cmd.rtl"):
            self.refused(publish, subject(OTHER, what), envelope({"mode": "x"}))
        self.refused(publish, subject(OWN, "cmd.disarm"), envelope({}))  # nor does it command itself
        for part in ("desired", "reported", "config", "meta"):
            self.refused(publish, f"$KV.TWIN_SHADOW.{theirs}{part}", b"{}")
        for part in ("desired", "config", "meta"):
            self.refused(publish, f"$KV.TWIN_SHADOW.fleet/test/veh/{OWN}/{part}", b"{}")
        for key in ("TWIN_LAST.mark", f"TWIN_LAST.{OTHER}", "TWIN_ACCESS.auth.token.00",
                    "TWIN_ACCESS.group.g", "TWIN_COMMANDS.lease"):
            self.refused(publish, "$KV." + key, b"{}")
        self.refused(publish, "fleet.test.hub.eu-north.record.event.x", b"{}")
        self.refused(publish, "fleet.test.hub.eu-north.checkpoint", b"{}")
        self.refused(self.vehicle.request,
                     f"$JS.API.DIRECT.GET.KV_TWIN_SHADOW.$KV.TWIN_SHADOW.{theirs}desired")
        self.refused(self.vehicle.js_api, "STREAM.MSG.GET.KV_TWIN_ACCESS", {"seq": 1})
        after = {s: self.stored(s) for s in before}
        for stream in ("TWIN_ACK", "TWIN_CMD", "KV_TWIN_SHADOW", "KV_TWIN_ACCESS"):
            self.assertEqual(after[stream], before[stream], stream)
        self.assertEqual(self.hub.twins()[OTHER]["state"]["mode"]["mode"], "AUTO")
        # And all the while its own way was open.
        publish(subject(OWN, "evt.landed"), envelope({"n": 1}))
        self.assertEqual(self.stored("TWIN_EVENTS")[0], before["TWIN_EVENTS"][0] + 1)

    def test_nothing_of_anothers_is_heard(self):
        heard = [self.vehicle.subscribe(s) for s in (
            subject(OTHER, "cmd.>"), "fleet.test.veh.*.cmd.>", "fleet.>", ">", "$KV.>",
            f"$KV.TWIN_SHADOW.fleet/test/veh/{OTHER}/desired", f"_INBOX.{OTHER}.>")]
        own = self.vehicle.subscribe(subject(OWN, "cmd.rtl"))
        self.vehicle.flush()
        self.center.js_publish(subject(OTHER, "cmd.rtl"), b'{"secret": 1}')
        self.center.kv_put("TWIN_SHADOW", f"fleet/test/veh/{OTHER}/desired", {"secret": 1})
        self.center.js_publish(subject(OWN, "cmd.rtl"), b'{"mine": 1}')
        self.assertEqual(own.next(10).json(), {"mine": 1})
        for subscription in heard:
            while not subscription.messages.empty():
                self.assertNotIn(b"secret", subscription.next().data, subscription.subject)

    def test_streams_are_not_a_vehicles_to_administer(self):
        streams = ("TWIN_STATE", "TWIN_EVENTS", "KV_TWIN_SHADOW", "TWIN_RECORD")
        before = {s: self.stored(s)[0] for s in streams}
        for stream in streams[:2]:
            for call, body in (("STREAM.INFO", None), ("STREAM.PURGE", {}), ("STREAM.DELETE", None),
                               ("STREAM.UPDATE", {"name": stream}), ("CONSUMER.LIST", {}),
                               ("CONSUMER.CREATE", {"stream_name": stream, "config": {}}),
                               ("STREAM.MSG.DELETE", {"seq": 1})):
                self.refused(self.vehicle.js_api, f"{call}.{stream}", body)
        self.refused(self.vehicle.js_api, "STREAM.CREATE.MINE", {"name": "MINE"})
        self.refused(self.vehicle.js_api, "INFO")
        for stream in streams:
            self.assertGreaterEqual(self.stored(stream)[0], before[stream])

    def test_a_rollup_empties_nothing(self):
        for _ in range(5):
            self.neighbour.js_publish(subject(OTHER, "evt.landed"), envelope({"n": 1}))
        before = self.stored("TWIN_EVENTS")[0]
        for rollup in ("all", "sub"):
            headers = {"Nats-Rollup": rollup}
            for target in (subject(OWN, "evt.armed"), subject(OWN, "state.mode"),
                           f"$KV.TWIN_SHADOW.fleet/test/veh/{OWN}/reported"):
                with self.assertRaises((NatsError, TimeoutError)):
                    self.vehicle.js_publish(target, envelope({}), headers=headers, timeout=5)
        self.assertEqual(self.stored("TWIN_EVENTS")[0], before)
        self.assertEqual(self.hub.twins().keys(), {OWN, OTHER})

    def test_an_acknowledgement_goes_to_nothing_of_anothers(self):
        """The broker acknowledges to whatever reply subject a message names, in its own name."""
        for _ in range(5):
            self.neighbour.js_publish(subject(OTHER, "evt.landed"), envelope({"n": 1}))
        self.center.kv_put("TWIN_SHADOW", f"fleet/test/veh/{OTHER}/desired", {"led": 1})
        self.center.kv_put("TWIN_ACCESS", "auth.token.00", {"name": "somebody's"})
        streams = ("TWIN_CMD", "TWIN_ACK", "TWIN_RECORD", "KV_TWIN_SHADOW", "KV_TWIN_ACCESS")
        before = {s: self.stored(s) for s in streams}
        events = self.stored("TWIN_EVENTS")[0]
        first = self.center.stream_info("TWIN_STATE")["state"]["first_seq"]
        heard = self.center.subscribe(subject(OTHER, "cmd.>"))
        replies = [f"$KV.TWIN_SHADOW.fleet/test/veh/{OTHER}/{part}"
                   for part in ("desired", "reported", "config", "meta")]
        replies += ["$KV.TWIN_ACCESS.auth.token.00", "$KV.TWIN_LAST.mark", "$KV.TWIN_COMMANDS.lease",
                    "$JS.API.STREAM.PURGE.TWIN_EVENTS", "$JS.API.STREAM.PURGE.TWIN_STATE",
                    "$JS.API.STREAM.DELETE.TWIN_STATE", "$JS.API.STREAM.MSG.DELETE.TWIN_EVENTS",
                    "fleet.test.hub.eu-north.record.event.x", "fleet.test.hub.eu-north.checkpoint",
                    subject(OTHER, "cmd.rtl"), subject(OTHER, "cmdack.rtl")]
        for reply in replies:
            self.vehicle.publish(subject(OWN, "evt.landed"), envelope({"n": 1}), reply=reply)
            self.vehicle.publish(f"$KV.TWIN_SHADOW.fleet/test/veh/{OWN}/reported", b'{"led": 2}',
                                 reply=reply)
            self.vehicle.publish(f"$JS.API.DIRECT.GET.KV_TWIN_SHADOW.$KV.TWIN_SHADOW."
                                 f"fleet/test/veh/{OWN}/reported", b"", reply=reply)
        # All of these have arrived when what was sent behind them has.
        self.vehicle.js_publish(subject(OWN, "evt.armed"), envelope({"n": 1}), timeout=20)
        wait_until(lambda: self.stored("TWIN_EVENTS")[0] >= events + len(replies) + 1, 20,
                   "its events are stored")
        self.assertEqual(self.stored("TWIN_EVENTS")[0], events + len(replies) + 1)
        self.assertEqual(self.center.stream_info("TWIN_STATE")["state"]["first_seq"], first)
        self.assertEqual(json.loads(self.center.kv_get(
            "TWIN_SHADOW", f"fleet/test/veh/{OTHER}/desired")), {"led": 1})
        for part in ("reported", "config", "meta"):
            self.assertIsNone(self.center.kv_get("TWIN_SHADOW", f"fleet/test/veh/{OTHER}/{part}"))
        after = {s: self.stored(s) for s in streams}
        for stream in ("TWIN_CMD", "TWIN_ACK", "KV_TWIN_ACCESS"):
            self.assertEqual(after[stream], before[stream], stream)
        self.assertTrue(heard.messages.empty())

    def test_an_id_that_another_has_used_suppresses_nothing_for_long(self):
        """Message ids are the stream's, and vehicles may guess those of others."""
        taken = {"Nats-Msg-Id": "b7-12345"}
        before = self.stored("TWIN_EVENTS")[0]
        self.vehicle.js_publish(subject(OWN, "evt.landed"), envelope({"n": 1}), headers=taken)

        def stored():
            answer = self.neighbour.request(subject(OTHER, "evt.landed"), envelope({"n": 1}), taken)
            return not answer.json().get("duplicate")
        wait_until(stored, 10, "the neighbour's is stored too")
        self.assertEqual(self.stored("TWIN_EVENTS")[0], before + 2)

    def test_what_a_message_expects_of_a_stream_concerns_itself_alone(self):
        before = self.stored("TWIN_EVENTS")
        for header, value in (("Nats-Expected-Last-Sequence", "99999"),
                              ("Nats-Expected-Last-Subject-Sequence", "99999"),
                              ("Nats-Expected-Last-Msg-Id", "nothing"),
                              ("Nats-Expected-Stream", "TWIN_STATE")):
            with self.assertRaises((NatsError, TimeoutError), msg=header):
                self.vehicle.js_publish(subject(OWN, "evt.landed"), envelope({"n": 1}),
                                        headers={header: value}, timeout=SILENCE_S)
        self.assertEqual(self.stored("TWIN_EVENTS"), before)
        self.neighbour.js_publish(subject(OTHER, "evt.landed"), envelope({"n": 1}))
        self.vehicle.js_publish(subject(OWN, "evt.landed"), envelope({"n": 1}))
        self.assertEqual(self.stored("TWIN_EVENTS")[0], before[0] + 2)

    def test_what_is_old_or_from_the_future_does_not_stay(self):
        """Replayed messages change nothing, and a clock ahead freezes no twin."""
        old = envelope({"mode": "OLD"}, boot="b1", seq=5)
        ahead = json.dumps({"timestamp": "2099-01-01T00:00:00Z", "data": {"mode": "AHEAD"}}).encode()
        publish = self.vehicle.js_publish
        publish(subject(OWN, "state.mode"), old)
        publish(subject(OWN, "state.mode"), envelope({"mode": "NEW"}, boot="b1", seq=6))
        wait_until(lambda: self.hub.twins()[OWN]["state"]["mode"]["mode"] == "NEW", 10, "it is new")
        applied = self.hub.metric("messages_total", stream="TWIN_STATE")
        for _ in range(5):
            publish(subject(OWN, "state.mode"), old)
        wait_until(lambda: self.hub.metric("messages_total", stream="TWIN_STATE") >= applied + 5, 10,
                   "the old ones were looked at")
        self.assertEqual(self.hub.twins()[OWN]["state"]["mode"]["mode"], "NEW")
        publish(subject(OWN, "state.mode"), ahead)
        wait_until(lambda: self.hub.metric("clock_skew_total") >= 1, 10, "its clock is noticed")
        publish(subject(OWN, "state.mode"), envelope({"mode": "NOW"}))
        wait_until(lambda: self.hub.twins()[OWN]["state"]["mode"]["mode"] == "NOW", 10,
                   "what comes after it is newer")

    def test_the_gateway_of_the_documents_needs_no_more(self):
        """docs/gateways.md ends with a whole one: as this vehicle's user, through its leaf."""
        path = os.path.join(self.folder, "gateway.py")
        page = Document("docs/gateways.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(next(b.text for b in page.blocks if b.info == ["python", "gateway.py"]))
        leaf_port = self.vehicle.socket.getpeername()[1]
        gateway = Process([sys.executable, path, f"127.0.0.1:{leaf_port}", "test", OWN],
                          os.path.join(self.folder, "gateway.log"))
        self.addCleanup(gateway.kill)
        wait_until(lambda: self.hub.twins()[OWN]["reported"], 20, "it reports")
        body = {"Content-Type": "application/json"}
        reply = self.hub.request("POST", "/v1/commands", body,
                                 f'{{"type": "rtl", "target": {{"vids": ["{OWN}"]}}}}')
        self.assertEqual(reply.status, 202, reply)
        command = "/v1/commands/" + reply.json()["id"]
        wait_until(lambda: self.hub.json(command)["status"] == "succeeded", 20, "it flies home")
        self.hub.request("PATCH", f"/v1/vehicles/{OWN}/desired", body, '{"cruise_speed": 7}')
        wait_until(lambda: self.hub.twins()[OWN]["reported"] == {"cruise_speed": 7}, 20,
                   "it follows desired")
        wait_until(lambda: [event["type"] for event in self.hub.events(kind="event", vid=OWN)]
                   == ["mode_change"], 20, "its event is on record")

    def test_a_wrong_password_gets_no_leaf_and_no_client_in(self):
        with self.assertRaises((NatsError, OSError, ValueError, IndexError)):
            NatsClient(self.main.port, user=OWN, password="guess", tls=self.tls)
        with self.assertRaises((NatsError, OSError, ValueError, IndexError)):
            NatsClient(self.main.port, tls=self.tls)
        direct = NatsClient(self.main.port, user=OWN, password=self.passwords[OWN], tls=self.tls,
                            inbox=f"_INBOX.{OWN}")
        self.addCleanup(direct.close)
        self.assertGreater(direct.js_publish(subject(OWN, "state.mode"), envelope({"mode": "RTL"})),
                           0)
        self.refused(direct.js_publish, subject(OTHER, "state.mode"), envelope({"mode": "RTL"}))
        self.assertEqual(self.hub.twins()[OTHER]["state"]["mode"], {"mode": "AUTO"})


if __name__ == "__main__":
    unittest.main()

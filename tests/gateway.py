"""python3 gateway.py HOST:PORT ENV VID"""
import datetime
import json
import socket
import sys
import threading
import time

address, env, vid = sys.argv[1:]
me = f"fleet.{env}.veh.{vid}"
shadow = f"$KV.TWIN_SHADOW.fleet/{env}/veh/{vid}/"
inbox = f"_INBOX.{vid}."
boot = f"b{time.time_ns():x}"

lock = threading.RLock()
seq = 0
kept = {}  # id: what has to be published again until it is on record
done = {}  # cmd_id: the last acknowledgement
epochs = {}
mode = {"mode": "AUTO", "armed": True}
settings = {"cruise_speed": 5}


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def envelope(data):
    global seq
    with lock:
        seq += 1
        return json.dumps({"timestamp": now().isoformat(), "boot": boot, "seq": seq, "data": data}).encode()


def send(subject, payload=b"", reply="", msg_id=""):
    with lock:
        if msg_id:
            head = f"NATS/1.0\r\nNats-Msg-Id: {msg_id}\r\n\r\n".encode()
            link.sendall(f"HPUB {subject} {reply} {len(head)} {len(head) + len(payload)}\r\n".encode()
                         + head + payload + b"\r\n")
        else:
            link.sendall(f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n")


def state(kind, data):
    send(f"{me}.state.{kind}", envelope(data))


def publish_kept(msg_id):
    with lock:
        kept[msg_id]["stored"], kept[msg_id]["sent"] = 0, time.monotonic()
        send(kept[msg_id]["subject"], kept[msg_id]["payload"], inbox + msg_id, msg_id)


def keep(subject, data, stream):
    """An event or an acknowledgement: ours until it is on record."""
    with lock:
        payload = envelope(data)
        msg_id = f"{vid}-{boot}-{seq}"
        kept[msg_id] = {"subject": subject, "payload": payload, "stream": stream}
        publish_kept(msg_id)


def acknowledge(command, status, **more):
    done[command["cmd_id"]] = dict(cmd_id=command["cmd_id"], status=status, **more)
    keep(f"{me}.cmdack.{command['type']}", done[command["cmd_id"]], "TWIN_ACK")


def obey(command):
    if command["cmd_id"] in done:
        keep(f"{me}.cmdack.{command['type']}", done[command["cmd_id"]], "TWIN_ACK")
    elif now() > datetime.datetime.fromisoformat(command["expires_at"]):
        acknowledge(command, "rejected", error="it has expired", code=1)
    elif command["type"] == "rtl":
        acknowledge(command, "accepted")
        before, mode["mode"] = mode["mode"], "RTL"  # here the autopilot is told
        state("mode", mode)
        keep(f"{me}.evt.mode_change", {"severity": "notice", "from": before, "to": "RTL"}, "TWIN_EVENTS")
        acknowledge(command, "completed")
    else:
        acknowledge(command, "rejected", error="this vehicle can only fly home", code=2)


def follow(desired):
    settings.update({name: value for name, value in desired.items() if name in settings})
    send(shadow + "reported", json.dumps(settings).encode())


def archived(positions):
    """Forgets what is on record; repeats what a broker has lost."""
    with lock:
        for stream, position in positions.items():
            begun_anew = epochs.setdefault(stream, position["epoch"]) != position["epoch"]
            epochs[stream] = position["epoch"]
            for msg_id, item in list(kept.items()):
                if item["stream"] != stream:
                    continue
                if 0 < item["stored"] <= position["seq"] and not begun_anew:
                    del kept[msg_id]
                elif begun_anew or time.monotonic() - item["sent"] > (10 if item["stored"] else 3):
                    publish_kept(msg_id)


def heard(subject, head, payload):
    if subject.startswith(inbox):
        answer = json.loads(payload or b"{}")
        item = kept.get(subject[len(inbox):])
        if subject == inbox + "desired" and payload and b" 404" not in head:
            follow(json.loads(payload))
        elif item and "error" not in answer:
            item["stored"] = answer.get("seq", 0)
    elif subject.startswith(me + ".cmd."):
        obey(json.loads(payload)["data"])
    elif subject == shadow + "desired" and payload:
        follow(json.loads(payload))
    elif subject.endswith(".archived"):
        archived(json.loads(payload))


def read():
    for line in stream:
        words = line.decode().split()
        if words[0] == "PING":
            with lock:
                link.sendall(b"PONG\r\n")
        elif words[0] in ("MSG", "HMSG"):
            head = stream.read(int(words[-2])) if words[0] == "HMSG" else b""
            payload = stream.read(int(words[-1]) - len(head))
            stream.read(2)
            heard(words[1], head, payload)
        elif words[0] == "-ERR":
            print(line.decode(), file=sys.stderr)


while True:  # a connection that breaks is opened again
    try:
        host, _, port = address.rpartition(":")
        link = socket.create_connection((host, int(port)), timeout=30)
        stream = link.makefile("rb")
        stream.readline()  # INFO
        hello = {"verbose": False, "headers": True, "no_responders": True, "lang": "python", "version": "1", "name": vid}
        link.sendall(b"CONNECT " + json.dumps(hello).encode() + b"\r\n")
        for number, subject in enumerate([me + ".cmd.>", shadow + "desired", f"fleet.{env}.hub.*.archived", inbox + ">"]):
            link.sendall(f"SUB {subject} {number}\r\n".encode())
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        send(shadow + "reported", json.dumps(settings).encode())
        send(f"$JS.API.DIRECT.GET.KV_TWIN_SHADOW.{shadow}desired", b"", inbox + "desired")
        for msg_id in list(kept):
            publish_kept(msg_id)
        while reader.is_alive():
            state("position", {"lat": 59.91, "lon": 10.75, "alt": 60.0, "rel_alt": 40.0, "heading": 90})
            state("battery", {"voltage": 15.9, "current": 4.1, "remaining": 0.8})
            state("mode", mode)
            time.sleep(1)
    except OSError as error:
        print(error, file=sys.stderr)
    time.sleep(1)

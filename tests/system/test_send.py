"""`fleethub send` against a hub that answers what the test wants: what it asks, what it shows, and
its exit status. Against a real hub: test_command_fleet.py."""

import http.server
import json
import os
import signal
import subprocess
import threading
import unittest

from harness.process import BUILD_DIR, wait_until

FLEETHUB = os.environ.get("FLEETHUB_PROGRAM") or os.path.join(BUILD_DIR, "hub", "fleethub")
STATES = ("pending", "sent", "accepted", "completed", "verified", "blocked", "rejected", "failed",
          "timed_out", "expired", "cancelled")


def command(status, **counts):
    return {"id": "c-1", "type": "rtl", "status": status, "total": sum(counts.values()),
            "counts": {state: counts.get(state, 0) for state in STATES}}


class ScriptedHub:
    """Answers each request with the next of its script: (status, body) or (status, body, headers),
    or None to hang up; the last of them again and again."""

    def __init__(self, *script):
        self.script, self.requests = list(script), []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                size = int(self.headers.get("Content-Length", 0))
                hub.requests.append((self.command, self.path, dict(self.headers),
                                     self.rfile.read(size).decode()))
                step = hub.script.pop(0) if len(hub.script) > 1 else hub.script[0]
                self.close_connection = True
                if step is None:
                    return
                body = json.dumps(step[1]).encode()
                self.send_response(step[0])
                for name, value in (step[2] if len(step) > 2 else {}).items():
                    self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for at in range(0, len(body), 7):
                    piece = body[at:at + 7]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLEETHUB_")}
    return {**kept, **more}


def send(hub, *words, **more):
    return subprocess.run([FLEETHUB, "send", *words, "--server", hub.url], text=True, timeout=60,
                          env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)


class SendTest(unittest.TestCase):
    def test_it_asks_watches_and_shows_every_vehicle(self):
        with ScriptedHub((202, command("running", pending=2)),
                         (200, command("running", accepted=1, completed=1)),
                         (200, command("succeeded", completed=2)),
                         (200, {"vehicles": [{"vid": "A", "state": "completed"}],
                                "next_page_token": "t&1"}),
                         (200, {"vehicles": [{"vid": "B", "state": "completed"}]})) as hub:
            done = send(hub, "rtl", "--all", "--reason", "wind", FLEETHUB_TOKEN="fh_1_s")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stdout, "A                    completed\nB                    completed\n"
                         "c-1 succeeded: 2 completed\n")
        self.assertIn("] 2/2 2 completed\n", done.stderr)
        method, path, headers, body = hub.requests[0]
        self.assertEqual((method, path), ("POST", "/v1/commands"))
        self.assertEqual(json.loads(body),
                         {"type": "rtl", "target": {"all": True}, "reason": "wind"})
        self.assertEqual(headers["Authorization"], "Bearer fh_1_s")
        self.assertEqual(len(headers["Idempotency-Key"]), 32)
        self.assertEqual([path for _, path, _, _ in hub.requests[1:]],
                         ["/v1/commands/c-1", "/v1/commands/c-1",
                          "/v1/commands/c-1/vehicles?page_size=1000",
                          "/v1/commands/c-1/vehicles?page_size=1000&page_token=t%261"])

    def test_exit_status_is_1_unless_all_succeeded(self):
        for status in ("partial", "failed", "aborted", "cancelled"):
            with ScriptedHub((202, command("running", pending=1)),
                             (200, command(status, completed=1, rejected=1)),
                             (200, {"vehicles": [{"vid": "B", "state": "rejected",
                                                  "reason": "not armed", "code": 4}]})) as hub:
                done = send(hub, "rtl", "--vids", "A,B")
            self.assertEqual(done.returncode, 1, done)
            self.assertIn("B                    rejected   not armed (code 4)\n", done.stdout)
            self.assertIn(f"c-1 {status}: 1 completed, 1 rejected\n", done.stdout)

    def test_it_asks_again_with_the_same_key_when_the_answer_is_lost(self):
        with ScriptedHub(None, (503, {"detail": "the command lane is changing hands"}),
                         (202, command("succeeded", completed=1)),
                         (200, {"vehicles": []})) as hub:
            done = send(hub, "rtl", "--all")
        self.assertEqual(done.returncode, 0, done)
        keys = [headers["Idempotency-Key"] for _, _, headers, _ in hub.requests[:3]]
        self.assertEqual(len(set(keys)), 1)
        self.assertIn("trying again", done.stderr)

    def test_a_refusal_is_told_in_the_hubs_words(self):
        with ScriptedHub((409, {"title": "Conflict", "detail": "250 vehicles match",
                                "hint": "say confirm: 250"})) as hub:
            done = send(hub, "rtl", "--all")
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (1, "", "fleethub send: 250 vehicles match (say confirm: 250)\n"))

    def test_a_dry_run_shows_who_would_get_it(self):
        answer = {"total": 2, "vids": ["A"], "blocked": [{"vid": "Z", "reason": "unknown_vehicle"}]}
        with ScriptedHub((200, answer)) as hub:
            done = send(hub, "rtl", "--vids", "A,Z", "--dry-run")
            told = send(hub, "rtl", "--vids", "A,Z", "--dry-run", "--json")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("2 vehicles, of which 1 blocked\n", done.stdout)
        self.assertIn("blocked: Z                    unknown_vehicle\n", done.stdout)
        self.assertEqual(json.loads(told.stdout), answer)
        self.assertTrue(json.loads(hub.requests[0][3])["dry_run"])

    def test_json_is_the_command_with_its_vehicles(self):
        vehicles = [{"vid": "A", "state": "completed"}, {"vid": "B", "state": "failed"}]
        ended = command("partial", completed=1, failed=1)
        with ScriptedHub((202, command("running", pending=2)), (200, ended),
                         (200, {"vehicles": vehicles})) as hub:
            done = send(hub, "rtl", "--all", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout), {**ended, "vehicles": vehicles})
        self.assertEqual(done.stderr, "")

    def test_detached_it_prints_the_id_alone(self):
        with ScriptedHub((202, command("running", pending=2))) as hub:
            done = send(hub, "rtl", "--all", "--detach")
        self.assertEqual((done.returncode, done.stdout), (0, "c-1\n"))

    def test_interrupted_it_says_how_to_cancel(self):
        with ScriptedHub((202, command("running", pending=2)),
                         (200, command("running", pending=2))) as hub:
            process = subprocess.Popen([FLEETHUB, "send", "rtl", "--all", "--server", hub.url],
                                       text=True, env=environment(), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            wait_until(lambda: len(hub.requests) > 2, 20, "it watches")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)
        self.assertIn(f"curl -X POST '{hub.url}/v1/commands/c-1:cancel'", errors)

    def test_without_a_hub_it_fails_at_once_and_says_where(self):
        hub = ScriptedHub(None)
        hub.server.server_close()
        done = send(hub, "rtl", "--all")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"127.0.0.1 port {hub.server.server_port}: Connection refused", done.stderr)

    def test_a_token_is_read_from_a_file_and_never_breaks_the_head(self):
        folder = os.path.join(BUILD_DIR, "Testing")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"token-{os.getpid()}")
        with ScriptedHub((202, command("succeeded", completed=1)), (200, {"vehicles": []})) as hub:
            with open(path, "w", encoding="utf-8") as file:
                file.write("fh_2_t\n")
            self.assertEqual(send(hub, "rtl", "--all", "--token-file", path).returncode, 0)
            with open(path, "w", encoding="utf-8") as file:
                file.write("fh_2\t\n")
            bad = send(hub, "rtl", "--all", "--token-file", path)
        os.unlink(path)
        self.assertEqual(hub.requests[0][2]["Authorization"], "Bearer fh_2_t")
        self.assertEqual((bad.returncode, bad.stderr),
                         (1, "fleethub send: what is given as a token is none\n"))

    def test_an_answer_that_is_no_hubs_is_told_as_such(self):
        for answer in (["x"], {"id": "c-1"}, "hello"):
            with ScriptedHub((202, answer)) as hub:
                done = send(hub, "rtl", "--all")
            self.assertEqual(done.returncode, 1)
            self.assertIn("is it a fleethub?", done.stderr)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""vigia-collector as devices and operators meet it: real DTLS, a real log, real processes.

Independent clients are Debian's coap-client-openssl and coap-client-gnutls; where a Connection ID, a chosen message id or a chosen
port is needed, collector_fixture's client (libcoap, as in the agent). With VIGIA_KAFKA in the environment (tests/support/kafka/broker
run) the log is that broker.
"""
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from patience import PATIENCE  # noqa: E402
from ports import free_port  # noqa: E402

BIN = os.environ["VIGIA_BINARY_DIR"]
COLLECTOR = f"{BIN}/bin/vigia-collector"
FIXTURE = f"{BIN}/tests/collector_fixture"
KEY = "0123456789abcdef0123456789abcdef"  # as text: what Debian's clients can be given
OTHER_KEY = "fedcba9876543210fedcba9876543210"
SENML_JSON, SENML_CBOR, JSON = 110, 112, 50
DEADLINE = 30 * PATIENCE  # longer than the fixture's client waits for one answer
KAFKA = os.environ.get("VIGIA_KAFKA")
PARTITIONS = 2 if KAFKA else 1
BROKER = f"{os.environ.get('VIGIA_SOURCE_DIR', '.')}/tests/support/kafka/broker"


def until(what, condition, seconds=DEADLINE, told=lambda: ""):
    """Waits for a condition; how long it took. `told`: what to say where it does not come."""
    start = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {what}{told()}")
        time.sleep(0.01)


def fixture(*args, prefix="vigia."):
    done = subprocess.run([FIXTURE, *map(str, args)], capture_output=True, text=True, timeout=60 * PATIENCE,
                          env={**os.environ, "FIXTURE_PREFIX": prefix})
    assert done.returncode == 0, done.stderr
    return done.stdout


def hexed(body):
    return (body if isinstance(body, bytes) else body.encode()).hex()


class SlowFile:
    """Nobody else can write to the log until `release`: a slow disk, in effect."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self.db.execute("BEGIN IMMEDIATE")

    def release(self):
        if self.db is not None:
            self.db.rollback()
            self.db.close()
            self.db = None


class SlowBroker:
    """The broker stands still, its sockets open."""

    def __init__(self):
        subprocess.run([BROKER, "pause", os.environ["VIGIA_KAFKA_DIR"]], check=True, timeout=30)

    def release(self):
        subprocess.run([BROKER, "resume", os.environ["VIGIA_KAFKA_DIR"]], check=True, timeout=30)


class House:
    """A folder with a log, a key file and one collector."""

    def __init__(self, **settings):
        self.folder = tempfile.mkdtemp(prefix="vigia-collector-")
        self.prefix = os.path.basename(self.folder).replace("_", "-") + "."  # a tenant of its own
        self.url = f"kafka:{KAFKA}" if KAFKA else f"sqlite:{self.folder}/log.db"
        self.kek = f"{self.folder}/kek"
        self.port, self.metrics_port = free_port(), free_port(socket.SOCK_STREAM)
        self.settings = settings
        self.collector, self.clients, self.slowed = None, [], None
        self.fixture("init", self.url, self.kek)

    def fixture(self, *args):
        return fixture(*args, prefix=self.prefix)

    def device(self, name, version, *patterns, state="active", key=KEY):
        self.fixture("device", self.url, self.kek, name, version, state, hexed(key), *patterns)

    def command(self):
        settings = {"log.url": self.url, "log.prefix": self.prefix, "log.partitions": PARTITIONS,
                    "log.replication": 1, "log.min_insync": 1, "keys.kek_file": self.kek, "collector.listen": f"127.0.0.1:{self.port}",
                    "metrics.listen": f"127.0.0.1:{self.metrics_port}", "collector.heartbeat": "10s"}
        settings.update({k.replace("__", "."): v for k, v in self.settings.items()})
        command = [COLLECTOR, "--config", f"{self.folder}/collector.ini"]
        for k, v in settings.items():
            command += ["--set", f"{k}={v}"]
        open(f"{self.folder}/collector.ini", "w").close()
        return command

    def start(self):
        self.errors = open(f"{self.folder}/err", "a+")
        self.collector = subprocess.Popen(self.command(), stderr=self.errors)
        until("the collector is ready", self.ready)
        return self

    def ready(self):
        assert self.collector.poll() is None, self.lines()
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5 * PATIENCE).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def metric(self, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5 * PATIENCE).read().decode()
        found = re.search(rf"^vigia_collector_{re.escape(name)} (\S+)$", text, re.M)
        return float(found.group(1))

    def lines(self):
        with open(f"{self.folder}/err", encoding="utf-8") as f:
            return f.read()

    def records(self, topic="readings"):
        return [json.loads(line) for line in self.fixture("read", self.url, topic).splitlines() if line]

    def readings(self):
        return [r for r in self.records() if "heartbeat" not in r]

    def client(self, identity, key=KEY, cid=True, port=None, local=0):
        client = Client(port or self.port, identity, key, cid, local)
        self.clients.append(client)
        return client

    def slow(self):
        """The log takes nothing until it is released."""
        self.slowed = SlowBroker() if KAFKA else SlowFile(f"{self.folder}/log.db")
        return self.slowed

    def stop(self):
        if self.slowed is not None:
            self.slowed.release()
        for client in self.clients:
            client.kill()
        if self.collector is not None:
            try:
                self.collector.terminate()
                code = self.collector.wait(20)
            finally:
                self.collector.kill()
                self.collector.wait()
                self.errors.close()
            assert code == 0, (code, self.lines())
        shutil.rmtree(self.folder)


class Client:
    def __init__(self, port, identity, key, cid, local):
        self.process = subprocess.Popen(
            [FIXTURE, "client", "127.0.0.1", str(port), identity, hexed(key), "cid" if cid else "plain", str(local)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self):
        words = self.process.stdout.readline().split()
        return (words[0], bytes.fromhex(words[1]) if len(words) > 1 else b"") if words else ("none", b"")

    def post(self, body, form=JSON, path="v1/readings", queries=()):
        self.say(" ".join(["post", path, str(form), hexed(body), *queries]))
        return self.hear()

    def con(self, mid, body):
        self.say(f"con {mid} v1/readings {JSON} {hexed(body)}")
        assert self.hear()[0] == "sent"

    def wait(self):
        self.say("wait")
        return self.hear()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def identity(store, lane, seq):
    return (f"store={store:016x}", f"lane={lane}", f"seq={seq}")


def debian_post(house, program, body, form, path="v1/readings", who="pi-1", key=KEY, queries=()):
    """The answer's code by one of Debian's clients, or None when there was no session; and all that it said."""
    name = f"{house.folder}/body"
    with open(name, "wb") as f:
        f.write(body if isinstance(body, bytes) else body.encode())
    uri = f"coaps://127.0.0.1:{house.port}/{path}" + ("?" + "&".join(queries) if queries else "")
    done = subprocess.run([program, "-v", "6", "-B", "10", "-m", "post", "-u", who, "-k", key, "-t", str(form), "-f", name, uri],
                          capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode(errors="replace")
    found = re.findall(r"^v:1 t:(?:ACK|CON|NON) c:([45]\.\d\d|2\.0\d)", said, re.M)
    return (found[-1] if found else None), said


SMOKE = '{"id":"s-1","smoke":true}'
ROUTINE_20 = "[" + ",".join(f'{{"id":"s-{i}","smoke":false}}' for i in range(20)) + "]"
# [{bn: "s-1/", bt: 1793194820.123, n: "temperature", u: "Cel", v: 25.5}], by hand
CBOR_PACK = (b"\x81\xa5\x21\x64s-1/\x22\xfb" + bytes.fromhex("41dab86891 07df3b".replace(" ", "")) +
             b"\x00\x6btemperature\x01\x63Cel\x02\xfb" + bytes.fromhex("4039800000000000"))


class Interoperation(unittest.TestCase):
    """Debian's own clients; one collector for all."""

    @classmethod
    def setUpClass(cls):
        cls.programs = [p for p in ("coap-client-openssl", "coap-client-gnutls") if shutil.which(p)]
        if not cls.programs:
            raise unittest.SkipTest("skipped: neither coap-client-openssl nor coap-client-gnutls is here (libcoap3-bin)")
        cls.house = House(collector__rejected_rate=1000)
        cls.house.device("pi-1", 1, "s-*")
        cls.house.device("pi-off", 1, "s-*", state="revoked")
        cls.house.start()

    @classmethod
    def tearDownClass(cls):
        cls.house.stop()

    def code(self, *args, **kwargs):
        codes = {debian_post(self.house, p, *args, **kwargs)[0] for p in self.programs}
        self.assertEqual(len(codes), 1, codes)
        return codes.pop()

    def test_all_formats_are_acknowledged_and_stored_exactly_once(self):
        seq = 100
        want = set()
        for program in self.programs:
            for body, form in ((SMOKE, JSON), ('[{"n":"s-2/motion","vb":true}]', SENML_JSON), (CBOR_PACK, SENML_CBOR)):
                code, said = debian_post(self.house, program, body, form, queries=identity(0xabc, "u", seq))
                self.assertEqual(code, "2.04", said)
                want.add(("pi-1", "0000000000000abc", "u", seq))
                seq += 1
            code, said = debian_post(self.house, program, '["s-1","s-2"]', JSON, path="v1/ok", queries=identity(0xabc, "u", seq))
            self.assertEqual(code, "2.04", said)
            want |= {("pi-1", "0000000000000abc", "u", seq), ("pi-1", "0000000000000abc", "u", seq + 1)}
            seq += 2
        got = [(r["device"], r["store"], r["lane"], r["seq"]) for r in self.house.readings() if r.get("store") == "0000000000000abc"]
        self.assertEqual(sorted(got), sorted(want))

    def test_the_cbor_pack_is_stored_as_it_was_meant(self):
        self.assertEqual(self.code(CBOR_PACK, SENML_CBOR, queries=identity(0xcb, "r", 1)), "2.04")
        r = [r for r in self.house.readings() if r.get("store") == "00000000000000cb"][0]
        self.assertEqual((r["sensor"], r["temperature"], r["quality"]), ("s-1", 25.5, "synced"))

    def test_a_wrong_key_and_an_unknown_name_fail_alike(self):
        stored = len(self.house.readings())
        for program in self.programs:
            said = []
            for who, key in (("pi-1", OTHER_KEY), ("nobody", KEY), ("pi-off", KEY)):
                code, text = debian_post(self.house, program, SMOKE, JSON, who=who, key=key)
                self.assertIsNone(code, text)
                said.append(sorted(set(re.findall(r"(?i)alert.*|bad record mac", text))))
            self.assertEqual(re.sub(r"\d{5}", "", str(said[0])), re.sub(r"\d{5}", "", str(said[1])))
            self.assertEqual(re.sub(r"\d{5}", "", str(said[0])), re.sub(r"\d{5}", "", str(said[2])))
        self.assertEqual(len(self.house.readings()), stored)

    def test_each_refusal_has_its_code_and_stores_nothing(self):
        stored = len(self.house.readings())
        self.assertEqual(self.code('[{"n":"s-1/smoke","vb":true},{"n":"foreign/smoke","vb":true}]', SENML_JSON), "4.03")
        self.assertEqual(self.code('[{"n":"s-1/smoke","v":7}]', SENML_JSON), "4.22")
        self.assertEqual(self.code("[{", SENML_JSON), "4.00")
        self.assertEqual(self.code(SMOKE, JSON, queries=("store=1",)), "4.00")
        self.assertEqual(self.code(SMOKE, 0), "4.15")
        self.assertEqual(self.code(SMOKE, 60), "4.15")
        self.assertEqual(self.code("[" + ",".join([SMOKE] * 60) + "]", JSON), "4.13")  # comes in blocks
        self.assertEqual(self.code(SMOKE, JSON, path="v1/other"), "4.04")
        self.assertEqual(len(self.house.readings()), stored)
        until("refused payloads are in the topic rejected",
              lambda: {"4.03", "4.22", "4.00", "4.15"} <= {r["code"] for r in self.house.records("rejected")})


class Answers(unittest.TestCase):
    """One collector each, with the settings that the case needs."""

    def house(self, *patterns, **settings):
        house = House(**settings)
        self.addCleanup(house.stop)
        house.device("pi-1", 1, *(patterns or ("s-*",)))
        return house.start()

    def test_refused_readings_are_listed_in_cbor(self):
        client = self.house().client("pi-1")
        code, body = client.post('[{"id":"s-1","smoke":true},{"id":"x","smoke":true},{"id":"s-2","smoke":1}]')
        self.assertEqual(code, "4.22")
        self.assertEqual(body, bytes.fromhex("82" "8201" "1883" "8202" "1896"))

    def test_a_body_of_one_datagram_that_is_too_large_is_4_13(self):
        house = self.house()
        client = house.client("pi-1")
        good = SMOKE + " " * (1152 - len(SMOKE))
        self.assertEqual(client.post(good)[0], "2.04")
        self.assertEqual(client.post(good + " ")[0], "4.13")
        self.assertEqual(len(house.readings()), 1)

    def test_too_many_requests_are_4_29_and_others_do_not_suffer(self):
        house = self.house(collector__request_rate=1, collector__request_burst=3)
        house.device("pi-2", 1, "t-*")
        until("the second device is known", lambda: house.metric("devices") == 2)
        client = house.client("pi-1")
        codes = [client.post(SMOKE)[0] for _ in range(5)]
        self.assertEqual(codes[:3], ["2.04"] * 3)
        self.assertIn("4.29", codes[3:])
        self.assertEqual(house.client("pi-2").post('{"id":"t-1","motion":true}')[0], "2.04")
        self.assertEqual(house.metric('answers_total{code="4.29"}'), codes.count("4.29"))

    def test_a_slow_log_is_answered_by_itself_and_a_repeated_message_is_stored_once(self):
        house = self.house()
        client = house.client("pi-1")
        self.assertEqual(client.post(SMOKE)[0], "2.04")
        slow = house.slow()
        client.con(4711, '{"id":"s-2","motion":true}')
        until("the request waits", lambda: house.metric("pending_requests") == 1)
        client.con(4711, '{"id":"s-2","motion":true}')
        until("the repetition is seen", lambda: house.metric("duplicate_messages_total") == 1)
        until("the empty acknowledgement is out", lambda: house.metric("early_acknowledgements_total") == 1)
        slow.release()
        self.assertEqual(client.wait()[0], "2.04")
        client.con(4711, '{"id":"s-2","motion":true}')
        until("the late repetition is seen", lambda: house.metric("duplicate_messages_total") == 2)
        self.assertEqual([r["sensor"] for r in house.readings()], ["s-1", "s-2"])

    def test_a_log_that_fails_is_5_03_and_heals(self):
        house = self.house(log__verdict_timeout="3s")
        client = house.client("pi-1")
        self.assertEqual(client.post(SMOKE, queries=identity(1, "u", 1))[0], "2.04")
        slow = house.slow()
        self.assertEqual(client.post(SMOKE, queries=identity(1, "u", 2))[0], "5.03")
        until("not ready while the log fails", lambda: not house.ready())
        slow.release()
        # A broker that was away is found again in its own time; meanwhile a device is told 5.03 and sends again.
        answers = []
        until("a reading is durable again", lambda: answers.append(client.post(SMOKE, queries=identity(1, "u", 2))[0]) or answers[-1] == "2.04",
              told=lambda: f"; its answers: {' '.join(answers[-20:])}; the collector:\n{house.lines()[-3000:]}")
        until("ready again", house.ready)
        self.assertEqual({r["seq"] for r in house.readings()}, {1, 2})

    def test_sigterm_answers_what_is_under_way(self):
        house = self.house()
        client = house.client("pi-1")
        self.assertEqual(client.post(SMOKE)[0], "2.04")
        slow = house.slow()
        client.con(99, SMOKE)
        until("the request waits", lambda: house.metric("pending_requests") == 1)
        house.collector.send_signal(signal.SIGTERM)
        until("it drains", lambda: "draining" in house.lines())
        slow.release()
        self.assertEqual(client.wait()[0], "2.04")
        self.assertEqual(house.collector.wait(20), 0)
        self.assertEqual(len(house.readings()), 2)

    def test_an_alarm_is_taken_at_its_first_try_while_readings_fill_the_queue(self):
        house = self.house(log__queue_max=100)
        client, alarm = house.client("pi-1"), house.client("pi-1")
        self.assertEqual([c.post(SMOKE)[0] for c in (client, alarm)], ["2.04", "2.04"])
        slow = house.slow()
        for mid in range(4):
            client.con(mid, ROUTINE_20)
        until("four requests wait", lambda: house.metric("pending_requests") == 4)
        self.assertEqual(client.post(ROUTINE_20)[0], "5.03")  # 100 records would be the bound, 88 are for it
        alarm.con(7, SMOKE)
        until("the alarm waits", lambda: house.metric("pending_requests") == 5)
        slow.release()
        self.assertEqual(alarm.wait()[0], "2.04")
        self.assertEqual(house.metric('log_queue_full_total{lane="routine"}'), 1)
        self.assertEqual(house.metric('log_queue_full_total{lane="urgent"}'), 0)
        self.assertIn("log-queue-full", house.lines())

    def test_an_alarm_is_taken_at_its_first_try_while_readings_fill_the_requests(self):
        house = self.house(collector__max_pending=8)
        client, alarm = house.client("pi-1"), house.client("pi-1")
        self.assertEqual([c.post(SMOKE)[0] for c in (client, alarm)], ["2.04", "2.04"])
        slow = house.slow()
        for mid in range(7):
            client.con(mid, ROUTINE_20)
        until("seven requests wait", lambda: house.metric("pending_requests") == 7)
        self.assertEqual(client.post(ROUTINE_20)[0], "5.03")
        alarm.con(7, SMOKE)
        until("the alarm waits", lambda: house.metric("pending_requests") == 8)
        self.assertEqual(client.post(SMOKE)[0], "5.03")  # and that was all
        slow.release()
        self.assertEqual(alarm.wait()[0], "2.04")
        self.assertEqual([house.metric(f'pending_full_total{{lane="{lane}"}}') for lane in ("routine", "urgent")], [1, 1])
        self.assertIn("urgent-pending-full", house.lines())

    def test_heartbeats_go_on_while_readings_fill_the_queue(self):
        house = self.house(log__queue_max=100, collector__heartbeat="2s")
        client = house.client("pi-1")
        self.assertEqual(client.post(SMOKE)[0], "2.04")
        beats = house.metric("heartbeats_total")
        until("a heartbeat, so that the next is two seconds away", lambda: house.metric("heartbeats_total") > beats)
        slow = house.slow()
        for mid in range(4):
            client.con(mid, ROUTINE_20)
        client.con(4, ROUTINE_20.replace('":false', '":true'))  # urgent ones: the rest
        until("they wait", lambda: house.metric("pending_requests") == 5)
        until("one is on its way, and the next withheld", lambda: "heartbeats-withheld" in house.lines())
        self.assertNotIn("heartbeat-refused", house.lines())
        beats = house.metric("heartbeats_total")
        slow.release()
        until("heartbeats go on", lambda: house.metric("heartbeats_total") > beats)

    def test_no_heartbeat_comes_before_the_port_is_open(self):
        """It would say that readings can be stored while no device can bring one."""
        house = self.house(collector__heartbeat="100ms")
        until("heartbeats", lambda: house.metric("heartbeats_total") > 0)
        first = min(r["time_ms"] for r in house.records() if "heartbeat" in r)
        opened = re.search(r"^(\S+) .*\bmsg=listening\b", house.lines(), re.M)
        self.assertGreaterEqual(first, 1000 * datetime.datetime.fromisoformat(opened.group(1).replace("Z", "+00:00")).timestamp())

    def test_heartbeats_come_without_any_device(self):
        house = self.house(collector__heartbeat="100ms", collector__instance="c7")
        until("three heartbeats", lambda: len([r for r in house.records() if r.get("heartbeat") == "c7"]) >= 3)

    def test_heartbeats_of_an_outage_are_not_stored_after_it(self):
        """They would say that readings could be stored all the time, and every sensor would seem to have been silent."""
        house = self.house(collector__heartbeat="100ms", log__verdict_timeout="1s")
        beats = lambda: [r["received_ms"] for r in house.records() if "heartbeat" in r]
        until("the first heartbeat", beats)
        slow = house.slow()
        began = time.time() * 1000
        failed = house.metric("heartbeats_failed_total")
        until("heartbeats of two seconds have failed", lambda: house.metric("heartbeats_failed_total") >= failed + 20 * PARTITIONS)
        ended = time.time() * 1000
        slow.release()
        until("a heartbeat after it", lambda: max(beats()) > ended)
        inside = [b for b in beats() if began < b < ended]
        self.assertLessEqual(len(inside), PARTITIONS, inside)


class Devices(unittest.TestCase):
    def house(self, **settings):
        house = House(**settings)
        self.addCleanup(house.stop)
        house.device("pi-1", 1, "s-*")
        return house.start()

    def end_of_session(self, house, change):
        """Changes the device of a live session; seconds until the session had ended."""
        client = house.client("pi-1")
        self.assertEqual(client.post(SMOKE)[0], "2.04")
        before = house.metric('sessions_ended_total{reason="device-changed"}')
        start = time.monotonic()
        change()
        until("the session ends", lambda: house.metric('sessions_ended_total{reason="device-changed"}') == before + 1)
        took = time.monotonic() - start
        self.assertNotEqual(client.post(SMOKE)[0], "2.04")
        return took

    def test_revoking_a_device_ends_its_session_within_five_seconds_and_refuses_new_ones(self):
        house = self.house()
        took = self.end_of_session(house, lambda: house.device("pi-1", 2, "s-*", state="revoked"))
        self.assertLess(took, 5)
        print(f"  revocation acted after {took * 1000:.0f} ms", file=sys.stderr)
        stored = len(house.readings())
        self.assertEqual(house.client("pi-1").post(SMOKE)[0], "none")
        self.assertEqual(len(house.readings()), stored)
        house.device("pi-1", 3, "s-*")
        until("the device is let in again", lambda: house.client("pi-1").post(SMOKE)[0] == "2.04")

    def test_removing_a_device_ends_its_session(self):
        house = self.house()
        self.assertLess(self.end_of_session(house, lambda: house.fixture("remove", house.url, "pi-1")), 5)

    def test_rotating_a_key_ends_the_session_and_only_the_new_key_opens_one(self):
        house = self.house()
        self.assertLess(self.end_of_session(house, lambda: house.device("pi-1", 2, "s-*", key=OTHER_KEY)), 5)
        self.assertEqual(house.client("pi-1", key=OTHER_KEY).post(SMOKE)[0], "2.04")
        self.assertEqual(house.client("pi-1", key=KEY).post(SMOKE)[0], "none")

    def test_a_handshake_that_a_rotation_overtakes_opens_no_session(self):
        house = self.house()
        other = house.client("pi-1")
        self.assertEqual(other.post(SMOKE)[0], "2.04")
        proxy = HoldingProxy(house.port)
        self.addCleanup(proxy.close)
        client = house.client("pi-1", port=proxy.port())
        client.say(f"post v1/readings {JSON} {hexed(SMOKE)}")
        until("the client has said all but its last words", lambda: proxy.held)
        self.assertEqual(other.post(SMOKE)[0], "2.04")  # behind the key exchange in the collector's socket: the old key is chosen
        house.device("pi-1", 2, "s-*", key=OTHER_KEY)
        ended = 'sessions_ended_total{reason="device-changed"}'
        until("the collector knows the new key", lambda: house.metric(ended) == 1)
        proxy.release()
        self.assertNotEqual(client.hear()[0], "2.04")
        self.assertEqual(house.metric(ended), 2)
        self.assertEqual(house.metric("sessions_opened_total"), 1)
        self.assertEqual(len(house.readings()), 2)

    def test_a_reload_has_one_outcome_and_a_key_file_that_is_refused_leaves_the_former_one(self):
        house = self.house()
        told = lambda what: [line for line in house.lines().splitlines() if f"msg={what}" in line]

        def reload(outcome, times):
            house.collector.send_signal(signal.SIGHUP)
            until(f"{outcome}, {times} times", lambda: len(told(outcome)) == times)

        reload("reloaded", 1)
        self.assertEqual(told("keys-changed"), [])
        with open(house.kek, "rb") as f:
            former = f.read()
        with open(house.kek, "ab") as f:
            f.write(b"x")
        reload("reload-refused", 1)
        self.assertIn(house.kek, told("reload-refused")[0])
        self.assertEqual(house.client("pi-1").post(SMOKE)[0], "2.04")
        with open(house.kek, "wb") as f:
            f.write(former[::-1])
        reload("reloaded", 2)
        self.assertEqual(len(told("keys-changed")), 1)
        self.assertEqual(house.client("pi-1").post(SMOKE)[0], "none")
        self.assertEqual((len(told("reload-refused")), len(told("reloaded"))), (1, 2))

    def test_more_sensors_for_a_device_leave_its_session_alone(self):
        house = self.house()
        client = house.client("pi-1")
        self.assertEqual(client.post('{"id":"new","smoke":true}')[0], "4.03")
        house.device("pi-1", 2, "s-*", "new")
        until("the sensor may be spoken for", lambda: client.post('{"id":"new","smoke":true}')[0] == "2.04")
        self.assertEqual(house.metric("sessions_opened_total"), 1)

    def test_a_third_session_of_a_device_ends_its_oldest(self):
        house = self.house()
        clients = [house.client("pi-1") for _ in range(3)]
        for client in clients:
            self.assertEqual(client.post(SMOKE)[0], "2.04")
        self.assertEqual(house.metric("sessions"), 2)
        self.assertEqual(house.metric('sessions_ended_total{reason="replaced"}'), 1)
        self.assertEqual(clients[1].post(SMOKE)[0], "2.04")
        self.assertEqual(clients[2].post(SMOKE)[0], "2.04")

    def test_one_session_too_many_ends_the_one_that_was_silent_longest(self):
        house = self.house(collector__max_sessions=2)
        for i in (2, 3):
            house.device(f"pi-{i}", 1, "s-*")
        until("all devices are known", lambda: house.metric("devices") == 3)
        first, second = house.client("pi-1"), house.client("pi-2")
        for client in (first, second, first):
            self.assertEqual(client.post(SMOKE)[0], "2.04")
        self.assertEqual(house.client("pi-3").post(SMOKE)[0], "2.04")
        self.assertEqual(house.metric('sessions_ended_total{reason="cap"}'), 1)
        self.assertEqual(first.post(SMOKE)[0], "2.04")


class Proxy(threading.Thread):
    """Passes datagrams between one client and the server; `out` is the socket that the server sees the client come from."""

    def __init__(self, server_port):
        super().__init__(daemon=True)
        self.server = ("127.0.0.1", server_port)
        self.inside = self.make()
        self.outs = [self.make()]
        self.out = self.outs[0]
        self.client, self.last_cid_record, self.running = None, None, True
        self.got = {}
        self.start()

    @staticmethod
    def make():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", 0))
        s.setblocking(False)
        return s

    def port(self):
        return self.inside.getsockname()[1]

    def another(self):
        self.outs.append(self.make())
        return self.outs[-1]

    def run(self):
        import select
        while self.running:
            for s in select.select([self.inside, *self.outs], [], [], 0.05)[0]:
                data, where = s.recvfrom(2048)
                if s is self.inside:
                    self.client = where
                    if data[0] == 25:
                        self.last_cid_record = data
                    self.up(data)
                else:
                    self.got[s] = self.got.get(s, 0) + 1
                    if self.client:
                        self.inside.sendto(data, self.client)

    def up(self, data):
        self.out.sendto(data, self.server)

    def close(self):
        self.running = False
        self.join()
        for s in (self.inside, *self.outs):
            s.close()


class HoldingProxy(Proxy):
    """Keeps a client's last words of a handshake, from ChangeCipherSpec on, until `release`."""

    def __init__(self, server_port):
        self.held, self.lock, self.open = [], threading.Lock(), False
        super().__init__(server_port)

    def up(self, data):
        with self.lock:
            while data:
                size = 13 + int.from_bytes(data[11:13], "big")
                record, data = data[:size], data[size:]
                if self.open or (record[0] == 22 and record[3:5] == b"\0\0"):
                    self.out.sendto(record, self.server)
                else:
                    self.held.append(record)

    def release(self):
        with self.lock:
            self.open = True
            for record in self.held:
                self.out.sendto(record, self.server)


class Addresses(unittest.TestCase):
    """The two patches to libcoap that decide whose address is whose."""

    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.stop)
        self.house.device("alice", 1, "a-*")
        self.house.device("bob", 1, "b-*")
        self.house.start()

    def test_a_forged_record_moves_nothing_and_a_genuine_one_does(self):
        house = self.house
        proxy = Proxy(house.port)
        self.addCleanup(proxy.close)
        client = house.client("alice", port=proxy.port())
        self.assertEqual(client.post('{"id":"a-1","smoke":true}')[0], "2.04")
        self.assertIsNotNone(proxy.last_cid_record, "no Connection ID was agreed")

        # An answer is still to come; meanwhile somebody sends a copy with a higher number and a spoilt tag from another port.
        slow = house.slow()
        client.con(7, '{"id":"a-2","smoke":true}')
        until("the request waits", lambda: house.metric("pending_requests") == 1)
        enemy = proxy.another()
        record = bytearray(proxy.last_cid_record)
        record[10] = (record[10] + 9) & 0xff
        record[-1] ^= 0x55
        for copy in (bytes(record), proxy.last_cid_record, proxy.last_cid_record[:15]):
            enemy.sendto(copy, ("127.0.0.1", house.port))
        # the server has taken the forged ones out of its socket when it has answered a handshake that came after them
        self.assertEqual(house.client("bob").post('{"id":"a-1","smoke":true}')[0], "4.03")
        slow.release()
        self.assertEqual(client.wait()[0], "2.04")
        self.assertEqual(proxy.got.get(enemy, 0), 0, "the server sent to the forger's port")

        # The client's own port changes: no new handshake, the answer arrives at the new one.
        opened = house.metric("sessions_opened_total")
        proxy.out = proxy.another()
        self.assertEqual(client.post('{"id":"a-3","smoke":true}')[0], "2.04")
        self.assertGreater(proxy.got.get(proxy.out, 0), 0)
        self.assertEqual(house.metric("sessions_opened_total"), opened)
        self.assertEqual([r["sensor"] for r in house.readings()], ["a-1", "a-2", "a-3"])

    def test_a_port_that_changes_every_second_message_costs_no_handshake_and_no_reading(self):
        house = self.house
        proxy = Proxy(house.port)
        self.addCleanup(proxy.close)
        client = house.client("alice", port=proxy.port())
        for seq in range(1, 21):
            if seq % 2 == 0:
                proxy.out = proxy.another()
            self.assertEqual(client.post('{"id":"a-1","smoke":true}', queries=identity(5, "u", seq))[0], "2.04")
        self.assertEqual(house.metric("sessions_opened_total"), 1)
        self.assertEqual([r["seq"] for r in house.readings()], list(range(1, 21)))

    def test_another_device_at_an_old_address_is_never_taken_for_the_first(self):
        house = self.house
        local = free_port()
        alice = house.client("alice", local=local, cid=False)
        self.assertEqual(alice.post('{"id":"a-1","smoke":true}')[0], "2.04")
        alice.kill()
        bob = house.client("bob", local=local, cid=False)
        self.assertEqual(bob.post('{"id":"b-1","smoke":true}')[0], "2.04")
        self.assertEqual(bob.post('{"id":"a-1","smoke":true}')[0], "4.03")
        self.assertEqual([(r["device"], r["sensor"]) for r in house.readings()], [("alice", "a-1"), ("bob", "b-1")])
        self.assertEqual(house.metric("sessions_opened_total"), 2)
        until("the old session is gone", lambda: house.metric("sessions") == 1)


class BadStarts(unittest.TestCase):
    """One line that names the thing, and the right exit code."""

    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.stop)

    def refused(self, code, *words, **settings):
        self.house.settings = settings
        done = subprocess.run(self.house.command(), capture_output=True, text=True, timeout=60)
        # the Kafka client's own warnings come before; the last line is the one that counts
        lines = [line for line in done.stderr.splitlines() if "level=warn" not in line]
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(lines), 1, done.stderr)
        for word in words:
            self.assertIn(word, lines[0])

    def test_a_port_in_use(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", self.house.port))
            self.refused(78, f"127.0.0.1:{self.house.port}", "in use")

    def test_a_missing_key_file(self):
        os.unlink(self.house.kek)
        self.refused(78, self.house.kek, "No such file")

    def test_a_key_file_that_everybody_may_read(self):
        os.chmod(self.house.kek, 0o644)
        self.refused(78, self.house.kek, "0644", "0600")

    def test_a_key_file_of_the_wrong_size(self):
        with open(self.house.kek, "ab") as f:
            f.write(b"x")
        self.refused(78, self.house.kek, "32")

    def test_a_log_that_is_not_there(self):
        self.refused(78, "nowhere.db", log__url=f"sqlite:{self.house.folder}/nowhere.db")
        self.assertFalse(os.path.exists(f"{self.house.folder}/nowhere.db"))

    def test_a_log_of_an_unknown_kind(self):
        self.refused(78, "oracle:", log__url="oracle:here")

    def test_a_broker_that_cannot_be_reached(self):
        port = free_port(socket.SOCK_STREAM)
        self.refused(1, f"127.0.0.1:{port}", log__url=f"kafka:127.0.0.1:{port}")

    def test_an_address_that_does_not_resolve(self):
        self.refused(78, "nowhere.invalid", collector__listen="nowhere.invalid:5684")

    def test_a_value_out_of_range(self):
        self.refused(78, "max_batch", "129", collector__max_batch=129)


if __name__ == "__main__":
    unittest.main(verbosity=2)

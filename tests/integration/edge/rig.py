"""Real programs for the agent's tests: a collector on an SQLite log, the agent, and a checker of what arrived.

Everything is in one temporary folder; every wait has a deadline; only processes started here are ended."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from patience import PATIENCE  # noqa: E402
from ports import free_port  # noqa: E402

BINARY_DIR = os.environ["VIGIA_BINARY_DIR"]
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
EDGE = os.environ.get("VIGIA_EDGE", os.path.join(BINARY_DIR, "bin", "vigia-edge"))
FAULTY_EDGE = os.path.join(BINARY_DIR, "tests", "edge_with_faults")  # the agent; silent_names.c, full_card.c
FLEET = os.path.join(BINARY_DIR, "bin", "vigia-fleet")
COLLECTOR = os.path.join(BINARY_DIR, "bin", "vigia-collector")
FIXTURE = os.path.join(BINARY_DIR, "tests", "collector_fixture")
PSK = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
PATIENCE_S = 60 * PATIENCE


def wait_for(what, condition, patience=PATIENCE_S):
    """Returns the first true result of condition(); fails when `patience` seconds have passed."""
    end = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError("waited %d s in vain: %s" % (patience, what))
        time.sleep(0.02)  # between two looks, not instead of one


class Program:
    def __init__(self, name, args, folder):
        self.name, self.args = name, args
        self.log_path = os.path.join(folder, name + ".log")
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.args, stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self.name + " did not end on SIGTERM")

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()


class Rig:
    """A log with one device, a collector, an agent. `sensors` lines go into the scenario."""

    def __init__(self, folder):
        self.folder = folder
        self.url = "sqlite:" + self.path("log.db")
        self.programs = []
        self.edge = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def __enter__(self):
        self.fixture("init", self.url, self.path("kek"))
        self.fixture("device", self.url, self.path("kek"), "pi-42", "1", "active", PSK, "s-*")
        return self

    def __exit__(self, kind, *exc):
        for p in self.programs:
            if p.process is not None and p.process.poll() is None:
                p.kill()
        if kind is not None:
            for p in self.programs:
                print("---- %s\n%s" % (p.name, p.log()[-6000:]), file=sys.stderr)

    def fixture(self, *args):
        return subprocess.run([FIXTURE, *args], check=True, timeout=30, capture_output=True, text=True).stdout

    def program(self, name, args):
        p = Program(name, args, self.folder)
        self.programs.append(p)
        return p

    def collector(self, name="collector", port=None, metrics=None):
        port = port or free_port()
        metrics = metrics or free_port(socket.SOCK_STREAM)
        sets = {"log.url": self.url, "keys.kek_file": self.path("kek"), "collector.instance": name,
                "collector.listen": "127.0.0.1:%d" % port, "metrics.listen": "127.0.0.1:%d" % metrics}
        sets.update({"log.partitions": "2", "log.replication": "1", "log.min_insync": "1"})
        p = self.program(name, [COLLECTOR, *[x for k, v in sets.items() for x in ("--set", "%s=%s" % (k, v))]])
        p.port, p.metrics_port = port, metrics
        p.start()
        wait_for(name + " is ready", lambda: ready(p))
        return p

    def agent(self, scenario, collectors, program=EDGE, **sets):
        with open(self.path("story.scenario"), "w") as f:
            f.write(scenario)
        metrics = free_port(socket.SOCK_STREAM)
        with open(self.path("edge.ini"), "w") as f:
            f.write("[device]\nname = pi-42\nclock = trusted\n[uplink]\ncollectors = %s\npsk_file = psk\n"
                    "backoff_min = 100ms\nbackoff_max = 1s\n[buffer]\npath = edge.db\ngroup = 200ms\n"
                    "[source sim]\nscenario = story.scenario\nledger = ledger.jsonl\nstart_ms = %d\n"
                    "[metrics]\nlisten = 127.0.0.1:%d\n" % (collectors, time.time() * 1000, metrics))
        with open(os.open(self.path("psk"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(PSK + "\n")
        extra = [x for k, v in sets.items()
                 for x in ("--set", "%s=%s" % (k.replace("source_sim", "source sim").replace("__", "."), v))]
        p = self.program("edge", [program, "--config", self.path("edge.ini"), *extra])
        p.metrics_port = metrics
        self.edge = p.start()
        return p

    def ledger(self):
        try:
            with open(self.path("ledger.jsonl")) as f:
                return [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def stored(self):
        return [json.loads(line) for line in self.fixture("read", self.url, "readings").splitlines()
                if '"heartbeat"' not in line]

    def drained(self):
        """The agent has nothing left to send."""
        m = figures(self.edge)
        return m and m['vigia_edge_waiting_readings{lane="urgent"}'] == 0 and \
            m['vigia_edge_waiting_readings{lane="routine"}'] == 0 and m["vigia_edge_ring_bytes"] == 0 and m


def ready(p):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % p.metrics_port, timeout=2) as r:
            return r.status == 200
    except OSError:
        assert p.process.poll() is None, "%s ended:\n%s" % (p.name, p.log())
        return False


def figures(p):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % p.metrics_port, timeout=2) as r:
            lines = r.read().decode().splitlines()
    except OSError:
        assert p.process.poll() is None, "%s ended:\n%s" % (p.name, p.log())
        return None
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}


def identity(r):
    return r["device"], r["store"], r["lane"], r["seq"]


def story_times(readings):
    """(sensor, time in the story) of what the scenario stamped; told once per identity."""
    unique = {identity(r): r for r in readings}
    return {(r["sensor"], int(r["x"]["at"])) for r in unique.values() if "at" in r.get("x", {})}


def check_whole(rig, lost_allowed=lambda sample: False):
    """Everything in the agent's ledger is stored; nothing is that is not in it; one identity names one reading."""
    ledger = {(s["sensor"], s["at"]): s for s in rig.ledger() if not s["ok"]}
    readings = rig.stored()
    stored = story_times(readings)
    missing = [s for key, s in ledger.items() if key not in stored and not lost_allowed(s)]
    invented = stored - set(ledger)
    assert not missing, "%d of %d lost, first %s" % (len(missing), len(ledger), missing[:3])
    assert not invented, "never sampled: %s" % sorted(invented)[:3]
    # An OK carries no stamp: it stands alone.
    told = sorted(s["sensor"] for s in rig.ledger() if s["ok"] and not lost_allowed(s))
    heard = sorted(r["sensor"] for r in {identity(r): r for r in readings}.values() if r.get("ok"))
    assert heard == told, "OKs told %s, stored %s" % (told, heard)
    by_identity = {}
    for r in readings:
        key = identity(r)
        same = by_identity.setdefault(key, r)
        assert (same["sensor"], same.get("x")) == (r["sensor"], r.get("x")), "one identity, two readings: %s" % (key,)
    return len(ledger), len(readings), len(by_identity)

"""A small site of real programs for the sweeps: a log, a collector, the alarm processor, agents, and a device that is ours.

The programs come from a build with fault points (preset faults); what checks them, the command line and the device's CoAP client,
from the plain build. A device posts a story and notes every 2.04, whoever dies meanwhile; the checker reads the log anew.
Everything is in one folder, every wait has a deadline, and what is started here ends with this program, whatever ends that."""
import collections
import configparser
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("support", "checker", "evidence")]
import card  # noqa: E402
import checker  # noqa: E402
import processes  # noqa: E402
from ports import free_port  # noqa: E402
from result import Result  # noqa: E402

BROKER = ROOT / "tests" / "support" / "kafka" / "broker"
PATIENCE_S = 60
ANSWER_S = 7  # more than one retransmission; then the device begins a new session
QUIET = {"ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_stack_use_after_return=0", "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
         "LSAN_OPTIONS": "exitcode=98"}
# What an agent's sudden end may cost: its open group, set below, and the commit under way; of urgent readings, that commit alone.
GROUP_MS, COMMIT_MS = 100, 300
SANITIZER_WORDS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion `", "WARNING: ThreadSanitizer")


_lock, _stopping, _started = threading.Lock(), threading.Event(), []


class Stopped(Exception):
    """The sweep is being ended."""


class Failure(Exception):
    """The product did not keep a promise."""

    def __init__(self, text):
        if _stopping.is_set():
            raise Stopped  # what ends with us has failed nothing
        super().__init__(text)


def begin(command, **how):
    """Starts a process that ends with us, or with the thread that started it; none any more after stop_all()."""
    with _lock:
        if _stopping.is_set():
            raise Stopped
        process = subprocess.Popen([str(c) for c in command], preexec_fn=processes.die_with(os.getpid()), **how)
        _started[:] = [p for p in _started if p.returncode is None] + [process]
    return process


def stop_all():
    """Ends every process; whoever waits for one, or would start another, gives up."""
    with _lock:
        _stopping.set()
        left = [p for p in _started if p.poll() is None]
        for process in left:
            process.kill()
    for process in left:
        process.wait(20)


def remove(folder):
    """A sweep's folder. What was ended a moment ago may write a last file while it is emptied: then it is emptied again."""
    end = time.monotonic() + 10
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)


def ends_with_us():
    """A signal ends the program as sys.exit() does."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))


def make():
    """Builds what the sweeps run: the programs with fault points, and the plain ones with the tests' helpers."""
    for preset in ("host", "faults"):
        for command in (["cmake", "--preset", preset], ["cmake", "--build", "--preset", preset, "-j", str(os.cpu_count())]):
            process = begin(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
            try:
                said = process.communicate(timeout=1800)[0]
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # ninja and its compilers, too
                raise
            if process.returncode != 0:
                sys.exit(f"{' '.join(command)}: exit {process.returncode}\n{said[-2000:]}")


@contextlib.contextmanager
def log_in(folder, kind):
    """The log of the sites in a folder, "sqlite" or the URL of a broker that runs as long as this."""
    if kind == "sqlite":
        yield kind
        return
    try:
        out = subprocess.run([BROKER, "start", folder / "kafka", "--owner", str(os.getpid())], stdout=subprocess.PIPE, text=True, timeout=240)
        told = dict(line.split("=", 1) for line in out.stdout.splitlines() if "=" in line)
        if out.returncode != 0 or "bootstrap" not in told:
            sys.exit("the broker did not start (cross/setup kafka, cross/kafka/fetch)")
        yield "kafka:" + told["bootstrap"]
    finally:
        subprocess.run([BROKER, "stop", folder / "kafka"], stdout=subprocess.DEVNULL, timeout=60)


def side_by_side(sweeps, at_once=99):
    """Runs them in threads, so many at once. Whatever ends this, their processes have ended then."""
    turn = threading.Semaphore(at_once)

    def run(sweep):
        with turn:
            if not _stopping.is_set():
                sweep.run()

    threads = [threading.Thread(target=run, args=(s,), daemon=True) for s in sweeps]
    try:
        for t in threads:
            t.start()
        for t in threads:
            while t.is_alive():
                t.join(0.1)
    finally:
        stop_all()
        for t in threads:
            if t.ident is not None:
                t.join(20)


def wait_for(what, condition, patience=PATIENCE_S):
    """The first true result of condition(); a Failure when `patience` seconds have passed."""
    end = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if _stopping.is_set():
            raise Stopped
        if time.monotonic() > end:
            raise Failure(f"waited {patience} s in vain: {what}")
        time.sleep(0.01)  # between two looks, not instead of one


def environment(*more):
    """Of a program under a sanitizer. What the sanitizers are told already, a file for their reports among it, stays in force."""
    env = {**os.environ, **{k: v for m in more for k, v in m.items()}}
    for name, options in QUIET.items():
        env[name] = ":".join(filter(None, (os.environ.get(name), options, *(m[name] for m in more if name in m))))
    return env


class Program:
    def __init__(self, name, command, folder, env):
        self.name, self.command, self.env = name, [str(c) for c in command], env
        self.path = folder / f"{name}.log"
        self.process, self.begin = None, 0

    def start(self, **env):
        with open(self.path, "ab") as log:
            self.begin = log.tell()
            self.process = begin(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment(self.env, env))
        return self

    def told(self):
        """What it has written since its start."""
        with open(self.path, "rb") as log:
            log.seek(self.begin)
            return log.read().decode(errors="replace")

    def ended(self):
        return self.process.poll() is not None

    def kill(self):
        if self.process is not None and not self.ended():
            self.process.kill()
        if self.process is not None:
            self.process.wait(20)

    def stop(self):
        """Ends it as an operator would; its exit code. Not before it listens to signals: what tells of that may be what a fault has
        taken."""
        late = time.monotonic() + 3
        while not self.ended() and "msg=started" not in self.told() and time.monotonic() < late:
            time.sleep(0.01)
        if not self.ended():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(25)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not end on SIGTERM") from None

    def complaints(self):
        """What a sanitizer or an assertion said since its start."""
        return [line for line in self.told().splitlines() if any(word in line for word in SANITIZER_WORDS)]


class Site:
    def __init__(self, folder, programs, plain, log="sqlite"):
        self.dir, self.bin, self.plain = pathlib.Path(folder), pathlib.Path(programs), pathlib.Path(plain)
        self.site, self.port, self.log = self.dir / "site", free_port(), log
        self.running = []
        self.start_ms = int(time.time() * 1000)  # when the story of everything here began

    def __enter__(self):
        self.dir.mkdir(parents=True)
        init = ["init", "--dir", self.site, "--listen", f"127.0.0.1:{self.port}"]
        if self.log != "sqlite":
            # A tenant of its own: several sites may share a broker.
            init += ["--log", self.log, "--replication", "1", "--partitions", "2", "--set", f"log.prefix={self.dir.name.replace('_', '-')}."]
        self.run(self.plain / "bin" / "vigia", *init)
        self.cli("device", "add", "pi", "--sensor", "p*", "--period", "1h", "--collector", f"127.0.0.1:{self.port}", "--out",
                 self.dir / "pi.ini")
        provision = configparser.ConfigParser()
        provision.read(self.dir / "pi.ini")
        self.psk = provision["uplink"]["psk"]
        return self

    def __exit__(self, kind, *exc):
        for p in self.running:
            p.kill()

    @staticmethod
    def run(*command):
        process = begin(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, said = process.communicate(timeout=60)
        finally:
            process.kill()
        if process.returncode != 0:
            raise Failure(f"{' '.join(map(str, command))}: exit {process.returncode}: {said.strip()[-500:]}")
        return out

    def cli(self, *words):
        return self.run(self.plain / "bin" / "vigia", "--config", self.site / "vigia.ini", *words)

    def program(self, name, *words):
        p = Program(name, [self.bin / words[0], *words[1:]], self.dir, {})
        self.running.append(p)
        return p

    def collector(self, *sets):
        return self.program("collector", "vigia-collector", "--config", self.site / "collector.ini", "--set", "metrics.listen=",
                            "--set", "collector.heartbeat=60s", *(w for s in sets for w in ("--set", s)))

    def alarm(self, *sets, config=None):
        return self.program("alarm", "vigia-alarm", "--config", config or self.site / "alarm.ini", "--set", "metrics.listen=", "--set",
                            "rules.window=1h", "--set", "supervision.factor=100", *(w for s in sets for w in ("--set", s)))

    def now_ms(self):
        """Where the story is."""
        return int(time.time() * 1000) - self.start_ms

    def agent(self, name, scenario, metrics="", program="vigia-edge", provisioning="", boot="", collectors="", psk_file=None):
        """An agent that plays a scenario; its times count from the beginning of the site's story. `psk_file`: instead of a provisioning file."""
        who = [f"device.provisioning={provisioning or self.dir / 'pi.ini'}", f"device.boot_file={boot}", f"uplink.collectors={collectors}"]
        if psk_file:
            who = ["device.name=pi", f"uplink.psk_file={psk_file}", f"uplink.collectors=127.0.0.1:{self.port}"]
        story = self.dir / f"{name}.story"
        story.write_text(scenario)
        return self.program(name, program, "--config", self.site / "edge.ini", *(w for s in (
            f"metrics.listen={metrics}", *who, "device.clock=trusted", f"buffer.path={self.dir}/{name}.db",
            f"buffer.group={GROUP_MS}ms", "uplink.backoff_min=50ms", "uplink.backoff_max=500ms", "uplink.response_timeout=1s",
            f"source sensors.scenario={story}",
            f"source sensors.ledger={self.dir}/{name}.ledger", f"source sensors.start_ms={self.start_ms}") for w in ("--set", s)))

    def listening(self, p):
        """Waits until a collector has opened its port; False when it ended or stood still before. Its line may be what a fault has taken."""
        began, port = time.monotonic(), f":{self.port:04X} "
        wait_for(f"{p.name} listens or ends", lambda: "listening" in p.told() or p.ended() or "action=stall" in p.told() or (
            time.monotonic() > began + 2 and port in pathlib.Path("/proc/net/udp").read_text()))
        return not p.ended() and "action=stall" not in p.told()

    def topic(self, name):
        return [json.loads(line) for line in self.cli("topic", "read", name, "--from-beginning", "--json").splitlines()]

    def events(self):
        return self.topic("alarms")

    def oracle_states(self):
        """The states that an undisturbed processor makes of the same readings in a copy of the log (SQLite only)."""
        copy = self.dir / "oracle.db"
        self.cli("log", "backup", copy)
        with sqlite3.connect(copy) as db:
            ids = {name.rsplit(".", 1)[1]: number for number, name in db.execute("SELECT id, name FROM topic")}
            for name in ("alarms", "alarm-state"):
                db.execute(f"DELETE FROM r{ids[name]}")
                db.execute("UPDATE topic SET next=0, trimmed=0 WHERE id=?", (ids[name],))
            db.execute("UPDATE pos SET next=0")
        db.close()
        words = ("--config", self.site / "vigia.ini", "--log", f"sqlite:{copy}")
        p = self.alarm(f"log.url=sqlite:{copy}", "processor.settle=0ms").start()
        wait_for("the oracle has caught up", lambda: "partition-caught-up" in p.told())
        p.stop()
        return states_of(self.run(self.plain / "bin" / "vigia", *words, "topic", "read", "alarm-state", "--from-beginning", "--json"))

    def card(self, name):
        """The identities of the rows that an agent's card holds."""
        return [{"device": "pi", "store": f"{store:016x}", "lane": "ur"[lane], "seq": seq} for lane, store, seq in
                card.rows_on_card(self.dir / f"{name}.db")]

    def unstored(self, said):
        """Messages that are not in the log (yet)."""
        return unstored(said, self.topic("readings"))

    def owed(self, said, deaths=(), kept=()):
        """What must come into the log and is not there yet: of the messages those that no death excuses, and rows that a card held."""
        records = self.topic("readings")
        there = {checker.identity(r["value"]) for r in records if "heartbeat" not in r["value"]}
        return [line for line in unstored(said, records) if not any(d.excuses(line) for d in deaths)] + [
            row for row in kept if tuple(row[key] for key in ("device", "store", "lane", "seq")) not in there]

    def states(self):
        return states_of(self.cli("topic", "read", "alarm-state", "--from-beginning", "--json"))


def unstored(said, records):
    values = [r["value"] for r in records if "heartbeat" not in r["value"]]
    stamped = {(v["sensor"], v["x"]["at"]) for v in values if "at" in v.get("x", {})}
    oks = collections.Counter(who[0] for who in {(v["sensor"], checker.identity(v)) for v in values if v.get("ok")})
    out = []
    for line in said:
        if line["ok"]:
            oks[line["sensor"]] -= 1
        if oks[line["sensor"]] < 0 if line["ok"] else (line["sensor"], line["at"]) not in stamped:
            out.append(line)
    return out


def states_of(text):
    """{sensor: its last state as text}. Without seen_ms, which is stored when something else changes: it depends on where a batch ends."""
    records = [json.loads(line) for line in text.splitlines()]
    return {r["key"]: json.dumps({k: v for k, v in r["value"].items() if k != "seen_ms"}, sort_keys=True) for r in records if r["value"]}


class Device:
    """Posts readings as one device, again and again until it hears 2.04; knows what it has been promised."""

    def __init__(self, site, fixture):
        self.site, self.fixture, self.client = site, fixture, None
        self.store = os.urandom(8).hex()
        self.seq, self.at, self.ledger, self.promised = 1, 0, [], []

    def close(self):
        if self.client is not None:
            self.client.kill()
            self.client.wait(10)
            self.client.stdin.close()
            self.client.stdout.close()
            self.client = None

    def ask(self, line, alive):
        """One line to the client and its answer; None when the collector has died over it."""
        if self.client is None:
            self.client = begin([self.fixture, "client", "127.0.0.1", self.site.port, "pi", self.site.psk, "cid", "0"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        try:
            self.client.stdin.write(line + "\n")
            self.client.stdin.flush()
        except BrokenPipeError:
            self.close()
            return "none"
        end = time.monotonic() + ANSWER_S
        while not select.select([self.client.stdout], [], [], 0.01)[0]:
            if not alive():
                # What it has answered before it died is under way still.
                if select.select([self.client.stdout], [], [], 0.05)[0]:
                    break
                self.close()
                return None
            if _stopping.is_set():
                raise Stopped
            if time.monotonic() > end:
                self.close()
                return "none"
        answer = self.client.stdout.readline().split()
        return answer[0] if answer else "none"

    def post(self, readings, alive):
        """One request; `readings` are (sensor, quantity, value). Returns the answer's code, "none", or None when `alive` says no."""
        if not readings[0].get("seq"):
            for r in readings:
                self.at = max(self.site.now_ms(), self.at + 1)
                r.update(seq=self.seq, at=self.at)
                self.seq += 1
                self.ledger.append({"at": r["at"], "sensor": r["sensor"], "kind": "event", "wall_ms": self.site.start_ms + self.at,
                                    "ok": r["name"] == "ok",
                                    **{q: r["value"] if q == r["name"] else None for q in checker.QUANTITIES}})
        pack = []
        for r in readings:
            base = {"bn": r["sensor"] + "/", "bt": (self.site.start_ms + r["at"]) / 1000, "n": r["name"]}
            base["v" if isinstance(r["value"], float) else "vb"] = r["value"]
            pack.append(base)
            if r["name"] != "ok":
                pack.append({"n": "at", "v": r["at"]})
        body = json.dumps(pack).encode().hex()
        first = readings[0]["seq"]
        code = self.ask(f"post v1/readings 110 {body} store={self.store} lane=u seq={first}", alive)
        if code == "2.04":
            self.promised += [("pi", self.store, "u", r["seq"]) for r in readings]
        return code


def ask_metrics(port):
    """One GET /metrics: the first line of the answer, or "" where there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as to:
            to.settimeout(5)
            to.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            answer = b""
            while part := to.recv(65536):
                answer += part
        return answer.split(b"\r\n", 1)[0].decode(errors="replace")
    except OSError:
        return ""


def check(site, device, ledgers, expected, deaths=(), kept=()):
    """Problems of the whole log against the promises: what was acknowledged, or stood on the card of an agent that ended, is visible to a
    fresh reader, once; the alarms are those of the story; the states are the oracle's."""
    records = site.topic("readings")
    verdict = checker.check_readings((device.ledger if device else []) + ledgers, records, [k for d in deaths for k in d.kills()],
                                     GROUP_MS + COMMIT_MS, COMMIT_MS, start_ms=site.start_ms, kept=kept)
    problems = list(verdict.problems)
    stored = {checker.identity(r["value"]) for r in records if "heartbeat" not in r["value"]}
    promised = device.promised if device else []
    problems += [f"false 2.04: {who}" for who in promised if who not in stored]
    # A device whose card was made to fail says so: that alarm is right, and how often it comes depends on the calls that failed.
    problems += checker.check_alarms([e for e in site.events() if e["value"]["type"] != "storage"], expected)
    if site.log == "sqlite":
        found, oracle = site.states(), site.oracle_states()
        for sensor in sorted(set(found) | set(oracle)):
            if sensor.startswith("p") and sensor != "pi" and found.get(sensor) != oracle.get(sensor):
                problems.append(f"state of {sensor}: {found.get(sensor)}, the oracle says {oracle.get(sensor)}")
    return problems, verdict, len(promised)

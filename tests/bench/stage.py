"""What every measurement stands on: a site on a log, programs pinned to cores, CPU time of each, and how quiet the machine was."""
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

from load import machine_s
from ports import free_port

HERE = pathlib.Path(__file__).resolve().parent

BROKER = HERE.parent / "support" / "kafka" / "broker"
CPUCLOCK_SCHED = 2  # of a process, all its threads
ROLES = ("collector", "alarm", "fleet", "broker", "other")
LOGS = ("sqlite", "kafka")
WAIT_S = 180
# The collector limits each device; a benchmark is about the path, not about the limit.
UNLIMITED = ["--set", "collector.request_rate=100000", "--set", "collector.request_burst=100000"]


class BenchError(Exception):
    """A measurement that does not count; one line."""


def cpu_s(pid):
    """User and system time of all threads, ended ones included: the process's own clock, for /proc tells hundredths of a second only."""
    try:
        return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)  # clock_getcpuclockid(3)
    except OSError:
        raise BenchError(f"process {pid} ended while it was measured") from None


def check_fleet(told, devices, status):
    """What vigia-fleet said, with the readings that got no answer; or BenchError where it was another load than asked for."""
    if told["devices"] != devices:
        raise BenchError(f"vigia-fleet had {told['devices']} of {devices} devices")
    if told["sessions_at_start"] != devices:
        raise BenchError(f"the load began with {told['sessions_at_start']} of {devices} sessions")
    for fate, word in (("quarantined", "refused"), ("parked", "parked")):
        if told[fate]:
            raise BenchError(f"{told[fate]} readings were {word} by the collector")
    if status != (0 if told["acknowledged"] == told["readings"] and told["missed"] == 0 else 1):
        raise BenchError(f"vigia-fleet ended with status {status} after {told['acknowledged']} of {told['readings']} readings, {told['missed']} missed")
    return {**told, "unanswered": told["readings"] - told["acknowledged"]}


def shortfalls(r, rows):
    """Figures of what should not have happened in any round; it is told, and fails the part, but leaves the others their worth."""
    for key, name in (("sessions_lost", "sessions lost while readings were sent, all rounds"),
                      ("unanswered", "readings sent and not answered, all rounds")):
        count = sum(x[key] for x in rows)
        r.figure(name, count, "", "0", count == 0)


def pins(text):
    """'none', 'auto', or 'collector=0,alarm=1,fleet=1,broker=0+1': role -> set of cores; a role that is not named floats."""
    cores = sorted(os.sched_getaffinity(0))
    if text == "none":
        return {}
    if text == "auto":
        # Two cores for four programs: nothing is pinned; `bench pinning` says what fixed layouts carry. More: collector and processor get one each.
        if few_cores():
            return {}
        rest = set(cores[2:])
        return {"collector": {cores[0]}, "alarm": {cores[1]}, "fleet": rest, "broker": rest, "other": rest}
    out = {}
    for pair in text.split(","):
        role, _, where = pair.partition("=")
        try:
            out[role] = {int(c) for c in where.split("+")}
        except ValueError:
            out[role] = set()
        if role not in ROLES or not out[role] or not out[role] <= set(cores):
            raise ValueError(f"'{pair}': accepted: {'|'.join(ROLES)}=CORE[+CORE…], cores {cores[0]} to {cores[-1]}")
    return out


def few_cores():
    return len(os.sched_getaffinity(0)) < 4


def describe_pins(where):
    if not where:
        return "no program pinned" + (" (fewer than four cores: bench-pinning measures fixed layouts beside it)" if few_cores() else "")
    return "pinned: " + ", ".join(f"{role} to core {'+'.join(map(str, sorted(c)))}" for role, c in where.items())


def median(values):
    return statistics.median(values)


class Meter:
    """CPU time of named processes over a span, and how much of the machine others took meanwhile."""

    def __init__(self, **pids):
        self.pids = {name: p if isinstance(p, list) else [p] for name, p in pids.items()}
        self.began = time.monotonic()
        self.machine = machine_s()
        self.before = {name: self._cpu(name) for name in self.pids}

    def _cpu(self, name):
        return sum(cpu_s(p) for p in self.pids[name])

    def spent(self, **known):
        """name -> CPU seconds; `known` adds programs that have told theirs. other_pct, steal_pct: of all cores' time."""
        wall = (time.monotonic() - self.began) * os.cpu_count()
        out = {name: self._cpu(name) - self.before[name] for name in self.pids}
        out.update(known)
        busy, stolen = machine_s()
        other = busy - self.machine[0] - sum(out.values())
        return out, {"other_pct": max(0.0, 100 * other / wall), "steal_pct": 100 * (stolen - self.machine[1]) / wall}


class Site:
    def __init__(self, folder, url, broker_pids):
        self.folder, self.url, self.broker_pids = folder, url, broker_pids
        self.port = free_port()
        self.metrics = {}

    def ini(self, name):
        return self.folder / "site" / f"{name}.ini"


def claim(folder):
    """Makes `folder` this run's own. What is in it is removed at the end, so nothing may be in it now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BenchError(f"{folder} is not empty, and would be removed at the end: choose another --dir, or remove it yourself")
        (folder / "bench.pid").touch(exist_ok=False)
    except OSError as error:
        raise BenchError(f"--dir {folder}: {error.strerror}") from None


class Stage:
    def __init__(self, args):
        self.bin = pathlib.Path(args.programs).resolve()
        self.helpers = self.bin.parent / "tests"
        self.dir = pathlib.Path(args.dir).resolve()
        self.pins = args.pin
        self.began = time.time()
        self.running, self.brokers = [], []
        for needed in (self.bin / "vigia-collector", self.helpers / "bench_log", self.helpers / "udp_echo"):
            if not needed.exists():
                raise BenchError(f"{needed} is missing; build first (make build)")
        claim(self.dir)

    # --- processes

    def spawn(self, role, *command, log=None, **more):
        cores = self.pins.get(role)
        wrap = ["taskset", "-c", ",".join(map(str, sorted(cores)))] if cores else []
        with open(log or os.devnull, "wb") as err:
            process = subprocess.Popen([*wrap, *map(str, command)], stdin=subprocess.DEVNULL, stderr=err, text=True,
                                       stdout=more.pop("stdout", subprocess.DEVNULL), **more)
        self.running.append(process)
        return process

    def helper(self, *words, timeout=600):
        out = subprocess.run([self.helpers / words[0], *map(str, words[1:])], capture_output=True, text=True, timeout=timeout)
        if out.returncode != 0:
            raise BenchError(f"{words[0]} {words[1]}: {out.stderr.strip()}")
        return out.stdout

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.running:
            self.running.remove(process)

    def stop(self):
        for process in list(self.running):
            self.end(process)
        for folder in self.brokers:
            subprocess.run([BROKER, "stop", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        self.brokers = []

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- a site

    def site(self, name, log, devices=0, partitions=1):
        folder = self.dir / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        site, words = Site(folder, f"sqlite:{folder / 'site' / 'log.db'}", []), []
        if log == "kafka":
            cores = self.pins.get("broker")
            wrap = ["taskset", "-c", ",".join(map(str, sorted(cores)))] if cores else []
            self.brokers.append(folder / "kafka")
            out = subprocess.run([*wrap, BROKER, "start", folder / "kafka", "--bench", "--owner", str(os.getpid())], text=True,
                                 stdout=subprocess.PIPE, timeout=180)
            if out.returncode != 0:
                raise BenchError("the Kafka broker did not start")
            site.url = "kafka:" + dict(line.split("=", 1) for line in out.stdout.splitlines() if "=" in line)["bootstrap"]
            words = ["--log", site.url, "--replication", "1", "--partitions", str(partitions)]
            site.broker_pids = [int(p.read_text().split()[0]) for p in (folder / "kafka").rglob("pid")]
        subprocess.run([str(self.bin / "vigia"), "init", "--dir", folder / "site", "--listen", f"127.0.0.1:{site.port}", *words],
                       check=True, stderr=subprocess.DEVNULL, timeout=120)
        if devices:
            self.helper("bench_log", "devices", site.url, folder / "site" / "vigia.key", devices, folder / "credentials")
        return site

    def collector(self, site):
        return self._server(site, "collector", *UNLIMITED)

    def alarm(self, site, *words, spawned=None):
        return self._server(site, "alarm", *words, spawned=spawned)

    def _server(self, site, name, *words, spawned=None):
        """Starts it, hands the process to `spawned`, returns when it is ready."""
        port = site.metrics[name] = free_port(socket.SOCK_STREAM)
        log = site.folder / f"{name}.log"
        process = self.spawn(name, self.bin / f"vigia-{name}", "--config", site.ini(name), "--set", f"metrics.listen=127.0.0.1:{port}",
                             *words, log=log)
        if spawned:
            spawned(process)
        deadline = time.monotonic() + WAIT_S
        while not self._answers(port, "readyz"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"vigia-{name} did not become ready: {log.read_text(errors='replace').strip()[-300:]}")
            time.sleep(0.02)  # between two looks
        return process

    @staticmethod
    def _answers(port, what):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}", timeout=2) as r:
                return r.status == 200 and (r.read() or b" ")
        except OSError:
            return None

    def figures(self, site, name):
        page = self._answers(site.metrics[name], "metrics") or b""
        lines = [line.rsplit(" ", 1) for line in page.decode().splitlines() if line and line[0] != "#"]
        return {key: float(value) for key, value in lines}

    def applied(self, site):
        """Readings that the processor has applied."""
        return self.figures(site, "alarm").get("vigia_alarm_readings_total", 0)

    def wait_figure(self, site, name, figure, least):
        """A program's figures, once this counter has reached `least`. A busy machine may leave one question without an answer."""
        deadline = time.monotonic() + WAIT_S
        while (told := self.figures(site, name)).get(figure, 0) < least:
            if time.monotonic() > deadline:
                raise BenchError(f"vigia-{name}: {figure} stays below {least}")
            threading.Event().wait(0.05)
        return told

    @staticmethod
    def wait_alarms(least, path):
        """Until a follower has written that many events."""
        deadline = time.monotonic() + WAIT_S
        while (got := path.read_text().count('"event":"raised"')) < least:
            if time.monotonic() > deadline:
                raise BenchError(f"{least} active readings acknowledged, but only {got} alarms came")
            threading.Event().wait(0.1)

    def wait_applied(self, site, readings, every=0.1, look=None):
        """Until the processor has applied `readings`; `look` is called with each number seen."""
        deadline, last = time.monotonic() + WAIT_S, -1
        while True:
            now = self.applied(site)
            if look:
                look(now)
            if now >= readings:
                return
            if now != last:
                last, deadline = now, time.monotonic() + WAIT_S
            if time.monotonic() > deadline:
                raise BenchError(f"the processor stays at {now:.0f} of {readings} readings")
            threading.Event().wait(every)

    def fleet(self, site, credentials=None, log="fleet", **sets):
        words = {"collectors": f"127.0.0.1:{site.port}", "credentials": credentials or site.folder / "credentials", "grace": "30s", **sets}
        return self.spawn("fleet", self.bin / "vigia-fleet", *[x for k, v in words.items() for x in ("--set", f"fleet.{k}={v}")],
                          log=site.folder / f"{log}.log", stdout=subprocess.PIPE)

    def fleet_report(self, process, seconds, devices):
        out, _ = process.communicate(timeout=seconds + WAIT_S)
        self.running.remove(process)
        try:
            told = json.loads(out.splitlines()[-1])
        except (IndexError, ValueError):
            raise BenchError(f"vigia-fleet ended with {process.returncode} and said nothing") from None
        return check_fleet(told, devices, process.returncode)

    def count(self, site, acknowledged):
        """What the log holds; a figure counts only if every acknowledged reading is in it."""
        held = json.loads(self.helper("bench_log", "count", site.url))
        if acknowledged == 0:
            raise BenchError("no reading was acknowledged")
        if held["distinct"] < acknowledged:
            raise BenchError(f"{acknowledged} readings were acknowledged, but the log holds {held['distinct']}")
        return held

    def echo_us(self, rounds=40000):
        """The calibration: CPU time of one raw UDP datagram there and back."""
        cores = self.pins.get("collector")
        wrap = ["taskset", "-c", str(min(cores))] if cores else []
        out = subprocess.run([*wrap, str(self.helpers / "udp_echo"), str(rounds)], capture_output=True, text=True, timeout=60, check=True)
        return float(out.stdout.split()[0])


def write_csv(path, rows):
    """Rows that all have the same keys."""
    if path is None:
        return
    def text(v):
        return "" if v is None else f"{v:.6g}" if isinstance(v, float) else str(v)
    path.write_text(",".join(rows[0]) + "\n" + "".join(",".join(text(v) for v in r.values()) + "\n" for r in rows))


def table(head, rows):
    """Aligned columns on standard output; the first column to the left."""
    rows = [[str(c) for c in r] for r in [head, *rows]]
    width = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for r in rows:
        print("  ".join([r[0].ljust(width[0]), *(c.rjust(w) for c, w in zip(r[1:], width[1:]))]).rstrip())
    sys.stdout.flush()

"""What the soak runs on: one site with real programs in one folder, and every way to hurt it.

  agents (emulated sensors) ─► [proxy per collector] ─► collectors ─► log: SQLite file, or 1 or 3 Kafka brokers ─► processor(s)

Everything is started here, told by its own process id, and ended by close(), whatever happened. Times are wall times in ms."""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "integration" / "support"))
from ports import free_port  # noqa: E402
from udp_proxy import UdpProxy  # noqa: E402

BROKER = ROOT / "tests" / "support" / "kafka" / "broker"
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
CALL_S = 180        # longest call of the command line or of the broker's tool
STOP_S = 20
QUIET = "sensor nothing period 1d motion off\nend 1s\n"


class Failed(Exception):
    """The run cannot go on, or what was seen must never be."""


class Skipped(Exception):
    """Something that the run needs is not on this machine."""


def now_ms():
    return int(time.time() * 1000)


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """One process, started again under the same name and with the same arguments."""

    def __init__(self, name, kind, command, log, environment=None):
        self.name, self.kind, self.command, self.log, self.environment = name, kind, command, log, environment
        self.process = None
        self.started_ms = None

    def start(self):
        assert self.process is None or self.process.poll() is not None, self.name
        words = [str(w) for w in (self.command() if callable(self.command) else self.command)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent,
                                            env={**os.environ, **self.environment} if self.environment else None)
        self.started_ms = now_ms()

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL; returns when it was sent."""
        at = now_ms()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_S)
        return at

    def stop(self):
        """SIGTERM and the end of its drain; its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
                raise Failed(f"{self.name} did not end within {STOP_S} s of SIGTERM") from None
        return self.process.returncode

    def tail(self, lines=6):
        text = pathlib.Path(self.log).read_text(errors="replace").splitlines()
        return "\n".join(text[-lines:])


class Agent(Program):
    """vigia-edge with its story, its card and its clock."""

    def __init__(self, world, number, story):
        self.world, self.number, self.device = world, number, f"pi-{number}"
        self.folder = world.folder / self.device
        self.folder.mkdir()
        self.ledger = self.folder / "ledger.jsonl"
        self.story = self.folder / "story"
        self.story.write_text(story)
        self.quiet = False
        self.clock = Clock(world, self.device)
        self.metrics = free_port(socket.SOCK_STREAM)
        super().__init__(self.device, "agent", self.words, world.folder / "logs" / f"{self.device}.log", self.clock.environment())

    def card(self):
        return self.folder / "buffer.db"

    def words(self):
        world = self.world
        sets = {"device.provisioning": self.folder / "provision.ini", "device.clock": "trusted", "buffer.path": self.card(),
                "uplink.backoff_min": "100ms", "uplink.backoff_max": "1s", "uplink.response_timeout": "3s",
                "uplink.handshake_timeout": "3s", "uplink.rate": "0", "metrics.listen": f"127.0.0.1:{self.metrics}",
                "source sensors.scenario": self.story,
                # The story goes on with true time, also where the agent's own clock is wrong.
                "source sensors.start_ms": world.start_ms + self.clock.offset_ms}
        if not self.quiet:
            sets["source sensors.ledger"] = self.ledger
        return [world.bin / "vigia-edge", "--config", world.site / "edge.ini",
                *(w for k, v in sets.items() for w in ("--set", f"{k}={v}"))]

    def be_quiet(self):
        """From its next start on its sensors say nothing: what it still holds can drain."""
        self.quiet = True
        self.story.write_text(QUIET)

    def rows_on_card(self):
        """What a killed agent's card holds, read from a copy: committed is what SQLite finds after recovery."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in ("buffer.db", "buffer.db-wal"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, copy / name)
        try:
            with sqlite3.connect(copy / "buffer.db") as db:
                rows = db.execute("SELECT lane, store, seq FROM rows JOIN epochs USING (epoch)").fetchall()
        except sqlite3.OperationalError as why:
            if "no such table" in str(why):
                return []  # killed before it had made its first file
            raise
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return [(lane, store & (2**64 - 1), seq) for lane, store, seq in rows]


class Clock:
    """Moves the wall clock that one program sees (tests/soak/clock_shim.c)."""

    def __init__(self, world, who):
        self.world, self.who, self.offset_ms = world, who, 0
        self.file = world.folder / f"clock-{who}"
        self.file.write_bytes(struct.pack("q", 0))

    def environment(self):
        if "clock" not in self.world.faults:
            return None
        return {"LD_PRELOAD": str(self.world.shim), "VIGIA_TEST_CLOCK": str(self.file), "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def step(self, offset_ms):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", offset_ms))
        self.offset_ms = offset_ms
        self.world.note("clock", device=self.who, wall_ms=now_ms(), offset_ms=offset_ms)


class World:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.faults = args.faults
        self.bin = pathlib.Path(args.programs).resolve()
        self.shim = self.bin.parent / "tests" / "clock_shim.so"
        self.site = folder / "site"
        self.start_ms = 0
        self.agents, self.collectors, self.processors, self.proxies = [], [], [], []
        self.mounts = []
        self.notes = {}
        self.kept = set()
        self.ended = []  # programs that ended by themselves: (name, code)

    # --- setting up ----------------------------------------------------------------------------------------------------

    def prepare(self, stories):
        (self.folder / "logs").mkdir(parents=True)
        self.site.mkdir()
        if "disk" in self.faults:
            self.mount(self.site, "512m")
        self.make_log()
        for n in range(self.args.collectors):
            self.collectors.append(self.collector(n + 1))
        for n in range(self.args.processors):
            self.processors.append(self.processor(n + 1))
        for n, story in enumerate(stories, 1):
            agent = Agent(self, n, story)
            if "disk" in self.faults and n == len(stories):
                self.mount(agent.folder, "4m", agent.story)
            self.agents.append(agent)
            ports = [p.port for p in self.proxies] or [c.port for c in self.collectors]
            ports = ports[n % len(ports):] + ports[:n % len(ports)]
            self.cli("device", "add", agent.device, "--sensor", f"a{n}-*", "--period", "2s", "--out", agent.folder / "provision.ini",
                     *(w for port in ports for w in ("--collector", f"127.0.0.1:{port}")))

    def mount(self, folder, size, keep=None):
        if os.geteuid() != 0:
            raise Skipped("a full disk needs a file system of its own: not root here")
        text = keep.read_text() if keep else None
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "vigia-soak", folder], capture_output=True, text=True)
        if done.returncode != 0:
            raise Skipped(f"a full disk needs a file system of its own: {done.stderr.strip()}")
        self.mounts.append(folder)
        if keep:
            keep.write_text(text)

    def make_log(self):
        init = [self.bin / "vigia", "init", "--dir", self.site, "--listen", "127.0.0.1:1"]
        if self.args.log == "kafka":
            nodes = self.args.brokers
            out = self.call([BROKER, "start", self.folder / "kafka", "--nodes", nodes, "--owner", os.getpid()], codes=(0, 77))
            if out is None:
                raise Skipped("Java, Maven or the broker's jars are missing (cross/setup kafka)")
            told = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
            init += ["--log", f"kafka:{told['bootstrap']}", "--partitions", self.args.partitions, "--replication", nodes]
        self.call(init)  # of three copies it wants two in sync

    def call(self, words, codes=(0,)):
        out = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=CALL_S,
                             stdin=subprocess.DEVNULL)
        if out.returncode not in codes:
            raise Failed(f"{' '.join(map(str, words))}: exit {out.returncode}: {out.stderr.strip()[-600:]}")
        return out.stdout if out.returncode == 0 else None

    def cli(self, *words):
        return self.call([self.bin / "vigia", "--config", self.site / "vigia.ini", *words])

    def collector(self, n):
        name = f"collector-{n}"
        port = free_port()
        sets = {"collector.instance": name, "collector.listen": f"127.0.0.1:{port}", "collector.heartbeat": "100ms",
                "collector.retry_after": "1s", "metrics.listen": ""}
        if "net" in self.faults:
            proxy = UdpProxy(("127.0.0.1", port), seed=self.args.seed * 10 + n)
            proxy.__enter__()
            self.proxies.append(proxy)
        clock = Clock(self, name)
        out = Program(name, "collector", [self.bin / "vigia-collector", "--config", self.site / "collector.ini",
                                          *(w for k, v in sets.items() for w in ("--set", f"{k}={v}"))],
                      self.folder / "logs" / f"{name}.log", clock.environment())
        out.port, out.clock = port, clock
        return out

    def processor(self, n):
        name = f"alarm-{n}"
        sets = {"processor.instance": name, "metrics.listen": "", "rules.window": f"{self.args.window}ms",
                # Silence has tests of its own: here nothing is silent for so long.
                "supervision.factor": "1000", "supervision.heartbeat": "1d"}
        return Program(name, "processor", [self.bin / "vigia-alarm", "--config", self.site / "alarm.ini",
                                           *(w for k, v in sets.items() for w in ("--set", f"{k}={v}"))],
                       self.folder / "logs" / f"{name}.log")

    def programs(self):
        return self.collectors + self.processors + self.agents

    def start(self):
        self.start_ms = now_ms() + 500
        for program in self.programs():
            program.start()

    # --- while it runs -------------------------------------------------------------------------------------------------

    def note(self, where, /, **line):
        self.notes.setdefault(where, []).append(line)

    def kill(self, program):
        at = program.kill()
        self.note("acts", wall_ms=at, act="kill", what=program.name, kind=program.kind)
        if program.kind == "agent":
            self.note("kills", wall_ms=at, sensors=[f"a{program.number}-*"])
            for lane, store, seq in program.rows_on_card():
                self.kept.add((program.device, f"{store:016x}", "ur"[lane], seq))
        return self.notes["acts"][-1]

    def supervise(self):
        """As a service manager does: what ended by itself begins again. Only a clean failure may end a program."""
        for program in self.programs():
            if program.process is None or program.runs() or getattr(program, "held", False):
                continue
            code = program.process.returncode
            self.ended.append((program.name, code))
            self.note("acts", wall_ms=now_ms(), act=f"ended {code}", what=program.name, kind=program.kind)
            if code != 1:
                raise Failed(f"{program.name} ended by itself with {code}:\n{program.tail()}")
            program.start()

    # --- the end -------------------------------------------------------------------------------------------------------

    def topic(self, name, path):
        text = self.cli("topic", "read", name, "--from-beginning", "--json")
        path.write_text(text)
        return path

    def write_notes(self):
        for kind in ("kills", "clock", "acts"):
            (self.folder / f"{kind}.jsonl").write_text("".join(json.dumps(n) + "\n" for n in self.notes.get(kind, [])))
        rows = (dict(zip(("device", "store", "lane", "seq"), row)) for row in sorted(self.kept))
        (self.folder / "kept.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def close(self):
        for program in self.programs():
            if program.runs():
                program.process.kill()
        for program in self.programs():
            if program.process is not None:
                program.process.wait(STOP_S)
        for proxy in self.proxies:
            proxy.stop()
        if (self.folder / "kafka").exists():
            subprocess.run([BROKER, "stop", self.folder / "kafka"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=CALL_S)
        for folder in reversed(self.mounts):
            subprocess.run(["umount", folder], stderr=subprocess.DEVNULL, timeout=30)

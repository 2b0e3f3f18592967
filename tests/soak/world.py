"""What the soak runs on: one site with real programs in one folder, and every way to hurt it.

  agents (emulated sensors) ─► [proxy per collector] ─► collectors ─► log: SQLite file, or 1 or 3 Kafka brokers ─► processor(s)

Everything is started here, told by its own process id, and ended by close(), whatever happened. Times are wall times in ms."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "integration" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "checker"))
import bounds  # noqa: E402
import card  # noqa: E402
import processes  # noqa: E402
import journal  # noqa: E402
from disk_watch import DiskWatch  # noqa: E402
from ports import free_port  # noqa: E402
from udp_proxy import UdpProxy  # noqa: E402

BROKER = ROOT / "tests" / "support" / "kafka" / "broker"
PROGRAMS = ("vigia", "vigia-edge", "vigia-collector", "vigia-alarm")
CALL_S = 180        # longest call of the command line or of the broker's tool
STOP_S = 20
UPLINK = re.compile(r" msg=uplink-(up|lost)(?: collector=[^ ]*:(\d+))?")
PARTITION = re.compile(r" msg=partition-(restored|revoked) partition=(\d+)")
PLACE = re.compile(r'\{"partition":(\d+),"offset":(\d+),')
QUIET = "sensor nothing period 1d motion off\nend 1s\n"


class Failed(Exception):
    """The run cannot go on, or what was seen must never be."""


class Skipped(Exception):
    """Something that the run needs is not on this machine."""


def now_ms():
    return int(time.time() * 1000)


class Program:
    """One process, started again under the same name and with the same arguments."""

    def __init__(self, name, kind, command, log, environment=None):
        self.name, self.kind, self.command, self.log, self.environment = name, kind, command, log, environment
        self.process = None
        self.started_ms = None
        self.log_began = 0

    def start(self):
        assert self.process is None or self.process.poll() is not None, self.name
        words = [str(w) for w in (self.command() if callable(self.command) else self.command)]
        self.log_began = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=processes.die_with(os.getpid()),
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

    def logged(self, pattern):
        """What its log says since its start."""
        if not self.log.exists():
            return []
        with open(self.log, "rb") as file:
            file.seek(self.log_began)
            return pattern.findall(file.read().decode(errors="replace"))

    def partitions(self):
        """Of a processor: those that it has now."""
        have = set()
        for what, number in self.logged(PARTITION):
            (have.add if what == "restored" else have.discard)(int(number))
        return sorted(have)

    def tail(self, lines=6):
        text = pathlib.Path(self.log).read_text(errors="replace").splitlines()
        return "\n".join(text[-lines:])


class Agent(Program):
    """vigia-edge with its story, its card and its clock."""

    def __init__(self, world, number, story, disk=None):
        self.world, self.number, self.device = world, number, f"pi-{number}"
        self.folder = world.folder / self.device
        self.folder.mkdir()
        self.ledger = world.folder / f"{self.device}.ledger"  # not on the card, which may be full
        self.story = self.folder / "story"
        self.story.write_text(story)
        self.quiet = False
        self.said_before = 0
        self.more = {}
        self.clock = Clock(world, self.device)
        self.metrics = free_port(socket.SOCK_STREAM)
        super().__init__(self.device, "agent", self.words, world.folder / "logs" / f"{self.device}.log",
                         world.preloaded(self.clock, disk))

    def said(self):
        """Bytes in its ledger."""
        return self.ledger.stat().st_size if self.ledger.exists() else 0

    def start(self):
        self.said_before = self.said()
        super().start()

    def finds_its_place(self):
        """Whether it has begun and said nothing yet: it is told where its story begins by its clock, which must not step meanwhile."""
        return self.runs() and self.said() == self.said_before

    def uplink(self):
        """The port that it delivers to now; None: to none."""
        last = (self.logged(UPLINK) or [("lost", "")])[-1]
        return int(last[1]) if self.runs() and last[0] == "up" else None

    def card(self):
        return self.folder / "buffer.db"

    def words(self):
        world = self.world
        sets = {"device.provisioning": self.folder / "provision.ini", "device.clock": "trusted", "buffer.path": self.card(),
                "uplink.backoff_min": "100ms", "uplink.backoff_max": "1s", "uplink.response_timeout": "3s",
                "uplink.handshake_timeout": "3s", "uplink.rate": "0", "metrics.listen": f"127.0.0.1:{self.metrics}",
                "source sensors.scenario": self.story,
                # The story goes on with true time, also where the agent's own clock is wrong.
                "source sensors.start_ms": world.start_ms + self.clock.offset_ms, **self.more}
        if not self.quiet:
            sets["source sensors.ledger"] = self.ledger
        return [world.bin / "vigia-edge", "--config", world.site / "edge.ini",
                *(w for k, v in sets.items() for w in ("--set", f"{k}={v}"))]

    def be_quiet(self):
        """From its next start on its sensors say nothing: what it still holds can drain."""
        self.quiet = True
        self.story.write_text(QUIET)

    def rows_on_card(self):
        return card.rows_on_card(self.card())


class Follower:
    """Sees each record of a topic when any other reader may see it: committed. (partition, offset) -> ms.

    The log's own append_ms is when a record was handed to it, which with Kafka is before it is safe."""

    BEGINNINGS = 200  # each kill of a broker may end the reader

    def __init__(self, world, topic):
        self.command = [world.bin / "vigia", "--config", world.site / "vigia.ini", "topic", "read", topic, "--from-beginning", "--follow", "--json"]
        self.log = world.folder / "logs" / f"follow-{topic}.log"
        self.seen, self.process, self.stopped = {}, None, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for _ in range(self.BEGINNINGS):
            if self.stopped:
                return
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen([str(c) for c in self.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                                text=True, preexec_fn=processes.die_with(os.getpid()))
            for line in self.process.stdout:
                head = PLACE.match(line)
                if head:
                    self.seen.setdefault((int(head[1]), int(head[2])), now_ms())
            self.process.wait(STOP_S)

    def gave_up(self):
        return not self.thread.is_alive()

    def stop(self):
        self.stopped = True
        deadline = time.monotonic() + STOP_S
        while self.thread.is_alive() and time.monotonic() < deadline:  # it may be starting a process just now
            if self.process is not None and self.process.poll() is None:
                self.process.kill()
            self.thread.join(0.1)


class Word:
    """Two words of eight bytes that preloaded programs share (tests/soak/fault_shim.c): what they obey, and how often they did."""

    def __init__(self, path):
        self.path, self.value = path, 0
        self.path.write_bytes(struct.pack("qq", 0, 0))

    def set(self, value):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("q", value))
        self.value = value

    def obeyed(self):
        return struct.unpack("qq", self.path.read_bytes())[1]


class Clock:
    """The wall clock that one program sees."""

    def __init__(self, world, who):
        self.world, self.who = world, who
        self.word = Word(world.folder / f"clock-{who}")

    @property
    def offset_ms(self):
        return self.word.value

    def step(self, offset_ms):
        self.word.set(offset_ms)
        self.world.note("clock", device=self.who, wall_ms=now_ms(), offset_ms=offset_ms)


class World:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.faults = args.faults
        built = pathlib.Path(args.programs).resolve()
        # Copies: whoever builds meanwhile changes nothing in what is judged here.
        self.bin, self.shim = folder / "programs", folder / "programs" / "fault_shim.so"
        self.bin.mkdir()
        for name in PROGRAMS:
            shutil.copy(built / name, self.bin / name)
        if "clock" in self.faults or "disk" in self.faults:
            shutil.copy(built.parent / "tests" / "fault_shim.so", self.shim)
        self.site = folder / "site"
        self.start_ms = self.stories_ended_ms = 0
        self.hurt_s = 0.0
        self.agents, self.collectors, self.processors, self.proxies = [], [], [], []
        self.disks, self.followers = {}, {}
        self.notes = {}
        self.disk_watch = None
        self.kept, self.deleted = set(), set()  # rows on killed agents' cards; rows that had been there
        self.ended = []  # programs that ended by themselves: (name, code)

    # --- setting up ----------------------------------------------------------------------------------------------------

    def prepare(self, stories):
        (self.folder / "logs").mkdir(parents=True)
        self.site.mkdir()
        if "disk" in self.faults:
            self.disks = {name: Word(self.folder / f"disk-{name}") for name in (("log", "card") if self.args.log == "sqlite" else ("card",))}
        self.make_log()
        for n in range(self.args.collectors):
            self.collectors.append(self.collector(n + 1))
        for n in range(self.args.processors):
            self.processors.append(self.processor(n + 1))
        for n, story in enumerate(stories, 1):
            small = "disk" in self.faults and n == len(stories)
            agent = Agent(self, n, story, self.disks["card"] if small else None)
            if small:
                agent.more = {"buffer.routine_ring": "4096", "buffer.urgent_ring": "8192"}  # so that some must be given up
            self.agents.append(agent)
            ports = [p.port for p in self.proxies] or [c.port for c in self.collectors]
            ports = ports[n % len(ports):] + ports[:n % len(ports)]
            self.cli("device", "add", agent.device, "--sensor", f"a{n}-*", "--period", "2s", "--out", agent.folder / "provision.ini",
                     *(w for port in ports for w in ("--collector", f"127.0.0.1:{port}")))

    def preloaded(self, clock=None, disk=None):
        """The environment of a program that a clock or a disk of its own is shown to."""
        words = {}
        if clock is not None and "clock" in self.faults:
            words["VIGIA_TEST_CLOCK"] = str(clock.word.path)
        if disk is not None:
            words["VIGIA_TEST_DISK"] = str(disk.path)
        asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        return {**words, "LD_PRELOAD": str(self.shim), "ASAN_OPTIONS": asan} if words else None

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

    def begin(self, words):
        """A call that goes on beside the others; ended_well() asks for it."""
        with open(self.folder / "logs" / "calls.log", "ab") as log:
            process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=processes.die_with(os.getpid()))
        return process, time.monotonic() + CALL_S, words

    @staticmethod
    def ended_well(begun):
        process, deadline, words = begun
        if process.poll() is None and time.monotonic() < deadline:
            return False
        if process.poll() is None:
            process.kill()
        if process.wait(STOP_S) != 0:
            raise Failed(f"{' '.join(map(str, words))}: exit {process.returncode}; see logs/calls.log")
        return True

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
                      self.folder / "logs" / f"{name}.log", self.preloaded(clock, self.disks.get("log")))
        out.port, out.clock = port, clock
        return out

    def processor(self, n):
        name = f"alarm-{n}"
        sets = {"processor.instance": name, "metrics.listen": "", "rules.window": f"{self.args.window}ms",
                # Silence has tests of its own: here nothing is silent for so long.
                "supervision.factor": "1000", "supervision.heartbeat": "1d"}
        return Program(name, "processor", [self.bin / "vigia-alarm", "--config", self.site / "alarm.ini",
                                           *(w for k, v in sets.items() for w in ("--set", f"{k}={v}"))],
                       self.folder / "logs" / f"{name}.log", self.preloaded(None, self.disks.get("log")))

    def programs(self):
        return self.collectors + self.processors + self.agents

    def start(self):
        os.sync()  # or all that was written so far leaves for the disk half a minute later, and keeps it busy for seconds
        self.disk_watch = DiskWatch(self.folder)
        self.start_ms = now_ms() + 500
        self.followers = {topic: Follower(self, topic) for topic in ("readings", "alarms")}
        for program in self.programs():
            program.start()

    # --- while it runs -------------------------------------------------------------------------------------------------

    def note(self, where, /, **line):
        self.notes.setdefault(where, []).append(line)
        return line

    def kill(self, program):
        served = self.served(program)
        at = program.kill()
        note = self.note("acts", wall_ms=at, act="kill", what=program.name, kind=program.kind, served=served)
        if program.kind == "agent":
            self.note("kills", wall_ms=at, sensors=[f"a{program.number}-*"])
            on_card = set(program.rows_on_card())
            gone = journal.rows_that_were_on_card(program.card()) - on_card
            for rows, into in ((on_card, self.kept), (gone, self.deleted)):
                into.update((program.device, f"{store:016x}", "ur"[lane], seq) for lane, store, seq in rows)
        return note

    def may_be_full(self):
        """Devices whose card is full at times, so that they may give readings up."""
        return [self.agents[-1].device] if "disk" in self.faults else []

    def served(self, program):
        """Whom it serves: the devices that deliver to a collector, the partitions that a processor has."""
        if program.kind == "processor":
            return program.partitions()
        if program.kind != "collector":
            return []
        at = self.collectors.index(program)
        port = self.proxies[at].port if self.proxies else program.port
        return [agent.device for agent in self.agents if agent.uplink() == port]

    def processors_killed(self):
        """(when, when started again)"""
        return [(act["wall_ms"], act["restart_ms"]) for act in self.notes.get("acts", [])
                if act["act"] == "kill" and act["kind"] == "processor" and "restart_ms" in act]

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
        self.disk_watch.end()
        for kill in self.notes.get("kills", []):
            routine_ms, urgent_ms = bounds.windows_ms(kill["wall_ms"], self.disk_watch.stills)
            kill.update(window_ms=routine_ms, urgent_window_ms=urgent_ms, still_ms=urgent_ms - bounds.URGENT_MS)
        for kind in ("kills", "clock", "acts"):
            (self.folder / f"{kind}.jsonl").write_text("".join(json.dumps(n) + "\n" for n in self.notes.get(kind, [])))
        pauses = [(begin - bounds.NOTICE_MS, end) for begin, end in self.disk_watch.stills]
        if self.args.log == "kafka":
            pauses += bounds.without_group(self.processors_killed(), self.args.patience)
        (self.folder / "stills.jsonl").write_text("".join(json.dumps(still) + "\n" for still in self.disk_watch.stills))
        (self.folder / "pauses.jsonl").write_text("".join(json.dumps({"begin_ms": b, "end_ms": e}) + "\n" for b, e in sorted(pauses)))
        rows = (dict(zip(("device", "store", "lane", "seq"), row)) for row in sorted(self.kept | self.deleted))
        (self.folder / "kept.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def close(self):
        if self.disk_watch is not None:
            self.disk_watch.end()
        for program in self.programs():
            if program.runs():
                program.process.kill()
        for program in self.programs():
            if program.process is not None:
                program.process.wait(STOP_S)
        for follower in self.followers.values():
            follower.stop()
        for proxy in self.proxies:
            proxy.stop()
        if (self.folder / "kafka").exists():
            subprocess.run([BROKER, "stop", self.folder / "kafka"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=CALL_S)

"""Scenarios of programs that do one thing and end: the command line, the replay, and what every program prints."""
import collections
import json
import subprocess

from call_stories import EXPECTED, Story
from world import Failure, begin, environment, wait_for

PATIENCE_S = 60
OFTEN = 4  # commands in which a place fails
REPLAYED = 20  # stories in a replay: its events fill a buffer of standard output more than once


class Command:
    """One command line. `{name}` in it is another one in each run. `after`: what must hold afterwards, given (name, code)."""

    def __init__(self, binary, *words, stdin="", env=None, before=None, after=None, told=True):
        self.binary, self.words, self.stdin, self.env = binary, words, stdin, env or {}
        self.before, self.after, self.told = before, after, told
        self.code = self.out = None  # of the run without a fault; told: what it prints is the same in each run


class Commands(Story):
    """Each ends with 0 and has done and printed everything, or says that it has not; done again, it does it."""
    name, binary, per_place = "commands", "vigia", 1
    stories = 2

    def __init__(self, *args):
        super().__init__(*args)
        self.times = collections.Counter()

    def prepare(self):
        super().prepare()
        for turn in range(self.stories):
            self.tell_story(f"p{turn}z", lambda: not self.collector.ended(), lambda: None)
        self.alarm.start()
        wait_for("the alarms", lambda: len(self.site.events()) >= 3 * self.stories, 40)
        for p in (self.alarm, self.collector):
            p.stop()
        self.readings = self.dir / "readings.jsonl"
        self.readings.write_text("".join(json.dumps(r["value"]) + "\n" for r in self.site.topic("readings")))
        self.alarm_id = next(e["value"]["alarm_id"] for e in self.site.events() if e["value"]["event"] == "raised")

    def program(self):
        return self.part.binary

    def chosen(self, calls):
        """What all commands do, to read their configuration and to open the log, need not fail in each of them."""
        mine = [c for c in calls if self.times[self.place_key(c)] < OFTEN]
        self.times.update(map(self.place_key, mine))
        return mine

    def place_key(self, faults):
        at = faults[0][0]
        return self.own[at][:3] if at in self.own else (self.program(), at)

    # ---- the commands ----

    def vigia(self, *words, **how):
        return Command("vigia", "--config", str(self.site.site / "vigia.ini"), *words, **how)

    def parts(self):
        d, alarm = str(self.dir), ("--config", str(self.site.site / "alarm.ini"))
        pack = '[{"bn":"s/","bt":1793194820,"n":"temperature","u":"Cel","v":20.1234567890123456789}]'
        (self.dir / "garbage.db").write_bytes(b"\x5a" * 8192)
        self.site.run(self.args.plain / "bin" / "vigia", "init", "--dir", d + "/empty")
        (self.dir / "kept").mkdir()
        (self.dir / "kept" / "log.ini").write_text("[log]\nurl = kafka:127.0.0.1:1\npartitions = 2\n")
        self.commands = [
            Command("vigia", "init", "--dir", d + "/{name}.site", "--listen", "127.0.0.1:1", told=False, after=self.site_is_made),
            self.vigia("device", "add", "{name}", "--sensor", "q*", "--out", d + "/{name}.ini", told=False, after=self.device_is_there),
            self.vigia("device", "rotate", "{name}", "--out", d + "/{name}.ini", told=False, before=self.add, after=self.key_is_whole),
            self.vigia("device", "revoke", "{name}", before=self.add, after=self.again),
            self.vigia("device", "remove", "{name}", before=self.add, after=self.is_removed),
            self.vigia("device", "show", "pi"), self.vigia("device", "list", "--json", told=False),
            self.vigia("topic", "list", told=False), self.vigia("topic", "describe", "readings"), self.vigia("topic", "count", "readings"),
            self.vigia("topic", "read", "readings", "--from-beginning"), self.vigia("topic", "read", "alarms", "--from-beginning", "--json"),
            self.vigia("alarm", "list"), self.vigia("alarm", "show", self.alarm_id),
            self.vigia("alarm", "ack", self.alarm_id, "--who", "sweep", told=False, after=self.again),
            self.vigia("log", "backup", d + "/{name}.copy", after=self.backup_is_whole), self.vigia("log", "skip", "alarm"),
            self.vigia("decode", "--format", "senml-json", stdin=pack, told=False),
            Command("vigia", "--help"), Command("vigia", "topic", "read", "--help"), Command("vigia", "--manual"), Command("vigia", "completion"),
            Command("vigia", "device", "list", "--config", d + "/empty/vigia.ini"), Command("vigia", "bogus"),
            Command("vigia", "device", "show", "pi", "--config", d + "/none.ini"), self.vigia("topic", "read", "bogus"),
            Command("vigia", "--log", f"sqlite:{d}/garbage.db", "topic", "list"),
            Command("vigia", "--log", "kafka:127.0.0.1:1", "init", "--dir", d + "/kept", "--partitions", "1"),
            Command("vigia", "--version", env={"VIGIA_FAULT": "list"}), Command("vigia", "--version", env={"VIGIA_FAULT": "bogus"}),
            *(Command("vigia-alarm", *words) for words in (("--help",), ("--manual",), (*alarm, "--dump-config"), ("--log-level", "loud"),
                                                             ("--log-format", "verse"), ("word",), (*alarm, "--replay", d + "/none"),
                                                             (*alarm, "--set", "metrics.listen=x", "--check-config"))),
            Command("vigia-collector", "--manual"),
            Command("vigia-alarm", *alarm, "--replay", "-", stdin="no record\n"),
            Command("vigia-alarm", *alarm, "--set", "processor.bogus=1"),
            *(Command("vigia-edge", *words) for words in (("--help",), ("--manual",), ("--dump-config",),
                                                            ("--set", "source a.kind=sim", "--dump-config"))),
        ]
        return [c for c in self.commands if "init" in c.words or "alarms" in c.words] if self.args.short else self.commands

    # ---- a run of one ----

    def begin(self, command, name, env=None):
        """(exit code, standard output with the run's own name taken out, standard error)"""
        words = [w.replace("{name}", name) for w in command.words]
        process = begin([self.site.bin / command.binary, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        text=True, env=environment(command.env, env or {}))
        try:
            out, said = process.communicate(command.stdin, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"{words} did not end") from None
        finally:
            process.kill()
            process.wait()
        return process.returncode, out.replace(name, "NAME"), said

    def play(self, name, env):
        c = self.part
        if c.before:
            c.before(name)
        code, out, said = self.begin(c, name, env)
        if not self.faults:
            c.code, c.out = code, out
            if code not in (0, 1, 2, 78):
                raise Failure(f"{c.words} ended with {code}: {said}")
            end = "went on", ""
        elif code == c.code and (c.code != 0 or not c.told or out == c.out):
            end = "went on", ""
            self.judge(0, False, said)
        elif code == 0:
            raise Failure(f"{c.words} ended with 0 and printed {len(out)} of {len(c.out)} characters")
        else:
            end = self.judge(code, True, said)
        if c.after:
            c.after(name, code)
        elif self.faults and c.told and (again := self.begin(c, name))[:2] != (c.code, c.out):
            raise Failure(f"done again, {c.words} ends with {again[0]}: {again[2]}")
        return end

    def must(self, command, name):
        code, _, said = self.begin(command, name)
        if code != 0:
            raise Failure(f"{' '.join(command.words)} ends with {code}: {said.strip()}")

    # ---- what must hold after one ----

    def add(self, name):
        self.site.cli("device", "add", name, "--sensor", "q*", "--out", self.dir / f"{name}.ini")

    def again(self, name, code):
        self.must(self.part, name)

    def left_over(self, name):
        """Files on their way, which only an unlink that failed may leave."""
        left = [p.name for p in self.dir.rglob(f"{name}*") if p.suffix not in ("", ".site", ".ini", ".copy")]
        left += [p.name for p in (self.dir / f"{name}.site").rglob("*") if p.name.count(".") > 1]
        if left and not self.unlink_failed():
            raise Failure(f"left over: {left}")

    def unlink_failed(self):
        return any(self.own[at][1] == "unlink" for at, _ in self.faults)

    def site_is_made(self, name, code):
        site = self.dir / f"{name}.site"
        if self.unlink_failed() and (site / "vigia.key").stat().st_size == 0:
            (site / "vigia.key").unlink()  # init would refuse it, by name
        self.must(self.part, name)
        if (site / "vigia.key").stat().st_size != 32 or (site / "vigia.key").stat().st_mode & 0o777 != 0o600:
            raise Failure("the key file is not as it must be")
        self.must(Command("vigia", "--config", str(site / "vigia.ini"), "device", "add", "x", "--sensor", "q*", "--out", str(site / "x.ini")), name)
        for program in ("vigia-collector", "vigia-alarm"):
            self.must(Command(program, "--config", str(site / f"{program[6:]}.ini"), "--check-config"), name)
        self.left_over(name)

    def device_is_there(self, name, code):
        """Entered, or else it can be entered now; an entry whose key was lost can be given another one."""
        again, _, said = self.begin(self.part, name)
        if again != 0 and code == 0 and "exists" not in said and "already" not in said:
            raise Failure(f"done again it ends with {again}: {said}")
        if again != 0:
            self.must(self.vigia("device", "rotate", "{name}", "--out", str(self.dir / "{name}.ini")), name)
        self.key_is_whole(name, 0)

    def key_is_whole(self, name, code):
        if code != 0:
            self.must(self.part, name)
        if len((self.dir / f"{name}.ini").read_text().split("psk = ")[1].strip()) != 64:
            raise Failure("the provisioning file is not whole")
        self.must(self.vigia("device", "show", "{name}"), name)
        self.left_over(name)

    def is_removed(self, name, code):
        if code != 0:
            self.begin(self.part, name)
        if name in self.site.cli("device", "list"):
            raise Failure("the device is still there")

    def backup_is_whole(self, name, code):
        copy = self.dir / f"{name}.copy"
        if code != 0 and not copy.exists():
            for part in self.dir.glob(f"{name}.copy.part*"):
                self.left_over(name)
                part.unlink()
            self.must(self.part, name)
        told = self.vigia("topic", "count", "readings", "--log", f"sqlite:{copy}")
        if self.begin(told, name)[:2] != self.begin(self.vigia("topic", "count", "readings"), name)[:2]:
            raise Failure("the copy is not the log")
        for path in self.dir.glob(f"{name}.copy*"):
            path.unlink()


    def finish(self):
        """The alarm that was acknowledged again and again says so."""
        sensor, commands = self.alarm_id.partition(":")[0], self.site.topic("commands")
        if commands:
            self.expected[sensor] = [*EXPECTED["b"], "acknowledged smoke", *["refused smoke"] * (len(commands) - 1)]
        super().finish()


class Replay(Commands):
    """vigia-alarm --replay: one that ends with 0 has told every event."""
    name, per_place = "replay", None
    stories = REPLAYED

    def chosen(self, calls):
        return calls

    def parts(self):
        self.commands = [Command("vigia-alarm", "--config", str(self.site.site / "alarm.ini"), "--replay", str(self.readings))]
        return self.commands



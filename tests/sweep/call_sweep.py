"""One scenario and the calls that it makes: each is made to fail in a run of its own, and the run judged."""
import collections
import errno
import os
import random
import signal
import sys
import time

import places
from agents import Death
from world import SANITIZER_WORDS, Device, Failure, Site, check, checker

SLOW_S = 15  # a run that takes longer is told at once
ATTEMPTS = 3  # runs for a call that a run does not come by: timing decides about a few
CHAIN = places.FAULTS - 1  # most faults of one run: a call on the way out of a failure fails, too
# After which a program may say that its configuration is wrong, and must not be started again: files of the configuration, ports in use.
# SQLite opens a file that it could not open for reading only, and then says that it may not be written.
CONFIGURATION = ("fopen", "getc", "open", "fstat", "read", "getcwd", "bind", "listen", "open64", "access")
# Calls of each part in the short form.
SHORT = {"collector": 7, "alarm": 7, "edge": 7, "replay": 4, "edge-card": 3, "provision": 3, "commands": 2}
TELLS = ("fprintf", "fputs", "fputc", "fwrite")  # without which a line on standard error is lost
SHORT_LIBRARY = 2  # calls of the libraries in each program, then
# (function that calls, function called) where a failure was answered wrongly once: the short form fails these first.
ONCE_WRONG = {"provision": {("vgi_provision_read", "access"), ("vgi_provision_take", "read")},
              "commands": {("vg_keys_create_file", "close"), ("print_record", "strndup"), ("vg_conf_load_traced", "calloc")},
              "collector": {("coap_epoll_ctl_add", "epoll_ctl"), ("MHD_cleanup_connections", "epoll_ctl")},
              "alarm": {("MHD_cleanup_connections", "epoll_ctl")}, "edge": {("MHD_cleanup_connections", "epoll_ctl")}}


class Sweep:
    """One scenario on a site of its own. A class that plays it gives `name`, `binary`, `prepare` and `play`."""

    name = binary = ""
    errors = places.errors()
    per_place = None  # calls of one place that fail; None: what the arguments say

    def __init__(self, folder, args, log):
        self.args, self.dir = args, folder
        self.site = Site(folder, args.programs, args.plain, log)
        self.problems, self.lines, self.ends, self.ledgers, self.expected = [], [], collections.Counter(), [], {}
        self.deaths, self.kept, self.excused, self.promised = [], [], 0, 0
        self.serial, self.total, self.done, self.missed, self.began_with = 0, 0, 0, [], 0
        short = SHORT.get(self.name, 1) if args.whose == "own" else SHORT_LIBRARY
        self.points = args.points or (short if args.short else 0)  # so many calls of each part; 0: all
        self.own, self.seen, self.failed = {}, set(), set()  # places: of our own code in the program; that runs came by; that failed

    # ---- what a scenario is ----

    def parts(self):
        """One after the other, each with calls of its own to count."""
        return [None]

    def prepare(self):
        """Before the first run."""

    def play(self, name, env):
        """One run; ("went on" | "exit 1" | …, the line that tells why), or a Failure."""
        raise NotImplementedError

    def finish(self):
        """After the last run: everything is checked."""
        problems, verdict, self.promised = check(self.site, self.device, self.ledgers, self.expected, self.deaths, self.kept)
        self.problems += problems
        self.excused = verdict.excused

    # ---- the sweep ----

    def run(self):
        try:
            with self.site:
                self.told = places.Told(self.dir / "told")
                self.device = Device(self.site, str(self.args.plain / "tests" / "collector_fixture"))
                try:
                    self.prepare()
                    for self.part in self.parts():
                        self.sweep()
                    self.finish()
                finally:
                    self.device.close()
        except Exception as e:  # a thread's failure is told by the main one
            self.problems.append(f"{self.name}: {type(e).__name__}: {e}")

    def sweep(self):
        self.own = places.calls_of(self.args.programs / self.program())
        self.one(())
        counted = self.told.sites()
        if not counted:
            raise Failure("the program made no call")
        most = min(self.per_place or self.args.per_place, self.args.per_place)
        calls = self.chosen([((at, call),) for at, (times, _) in sorted(counted.items()) for call in range(1, min(times, most) + 1)])
        self.total += len(calls)
        self.seeded(calls) if self.points else self.every(calls[self.args.first - 1:self.args.last or None], set(counted))

    def program(self):
        return self.binary

    def chosen(self, calls):
        """The calls to fail, of those that a run without a fault has made."""
        return calls

    def seeded(self, calls):
        """So many calls, drawn from all; one that a run does not come by is replaced by the next that is drawn."""
        drawn = random.Random(self.args.seed).sample(calls, len(calls))
        if self.args.short:
            who = self.callers([at for (at, _), in drawn])
            drawn.sort(key=lambda faults: who[faults[0][0]] not in ONCE_WRONG.get(self.name, ()))
        wanted = self.done + min(self.points, len(calls))
        while drawn and self.done < wanted:
            self.one(drawn.pop(0))
        if self.done < wanted:
            self.problems.append(f"{self.name}: {wanted - self.done} calls fewer than wanted were there")

    def every(self, calls, known):
        """Each call in turn, and each call that is made only because another one has failed."""
        queue = collections.deque(calls)
        while queue:
            faults = queue.popleft()
            for attempt in range(ATTEMPTS):
                # What seemed to follow from a failure may be a matter of time.
                tried = faults if attempt + 1 < ATTEMPTS else faults[-1:]
                reached = self.one(tried)
                for at in sorted(set(self.told.sites()) - known):
                    known.add(at)
                    queue.append((*tried[-CHAIN + 1:], (at, 1)))
                    self.total += 1
                if reached:
                    break
            else:
                self.missed.append(faults[-1])

    def one(self, faults):
        """One run; true when its last fault has happened."""
        self.serial += 1
        name = f"p{self.serial}{self.name[0]}"
        self.told.clear()
        spec = "".join(f":{at:x}.{call}" for at, call in faults) + (":stay" if self.args.stay and faults else "")
        env = {"VIGIA_CALLS": self.args.whose + spec, "VIGIA_CALLS_FILE": str(self.told.path)}
        if self.args.whose == "library":
            # What Mbed TLS and libcoap lose of their own when memory fails them in a handshake is theirs; ours is seen with --whose own.
            env["ASAN_OPTIONS"] = "detect_leaks=0"
        began, end, why = time.monotonic(), "", ""
        self.faults = faults
        try:
            end, why = self.play(name, env)
        except Failure as e:
            why = f"{e}; it told last: {self.told_last()!r}"
            self.broken(name)
        sites = self.told.sites()
        self.seen |= {self.own[at][:3] for at in sites if at in self.own}
        if faults and not self.told.fired()[len(faults) - 1]:
            if not end:
                self.problems.append(f"{self.name}: a run without its fault: {why}")
            return False
        names = [sites[at][1] for at, _ in faults]
        if end.startswith("exit 78") and not any(name in CONFIGURATION for name in names):
            end, why = "", f"what the machine lacks for now is no wrong configuration: {end}: {why}"
        where = [self.place(at) for at, _ in faults]
        if not end or (not faults and end != "went on"):
            self.problems.append(f"{self.name} {' then '.join(f'{n} at {w}' for n, w in zip(names, where)) or 'without a fault'}: {why or end}")
        if faults:
            self.ends[end or "wrong"] += 1
            self.done += 1
            at, call = faults[-1]
            self.failed |= {self.own[at][:3]} if at in self.own else {(at,)}
            self.lines.append((self.name, names[-1], where[-1], call, " ".join(where[:-1]), end, f"{time.monotonic() - began:.2f}", why))
        if not end or time.monotonic() - began > SLOW_S:
            print(f"calls: slow or wrong: {self.name} {names} {where} {faults} {end}: {why[:300]!r}", file=sys.stderr, flush=True)
        return True

    def broken(self, name):
        """After a run that went wrong: the next one must find the site as it should be."""
        for p in self.site.running:
            if p is not getattr(self, "collector", None) or self.name == "collector":
                p.kill()
        ledger = self.dir / f"{name}.ledger"
        self.ledgers += checker.read_lines(ledger) if ledger.exists() else []
        self.deaths.append(Death(name))

    def told_last(self):
        p = self.site.running[-1] if self.site.running else None
        return p.told()[-300:] if p is not None and p.process is not None else ""

    def callers(self, calls):
        """{place: (function that calls, function called)} of places that the last run came by."""
        sites, calls = self.told.sites(), sorted(set(calls))
        found = places.located(self.args.programs / self.program(), [at - 1 for at in calls if at not in self.own])
        theirs = iter([function for function, _ in found])
        return {at: (self.own[at][3], self.own[at][1]) if at in self.own else (next(theirs), sites[at][1]) for at in calls}

    def place(self, at):
        """The line of a call."""
        return self.own[at][0] if at in self.own else places.located(self.args.programs / self.program(), [at - 1])[0][1]

    # ---- how a run may end ----

    def end_of(self, p, fault=True):
        """("went on" | "exit 1" | …, the line that tells why); a Failure for anything else. The program has ended or is told to."""
        early = p.ended()
        code = p.stop()
        return self.judge(code, early, p.told(), fault)

    def judge(self, code, early, told, fault=True):
        """Of an exit code and what was told before it."""
        for line in told.splitlines():
            if any(word in line for word in SANITIZER_WORDS):
                raise Failure(line)
        if code == 0 and not early:
            return "went on", ""
        if code < 0:
            raise Failure(f"ended by {signal.Signals(-code).name}: {told[-200:]}")
        lines = [line for line in told.splitlines() if line.strip() and ("level=error" in line or "level=" not in line)]
        clear = [line for line in lines if "level=" not in line or "reason=" in line or "error=" in line or "killed" in line]
        if code not in (1, 78) or not fault:
            raise Failure(f"ended with {code}: {told[-300:]}")
        end = f"exit {code}" + ("" if early else " when told to end")
        if self.args.whose == "own" and self.faults and self.lost_its_words():
            return end, ""
        if not clear:
            raise Failure(f"ended with {code} without a line that says why: {told[-200:]!r}")
        if self.args.whose == "own" and self.faults and not any(map(self.names_it, clear)):
            raise Failure(f"ended with {code} and gives another reason: {clear}")
        if len(lines) > 3 * max(1, len(self.faults)):
            raise Failure(f"ended with {code} and {len(lines)} lines of error: {lines}")
        return end, clear[-1][:300]

    def names_it(self, line):
        """Whether a line tells of what was made to fail: by its error, or at least of no other one, and not that something else is accepted."""
        mine = {self.errors[self.own[at][1]] for at, _ in self.faults if at in self.own}
        others = set(self.errors.values()) | {os.strerror(errno.ENOENT), os.strerror(0), "accepted:"}
        return any(text in line for text in mine) or not any(text in line for text in others)

    def lost_its_words(self):
        """Whether what was made to fail is the line that would say why."""
        at = self.faults[-1][0]
        return at in self.own and self.own[at][1] in TELLS

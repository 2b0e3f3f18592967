"""An independent checker: from what emulated sensors said, what the log holds and the alarms told, it says what went wrong.

It shares no code with the product and reads only files and the command line's JSON:

    ledger    JSON lines of the emulated sensors (docs/scenario.md), with `stamp on`
    readings  JSON lines of `vigia topic read readings --from-beginning --json`
    alarms    JSON lines of `vigia topic read alarms --from-beginning --json`

This module judges readings, and alarms against a list; by_rules.py judges alarms against a second implementation of the rules. Every
problem is a text that begins with its kind, and has it as `kind`.
"""
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from oks import OkMatch

QUANTITIES = ("motion", "smoke", "temperature", "max_temperature")
EVENTS = ("alive", "gap", "storage", "clock")
KINDS = ("lost", "duplicated", "reordered", "wrong time", "changed", "invented", "false alarm", "missed alarm", "wrong alarm",
         "duplicate strike", "duplicate alarm id", "late")
# How far the time of a stored reading may be from the moment of the story: the agent finds that moment from two looks at two clocks.
TIME_TOLERANCE_MS = 500
# The clocks of agent and collector are one clock here; only rounding and a small correction lie between them.
RECEIVED_TOLERANCE_MS = 1000
# Why a reading may be missing without blame. Whatever no rule excuses is lost.
RULES = ("routine readings not yet committed when their agent was killed", "urgent readings not yet committed when their agent was killed",
         "routine readings that a full agent gave up and told", "urgent readings that a full agent gave up and told")
KILLED, GIVEN_UP = 0, 2


class Problem(str):
    """A sentence with its kind."""

    kind = ""


def problem(kind, text):
    assert kind in KINDS, kind
    out = Problem(f"{kind}: {text}")
    out.kind = kind
    return out


def counted(problems):
    """How many of each kind, all kinds named."""
    count = Counter(p.kind for p in problems)
    return {kind: count[kind] for kind in KINDS}


@dataclass
class Verdict:
    sent: int = 0            # messages that the sensors gave to their agents
    stored: int = 0          # of these, in the log (each counted once)
    again: int = 0           # records that repeat an identity: at-least-once delivery, harmless
    rules: Counter = field(default_factory=Counter)  # by which of RULES how many of the others are excused
    oldest_excused_ms: int = 0   # of those that a kill excuses: the longest time that one had been said before it
    most_excused: int = 0        # by one kill
    device_events: int = 0   # alive, gap, storage, clock
    gaps_of_others: int = 0  # gap events of agents that cannot have been full; they excuse nothing
    wrong_clock: int = 0     # stored with a time that only a wrong clock of the agent explains
    early: int = 0           # received before they were said, by a collector's clock that was wrong
    heartbeats: int = 0
    delays_ms: list = field(default_factory=list)  # from said to received, of those stored
    problems: list = field(default_factory=list)

    @property
    def excused(self):
        """Lost with an agent that was killed, not yet committed."""
        return self.rules[RULES[KILLED]] + self.excused_urgent

    @property
    def excused_urgent(self):
        return self.rules[RULES[KILLED + 1]]

    @property
    def evicted(self):
        """Given up by an agent whose buffer was full, and told by it."""
        return self.rules[RULES[GIVEN_UP]] + self.rules[RULES[GIVEN_UP + 1]]

    @property
    def unexplained(self):
        """Neither stored nor excused."""
        return self.sent - self.stored - self.rules.total()


def read_lines(path):
    """Every complete JSON line; a last line without newline is what a killed writer left and is skipped."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and abs(a - b) < 1e-6
    return a == b


def identity(reading):
    return reading["device"], reading.get("store"), reading.get("lane"), reading.get("seq")


def is_urgent(line):
    """As an agent judges it: an OK, or an active reading."""
    hot = line["temperature"] is not None and line["max_temperature"] is not None and line["temperature"] > line["max_temperature"]
    return bool(line["ok"] or line["motion"] or line["smoke"] or hot)


class Clocks:
    """What the agents' clocks were ahead of the true one, and since when: {"device", "wall_ms" (true), "offset_ms"}, in order."""

    def __init__(self, steps=()):
        self.steps = defaultdict(list)
        self.reach_ms = RECEIVED_TOLERANCE_MS  # how far a received time may be behind the true one
        for step in steps:
            self.steps[step["device"]].append((step["wall_ms"], step["offset_ms"]))
            if step["device"].startswith("collector"):
                self.reach_ms = max(self.reach_ms, RECEIVED_TOLERANCE_MS + abs(step["offset_ms"]))

    def any(self):
        return bool(self.steps)

    def of_collectors(self):
        return any(device.startswith("collector") for device in self.steps)

    def ever(self, device):
        """Every offset that the device's clock had."""
        return {0, *(offset for _, offset in self.steps.get(device, ()))}

    def in_force(self, device, begin_ms, end_ms):
        """Every offset that held at some moment of the stretch; a step counts as having held 1.5 s before it was noticed."""
        found, now = set(), 0
        for at, offset in self.steps.get(device, ()):
            if at > end_ms:
                break
            if at > begin_ms - 1500:
                found.add(now)
            now = offset
        found.add(now)
        return found


GAP = re.compile(r"\w+ lane=([ur]) count=(\d+) store=([0-9a-f]{16})(?: seq=(\d+)-(\d+))?")


class _Gaps:
    """What agents said that they gave up. An event tells a lane and a count; a store and its numbers where those are one stretch.

    It excuses readings of its own device and lane only. A number that is missing in the log it explains when it names that number, or,
    told without numbers, when the number is of its device and lane."""

    def __init__(self):
        self.room = Counter()           # (device, lane) -> readings
        self.told = defaultdict(list)   # (device, lane) -> [last, first, store, left], without numbers: last is None

    def add(self, device, text):
        """False: no gap event tells such a thing."""
        match = GAP.fullmatch(text)
        if match is None:
            return False
        lane, count, store, first, last = match.groups()
        self.room[device, lane] += int(count)
        self.told[device, lane].append([last and int(last), first and int(first), store, int(count)])
        return True

    def excuse(self, devices, lane):
        """One reading of a lane of one of the devices."""
        for device in devices:
            if self.room[device, lane] > 0:
                self.room[device, lane] -= 1
                return True
        return False

    def explain(self, device, store, lane, numbers):
        """The rest of these sorted numbers, which no event explains."""
        told = self.told[device, lane]
        # Of those that name it the one that ends first: the others may still be wanted. Those without numbers last.
        order = sorted(gap for gap in told if gap[0] is not None and gap[2] == store) + [gap for gap in told if gap[0] is None]
        rest = []
        for n in numbers:
            gap = next((g for g in order if g[3] > 0 and (g[0] is None or g[1] <= n <= g[0])), None)
            if gap is None:
                rest.append(n)
            else:
                gap[3] -= 1
        return rest


class _Records:
    """The log's side: each identity once, in the log's order."""

    def __init__(self, records, verdict, full=None):
        self.verdict, self.full = verdict, full
        self.by_identity = {}
        self.stamped = defaultdict(list)  # (sensor, at) -> values
        self.oks = defaultdict(list)      # sensor -> values
        self.devices = defaultdict(set)   # sensor -> the devices that spoke for it
        self.gaps = _Gaps()
        last = {}
        for record in records:
            value = record["value"]
            if "heartbeat" in value:
                verdict.heartbeats += 1
                continue
            if value["sensor"] != record["key"]:
                self.say("changed", f"record of {value['sensor']} has key {record['key']}")
            self.once(value, last)

    def say(self, kind, text):
        self.verdict.problems.append(problem(kind, text))

    def once(self, value, last):
        who = identity(value)
        first = self.by_identity.get(who) if who[3] is not None else None
        if first is not None:
            self.verdict.again += 1
            if {**first, "received_ms": 0} != {**value, "received_ms": 0} and not self.same_but_time(first, value):
                self.say("duplicated", f"identity {who} is used by {first['sensor']} and {value['sensor']}: {first} and {value}")
            return
        if who[3] is not None:
            self.by_identity[who] = value
            lane = (value["sensor"],) + who[:3]
            if who[3] <= last.get(lane, -1):
                self.say("reordered", f"{value['sensor']} seq {who[3]} after {last[lane]}")
            last[lane] = who[3]
        self.devices[value["sensor"]].add(value["device"])
        if any(name in value for name in EVENTS):
            self.verdict.device_events += 1
            if "gap" in value and self.full is not None and value["device"] not in self.full:
                self.verdict.gaps_of_others += 1
            elif "gap" in value and not self.gaps.add(value["device"], str(value["gap"])):
                self.say("changed", f"a gap event of {value['device']} that tells no lane, count and store: {value['gap']}")
        elif value.get("ok"):
            self.oks[value["sensor"]].append(value)
        else:
            self.stamped[(value["sensor"], value.get("x", {}).get("at"))].append(value)

    @staticmethod
    def same_but_time(a, b):
        """A reading sent again after a clock step, as an age, or when its agent has learnt the time meanwhile, has the same identity
        and content under another time."""
        free = ["received_ms", "time_ms"]
        if {a.get("quality"), b.get("quality")} == {"synced", "unsynced"}:
            free.append("quality")
        return {k: v for k, v in a.items() if k not in free} == {k: v for k, v in b.items() if k not in free}

    def holes(self):
        """Numbers that are missing inside a lane of a store, per device: an agent numbers without holes."""
        lanes = defaultdict(set)
        for device, store, lane, seq in self.by_identity:
            lanes[device, store, lane].add(seq)
        for (device, store, lane), seqs in sorted(lanes.items()):
            missing = set(range(min(seqs), max(seqs) + 1)) - seqs
            if missing:
                yield device, store, lane, sorted(missing)


def check_readings(ledger, records, kills=(), window_ms=1500, urgent_window_ms=None, start_ms=None, clocks=None, kept=(), full=None):
    """`kills`: (wall time in ms at which an agent was killed, its sensors as a predicate), and where that kill's windows are known, the
    two of them, routine and urgent. `window_ms`: what a kill may cost, the
    agent's group of 1 s and the commit itself; `urgent_window_ms`: the commit of an urgent reading alone. `start_ms`: when the story
    began (default: what the ledger shows). `kept`: identities that a killed agent had committed; each must be in the log. `full`: the
    devices whose gap events excuse readings (default: all)."""
    verdict = Verdict(sent=len(ledger))
    clocks = clocks or Clocks()
    urgent_window_ms = window_ms if urgent_window_ms is None else urgent_window_ms
    log = _Records(records, verdict, full)
    if start_ms is None:
        start_ms = min((line["wall_ms"] - line["at"] for line in ledger), default=0)
    true_ms = lambda line: start_ms + line["at"]
    expected = {}
    oks = defaultdict(list)
    for line in ledger:
        key = (line["sensor"], line["at"], line["ok"])
        if key in expected:
            log.say("duplicated", f"the ledger tells a message twice: {key}")
        expected[key] = line
        if line["ok"]:
            oks[line["sensor"]].append(line)
    matched = {}
    for sensor in set(oks) | set(log.oks):
        found, rest = OkMatch(oks.get(sensor, []), log.oks.get(sensor, []), true_ms, clocks, TIME_TOLERANCE_MS).match()
        matched.update(found)
        for value in rest:
            log.say("invented", f"{sensor} never said OK at {value['time_ms'] - start_ms} ms ({identity(value)})")
    stamped = dict(log.stamped)
    lost = []
    for line in expected.values():
        values = matched.get(id(line), []) if line["ok"] else stamped.pop((line["sensor"], line["at"]), [])
        if not values:
            lost.append(line)
            continue
        if len(values) > 1:
            log.say("duplicated", f"stored under {len(values)} identities: {line['sensor']} at {line['at']} ms")
        verdict.stored += 1
        _check_value(log, line, values[0], true_ms(line), clocks)
    for (sensor, at), values in stamped.items():
        log.say("invented", f"{sensor} never said a reading at {at} ms ({identity(values[0])})")
    _judge_lost(log, lost, kills, window_ms, urgent_window_ms, true_ms if clocks.any() else lambda line: line["wall_ms"])
    for row in kept:
        who = (row["device"], row["store"], row["lane"], row["seq"])
        if who not in log.by_identity:
            log.say("lost", f"{who} was committed on the card of its agent before that was killed")
    return verdict


def _check_value(log, line, value, true_ms, clocks):
    where = f"{line['sensor']} at {line['at']} ms"
    for name in QUANTITIES:
        if not same(value.get(name), line[name]):
            log.say("changed", f"{where}: {name} is {value.get(name)}, was {line[name]}")
    if bool(value.get("ok")) != line["ok"]:
        log.say("changed", f"{where}: ok is {value.get('ok')}, was {line['ok']}")
    if clocks.any():
        delay = value["received_ms"] - true_ms
    else:
        delay = value["received_ms"] - line["wall_ms"]
    if delay < -clocks.reach_ms:
        log.say("wrong time", f"{where}: received {-delay} ms before it was said")
    log.verdict.early += delay < -RECEIVED_TOLERANCE_MS
    log.verdict.delays_ms.append(max(0, delay))
    if value.get("quality") != "synced":
        return
    off = min(abs(value["time_ms"] - true_ms - offset)
              for offset in clocks.in_force(value["device"], true_ms, value["received_ms"] + clocks.reach_ms))
    if off > TIME_TOLERANCE_MS:
        log.say("wrong time", f"{where}: stored with a time {off} ms away from it")
    log.verdict.wrong_clock += abs(value["time_ms"] - true_ms) > TIME_TOLERANCE_MS


def _judge_lost(log, lost, kills, window_ms, urgent_window_ms, said_ms):
    verdict, by_kill = log.verdict, Counter()
    for line in lost:
        urgent = is_urgent(line)
        kill = next((at for at, mine, *own in kills
                     if at - (own or (window_ms, urgent_window_ms))[urgent] <= said_ms(line) <= at + 5 and mine(line["sensor"])), None)
        if kill is not None:
            verdict.rules[RULES[KILLED + urgent]] += 1
            verdict.oldest_excused_ms = max(verdict.oldest_excused_ms, kill - said_ms(line))
            by_kill[kill] += 1
        elif log.gaps.excuse(log.devices[line["sensor"]], "u" if urgent else "r"):
            verdict.rules[RULES[GIVEN_UP + urgent]] += 1
        else:
            what = "urgent" if urgent else "routine"
            log.say("lost", f"{line['sensor']} at {line['at']} ms ({what}, said at {line['wall_ms']})")
    verdict.most_excused = max(by_kill.values(), default=0)
    for device, store, lane, missing in log.holes():
        rest = log.gaps.explain(device, store, lane, missing)
        if rest:
            log.say("lost", f"{device} store {store} lane {lane}: {len(rest)} numbers missing, first {rest[:3]}")


def check_ids(records):
    """Each alarm is raised once."""
    raised = Counter(r["value"]["alarm_id"] for r in records if r["value"]["event"] == "raised")
    return [problem("duplicate alarm id", f"{alarm} was raised {n} times") for alarm, n in sorted(raised.items()) if n > 1]


def check_alarms(records, expected, ignored_types=("collector",)):
    """`expected`: {sensor: ["raised motion", …]} in order; a sensor that is not named must have no event. Returns problems."""
    told = defaultdict(list)
    for record in records:
        event = record["value"]
        if event.get("type") not in ignored_types:
            told[event["sensor"]].append(f"{event['event']} {event['type']}")
    problems = check_ids([r for r in records if r["value"].get("type") not in ignored_types])
    for sensor in sorted(set(told) | set(expected)):
        if told[sensor] != expected.get(sensor, []):
            more = Counter(told[sensor]) - Counter(expected.get(sensor, []))
            fewer = Counter(expected.get(sensor, [])) - Counter(told[sensor])
            kind = "missed alarm" if fewer else "false alarm" if more else "wrong alarm"
            problems.append(problem(kind, f"{sensor}: told {told[sensor] or 'nothing'}, expected {expected.get(sensor) or 'nothing'}"))
    return problems

"""Alarms against the rules: what an independent implementation of them (tests/rules/naive.py) tells of the log's readings, in the
log's order, compared with the alarm events one by one.

Readings are exact. Only a pre-alarm that ends by the clock is not: the processor's clock is the received time of what it has read and,
once it has read everything, the wall clock; so where a reading comes within `slack_ms` of such an end, both orders are right, and both
are followed until the events tell which one it was.
"""
import copy
import difflib
import itertools
import pathlib
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "rules"))
import naive  # noqa: E402
from checker import EVENTS, check_ids, problem  # noqa: E402

EXACT = ("event", "alarm_id", "type", "late", "strikes", "count", "seq", "reason")
TIMES = ("time_ms", "first_ms", "raised_ms")
COMMANDED = ("acknowledged", "refused")
NEARLY_MS = 2000  # a processor's restart forgets arrivals since the last heartbeat of a collector that it had read
PATHS_MAX = 64  # ways to read one sensor's life that are followed at once


@dataclass
class Told:
    expected: int = 0     # events that the rules give
    compared: int = 0     # of these, found as they must be
    counted: int = 0      # active readings and OKs that the rules counted, each once
    both_ways: int = 0    # times that a pre-alarm near its end by the clock was followed both ways
    problems: list = field(default_factory=list)


class _Way:
    """One way to read a sensor's life so far: a model, and how many of the told events it has explained."""

    def __init__(self, conf):
        self.model = naive.Naive(None)
        self.model.conf.update(conf, supervision=0)
        self.at = 0
        self.nearly = False  # a reading counted at an arrival that a restart of the processor may have forgotten: its time is nearly known
        self.events = []
        self.model.tell = self.events.append

    def fork(self):
        tell, self.model.tell = self.model.tell, None
        events, self.events = self.events, []
        other = copy.deepcopy(self)
        self.model.tell, self.events = tell, events
        other.events = list(events)
        other.model.tell = other.events.append
        return other

    def deadlines(self):
        window = self.model.conf["window"]
        for sensor in self.model.sensors.values():
            for kind in ("smoke", "temperature"):
                alarm = sensor.alarms[kind]
                if alarm.state == "pending" and window != naive.NEVER:
                    yield alarm.strikes[0][1] + window, kind, sensor

    def pending(self):
        return tuple(sorted((due, kind) for due, kind, _ in self.deadlines()))

    def expire(self, deadlines):
        for due, kind, sensor in sorted(deadlines, key=lambda d: d[:2]):
            self.model.end_pre_alarm(sensor, kind, "pre_alarm_expired", due)


def message(value):
    """A record of `readings` as naive.py wants it."""
    m = {"sensor": value["sensor"], "dev": value["device"], "q": value["quality"], "at": value["time_ms"], "rx": value["received_ms"]}
    for name, key in (("motion", "motion"), ("smoke", "smoke"), ("temp", "temperature"), ("max", "max_temperature")):
        if value.get(key) is not None:
            m[name] = value[key]
    if value.get("ok"):
        m["ok"] = True
    for name in EVENTS:
        if name in value:
            m["event"] = name
    if value.get("seq") is not None:
        m["id"] = (int(value["store"], 16), value["lane"], value["seq"])
    return m


def is_nearly_known(m, clock):
    """Whether the reading counts at an arrival that is not its own."""
    return m is not None and m["rx"] < clock and m["q"] == "synced" and m["at"] > m["rx"]


def _same(ours, theirs, slack_ms, nearly):
    if any(ours.get(key) != theirs.get(key) for key in EXACT):
        return False
    by_clock = ours["event"] == "pre_alarm_expired" and "seq" not in ours
    for key in TIMES:
        a, b = ours.get(key), theirs.get(key)
        if (a is None) != (b is None):
            return False
        if a != b and not (by_clock and key == "time_ms" and abs(a - b) <= slack_ms) and not (nearly and 0 < a - b <= NEARLY_MS):
            return False
    return True


class _Sensor:
    """Compares what was told of one sensor with the ways to read its life."""

    def __init__(self, name, told, conf, slack_ms, out):
        self.name, self.told, self.slack_ms, self.out = name, told, slack_ms, out
        self.ways = [_Way(conf)]
        self.plain = _Way(conf)  # the one that takes every clock at its word: for the report
        self.broken = False
        self.open_end = False
        self.counted, self.seen = 0, set()

    def step(self, clock, m):
        self.feed_plain(clock, m)
        if self.broken:
            return
        after = []
        for way in self.ways:
            after += self.branches(way, clock)
        ways = []
        for way in after:
            way.model.clock = clock if way.model.clock is None else max(clock, way.model.clock)
            way.model.arrived = way.model.clock
            way.nearly = way.nearly or is_nearly_known(m, clock)
            if m is not None:
                way.model.reading(m)
            if self.explains(way):
                ways.append(way)
        self.keep(ways)

    def keep(self, ways):
        """Ways that explain as much with the same pending alarms are one."""
        unique = {}
        for way in ways:
            unique.setdefault((way.at, way.pending()), way)
        self.ways = list(unique.values())[:PATHS_MAX]
        self.broken = not self.ways

    def branches(self, way, clock):
        due = list(way.deadlines())
        must = [d[1] for d in due if clock >= d[0] + self.slack_ms]
        may = [d[1] for d in due if d[1] not in must and (self.open_end or clock >= d[0] - self.slack_ms)]
        self.out.both_ways += len(may)
        choices = [c for n in range(len(may) + 1) for c in itertools.combinations(may, n)]
        for choice in choices:
            branch = way if len(choices) == 1 else way.fork()
            branch.expire([d for d in branch.deadlines() if d[1] in must or d[1] in choice])
            yield branch

    def explains(self, way):
        for event in way.events:
            if way.at >= len(self.told) or not _same(event, self.told[way.at], self.slack_ms, way.nearly):
                return False
            way.at += 1
        way.events.clear()
        return True

    def feed_plain(self, clock, m):
        way = self.plain
        way.expire([d for d in way.deadlines() if clock >= d[0]])
        way.model.clock = clock if way.model.clock is None else max(clock, way.model.clock)
        way.model.arrived = way.model.clock
        way.nearly = way.nearly or is_nearly_known(m, clock)
        if m is not None:
            way.model.reading(m)
            self.count(m)

    def count(self, m):
        if "ok" in m or any(naive.Naive.is_active(m, kind) for kind in naive.READING_TYPES):
            who = m.get("id")
            self.counted += who is None or who not in self.seen
            self.seen.add(who)

    def end(self, clock):
        """At `clock` the events were read; a pre-alarm that ends near it may be told or not. None: any time after the last reading."""
        self.open_end = clock is None
        self.step(self.ways[0].model.clock if clock is None and self.ways else clock or 0, None)
        expected = self.plain.events
        self.out.expected += len(expected)
        complete = [way for way in self.ways if way.at == len(self.told)] if not self.broken else []
        if complete:
            self.out.compared += len(self.told)
        else:
            self.report(expected)

    def report(self, expected):
        """Names the difference as far as one list can be laid beside the other."""
        key = lambda e: (e["event"], e["alarm_id"])
        ours, theirs = [key(e) for e in expected], [key(e) for e in self.told]
        found = []
        for tag, a, b, c, d in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
            if tag == "equal":
                self.out.compared += b - a
                found += [self.differs(mine, its) for mine, its in zip(expected[a:b], self.told[c:d])
                          if not _same(mine, its, self.slack_ms, self.plain.nearly)]
                continue
            found += [problem("missed alarm", f"{self.name}: {e['event']} {e['alarm_id']} at {e['time_ms']} was not told")
                      for e in expected[a:b]]
            found += [problem("false alarm", f"{self.name}: {e['event']} {e['alarm_id']} at {e['time_ms']} does not follow")
                      for e in self.told[c:d]]
        if not found:
            found = [problem("wrong alarm", f"{self.name}: its events follow from no way to read its life")]
        self.out.problems += found

    def differs(self, ours, theirs):
        what = {k: (theirs.get(k), ours.get(k)) for k in EXACT + TIMES if theirs.get(k) != ours.get(k)}
        more = any(theirs.get(k) is not None and ours.get(k) is not None and theirs[k] > ours[k] for k in ("strikes", "count"))
        text = ", ".join(f"{k} is {a}, by the rules {b}" for k, (a, b) in what.items())
        return problem("duplicate strike" if more else "wrong alarm", f"{self.name}: {ours['event']} {ours['alarm_id']}: {text}")


def check_by_rules(records, alarms, conf, slack_ms=2000, end_ms=None, ignored_types=()):
    """`conf`: strikes, window (ms or naive.NEVER), normal_resets as the processor had them. `end_ms`: when `alarms` was read (default:
    any time after the last reading: what ends by the clock then may be told or not)."""
    out = Told(problems=check_ids(alarms))
    told = defaultdict(list)
    for record in alarms:
        event = record["value"]
        if event.get("type") in ignored_types or event["event"] in COMMANDED:
            continue
        told[event["sensor"]].append(event)
    sensors, clocks = {}, {}
    partition_of = {}
    for record in records:
        value, partition = record["value"], record["partition"]
        clocks[partition] = max(clocks.get(partition, 0), value["received_ms"])
        if "heartbeat" in value:
            continue
        name = value["sensor"]
        if partition_of.setdefault(name, partition) != partition:
            out.problems.append(problem("reordered", f"{name} is in two partitions"))
        if name not in sensors:
            sensors[name] = _Sensor(name, told.get(name, []), conf, slack_ms, out)
        sensors[name].step(clocks[partition], message(value))
    for name, sensor in sorted(sensors.items()):
        sensor.end(None if end_ms is None else max(end_ms, clocks[partition_of[name]]))
        out.counted += sensor.counted
    for name in sorted(set(told) - set(sensors)):
        out.problems += [problem("false alarm", f"{name}: {e['event']} {e['alarm_id']}, and it never said anything") for e in told[name]]
    return out


def kinds_of(alarms):
    return Counter(f"{r['value']['event']} {r['value'].get('type', '-')}" for r in alarms)

"""How long what was killed took to resume, as another reader of the log sees it."""
import bisect
import json

import bounds
from checker import Clocks

NAMES = {"agent": "agent: restart to a reading said after it, in the log",
         "collector": "collector: restart to its next heartbeat in the log",
         "agents": "collector killed: until every agent that it served has delivered what was said since",
         "processor": "processor killed: until every partition has a new alarm event",
         "broker": "broker killed: until every partition has readings said since and new alarm events"}


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Moments:
    """When other readers saw what began when: of the records that began at or after a moment, the first seen."""

    def __init__(self, pairs):
        pairs = sorted(pairs)
        self.began, self.first = [began for began, _ in pairs], [seen for _, seen in pairs]
        for n in reversed(range(len(pairs) - 1)):
            self.first[n] = min(self.first[n], self.first[n + 1])

    def after(self, from_ms):
        """None: there was none."""
        n = bisect.bisect_left(self.began, from_ms)
        return self.first[n] if n < len(self.first) else None


def grouped(triples):
    """(group, began, seen) → {group: Moments}"""
    out = {}
    for group, began, seen in triples:
        out.setdefault(group, []).append((began, seen))
    return {group: Moments(pairs) for group, pairs in out.items()}


def last_of_firsts(groups, from_ms):
    """When each group has had its first moment after from_ms; None: not all did."""
    firsts = [moments.after(from_ms) for moments in groups]
    return None if not firsts or None in firsts else max(firsts)


def beats(record, seen, clocks):
    """True time of a heartbeat, whose collector's clock may be wrong: the newest that fits. None: none does."""
    value = record["value"]
    steps = [(0, 0), *clocks.steps.get(value["heartbeat"], ())]
    ends = [at for at, _ in steps[1:]] + [seen]
    fits = [value["time_ms"] - offset for (begin, offset), end in zip(steps, ends)
            if begin - bounds.NOTICE_MS <= value["time_ms"] - offset <= min(end, seen) + bounds.NOTICE_MS]
    return max(fits, default=None)


class Resumed:
    """What was killed, and what it brought forth later. A record counts that began after the kill: a reading by when it was said, a
    heartbeat and an alarm event by when they were told; not one that was on its way and was seen later. What a later kill cost is in it."""

    def __init__(self, start_ms, readings, alarms, seen, clock_steps=()):
        """`seen`: {topic: {(partition, offset): ms}}"""
        clocks, said, heard, beat = Clocks(clock_steps), [], [], []
        for record in readings:
            at, value = seen["readings"].get((record["partition"], record["offset"])), record["value"]
            if at is None:
                continue
            if "heartbeat" in value:
                told = beats(record, at, clocks)
                beat += [] if told is None else [(value["heartbeat"], told, at)]
            elif "at" in value.get("x", {}):
                began = start_ms + value["x"]["at"]
                said.append((value["device"], began, at))
                heard.append((record["partition"], began, at))
        events = [(r["partition"], r["append_ms"], seen["alarms"][r["partition"], r["offset"]]) for r in alarms
                  if (r["partition"], r["offset"]) in seen["alarms"]]
        self.said, self.beats, self.heard, self.events = grouped(said), grouped(beat), grouped(heard), grouped(events)
        self.times, self.unresumed, self.too_near, self.served_nothing = {}, [], 0, {"collector": 0, "processor": 0}

    def judge(self, acts, end_ms, resume_ms):
        """`end_ms`: when the stories ended. Fills `times` and the acts' resume_ms."""
        for act in acts:
            if act["act"] != "kill" or "restart_ms" not in act:
                continue
            killed, restarted, who, kind = act["wall_ms"], act["restart_ms"], act["what"], act["kind"]
            none = Moments([])
            if kind == "agent":
                found = {"agent": (restarted, self.said.get(who, none).after(restarted))}
            elif kind == "collector":
                found = {"collector": (restarted, self.beats.get(who, none).after(restarted))}
                if act["served"]:
                    found["agents"] = (killed, last_of_firsts([self.said.get(device, none) for device in act["served"]], killed))
                else:
                    self.served_nothing["collector"] += 1
            elif kind == "processor" and not act["served"]:
                self.served_nothing["processor"] += 1
                continue
            elif kind == "processor":
                found = {"processor": (killed, last_of_firsts(self.events.values(), killed))}
            else:
                found = {"broker": (killed, last_of_firsts([*self.heard.values(), *self.events.values()], killed))}
            for what, (begin, at) in found.items():
                if at is not None:
                    self.times.setdefault(what, []).append(at - begin)
                    act.setdefault("resume_ms", at - begin)
                elif begin > end_ms - resume_ms:
                    self.too_near += 1
                else:
                    self.unresumed.append(f"{who}, killed {(end_ms - killed) / 1000:.0f} s before the end: {NAMES[what]}")

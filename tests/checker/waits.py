"""How long alarms took from the receipt of the reading that raised them until another reader of the log could see them, and which were late.

The log's own append time is no such moment: with Kafka it is when a record was handed over, before its transaction has committed.
"""
from dataclasses import dataclass, field

from checker import identity, problem


@dataclass
class Waits:
    paused: int = 0  # alarms that waited longer than the bound, and no longer than that with the pauses
    took_ms: list = field(default_factory=list)
    allowed_ms: list = field(default_factory=list)  # how long each might have waited
    problems: list = field(default_factory=list)


class Seen:
    """When another reader saw each record: {"topic", "partition", "offset", "seen_ms"}. Without lines: when the log says it was appended."""

    def __init__(self, lines=None):
        self.at = None if lines is None else {(s["topic"], s["partition"], s["offset"]): s["seen_ms"] for s in lines}

    def when(self, topic, record):
        """None: it was not seen."""
        if self.at is None:
            return record["append_ms"]
        return self.at.get((topic, record["partition"], record["offset"]))


def merged(pauses):
    """Pauses in order, those together that overlap."""
    out = []
    for begin, end in sorted(pauses):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((begin, end))
    return out


def _deadline(begin_ms, late_ms, pauses):
    """What of a pause falls into the wait does not count."""
    deadline = begin_ms + late_ms
    for begin, end in pauses:
        if begin >= deadline:
            break
        deadline += max(0, end - max(begin, begin_ms))
    return deadline


def check_waits(records, alarms, late_ms=None, seen=None, pauses=(), by_sight=False):
    """`late_ms`: the longest wait (default: none is too long). `seen`: a Seen. `pauses`: (begin, end) of
    times in which no alarm can be told, whatever the processor does; they do not count. `by_sight`: the collectors' clocks are wrong, so a wait counts from when another reader
    saw the reading itself. A reading may be delivered again with another time, when its device has set its clock meanwhile: the wait
    begins with the first delivery that has the time of the alarm, or with the first one."""
    out, seen, pauses = Waits(), seen or Seen(), merged(pauses)
    begins = {}
    for record in records:
        value = record["value"]
        if value.get("seq") is not None:
            begin = seen.when("readings", record) if by_sight else value["received_ms"]
            begins.setdefault(identity(value), begin)
            begins.setdefault((identity(value), value["time_ms"]), begin)
    for record in alarms:
        event = record["value"]
        who = identity({"device": None, **event})
        if event["event"] != "raised" or who not in begins:
            continue  # what follows from no reading, by_rules blames
        begin, at = begins.get((who, event["time_ms"]), begins[who]), seen.when("alarms", record)
        if begin is None or at is None:
            what = "" if begin is not None else "the reading of "
            out.problems.append(problem("late", f"another reader did not see {what}{event['alarm_id']}"))
            continue
        out.took_ms.append(max(0, at - begin))
        if late_ms is None:
            continue
        deadline = _deadline(begin, late_ms, pauses)
        out.allowed_ms.append(deadline - begin)
        if at > deadline:
            out.problems.append(problem("late", f"{event['alarm_id']} was seen {at - begin} ms after its reading was received; "
                                        f"{deadline - begin} ms are allowed"))
        elif at > begin + late_ms:
            out.paused += 1
    return out

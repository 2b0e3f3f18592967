"""An independent checker: from what emulated sensors said, what the log holds and the alarms told, it says what went wrong.

It shares no code with the product and reads only files and the command line's JSON:

    ledger    JSON lines of the emulated sensors (docs/scenario.md), with `stamp on`
    readings  JSON lines of `vigia topic read readings --from-beginning --json`
    alarms    JSON lines of `vigia topic read alarms --from-beginning --json`
"""
import json
from collections import defaultdict
from dataclasses import dataclass, field

QUANTITIES = ("motion", "smoke", "temperature", "max_temperature")


@dataclass
class Verdict:
    sent: int = 0           # messages that the sensors gave to their agents
    stored: int = 0         # of these, in the log (each counted once)
    again: int = 0          # records that repeat an identity: at-least-once delivery, harmless
    excused: int = 0        # lost with an agent that was killed, within its group-commit window
    device_events: int = 0  # alive, gap, storage, clock
    heartbeats: int = 0
    problems: list = field(default_factory=list)


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


def check_readings(ledger, records, kills=(), window_ms=1500):
    """`kills`: (wall time in ms at which an agent was killed, its sensors as a predicate). `window_ms`: what a kill may cost, the
    agent's group of 1 s and the commit itself."""
    verdict = Verdict(sent=len(ledger))
    seen = {}
    found = defaultdict(set)
    last = {}
    oks = defaultdict(int)
    for record in records:
        value = record["value"]
        if "heartbeat" in value:
            verdict.heartbeats += 1
            continue
        if value["sensor"] != record["key"]:
            verdict.problems.append(f"record of {value['sensor']} has key {record['key']}")
        if value["sensor"] == value["device"]:
            verdict.device_events += 1
            continue
        who = identity(value)
        if who in seen:
            verdict.again += 1
            if seen[who] != value["sensor"]:
                verdict.problems.append(f"identity {who} is used by {seen[who]} and {value['sensor']}")
            continue
        seen[who] = value["sensor"]
        lane = (value["sensor"],) + who[:3]
        if who[3] is not None:
            if who[3] <= last.get(lane, 0):
                verdict.problems.append(f"reordered: {value['sensor']} seq {who[3]} after {last[lane]}")
            last[lane] = who[3]
        if value.get("ok"):
            # An OK travels alone, without a stamp: the n-th one stored is the n-th one said.
            at = ("ok", oks[value["sensor"]])
            oks[value["sensor"]] += 1
        else:
            at = value.get("x", {}).get("at")
        found[(value["sensor"], at)].add((who, json.dumps(value, sort_keys=True)))
    expected = {}
    said_oks = defaultdict(int)
    for line in ledger:
        key = line["at"]
        if line["ok"]:
            key = ("ok", said_oks[line["sensor"]])
            said_oks[line["sensor"]] += 1
        expected[(line["sensor"], key)] = line
    if len(expected) != len(ledger):
        verdict.problems.append("the ledger tells a message twice")
    for key, line in expected.items():
        stored = found.pop(key, set())
        if not stored:
            excused = any(kill - window_ms <= line["wall_ms"] <= kill and mine(line["sensor"]) for kill, mine in kills)
            verdict.excused += excused
            if not excused:
                verdict.problems.append(f"lost: {key[0]} at {line['at']} ms")
            continue
        if len(stored) > 1:
            verdict.problems.append(f"stored under {len(stored)} identities: {key[0]} at {key[1]} ms")
        verdict.stored += 1
        value = json.loads(next(iter(stored))[1])
        for name in QUANTITIES:
            if not same(value.get(name), line[name]):
                verdict.problems.append(f"{key[0]} at {key[1]} ms: {name} is {value.get(name)}, was {line[name]}")
        if bool(value.get("ok")) != line["ok"]:
            verdict.problems.append(f"{key[0]} at {key[1]} ms: ok is {value.get('ok')}, was {line['ok']}")
        if value["received_ms"] < line["wall_ms"] - 1000:
            verdict.problems.append(f"wrong time: {key[0]} received {value['received_ms']}, said {line['wall_ms']}")
    for sensor, at in found:
        verdict.problems.append(f"never said: {sensor} at {at}")
    return verdict


def check_alarms(records, expected, ignored_types=("collector",)):
    """`expected`: {sensor: ["raised motion", …]} in order; a sensor that is not named must have no event. Returns problems."""
    told = defaultdict(list)
    ids = defaultdict(list)
    for record in records:
        event = record["value"]
        if event.get("type") in ignored_types:
            continue
        told[event["sensor"]].append(f"{event['event']} {event['type']}")
        if event["event"] == "raised":
            ids[event["alarm_id"]].append(event)
    problems = [f"raised {len(events)} times: {alarm}" for alarm, events in ids.items() if len(events) > 1]
    for sensor in sorted(set(told) | set(expected)):
        if told[sensor] != expected.get(sensor, []):
            problems.append(f"{sensor}: told {told[sensor] or 'nothing'}, expected {expected.get(sensor) or 'nothing'}")
    return problems

"""What was judged, small enough to be kept beside the result: the checker's verdict, then per sensor what it said, what the log has of it,
and its alarm events with a digest of their list; so a later reader can tell two runs apart and a log from its verdict."""
import hashlib
import json
from collections import Counter, defaultdict

from resume import lines

PROBLEMS_MAX = 200
BYTES_MAX = 200_000


def digest(records):
    return hashlib.sha256("".join(json.dumps(r, sort_keys=True) + "\n" for r in records).encode()).hexdigest()[:16]


def told(verdict, ledgers, readings, alarms):
    """Lines, in the order of their importance."""
    yield {**verdict, "problems": verdict["problems"][:PROBLEMS_MAX], "problems_in_all": len(verdict["problems"])}
    yield {"readings": len(readings), "digest": digest(readings), "heartbeats": sum("heartbeat" in r["value"] for r in readings)}
    yield {"alarm events": len(alarms), "digest": digest(alarms)}
    said, stored, events = Counter(line["sensor"] for line in ledgers), defaultdict(set), defaultdict(list)
    for record in readings:
        value = record["value"]
        if "heartbeat" not in value:
            stored[value["sensor"]].add((value["device"], value.get("store"), value.get("lane"), value.get("seq")))
    for record in alarms:
        events[record["key"]].append(record)
    for sensor in sorted(set(said) | set(stored) | set(events)):
        mine = events[sensor]
        yield {"sensor": sensor, "said": said[sensor], "stored": len(stored[sensor]), "events": Counter(r["value"]["event"] for r in mine),
               "digest": digest(mine)}


def write(world, verdict, path):
    """At most BYTES_MAX; the last line says how many did not fit, if any."""
    ledgers = [line for agent in world.agents if agent.ledger.exists() for line in lines(agent.ledger)]
    size = left_out = 0
    with open(path, "w", encoding="utf-8") as file:
        for line in told(verdict, ledgers, lines(world.folder / "readings.jsonl"), lines(world.folder / "alarms.jsonl")):
            text = json.dumps(line) + "\n"
            if size + len(text) > BYTES_MAX:
                left_out += 1
                continue
            size += file.write(text)
        if left_out:
            file.write(json.dumps({"lines that did not fit": left_out}) + "\n")

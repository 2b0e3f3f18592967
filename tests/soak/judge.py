"""The end of a soak: everything drains, the independent checker gives its verdict, and the acts give the times to resume."""
import bisect
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from statistics import median

from world import Failed, now_ms

CHECK = pathlib.Path(__file__).resolve().parents[1] / "checker" / "check"
DRAIN_S = 120
QUIET_LOOKS = 15  # 0.1 s apart
GROUP_MS = 1000      # [buffer] group: what a killed agent may lose
COMMIT_MS = 500      # and the commit under way; for an urgent reading, that alone


def pause(seconds):
    threading.Event().wait(seconds)


def waiting(agent):
    """Readings that the agent still holds; None while it does not tell."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{agent.metrics}/metrics", timeout=2) as r:
            lines = r.read().decode().splitlines()
    except OSError:
        return None
    told = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}
    return told['vigia_edge_waiting_readings{lane="urgent"}'] + told['vigia_edge_waiting_readings{lane="routine"}'] + \
        told["vigia_edge_ring_bytes"]


def drain(world):
    """The stories end with a SIGTERM, which loses nothing; each agent starts once more, silent, and sends what it still has."""
    for agent in world.agents:
        code = agent.stop()
        if code not in (0, 1, -signal.SIGTERM):  # the last: it had only just begun, and said nothing yet
            raise Failed(f"{agent.name} ended on SIGTERM with {code}:\n{agent.tail()}")
        agent.be_quiet()
        agent.start()
    deadline = time.monotonic() + DRAIN_S
    quiet = 0
    while quiet < QUIET_LOOKS:
        # A ring is empty for a moment before its rows are counted: only several looks over more than a second say that nothing is left.
        quiet = 0 if any(waiting(agent) != 0 for agent in world.agents) else quiet + 1
        world.supervise()
        if time.monotonic() > deadline:
            left = {agent.name: waiting(agent) for agent in world.agents}
            raise Failed(f"not drained after {DRAIN_S} s; what agents still hold: {left}")
        pause(0.1)


def verdict(world):
    """Reads the log when it is quiet, and lets the checker judge; alarms may still be on their way, so it is asked again for a while."""
    args = world.args
    world.write_notes()
    drain(world)
    pause(args.window / 1000 + 1)  # the last pre-alarms end
    readings = world.topic("readings", world.folder / "readings.jsonl")
    deadline = time.monotonic() + DRAIN_S / 2
    while True:
        end_ms = now_ms()
        alarms = world.topic("alarms", world.folder / "alarms.jsonl")
        command = [sys.executable, CHECK, "--json", "--ledger", *[a.ledger for a in world.agents if a.ledger.exists()],
                   "--readings", readings, "--alarms", alarms, "--rules", f"strikes=3,window={args.window}",
                   "--kills", world.folder / "kills.jsonl", "--kept", world.folder / "kept.jsonl",
                   "--clock", world.folder / "clock.jsonl", "--start-ms", world.start_ms, "--end-ms", end_ms,
                   "--window-ms", GROUP_MS + COMMIT_MS, "--urgent-window-ms", COMMIT_MS, "--slack-ms", args.slack]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=900)
        if done.returncode not in (0, 1):
            raise Failed(f"the checker could not judge: {done.stderr.strip()[-600:]}")
        told = json.loads(done.stdout)
        if told["counts"]["missed alarm"] == 0 or time.monotonic() > deadline:
            (world.folder / "verdict.json").write_text(json.dumps(told, indent=1))
            return told
        pause(1)


# --- time to resume ----------------------------------------------------------------------------------------------------


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def first_at(times, at):
    """The first of sorted `times` that is not before `at`."""
    n = bisect.bisect_left(times, at)
    return times[n] if n < len(times) else None


def moments(world, topic):
    """(when it was seen, record) of a topic."""
    seen = world.followers[topic].seen
    return [(seen[r["partition"], r["offset"]], r) for r in lines(world.folder / f"{topic}.jsonl") if (r["partition"], r["offset"]) in seen]


def by(pairs, key):
    """Sorted moments per key."""
    out = {}
    for at, record in pairs:
        out.setdefault(key(record), []).append(at)
    for times in out.values():
        times.sort()
    return out


def last_of_firsts(groups, from_ms):
    """When each group has had its first moment after from_ms; None: not all did."""
    firsts = [first_at(times, from_ms) for times in groups.values()]
    return None if not firsts or None in firsts else max(firsts)


def resumed(world):
    """Milliseconds to the first thing that a killed program's job brought forth, as another reader of the log sees it:

    agent      from its restart to a reading of its device       collector  from its restart to its heartbeat
    processor  from its restart to an alarm event                broker     from its kill to records and events of every partition

    What a later kill cost is in it."""
    readings, alarms = moments(world, "readings"), moments(world, "alarms")
    heard = by([p for p in readings if "heartbeat" not in p[1]["value"]], lambda r: r["value"]["device"])
    beats = by([p for p in readings if "heartbeat" in p[1]["value"]], lambda r: r["value"]["heartbeat"])
    events = by(alarms, lambda r: 0)
    parts = {**by(readings, lambda r: ("readings", r["partition"])), **by(alarms, lambda r: ("alarms", r["partition"]))}
    out = {}

    def add(what, from_ms, at):
        if at is not None:
            out.setdefault(what, []).append(at - from_ms)
        return None if at is None else at - from_ms

    for act in world.notes.get("acts", []):
        if act["act"] != "kill" or "restart_ms" not in act:
            continue
        killed, restarted, who = act["wall_ms"], act["restart_ms"], act["what"]
        if act["kind"] == "agent":
            act["resume_ms"] = add("agent", restarted, first_at(heard.get(who, []), restarted))
        elif act["kind"] == "collector":
            act["resume_ms"] = add("collector", restarted, first_at(beats.get(who, []), restarted))
            add("all agents after a collector", killed, last_of_firsts(heard, killed))
        elif act["kind"] == "processor":
            act["resume_ms"] = add("processor", restarted, first_at(events.get(0, []), restarted))
        else:
            act["resume_ms"] = add("broker", killed, last_of_firsts(parts, killed))
    return out


def alarm_delays(world):
    """From a reading's receipt to the alarm that it raised being seen by another reader."""
    received = {}
    for r in lines(world.folder / "readings.jsonl"):
        value = r["value"]
        if value.get("seq") is not None:
            received.setdefault((value["store"], value["lane"], value["seq"]), value["received_ms"])
    delays = []
    for at, r in moments(world, "alarms"):
        event = r["value"]
        if event["event"] == "raised" and "seq" in event:
            delays.append(max(0, at - received[event["store"], event["lane"], event["seq"]]))
    return sorted(delays)


def figures(world, done, told, result):
    """Fills the result; every promise is a target."""
    f, counts = told["figures"], told["counts"]
    for name, needed, value in (("kills of agents, collectors, processors", "kill" in world.faults, done.kills),
                                ("kills of brokers", "broker" in world.faults, done.brokers),
                                ("changes of the network", "net" in world.faults, done.weathers),
                                ("steps of a clock", "clock" in world.faults, done.steps),
                                ("full disks", "disk" in world.faults, done.full_disks)):
        if needed:
            result.figure(name, value, target="> 0", ok=value > 0)
    if world.args.kills and "kill" in world.faults:
        result.figure("kills asked for", world.args.kills, target="all done", ok=done.kills >= world.args.kills)
    for kind in ("agent", "collector", "processor"):
        n = sum(1 for a in world.notes.get("acts", []) if a["act"] == "kill" and a["kind"] == kind)
        if n:
            result.figure(f"kills of a {kind}" if kind != "agent" else "kills of an agent", n)
    result.figure("readings said", f["sent"], target="> 0", ok=f["sent"] > 0)
    result.figure("readings stored", f["stored"])
    result.figure("alarm events", f["alarm events"], target="> 0", ok=f["alarm events"] > 0)
    result.figure("alarm events as an independent model of the rules tells them", f["alarm events as they must be"],
                  target=f["alarm events"], ok=f["alarm events as they must be"] == f["alarm events"])
    for kind, n in counts.items():
        result.figure({"lost": "lost readings", "duplicated": "readings under two identities", "changed": "readings changed",
                       "invented": "readings that nobody said", "reordered": "readings out of order",
                       "wrong time": "readings with a wrong time", "false alarm": "false alarms", "missed alarm": "missed alarms",
                       "wrong alarm": "wrong alarms", "duplicate strike": "duplicate strikes",
                       "duplicate alarm id": "duplicate alarm ids", "late": "late alarms"}[kind], n, target=0, ok=n == 0)
    result.figure("records delivered again, counted once", f["delivered again"])
    result.figure("rows on killed agents' cards, all in the log", f["on a killed agent's card"])
    result.figure("routine readings lost with a killed agent's open group", f["excused"] - f["excused urgent"])
    result.figure("urgent readings said less than 0.5 s before their agent died, not committed", f["excused urgent"])
    if "disk" in world.faults:
        result.figure("readings given up by a full buffer, all told by gap events", f["evicted and told"])
    result.figure("programs that ended by themselves and were started again", len(world.ended))
    for kind, times in sorted(resumed(world).items()):
        name = {"agent": "agent: restart to its next reading in the log", "collector": "collector: restart to its next record in the log",
                "processor": "processor: restart to the next alarm event", "broker": "broker killed: until every partition has new readings and events",
                "all agents after a collector": "collector killed: until every agent has delivered again"}[kind]
        result.figure(f"{name}, median", round(median(times)), "ms")
        result.figure(f"{name}, worst", max(times), "ms")
    result.figure("said to received, p50", f["delivery p50 ms"], "ms")
    result.figure("said to received, worst", f["delivery worst ms"], "ms")
    delays = alarm_delays(world)
    if delays and "clock" not in world.faults:
        result.figure("received to its alarm seen in the log, p50", round(median(delays)), "ms")
        result.figure("received to its alarm seen in the log, worst", delays[-1], "ms")
    for text in told["problems"][:20]:
        result.fail(text)


def write_acts(world, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write("second,act,what,resume_ms\n")
        for act in world.notes.get("acts", []):
            file.write(f"{(act['wall_ms'] - world.start_ms) / 1000:.2f},{act['act']},{act['what']},{act.get('resume_ms', '') or ''}\n")

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

import bounds
from disk_watch import STILL_MS
from world import Failed, now_ms

CHECK = pathlib.Path(__file__).resolve().parents[1] / "checker" / "check"
DRAIN_S = 120
QUIET_LOOKS = 15  # 0.1 s apart

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
    world.write_notes()
    drain(world)
    wait(world, world.args.window / 1000 + 1)  # the last pre-alarms end
    world.topic("readings", world.folder / "readings.jsonl")
    deadline = time.monotonic() + DRAIN_S / 2
    while True:
        end_ms = now_ms()
        world.topic("alarms", world.folder / "alarms.jsonl")
        unseen = write_seen(world)
        told = checked(world, end_ms)
        if (told["counts"]["missed alarm"] == 0 and unseen == 0) or time.monotonic() > deadline:
            (world.folder / "verdict.json").write_text(json.dumps(told, indent=1))
            return told
        wait(world, 1)


def wait(world, seconds):
    """What ends by itself meanwhile begins again, and is counted."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        world.supervise()
        pause(0.2)


def checked(world, end_ms):
    args = world.args
    at = {name: world.folder / f"{name}.jsonl" for name in ("readings", "alarms", "kills", "kept", "clock", "seen", "setbacks")}
    command = [sys.executable, CHECK, "--json", "--ledger", *[a.ledger for a in world.agents if a.ledger.exists()],
               "--rules", f"strikes=3,window={args.window}", *(w for name, path in at.items() for w in (f"--{name}", path)),
               "--start-ms", world.start_ms, "--end-ms", end_ms, "--window-ms", bounds.ROUTINE_MS, "--urgent-window-ms", bounds.URGENT_MS,
               "--slack-ms", args.slack, "--late-ms", args.late]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=900)
    if done.returncode not in (0, 1) or not done.stdout:
        raise Failed(f"the checker could not judge: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout)


def write_seen(world):
    """What the followers have seen so far, and when; returns how many records they have still to see."""
    unseen = 0
    with open(world.folder / "seen.jsonl", "w", encoding="utf-8") as file:
        for topic, follower in world.followers.items():
            if follower.gave_up():
                raise Failed(f"nobody follows {topic} any more; see logs/follow-{topic}.log")
            seen = dict(follower.seen)
            for (partition, offset), at in seen.items():
                file.write(json.dumps({"topic": topic, "partition": partition, "offset": offset, "seen_ms": at}) + "\n")
            unseen += sum((r["partition"], r["offset"]) not in seen for r in lines(world.folder / f"{topic}.jsonl"))
    return unseen


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


PROMISES = {"lost": "readings lost, excused by no rule", "duplicated": "readings under two identities", "changed": "readings changed",
            "invented": "readings that nobody said", "reordered": "readings out of order", "wrong time": "readings with a wrong time",
            "false alarm": "false alarms", "missed alarm": "missed alarms", "wrong alarm": "wrong alarms",
            "duplicate strike": "duplicate strikes", "duplicate alarm id": "duplicate alarm ids"}
RESUMED = {"agent": "agent: restart to its next reading in the log", "collector": "collector: restart to its next record in the log",
           "processor": "processor: restart to the next alarm event", "broker": "broker killed: until every partition has new readings and events",
           "all agents after a collector": "collector killed: until every agent has delivered again"}


def figures(world, done, told, result):
    """Fills the result; every promise is a target."""
    work_done(world, done, result)
    f = told["figures"]
    result.figure("readings said", f["sent"], target="> 0", ok=f["sent"] > 0)
    result.figure("readings stored", f["stored"])
    for kind in ("lost", "duplicated", "reordered", "wrong time", "changed", "invented"):
        result.figure(PROMISES[kind], told["counts"][kind], target="0", ok=told["counts"][kind] == 0)
    result.figure("readings neither stored nor excused", f["neither stored nor excused"], target="0",
                  ok=f["neither stored nor excused"] == 0)
    for name, n in f.items():
        if name.startswith("excused: ") and "readings" in name and ("gave up" not in name or "disk" in world.faults or n > 0):
            result.figure(name, n)
    if "kill" in world.faults:
        result.figure("most readings excused by one kill", f["most excused by one kill"])
        result.figure("the oldest of them when its agent was killed", f["oldest excused by a kill, ms"], "ms")
        result.figure("kills of an agent while the disk stood still: the windows are as much longer",
                      sum(kill["still_ms"] > 0 for kill in world.notes.get("kills", [])))
        result.figure("rows on killed agents' cards, all in the log", f["on a killed agent's card"])
    result.figure("records delivered again, counted once", f["delivered again"])
    figures_of_alarms(world, told, result)
    watch = world.disk_watch
    result.figure("looks whether the disk answers", watch.looks, target="> 0", ok=watch.looks > 0)
    result.figure(f"times that it stood still for more than {STILL_MS} ms", len(watch.stills))
    result.figure("the longest of them", max((end - begin for begin, end in watch.stills), default=0), "ms")
    result.figure("programs that ended by themselves and were started again", len(world.ended))
    for kind, times in sorted(resumed(world).items()):
        result.figure(f"{RESUMED[kind]}, median", round(median(times)), "ms")
        result.figure(f"{RESUMED[kind]}, worst", max(times), "ms")
    result.figure("said to received, p50", f["delivery p50 ms"], "ms")
    result.figure("said to received, worst", f["delivery worst ms"], "ms")
    for text in told["problems"][:20]:
        result.fail(text)


def work_done(world, done, result):
    for name, needed, value in (("kills of agents, collectors, processors", "kill" in world.faults, done.kills),
                                ("kills of brokers", "broker" in world.faults, done.brokers),
                                ("changes of the network", "net" in world.faults, done.weathers),
                                ("steps of a clock", "clock" in world.faults, done.steps),
                                ("full disks", "disk" in world.faults, done.full_disks)):
        if needed:
            result.figure(name, value, target="> 0", ok=value > 0)
    if "disk" in world.faults:
        refused = {name: disk.obeyed() for name, disk in sorted(world.disks.items())}
        for name, n in refused.items():
            result.figure(f"writes that the full disk of the {name} refused", n)
        result.figure("writes that full disks refused", sum(refused.values()), target="> 0", ok=sum(refused.values()) > 0)
    if world.args.kills and "kill" in world.faults:
        result.figure("kills asked for", world.args.kills, target="all done", ok=done.kills >= world.args.kills)
    for kind in ("agent", "collector", "processor"):
        n = sum(1 for a in world.notes.get("acts", []) if a["act"] == "kill" and a["kind"] == kind)
        if n:
            result.figure(f"kills of a {kind}" if kind != "agent" else "kills of an agent", n)


def figures_of_alarms(world, told, result):
    f, counts, args = told["figures"], told["counts"], world.args
    result.figure("alarm events", f["alarm events"], target="> 0", ok=f["alarm events"] > 0)
    result.figure("alarm events as an independent model of the rules tells them", f["alarm events as they must be"],
                  target=str(f["alarm events"]), ok=f["alarm events as they must be"] == f["alarm events"])
    for kind in ("false alarm", "missed alarm", "wrong alarm", "duplicate strike", "duplicate alarm id"):
        result.figure(PROMISES[kind], counts[kind], target="0", ok=counts[kind] == 0)
    result.figure("looks at a pre-alarm so near to its end that both orders were allowed", f["pre-alarms followed both ways"])
    result.figure("alarms raised whose wait was measured", f["alarms raised"], target="> 0", ok=f["alarms raised"] > 0)
    anew = bounds.begins_anew(args.log, args.faults)
    result.figure(f"late alarms: seen more than {args.late / 1000:g} s after the receipt of their reading" +
                  (" and after each kill of a processor since" if anew else ""), counts["late"], target="0",
                  ok=counts["late"] == 0)
    if anew or world.disk_watch.stills:
        result.figure("excused: alarms later than that after the receipt, a processor having been killed or the disk having stood still since",
                      f["excused: alarms late only because of setbacks"])
    began = "seen in the log" if any(step["device"].startswith("collector") for step in world.notes.get("clock", [])) else "received"
    for name, key in (("p50", "alarm p50 ms"), ("p99", "alarm p99 ms"), ("worst", "alarm worst ms")):
        result.figure(f"a reading {began} to its alarm seen in the log, {name}", f[key], "ms")


def write_acts(world, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write("second,act,what,resume_ms\n")
        for act in world.notes.get("acts", []):
            file.write(f"{(act['wall_ms'] - world.start_ms) / 1000:.2f},{act['act']},{act['what']},{act.get('resume_ms', '') or ''}\n")

"""The end of a soak: everything drains, the independent checker gives its verdict, and the acts give the times to resume."""
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
import faults
import resume
from disk_watch import STILL_MS
from resume import lines
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
    world.stories_ended_ms = now_ms()
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
    at = {name: world.folder / f"{name}.jsonl" for name in ("readings", "alarms", "kills", "kept", "clock", "seen", "pauses")}
    command = [sys.executable, CHECK, "--json", "--ledger", *[a.ledger for a in world.agents if a.ledger.exists()],
               "--rules", f"strikes=3,window={args.window}", *(w for name, path in at.items() for w in (f"--{name}", path)),
               "--start-ms", world.start_ms, "--end-ms", end_ms, "--window-ms", bounds.ROUTINE_MS, "--urgent-window-ms", bounds.URGENT_MS,
               "--slack-ms", args.slack, "--late-ms", args.late, "--full", *world.may_be_full()]
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


# --- figures -------------------------------------------------------------------------------------------------------------


def resumed(world):
    notes = world.notes
    out = resume.Resumed(world.start_ms, lines(world.folder / "readings.jsonl"), lines(world.folder / "alarms.jsonl"),
                         {topic: follower.seen for topic, follower in world.followers.items()}, notes.get("clock", []))
    out.judge(notes.get("acts", []), world.stories_ended_ms, world.args.patience * bounds.RESUME_MS[world.args.log])
    return out


PROMISES = {"lost": "readings lost, excused by no rule", "duplicated": "readings under two identities", "changed": "readings changed",
            "invented": "readings that nobody said", "reordered": "readings out of order", "wrong time": "readings with a wrong time",
            "false alarm": "false alarms", "missed alarm": "missed alarms", "wrong alarm": "wrong alarms",
            "duplicate strike": "duplicate strikes", "duplicate alarm id": "duplicate alarm ids"}
ALL_KINDS_AFTER = 50  # kills, or seconds of a bad network, after which each kind must have been there

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
        if not name.startswith("excused: ") or "readings" not in name:
            continue
        if "gave up" in name and not world.may_be_full():
            result.figure(name, n, target="0", ok=n == 0)  # none was full
        else:
            result.figure(name, n)
    n = f["gap events of agents that were never full"]
    result.figure("gap events of agents that were never full", n, target="0", ok=n == 0)
    if "kill" in world.faults:
        result.figure("most readings excused by one kill", f["most excused by one kill"])
        result.figure("the oldest of them when its agent was killed", f["oldest excused by a kill, ms"], "ms")
        result.figure("kills of an agent while the disk stood still: the windows are as much longer",
                      sum(kill["still_ms"] > 0 for kill in world.notes.get("kills", [])))
        result.figure("rows that were on killed agents' cards, all in the log", f["on a killed agent's card"])
        figure_of_harm(result, "of them acknowledged and deleted before the kill, as the card's journal shows", len(world.deleted - world.kept),
                       acts_of(world, "kill", "agent") >= ALL_KINDS_AFTER)
    result.figure("records delivered again, counted once", f["delivered again"])
    if "clock" in world.faults:
        wrong = sum(a["act"].startswith("clock ") and a["act"] != "clock 0 ms" and a["kind"] == "clock" and a["what"].startswith("pi-")
                    for a in world.notes.get("acts", []))
        figure_of_harm(result, "readings stored with the time of a wrong clock, and known to be", f["stored with the time of a wrong clock"], wrong >= 3)
        result.figure("readings received by a wrong clock before they were said", f["received by a wrong clock before they were said"])
    figures_of_alarms(world, told, result)
    watch = world.disk_watch
    result.figure("looks whether the disk answers", watch.looks, target="> 0", ok=watch.looks > 0)
    result.figure(f"times that it stood still for more than {STILL_MS} ms", len(watch.stills))
    result.figure("the longest of them", max((end - begin for begin, end in watch.stills), default=0), "ms")
    result.figure("programs that ended by themselves and were started again", len(world.ended))
    figures_of_resuming(world, result)
    result.figure("said to received, p50", f["delivery p50 ms"], "ms")
    result.figure("said to received, worst", f["delivery worst ms"], "ms")
    for text in told["problems"][:20]:
        result.fail(text)


def figures_of_resuming(world, result):
    found = resumed(world)
    for kind in resume.NAMES:
        if times := found.times.get(kind):
            result.figure(f"{resume.NAMES[kind]}, median", round(median(times)), "ms")
            result.figure(f"{resume.NAMES[kind]}, worst", max(times), "ms")
    if not {"kill", "broker"} & set(world.faults):
        return
    result.figure("kills without a measured resume", len(found.unresumed), target="0", ok=not found.unresumed)
    result.figure("times to resume that the end of the stories cut off", found.too_near)
    for kind, what in (("collector", "kills of a collector that served no agent"), ("processor", "kills of a processor that had no partition")):
        if "kill" in world.faults:
            result.figure(what, found.served_nothing[kind])
    for text in found.unresumed[:20]:
        result.fail(f"not resumed: {text}")


def work_done(world, done, result):
    args, seconds, acts = world.args, world.hurt_s, world.notes.get("acts", [])
    for fault, name, value, asked in (("kill", "kills of agents, collectors, processors", done.kills, args.kills),
                                      ("broker", "kills of brokers", done.brokers, args.broker_kills),
                                      ("net", "changes of the network", done.weathers, None),
                                      ("clock", "steps of a clock", done.steps, None), ("disk", "full disks", done.full_disks, None)):
        if fault in world.faults:
            least = asked or faults.at_least(fault, args, seconds)
            result.figure(name, value, target=f">= {least}", ok=value >= least)
    for kind in ("agent", "collector", "processor"):
        if "kill" in world.faults:
            figure_of_harm(result, f"kills of a{'n' if kind == 'agent' else ''} {kind}", acts_of(world, "kill", kind), done.kills >= ALL_KINDS_AFTER)
    if "net" in world.faults:
        for what, n in faults.counted_by_proxies(world).items():
            figure_of_harm(result, f"by the proxies' own count: {faults.HARM[what]}", n, seconds >= ALL_KINDS_AFTER)
    if "disk" in world.faults:
        refused = {name: disk.obeyed() for name, disk in sorted(world.disks.items())}
        for name, n in refused.items():
            times = sum(a["act"] == "disk full" and a["what"] == name for a in acts)
            figure_of_harm(result, f"writes that the full disk of the {name} refused", n, times >= 3)
        result.figure("writes that full disks refused", sum(refused.values()), target="> 0", ok=sum(refused.values()) > 0)


def acts_of(world, act, kind):
    return sum(a["act"] == act and a["kind"] == kind for a in world.notes.get("acts", []))


def figure_of_harm(result, name, n, must):
    """What a fault did; where it had time enough it must have done it."""
    result.figure(name, n, **({"target": "> 0", "ok": n > 0} if must else {}))


def figures_of_alarms(world, told, result):
    f, counts, args = told["figures"], told["counts"], world.args
    result.figure("alarm events", f["alarm events"], target="> 0", ok=f["alarm events"] > 0)
    result.figure("alarm events as an independent model of the rules tells them", f["alarm events as they must be"],
                  target=str(f["alarm events"]), ok=f["alarm events as they must be"] == f["alarm events"])
    for kind in ("false alarm", "missed alarm", "wrong alarm", "duplicate strike", "duplicate alarm id"):
        result.figure(PROMISES[kind], counts[kind], target="0", ok=counts[kind] == 0)
    result.figure("looks at a pre-alarm so near to its end that both orders were allowed", f["pre-alarms followed both ways"])
    result.figure("alarms raised whose wait was measured", f["alarms raised"], target="> 0", ok=f["alarms raised"] > 0)
    result.figure(f"late alarms: seen more than {args.late / 1000:g} s after the receipt of their reading, pauses not counted", counts["late"],
                  target="0", ok=counts["late"] == 0)
    result.figure("alarms that needed the pauses", f["excused: alarms late only because of pauses"])
    result.figure("the wait that an alarm was allowed, mean", f["wait allowed for an alarm, mean ms"], "ms")
    result.figure("the wait that an alarm was allowed, longest", f["longest wait allowed for an alarm, ms"], "ms")
    began = "seen in the log" if any(step["device"].startswith("collector") for step in world.notes.get("clock", [])) else "received"
    for name, key in (("p50", "alarm p50 ms"), ("p99", "alarm p99 ms")):
        result.figure(f"a reading {began} to its alarm seen in the log, {name}", f[key], "ms")
    worst = f["alarm worst ms"]
    limit = args.patience * bounds.WORST_MS[args.log]
    result.figure(f"a reading {began} to its alarm seen in the log, worst", worst, "ms", target=f"<= {limit}", ok=worst is not None and worst <= limit)


def write_acts(world, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write("second,act,what,resume_ms\n")
        for act in world.notes.get("acts", []):
            file.write(f"{(act['wall_ms'] - world.start_ms) / 1000:.2f},{act['act']},{act['what']},{act.get('resume_ms', '') or ''}\n")

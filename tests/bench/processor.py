"""The alarm processor alone: it starts on a log that is full already and catches up."""
import contextlib
import os
import signal
import time

from plot import bars
from result import Result
import sampling
from stage import LOGS, BenchError, Meter, describe_pins, median, table, write_csv

TARGET = 800000  # readings/s per core
SENSORS, PERMILLE = 10000, 10


def options(p):
    p.add_argument("--log", action="append", choices=LOGS, help="only this log; may be repeated")
    p.add_argument("--rows", type=int, default=2000000)
    p.add_argument("--repeats", type=int, default=1)


def last_core():
    return max(os.sched_getaffinity(0))


def hold(stage, stack, alarm):
    """Stops the processor, which has hardly begun, until perf samples it; perf's files are complete when `stack` is left."""
    alarm.send_signal(signal.SIGSTOP)
    try:
        return stack.enter_context(sampling.sampled(stage, {"alarm": [alarm.pid]}))
    finally:
        alarm.send_signal(signal.SIGCONT)


def caught_up(stage, site, rows, core, spawned):
    """Starts the processor, waits for the end: (CPU time, how quiet the machine was, [(when, readings applied)])."""
    own, stage.pins = stage.pins, {**stage.pins, "alarm": {core}}
    try:
        alarm = stage.alarm(site, spawned=spawned)
    finally:
        stage.pins = own
    # A process has used some CPU time before its first reading; a new meter would miss what came before it, so it is kept in.
    meter = Meter(alarm=alarm.pid, broker=site.broker_pids)
    meter.before["alarm"] = 0.0
    points = []
    stage.wait_applied(site, rows, every=0.05, look=lambda n: points.append((time.monotonic(), n)))
    return *meter.spent(), points


def once(stage, log, rows, core, samples=None):
    """One round; `samples`, a dictionary, is given perf's files of it, and the round then costs more."""
    echo = stage.echo_us()
    site = stage.site(f"processor-{log}", log)
    stage.helper("bench_log", "fill", site.url, rows, SENSORS, PERMILLE, timeout=1800)
    stage.count(site, rows)
    with contextlib.ExitStack() as stack:
        spent, quiet, points = caught_up(stage, site, rows, core, None if samples is None else lambda alarm: samples.update(hold(stage, stack, alarm)))
    figures = stage.wait_figure(site, "alarm", "vigia_alarm_readings_total", rows)
    stage.stop()
    events = sum(v for k, v in figures.items() if k.startswith("vigia_alarm_events_total"))
    if events == 0:
        raise BenchError("the processor raised no alarm: it did not do its work")
    moving = [p for p in points if 0 < p[1] < rows]
    wall = (moving[-1][1] - moving[0][1]) / (moving[-1][0] - moving[0][0]) if len(moving) > 2 else None  # over before it was seen to move
    return {"log": log, "rows": rows, "per_cpu_s": rows / spent["alarm"], "per_wall_s": wall, "alarm_us": spent["alarm"] / rows * 1e6,
            "broker_us": spent["broker"] / rows * 1e6 if site.broker_pids else None, "events": int(events),
            "commits": int(figures["vigia_alarm_commits_total"]), "echo_us": echo, **quiet}


def run(stage, args):
    """(rows, log -> (µs per reading, [(group, share)], functions) of one more round, under perf, where the target was missed)"""
    core = last_core()
    if args.result:
        sampling.needs_perf()
    rows = [{"repeat": n, **once(stage, log, args.rows, core)} for n in range(args.repeats) for log in args.log or LOGS]
    print(f"\nProcessor alone: {args.rows:,} readings of {SENSORS:,} sensors, {PERMILLE / 10:g} % not normal, on core {core}, {args.repeats} times")
    table(("log", "readings/s of CPU time", "lowest", "highest", "by the clock", "µs each", "broker µs", "events", "commits", "others %"),
          [(log, *(f"{f([r['per_cpu_s'] for r in mine]):,.0f}" for f in (median, min, max)), by_clock(mine),
            f"{median([r['alarm_us'] for r in mine]):.2f}", "-" if mine[0]["broker_us"] is None else f"{median([r['broker_us'] for r in mine]):.2f}",
            mine[0]["events"], mine[0]["commits"], f"{max(r['other_pct'] for r in mine):.1f}") for log, mine in by_log(rows).items()])
    profiles = {}
    for log in slow(rows) if args.result else ():
        files = {}
        us = once(stage, log, args.rows, core, files)["alarm_us"]
        functions = sampling.read(files["alarm"], sampling.owners(stage.bin.parent), "alarm")
        profiles[log] = (us, sampling.groups_of(functions), functions)
    return rows, profiles


def by_clock(mine):
    """Readings/s of wall time, the median of the rounds that were seen to move; a text."""
    seen = [r["per_wall_s"] for r in mine if r["per_wall_s"] is not None]
    return f"{median(seen):,.0f}" if seen else "-"


def slow(rows):
    """The logs that miss the target."""
    return [log for log, mine in by_log(rows).items() if median([x["per_cpu_s"] for x in mine]) < TARGET]


def by_log(rows):
    return {log: [r for r in rows if r["log"] == log] for log in dict.fromkeys(r["log"] for r in rows)}


def next_step(profiles):
    """Where the time goes where the target is missed, as sampled, and what would change the two greatest parts of it."""
    told, steps = [], {}
    for log, (us, groups, functions) in profiles.items():
        told.append(f"{log}: {sampling.told(us, groups)}; most in {', '.join(f'{f} {s:.0f} %' for s, _, f in functions[:4])}")
        steps.update((sampling.next_for("alarm", group, functions), None) for group, _ in groups[:2])
    return ("In one more round under perf, which costs a little itself: " + ". ".join(told) + ". Next: " + "; ".join(steps)
            + "; then one processor for a share of the partitions on each core.")


def evidence(stage, args, found):
    rows, profiles = found
    r = Result("bench-processor", "The alarm processor alone, from either log", began=stage.began,
               method=f"A log is filled with {args.rows:,} readings of {SENSORS:,} sensors, {PERMILLE / 10:g} % of them active or OK (chosen by a fixed "
                      "sequence), then a new vigia-alarm starts on it, held to one core, and catches up: reading, rules, events, state and commits. "
                      f"Readings divided by the CPU time of the process since its start, all threads; {args.repeats} rounds, the median counts. The "
                      "broker (one partition) works on the other cores" + ("" if not stage.pins else "; " + describe_pins(stage.pins)) + ".",
               not_covered="Memory and speed with more sensors than that; a disk that has to be read: the log lies in the page cache.")
    r.next_step = next_step(profiles) if profiles else None
    for log, mine in by_log(rows).items():
        rate = median([x["per_cpu_s"] for x in mine])
        r.figure(f"{log}: per core (CPU time), median", round(rate), "readings/s", f"≥ {TARGET:,}", rate >= TARGET, speed=True)
        r.figure(f"{log}: lowest to highest", f"{min(x['per_cpu_s'] for x in mine):,.0f} to {max(x['per_cpu_s'] for x in mine):,.0f}", "readings/s")
        if by_clock(mine) != "-":
            r.figure(f"{log}: by the clock, on one core", by_clock(mine), "readings/s")
        if mine[0]["broker_us"] is not None:
            r.figure(f"{log}: CPU time of the broker", median([x["broker_us"] for x in mine]), "µs per reading")
        r.figure(f"{log}: alarm events written", mine[0]["events"])
    r.figure("raw UDP echo, both sides", median([x["echo_us"] for x in rows]), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in rows), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
        logs = by_log(rows)
        r.raw_file(args.result, "svg").write_text(bars(
            "Processor alone: readings per second of CPU time", list(logs), [median([x["per_cpu_s"] for x in m]) for m in logs.values()], "readings/s",
            marks=[TARGET] * len(logs), spread=[(min(x["per_cpu_s"] for x in m), max(x["per_cpu_s"] for x in m)) for m in logs.values()]))
    return r

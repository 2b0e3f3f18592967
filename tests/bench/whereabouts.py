"""Where the time goes: a sampling profile of each program while the path is fully loaded, and of the processor alone, by library and by function."""
import threading

import processor
from result import Result
from sampling import HERTZ, groups_of, needs_perf, next_for, owners, read, sampled, told
from stage import LOGS, median, shortfalls, table, write_csv
import throughput

FUNCTIONS = 60  # of a program, in the raw file
PROGRAMS = {"alarm": "processor"}  # what it is called elsewhere


def options(p):
    p.add_argument("--log", action="append", choices=LOGS, help="only this log; may be repeated")
    p.add_argument("--batch", action="append", type=int, choices=(1, 10), help="only so many readings per datagram")
    p.add_argument("--lanes", action="append", type=int, choices=(1, 2), help="only with so many lanes of a device")
    p.add_argument("--seconds", type=int, default=8)
    p.add_argument("--devices", type=int, default=32)
    p.add_argument("--rows", type=int, default=2000000, help="of the log that the processor alone starts on")
    p.add_argument("--top", type=int, default=12, help="functions of each program that are told")


def loaded(stage, args, log, batch, lanes):
    """(a row of the throughput, program -> perf's file)"""
    found = {}

    def during(pids):
        with sampled(stage, pids) as files:
            threading.Event().wait(max(1, args.seconds - 2))
        found.update(files)
    return throughput.once(stage, log, batch, args.devices, args.seconds, during, lanes), found


def alone(stage, args, log):
    found = {}
    row = processor.once(stage, log, args.rows, processor.last_core(), found)
    return {**row, "sessions_lost": 0, "unanswered": 0}, found


def run(stage, args):
    needs_perf()
    owner, rows = owners(stage.bin.parent), []
    loads = [(throughput.named(log, batch, lanes), lambda load=(log, batch, lanes): loaded(stage, args, *load))
             for log in args.log or LOGS for batch in args.batch or (1, 10) for lanes in args.lanes or (1, 2)]
    loads += [(f"{log}, processor alone", lambda log=log: alone(stage, args, log)) for log in args.log or LOGS]
    for load, measure in loads:
        one, files = measure()
        print(f"\n{load}" + (f": {one['per_s']:,.0f} readings/s" if "per_s" in one else ""))
        for program, data in files.items():
            rows += tell(load, program, one, read(data, owner, program), args.top)
    return rows


def tell(load, program, one, functions, top):
    """The rows of one program; printed in short."""
    us, groups = one[f"{program}_us"], groups_of(functions)
    table((f"{program}, {us:.2f} µs per reading", "%", "µs"), [(g, f"{s:.1f}", f"{us * s / 100:.2f}") for g, s in groups[:8]])
    table(("  function", "%", "of"), [(f"  {f[:60]}", f"{s:.1f}", g) for s, g, f in functions[:top]])
    return [{"load": load.replace(",", ";"), "program": program, "us": us, "group": g, "function": f.replace(",", ";"), "share": s,
             **{k: one[k] for k in ("sessions_lost", "unanswered", "echo_us", "other_pct")}}
            for s, g, f in [*functions[:FUNCTIONS], *((s, g, "*") for g, s in groups)]]


def loads_of(rows):
    """load -> program -> (µs per reading, [(group, share)], [(share, group, function)])"""
    out = {}
    for x in rows:
        _, groups, functions = out.setdefault(x["load"].replace(";", ","), {}).setdefault(x["program"], (x["us"], [], []))
        if x["function"] == "*":
            groups.append((x["group"], x["share"]))
        else:
            functions.append((x["share"], x["group"], x["function"]))
    return out


def next_step(rows):
    """Of each load the program and the library that cost most, and what would change that."""
    costs, steps = [], {}
    for load, programs in loads_of(rows).items():
        shares = sorted(((us * share / 100, program, group) for program, (us, groups, _) in programs.items() for group, share in groups), reverse=True)
        spent = sum(us for us, _, _ in programs.values())
        costs.append(f"{load}: " + ", ".join(f"{group} in the {PROGRAMS.get(program, program)} {us:.1f}" for us, program, group in shares[:2])
                     + f" of {spent:.1f} µs")
        for us, program, group in shares[:2]:
            steps.setdefault(next_for(program, group, programs[program][2]), []).append(us / spent)
    order = sorted(steps, key=lambda s: -sum(steps[s]))
    return "What costs most, in CPU time per reading. " + "; ".join(costs) + ". Next, by what they take in all of these together: " + "; ".join(order) + "."


def evidence(stage, args, rows):
    r = Result("bench-profile", "Where the time goes, by program and library", began=stage.began,
               method=f"The load of bench-throughput for {args.seconds} s, with one lane and with both, and the processor alone on a log of {args.rows:,} "
                      f"readings, with perf sampling the CPU clock at {HERTZ} Hz in every program; functions are "
                      "given to the library that their name is in. Shares are of the program's samples, so they add up to its CPU time.",
               not_covered="Waiting: only time on a core is sampled. Inlined functions count for their caller.")
    for load, programs in loads_of(rows).items():
        for program, (us, groups, _) in programs.items():
            r.figure(f"{load}: {PROGRAMS.get(program, program)}", told(us, groups))
    rounds = list({x["load"]: x for x in rows}.values())
    shortfalls(r, rounds)
    r.figure("raw UDP echo, both sides", median([x["echo_us"] for x in rounds]), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in rows), "% of all cores")
    r.next_step = next_step(rows)
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
    return r

"""Which layout of programs on cores carries most: what the other parts, which pin nothing on a machine with two cores, give away or gain."""
import os

from result import Result
from stage import LOGS, BenchError, describe_pins, median, pins, shortfalls, table, write_csv
import throughput


def options(p):
    p.add_argument("--log", action="append", choices=LOGS, help="only this log; may be repeated")
    p.add_argument("--seconds", type=int, default=6)
    p.add_argument("--devices", type=int, default=32)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--lanes", type=int, default=2, choices=(1, 2), help="lanes that a device uses")


def layouts(log):
    a, b = sorted(os.sched_getaffinity(0))[:2]
    fixed = (f"collector={a},alarm={b},fleet={b}", f"collector={a},alarm={a},fleet={b}")
    # The broker and the collector cost most: together on one core they would leave the other idle.
    return ("none", *(f + (f",broker={b}" if log == "kafka" else "") for f in fixed))


def run(stage, args):
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("one core leaves nothing to choose")
    rows = []
    for repeat in range(args.repeats):
        for log in args.log or LOGS:
            for layout in layouts(log):
                stage.pins = pins(layout)
                for batch in (1, 10):
                    rows.append({"repeat": repeat, "layout": layout.replace(",", " "), **throughput.once(stage, log, batch, args.devices, args.seconds,
                                                                                                        lanes=args.lanes)})
    print(f"\nPinning: {args.devices} sessions, lanes: {args.lanes}, {args.seconds} s, {args.repeats} times; readings/s, median")
    table(("log and layout", "1 per datagram", "10 per datagram", "others %"),
          [(f"{log}, {name}", *(f"{carried(rows, log, name, b):,.0f}" for b in (1, 10)),
            f"{max(r['other_pct'] for r in rows if (r['log'], r['layout']) == (log, name)):.1f}") for log, name in names(rows)])
    return rows


def names(rows):
    return list(dict.fromkeys((r["log"], r["layout"]) for r in rows))


def carried(rows, log, layout, batch):
    return median([r["per_s"] for r in rows if (r["log"], r["layout"], r["per_datagram"]) == (log, layout, batch)])


def evidence(stage, args, rows):
    r = Result("bench-pinning", "Which layout of programs on cores carries most", began=stage.began,
               method=f"The load of bench-throughput with layouts in turn, {args.seconds} s each, lanes: {args.lanes}, {args.repeats} paired rounds, medians. On a "
                      "machine with fewer than four cores the other parts pin nothing, as there are more programs than cores: how far that is from the "
                      "best fixed layout stands here.",
               not_covered="Machines with more cores, where every program gets a core or several (--pin auto).")
    for log in dict.fromkeys(log for log, _ in names(rows)):
        mine = [layout for one, layout in names(rows) if one == log]
        for batch in (1, 10):
            for layout in mine:
                r.figure(f"{log}, {batch} per datagram: {told(layout)}", round(carried(rows, log, layout, batch)), "readings/s")
            best = max((x for x in mine if x != "none"), key=lambda x: carried(rows, log, x, batch))
            r.figure(f"{log}, {batch} per datagram: nothing pinned, by the best fixed layout",
                     round(carried(rows, log, "none", batch) / carried(rows, log, best, batch), 2), "times")
    shortfalls(r, rows)
    r.figure("raw UDP echo, both sides", median([x["echo_us"] for x in rows]), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in rows), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
    return r


def told(layout):
    return "nothing pinned" if layout == "none" else describe_pins(pins(layout.replace(" ", ",")))

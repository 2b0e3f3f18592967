"""Which layout of programs on cores carries most: the choice behind --pin auto on a machine with two cores."""
import os

from result import Result
from stage import BenchError, describe_pins, median, pins, table, write_csv
import throughput


def options(p):
    p.add_argument("--seconds", type=int, default=6)
    p.add_argument("--devices", type=int, default=32)
    p.add_argument("--repeats", type=int, default=3)


def layouts():
    a, b = sorted(os.sched_getaffinity(0))[:2]
    return ("none", f"collector={a},alarm={b},fleet={b}", f"collector={a},alarm={a},fleet={b}")


def run(stage, args):
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("one core leaves nothing to choose")
    rows = []
    for repeat in range(args.repeats):
        for layout in layouts():
            stage.pins = pins(layout)
            for batch in (1, 10):
                rows.append({"repeat": repeat, "layout": layout.replace(",", " "), **throughput.once(stage, "sqlite", batch, args.devices, args.seconds)})
    print(f"\nPinning: SQLite log, {args.devices} sessions, {args.seconds} s, {args.repeats} times; readings/s, median")
    table(("layout", "1 per datagram", "10 per datagram", "others %"),
          [(name, *(f"{best(rows, name, b):,.0f}" for b in (1, 10)), f"{max(r['other_pct'] for r in rows if r['layout'] == name):.1f}") for name in names(rows)])
    return rows


def names(rows):
    return list(dict.fromkeys(r["layout"] for r in rows))


def best(rows, layout, batch):
    return median([r["per_s"] for r in rows if (r["layout"], r["per_datagram"]) == (layout, batch)])


def evidence(stage, args, rows):
    r = Result("bench-pinning", "Which layout of programs on cores carries most", began=stage.began,
               method=f"bench-throughput on the SQLite log with {len(layouts())} layouts in turn, {args.seconds} s each, {args.repeats} paired rounds, medians.",
               not_covered="The Kafka log, whose broker is a fourth program; machines with more cores.")
    for name in names(rows):
        shown = describe_pins(pins(name.replace(" ", ",")))
        for batch in (1, 10):
            r.figure(f"{shown}: {batch} per datagram", round(best(rows, name, batch)), "readings/s")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in rows), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
    return r

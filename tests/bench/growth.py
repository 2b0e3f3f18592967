"""How the cost grows: CPU time per reading against the number of sessions, and against what the log holds already."""
import math

from plot import lines
from result import Result
from stage import LOGS, Meter, describe_pins, median, shortfalls, table, write_csv

SESSIONS = (32, 320, 3200)
RATE = 8000  # readings/s, one per datagram: what a busy machine still carries at every step
CARRIED = 0.95  # of it: below that the steps had different loads, and an exponent through them says nothing
RAMP = 400      # handshakes/s: more than the cores do only makes devices give up and begin again
# Own bounds: 100 times the sessions may cost 2.5 times as much, 100 times the log 1.6 times.
BOUNDS = {"sessions": 0.2, "rows": 0.1}
# What collector and processor cost per reading; the fleet emulates the devices, so its cost is no cost of ours.
PROGRAMS = {"sessions": ("collector",), "rows": ("collector", "alarm")}


def options(p):
    p.add_argument("--log", action="append", choices=LOGS, help="only this log; may be repeated")
    p.add_argument("--seconds", type=int, default=10)
    p.add_argument("--rows", type=int, default=2000000, help="of the full log")
    p.add_argument("--repeats", type=int, default=1)


def once(stage, log, what, sessions, rows, seconds):
    echo = stage.echo_us()
    site = stage.site(f"growth-{log}-{sessions}-{rows}", log, sessions)
    if rows:
        stage.helper("bench_log", "fill", site.url, rows, 10000, 10, timeout=1800)
    collector, alarm = stage.collector(site), stage.alarm(site)
    stage.wait_applied(site, rows)
    fleet = stage.fleet(site, rate=RATE, duration=f"{seconds}s", ramp=RAMP, grace="60s")
    # Handshakes are no cost of readings: the meter starts when they are over.
    received = "vigia_collector_readings_total"
    stage.wait_figure(site, "collector", received, 1)
    meter = Meter(collector=collector.pid, alarm=alarm.pid, broker=site.broker_pids)
    already = stage.wait_figure(site, "collector", received, 1)[received]
    told = stage.fleet_report(fleet, seconds, sessions)
    stage.wait_applied(site, rows + told["acknowledged"])
    spent, _ = meter.spent()
    _, quiet = meter.spent(fleet=told["cpu_s"])
    stage.count(site, rows + told["acknowledged"])
    stage.stop()
    n = told["acknowledged"] - already
    return {"log": log, "against": what, "sessions": sessions, "rows_before": rows, "rows": rows + told["acknowledged"] // 2,
            "acknowledged": told["acknowledged"], "per_s": told["acknowledged"] / told["seconds"],
            **{k: told[k] for k in ("missed", "sessions_lost", "unanswered")}, "collector_us": spent["collector"] / n * 1e6,
            "alarm_us": spent["alarm"] / n * 1e6, "echo_us": echo, **quiet}


def fit(points):
    """The exponent e of y ~ x^e: least squares of the logarithms."""
    xs, ys = [math.log(p[0]) for p in points], [math.log(p[1]) for p in points]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - mx) * (b - my) for a, b in zip(xs, ys)) / sum((a - mx) ** 2 for a in xs)


def run(stage, args):
    rows = []
    for repeat in range(args.repeats):
        for log in args.log or LOGS:
            for sessions in SESSIONS:
                rows.append({"repeat": repeat, **once(stage, log, "sessions", sessions, 0, args.seconds)})
            for held in (0, args.rows // 10, args.rows):
                rows.append({"repeat": repeat, **once(stage, log, "rows", 32, held, args.seconds)})
    print(f"\nGrowth: {RATE:,} readings/s, one per datagram, {args.seconds} s, {args.repeats} times, {describe_pins(stage.pins)}; median CPU time "
          "in µs per reading")
    table(("log", "sessions", "rows before", "collector", "processor", "collector in echoes", "least readings/s", "others %"),
          [(m[0]["log"], m[0]["sessions"], f"{m[0]['rows_before']:,}", *(f"{median([r[k] for r in m]):.2f}" for k in ("collector_us", "alarm_us")),
            f"{median([r['collector_us'] / r['echo_us'] for r in m]):.2f}", f"{min(r['per_s'] for r in m):,.0f}", f"{max(r['other_pct'] for r in m):.1f}")
           for m in groups(rows)])
    for (log, what, program), points in curves(rows).items():
        print(f"{log}: CPU time per reading of the {program} grows with the {told(what)} to the power of {fit(points):.3f}")
    return rows


def told(what):
    return {"sessions": "number of sessions", "rows": "rows in the log"}[what]


def groups(rows):
    out = {}
    for r in rows:
        out.setdefault((r["log"], r["against"], r["sessions"], r["rows_before"]), []).append(r)
    return list(out.values())


def curves(rows):
    """(log, against, program) -> [(x, median µs per reading)]"""
    out = {}
    for m in groups(rows):
        for program in PROGRAMS[m[0]["against"]]:
            x = median([r[m[0]["against"]] for r in m])
            out.setdefault((m[0]["log"], m[0]["against"], program), []).append((x, median([r[f"{program}_us"] for r in m])))
    return out


def next_step(steep, slow):
    """What each missed target asks for; None: nothing."""
    out = [f"{x['log']}, {x['sessions']:,} sessions, {x['rows_before']:,} rows before: {x['per_s']:,.0f} of {RATE:,} readings/s were carried, others took "
           f"{x['other_pct']:.0f} % of the cores" for x in slow]
    if out:
        out = ["; ".join(out) + ". An exponent counts only where each step carried the rate. Next: the same on a quieter or larger machine."]
    if steep:
        out.append("; ".join(steep) + ". Next: a profile at both ends (bench profile), compared function by function, shows what grows.")
    return " ".join(out) or None


def evidence(stage, args, rows):
    r = Result("bench-growth", "How the cost of a reading grows with sessions and with the log", began=stage.began,
               method=f"{RATE:,} readings/s, one per datagram, for {args.seconds} s: from {', '.join(map(str, SESSIONS))} sessions on an empty log, and "
                      f"from 32 sessions on a log that holds 0, {args.rows // 10:,} and {args.rows:,} readings. CPU time of the process divided by "
                      f"readings, after handshakes and catching up; Kafka is one broker with one partition; {args.repeats} rounds, "
                      "median. The exponent is the slope of a least-squares line "
                      "through the logarithms: 0 is no growth, 1 is proportional. Rows in the log: those before and half of those of the run; "
                      f"{describe_pins(stage.pins)}.",
               not_covered="More than 3,200 sessions; logs that do not fit the page cache. The bounds on the exponents are our own.")
    steep, slow = [], [x for x in rows if x["per_s"] < CARRIED * RATE]
    for (log, what, program), points in curves(rows).items():
        e = fit(points)
        comparable = not any((x["log"], x["against"]) == (log, what) for x in slow)
        if e > BOUNDS[what]:
            steep.append(f"{log}: the {program} costs {points[-1][1] / points[0][1]:.1f} times as much at {points[-1][0]:,.0f} {what} as at {points[0][0]:,.0f}")
        r.figure(f"{log}: exponent of the {program}'s cost with the {told(what)}", round(e, 3), "" if comparable else "(not every step carried the rate)",
                 f"≤ {BOUNDS[what]}", e <= BOUNDS[what] and comparable, speed=True)
        r.figure(f"{log}: {program}, µs per reading at {', '.join(f'{x:,.0f}' for x, _ in points)} {what}", ", ".join(f"{y:.2f}" for _, y in points))
    least = min(x["per_s"] for x in rows)
    r.figure("rate carried, the least of all rounds", round(least), "readings/s", f"≥ {CARRIED * RATE:,.0f}", not slow, speed=True)
    shortfalls(r, rows)
    r.next_step = next_step(steep, slow)
    r.figure("raw UDP echo, both sides", median([x["echo_us"] for x in rows]), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in rows), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
        found = curves(rows)
        for what, name in (("sessions", "svg"), ("rows", "rows.svg")):
            series = {f"{log} {program} (x^{fit(p):.2f})": p for (log, w, program), p in found.items() if w == what}
            r.raw_file(args.result, name).write_text(lines(f"CPU time per reading against the {told(what)}", series, told(what), "µs per reading",
                                                           x_log=True, y_log=True))
    return r

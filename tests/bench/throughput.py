"""Readings per second into either log while a processor follows, and the CPU time that each program spends on one."""
import os

from plot import bars
from stage import LOGS, Meter, describe_pins, median, shortfalls, table, write_csv
from result import Result

TARGET = {1: 40000, 10: 150000}     # readings/s
OFFERED = {1: 120000, 10: 450000}   # readings/s, above what is expected
COLUMNS = ("collector_us", "alarm_us", "broker_us", "fleet_us")
QUIET_PCT = 10  # of all cores, taken by others: above it a shortfall says little
# What a session may have under way, and what that has to do with a real device.
LANES = ("With one lane each session has one request under way, as a device has whose readings are all routine; with both lanes it has two: the "
         "emulator then sends in the routine and the urgent lane by turns, whatever lane a reading belongs to, which no real device does. ")


def options(p):
    p.add_argument("--log", action="append", choices=LOGS, help="only this log; may be repeated")
    p.add_argument("--batch", action="append", type=int, choices=(1, 10), help="only so many readings per datagram")
    p.add_argument("--lanes", action="append", type=int, choices=(1, 2), help="lanes that a device uses, 1 without it: requests it may have under way")
    p.add_argument("--partitions", type=int, default=1, help="of the readings on Kafka; one broker answers and syncs each by itself")
    p.add_argument("--seconds", type=int, default=8)
    p.add_argument("--devices", type=int, default=32)
    p.add_argument("--repeats", type=int, default=1)


def once(stage, log, batch, devices, seconds, during=None, lanes=1, partitions=1):
    """One round; `during` is called with name -> processes once the load has begun."""
    echo = stage.echo_us()
    site = stage.site(f"{log}-{batch}", log, devices, partitions)
    collector, alarm = stage.collector(site), stage.alarm(site)
    meter = Meter(collector=collector.pid, alarm=alarm.pid, broker=site.broker_pids)
    more = {"lanes": lanes} if lanes > 1 else {}
    fleet = stage.fleet(site, rate=OFFERED[batch], batch=batch, duration=f"{seconds}s", **more)
    if during:
        stage.wait_figure(site, "collector", "vigia_collector_readings_total", 1)
        during({"collector": [collector.pid], "alarm": [alarm.pid], "broker": site.broker_pids, "fleet": [fleet.pid]})
    told = stage.fleet_report(fleet, seconds, devices)
    _, quiet = meter.spent(fleet=told["cpu_s"])
    held = stage.count(site, told["acknowledged"])
    stage.wait_applied(site, held["readings"])
    spent, _ = meter.spent(fleet=told["cpu_s"])
    stage.stop()
    n = told["acknowledged"]
    us = {f"{k}_us": v / n * 1e6 for k, v in spent.items()}
    if log != "kafka":
        us["broker_us"] = None
    return {"log": log, "per_datagram": batch, "lanes": lanes, "acknowledged": n, "twice": held["readings"] - held["distinct"], "per_s": n / told["seconds"],
            **{k: us[k] for k in COLUMNS}, "echo_us": echo, "x_echo": us["collector_us"] / echo, "p50_ms": told["p50_ms"],
            "p99_ms": told["p99_ms"], "sessions_lost": told["sessions_lost"], "unanswered": told["unanswered"], **quiet}


def run(stage, args):
    rows = []
    for repeat in range(args.repeats):
        for log in args.log or LOGS:
            for batch in args.batch or (1, 10):
                for lanes in args.lanes or (1,):
                    rows.append({"repeat": repeat, **once(stage, log, batch, args.devices, args.seconds, lanes=lanes,
                                                          partitions=args.partitions)})
    print(f"\nThroughput: {args.devices} sessions, partitions on Kafka: {args.partitions}, {args.seconds} s, {args.repeats} times, {describe_pins(stage.pins)}; "
          "median; CPU time in µs per reading")
    table(("log", "per datagram", "lanes", "readings/s", "lowest", "highest", "collector", "processor", "broker", "fleet", "x echo", "p50 ms", "p99 ms",
           "others %"), [line(rows, *key) for key in keys(rows)])
    return rows


def keys(rows):
    return list(dict.fromkeys((r["log"], r["per_datagram"], r["lanes"]) for r in rows))


def of(rows, log, batch, lanes, name):
    return [r[name] for r in rows if (r["log"], r["per_datagram"], r["lanes"]) == (log, batch, lanes)]


def line(rows, log, batch, lanes):
    per_s = of(rows, log, batch, lanes, "per_s")
    def us(name):
        values = of(rows, log, batch, lanes, name)
        return "-" if values[0] is None else f"{median(values):.2f}"
    return (log, batch, lanes, f"{median(per_s):,.0f}", f"{min(per_s):,.0f}", f"{max(per_s):,.0f}", *map(us, COLUMNS),
            *(f"{median(of(rows, log, batch, lanes, k)):.1f}" for k in ("x_echo", "p50_ms", "p99_ms", "other_pct")))


def named(log, batch, lanes):
    return f"{log}, {batch} per datagram, " + ("one lane" if lanes == 1 else "both lanes")


def next_step(rows, missed):
    """Where the time goes in what missed its target, from these rows, and what would change it."""
    out, cores = [], os.cpu_count()
    for log, batch, lanes in missed:
        us = {name: median(of(rows, log, batch, lanes, key)) for name, key in zip(("collector", "processor", "broker", "fleet"), COLUMNS)
              if of(rows, log, batch, lanes, key)[0] is not None}
        busy = median(of(rows, log, batch, lanes, "per_s")) * sum(us.values()) / 1e4 / cores
        most = sorted(us.items(), key=lambda x: -x[1])
        out.append(f"{named(log, batch, lanes)}: " + ", ".join(f"{name} {value:.1f}" for name, value in most)
                   + f" µs of CPU time per reading, together {busy:.0f} % of the {cores} cores;")
    others = max(x["other_pct"] for x in rows)
    return (" ".join(out) + f" in what is left of the cores the programs wait for each other and for the disk, or others run (at most {others:.0f} %"
            + (": measure again on a quiet machine first" if others > QUIET_PCT else "") + "). Where each program spends it: part bench-profile. Next: the "
            "emulated devices, and the broker where there is one, on machines of their own, which leaves the cores to collector and processor; then "
            "fewer system calls per datagram.")


def evidence(stage, args, rows):
    r = Result("bench-throughput", "Readings per second into either log, with what they cost", began=stage.began,
               method=f"vigia-fleet with {args.devices} DTLS sessions offers more than the path takes for {args.seconds} s, to a real collector on "
                      f"the log, while a real alarm processor follows; Kafka is one broker that syncs every append (flush.messages=1), "
                      f"partitions: {args.partitions}; {args.repeats} paired rounds, the median counts; {describe_pins(stage.pins)}. "
                      + LANES + "Counted are readings answered 2.04, and only if the log then holds every one of them. CPU time is that of the whole process "
                      "until the processor has caught up, divided by readings; an echo is one raw UDP datagram there and back.",
               not_covered="A network other than the loopback; a broker on a machine of its own; a disk slower than this one at a sync.")
    missed = [key for key in keys(rows) if median(of(rows, *key, "per_s")) < TARGET[key[1]]]
    r.next_step = next_step(rows, missed) if missed else None
    for log, batch, lanes in keys(rows):
        per_s = of(rows, log, batch, lanes, "per_s")
        name = named(log, batch, lanes)
        r.figure(f"{name}: throughput, median", round(median(per_s)), "readings/s", f"≥ {TARGET[batch]:,}", median(per_s) >= TARGET[batch], speed=True)
        r.figure(f"{name}: lowest to highest", f"{min(per_s):,.0f} to {max(per_s):,.0f}", "readings/s")
        for program, key in zip(("collector", "processor", "broker", "fleet"), COLUMNS):
            if of(rows, log, batch, lanes, key)[0] is not None:
                r.figure(f"{name}: CPU time of the {program}", median(of(rows, log, batch, lanes, key)), "µs per reading")
        r.figure(f"{name}: collector, in raw UDP echoes", median(of(rows, log, batch, lanes, "x_echo")), "echoes per reading")
    shortfalls(r, rows)
    r.figure("raw UDP echo, both sides", median([x["echo_us"] for x in rows]), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in rows), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
        names = [f"{log}\n{batch}/datagram\n" + ("one lane" if lanes == 1 else "both lanes") for log, batch, lanes in keys(rows)]
        r.raw_file(args.result, "svg").write_text(bars(
            "Readings per second, by log and readings per datagram", names, [median(of(rows, *k, "per_s")) for k in keys(rows)], "readings/s",
            marks=[TARGET[k[1]] for k in keys(rows)], spread=[(min(of(rows, *k, "per_s")), max(of(rows, *k, "per_s"))) for k in keys(rows)]))
        stack = [[median(of(rows, *k, c)) if of(rows, *k, c)[0] is not None else 0 for k in keys(rows)] for c in COLUMNS]
        r.raw_file(args.result, "cpu.svg").write_text(bars(
            "CPU time per reading, by program", names, stack, "µs", series=("collector", "processor", "broker", "fleet")))
    return r

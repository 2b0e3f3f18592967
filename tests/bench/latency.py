"""From the datagram to the alarm in the log, while other devices keep the path at half its target load."""
import json
import statistics
import subprocess

from plot import lines
from result import Result
from stage import LOGS, BenchError, Meter, describe_pins, table, write_csv
from throughput import LANES

TARGET_P99_MS = 100
HALF_LOAD = {1: 20000, 10: 75000}  # readings/s: half of what throughput.py asks for
ACTIVE_PER_S, ACTIVE_DEVICES, SENSORS = 100, 4, 1000
# vigia-fleet dates reading `seq` of a device so many ms before it fell due, so that no two readings of a datagram have one time.
STAMP_STEPS = 64


def options(p):
    p.add_argument("--log", action="append", choices=LOGS, help="only this log; may be repeated")
    p.add_argument("--batch", action="append", type=int, choices=(1, 10), help="readings per datagram of the load; may be repeated")
    p.add_argument("--rate", type=int, help="readings/s of the load, instead of half the target")
    p.add_argument("--lanes", action="append", type=int, choices=(1, 2), help="lanes that a device of the load uses, 1 without it; may be repeated")
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--devices", type=int, default=32)
    p.add_argument("--repeats", type=int, default=1)


def due_ms(time_ms, seq):
    return time_ms + STAMP_STEPS - seq % STAMP_STEPS


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))]


def alarms(lines_):
    """(device, seq) -> ms since 1970 at which a follower of the topic had the event `raised`; one event for each."""
    seen = {}
    for line in lines_:
        stamp, _, text = line.partition(" ")
        event = json.loads(text)
        if event["event"] != "raised" or event["type"] != "smoke":
            continue
        key = (event["device"], event["seq"])
        if key in seen:
            raise BenchError(f"alarm {event['alarm_id']} is in the log twice")
        seen[key] = int(stamp) / 1000
    return seen


def stages(urgent, seen):
    """Rows of one reading each, in ms from when it fell due."""
    rows = []
    for line in urgent.splitlines():
        device, *numbers = line.split()
        seq, time_ms, received, appended = map(int, numbers)
        if (device, seq) not in seen:
            raise BenchError(f"reading {seq} of {device} is in the log, its alarm is not")
        due = due_ms(time_ms, seq)
        rows.append({"device": device, "seq": seq, "received_ms": received - due, "append_ms": appended - due,
                     "alarm_ms": seen.pop((device, seq)) - due})
    if seen:
        raise BenchError(f"{len(seen)} alarms without their reading in the log")
    check_stamps(rows)
    return rows


def check_stamps(rows):
    """If the fleet dated its readings later than this file believes, some would be received before they fell due."""
    least = min(r["received_ms"] for r in rows) if rows else 0
    if least < -2:
        raise BenchError(f"vigia-fleet dates its readings otherwise than this measurement expects (received {-least} ms before they fell due)")


def once(stage, log, batch, rate, devices, seconds, lanes=1):
    echo = stage.echo_us()
    site = stage.site(f"latency-{log}-{batch}", log, devices + ACTIVE_DEVICES)
    names = (site.folder / "credentials").read_text().splitlines()
    for name, part in (("load", names[:devices]), ("active", names[devices:])):
        path = site.folder / name
        path.touch(mode=0o600)
        path.write_text("\n".join(part) + "\n")
    collector, alarm = stage.collector(site), stage.alarm(site, "--set", "rules.strikes=1")
    with open(site.folder / "alarms", "w") as out:
        follower = stage.spawn("other", stage.helpers / "bench_log", "follow", site.url, stdout=subprocess.PIPE, log=site.folder / "follow.log")
        if follower.stdout.readline() != "ready\n":
            raise BenchError("the follower of the alarms did not start")
        pump = subprocess.Popen(["cat"], stdin=follower.stdout, stdout=out)
        stage.running.append(pump)
        meter = Meter(collector=collector.pid, alarm=alarm.pid, broker=site.broker_pids)
        load = stage.fleet(site, credentials=site.folder / "load", rate=rate, batch=batch, duration=f"{seconds}s",
                           **({"lanes": lanes} if lanes > 1 else {}))
        active = stage.fleet(site, credentials=site.folder / "active", rate=ACTIVE_PER_S, sensors=SENSORS, active="true",
                             duration=f"{max(1, seconds - 2)}s")
        told_active, told = stage.fleet_report(active, seconds), stage.fleet_report(load, seconds)
        _, quiet = meter.spent(fleet=told["cpu_s"] + told_active["cpu_s"])
        held = stage.count(site, told["acknowledged"] + told_active["acknowledged"])
        stage.wait_applied(site, held["readings"])
        stage.wait_alarms(told_active["acknowledged"], site.folder / "alarms")
        stage.end(follower)
        pump.wait(20)
    seen = alarms((site.folder / "alarms").read_text().splitlines())
    rows = stages(stage.helper("bench_log", "active", site.url), seen)
    stage.stop()
    if told_active["acknowledged"] == 0 or len(rows) < told_active["acknowledged"]:
        raise BenchError(f"{told_active['acknowledged']} active readings acknowledged, {len(rows)} alarms measured")
    run = {"log": log, "per_datagram": batch, "lanes": lanes, "offered_per_s": rate, "per_s": told["acknowledged"] / told["seconds"], "missed": told["missed"],
           "alarms": len(rows)}
    for name in ("received_ms", "append_ms", "alarm_ms"):
        values = [r[name] for r in rows]
        run.update({f"{name[:-3]}_p50_ms": quantile(values, 0.5), f"{name[:-3]}_p99_ms": quantile(values, 0.99)})
    run.update(alarm_max_ms=max(r["alarm_ms"] for r in rows), answer_p50_ms=told["p50_ms"], answer_p99_ms=told["p99_ms"], echo_us=echo, **quiet)
    return run, sorted(r["alarm_ms"] for r in rows)


def run(stage, args):
    runs, samples = [], {}
    for repeat in range(args.repeats):
        for log in args.log or LOGS:
            for batch in args.batch or (1,):
                for lanes in args.lanes or (1,):
                    one, values = once(stage, log, batch, args.rate or HALF_LOAD[batch], args.devices, args.seconds, lanes)
                    runs.append({"repeat": repeat, **one})
                    samples.setdefault((log, batch, lanes), []).extend(values)
    print(f"\nDatagram to alarm: load from {args.devices} sessions beside {ACTIVE_PER_S} active readings/s, {args.seconds} s, {args.repeats} times, "
          f"{describe_pins(stage.pins)}; ms from when the reading fell due")
    table(("log", "per datagram", "lanes", "load/s", "of it", "alarms", "received p50", "in the log p50", "alarm p50", "p99", "longest", "others %"),
          [(*key, *summary(runs, samples, key)) for key in samples])
    return runs, samples


def chosen(runs, key):
    return [r for r in runs if (r["log"], r["per_datagram"], r["lanes"]) == key]


def mid(runs, name):
    return statistics.median(r[name] for r in runs)


def summary(runs, samples, key):
    mine, values = chosen(runs, key), samples[key]
    return (f"{mine[0]['offered_per_s']:,}", f"{100 * mid(mine, 'per_s') / mine[0]['offered_per_s']:.0f} %", len(values), f"{mid(mine, 'received_p50_ms'):.1f}",
            f"{mid(mine, 'append_p50_ms'):.1f}", f"{quantile(values, 0.5):.1f}", f"{quantile(values, 0.99):.1f}", f"{max(values):.1f}",
            f"{mid(mine, 'other_pct'):.1f}")


def named(key, offered):
    log, batch, lanes = key
    return f"{log}, {offered:,} readings/s, {batch} per datagram, " + ("one lane" if lanes == 1 else "both lanes")


def next_step(runs, missed):
    """Where the time goes in what missed its target, from these rows, and what would change it."""
    out = []
    for key in missed:
        mine = chosen(runs, key)
        ends = [mid(mine, f"{name}_p99_ms") for name in ("received", "append", "alarm")]
        parts = dict(zip(("until received", "from there into the log", "from there to the alarm"), (ends[0], ends[1] - ends[0], ends[2] - ends[1])))
        out.append(f"{named(key, mine[0]['offered_per_s'])}: of the p99, " + ", ".join(f"{value:.0f} ms {name}" for name, value in parts.items())
                   + f"; {100 * mid(mine, 'per_s') / mine[0]['offered_per_s']:.0f} % of the load was carried.")
    return " ".join(out) + (" (The parts are differences of quantiles.) Waiting until received grows when the path carries less than the load: what "
                            "bench-throughput names comes first, the emulated devices and the broker on machines of their own. Into the log it is the "
                            "group's sync, to the alarm the processor's commit: next come a disk that syncs faster, then smaller groups.")


def evidence(stage, args, rows):
    runs, samples = rows
    r = Result("bench-latency", "From the datagram to the alarm in the log", began=stage.began,
               method=f"{args.devices} sessions send normal readings at the load named; {ACTIVE_DEVICES} more send {ACTIVE_PER_S} active readings/s, "
                      f"one per datagram, each of another sensor, and strikes = 1 makes each raise at once; Kafka is one broker with one "
                      "partition. The clock runs from when the reading fell due in "
                      "vigia-fleet (it is sent then or later, so waiting counts) until a follower that reads committed records only has the event "
                      f"`raised` in its hands; all on one clock. {args.seconds} s, {args.repeats} paired rounds, quantiles over all of them; "
                      f"{describe_pins(stage.pins)}. {LANES}Every acknowledged active reading must have exactly one alarm.",
               not_covered="The sensor's and the agent's own part (a commit of the buffer before sending); networks; notifications to people. Times "
                           "of `received` and `in the log` have steps of 1 ms.")
    missed = []
    for key, values in samples.items():
        mine = chosen(runs, key)
        offered, carried, p99 = mine[0]["offered_per_s"], mid(mine, "per_s"), quantile(values, 0.99)
        name = named(key, offered)
        if p99 > TARGET_P99_MS or carried < 0.98 * offered:
            missed.append(key)
        r.figure(f"{name}: datagram to alarm, p99", round(p99, 1), "ms", f"≤ {TARGET_P99_MS}", p99 <= TARGET_P99_MS, speed=True)
        r.figure(f"{name}: the same, p50 and longest", f"{quantile(values, 0.5):.1f} and {max(values):.1f}", "ms")
        r.figure(f"{name}: load carried meanwhile", round(carried), "readings/s", f"≥ {0.98 * offered:,.0f}", carried >= 0.98 * offered, speed=True)
        r.figure(f"{name}: until received, and until in the log, p50", f"{mid(mine, 'received_p50_ms'):.0f} and {mid(mine, 'append_p50_ms'):.0f}", "ms")
        r.figure(f"{name}: alarms measured", len(values))
    r.next_step = next_step(runs, missed) if missed else None
    r.figure("raw UDP echo, both sides", statistics.median(x["echo_us"] for x in runs), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in runs), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), runs)
        curves = {f"{log}, {batch}/datagram, {lanes} lane{'s' if lanes > 1 else ''}":
                  [(max(0.1, quantile(v, q / 1000)), q / 10) for q in range(0, 1000, 5)] for (log, batch, lanes), v in samples.items()}
        r.raw_file(args.result, "svg").write_text(lines("Share of alarms in the log after so long", curves, "ms since the reading fell due", "% of alarms",
                                                        x_log=True, points=False, y_top=100))
    return r

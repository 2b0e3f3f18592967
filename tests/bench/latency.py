"""From the datagram to the alarm in the log, while other devices keep the path at half its target load."""
import json
import statistics
import subprocess

from plot import lines
from result import Result
from stage import LOGS, BenchError, Meter, describe_pins, shortfalls, table, write_csv
from throughput import LANES

TARGET_P99_MS = 100
HALF_LOAD = {1: 20000, 10: 75000}  # readings/s: half of what throughput.py asks for
ACTIVE_PER_S, ACTIVE_DEVICES, SENSORS = 100, 4, 1000
CARRIED = 0.98  # of the load: beside less than that, a p99 is not the one asked for
EARLIER_S = 2   # that the active readings end before the load does
SECONDS = (EARLIER_S + 1, SENSORS * ACTIVE_DEVICES // ACTIVE_PER_S)  # longer, and a sensor would be active twice: no new alarm
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


def refuse(args):
    if not SECONDS[0] <= args.seconds <= SECONDS[1]:
        return f"latency --seconds {args.seconds}: accepted: {SECONDS[0]} to {SECONDS[1]}"
    return None


def due_ms(time_ms, seq):
    return time_ms + STAMP_STEPS - seq % STAMP_STEPS


def quantile(values, part, without=0):
    """The value that `part` of 1 does not exceed. `without` more have no value: they took longer than any; None where it falls on them."""
    at = min(len(values) + without - 1, int(part * (len(values) + without)))
    return sorted(values)[at] if 0 <= at < len(values) else None


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
    """Rows of one reading each, in ms from when it fell due. What a device sent again may be in the log twice: its first counts."""
    rows, done = [], set()
    for line in urgent.splitlines():
        device, *numbers = line.split()
        seq, time_ms, received, appended = map(int, numbers)
        if (device, seq) in done:
            continue
        if (device, seq) not in seen:
            raise BenchError(f"reading {seq} of {device} is in the log, its alarm is not")
        done.add((device, seq))
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
        follower.stdout.close()  # cat has it
        meter = Meter(collector=collector.pid, alarm=alarm.pid, broker=site.broker_pids)
        load = stage.fleet(site, credentials=site.folder / "load", log="load", rate=rate, batch=batch, duration=f"{seconds}s",
                           **({"lanes": lanes} if lanes > 1 else {}))
        # No active reading falls due before the load has begun, nor after it.
        stage.wait_figure(site, "collector", "vigia_collector_readings_total", 1)
        active = stage.fleet(site, credentials=site.folder / "active", log="active", rate=ACTIVE_PER_S, sensors=SENSORS, active="true",
                             duration=f"{seconds - EARLIER_S}s")
        told_active = stage.fleet_report(active, seconds, ACTIVE_DEVICES)
        told = stage.fleet_report(load, seconds, devices)
        _, quiet = meter.spent(fleet=told["cpu_s"] + told_active["cpu_s"])
        stage.end(collector)  # what it had not answered yet is in the log now, or never will be
        held = stage.count(site, told["acknowledged"] + told_active["acknowledged"])
        stage.wait_applied(site, held["readings"])
        urgent = stage.helper("bench_log", "active", site.url)
        stage.wait_alarms(len({tuple(line.split()[:2]) for line in urgent.splitlines()}), site.folder / "alarms")
        stage.end(follower)
        pump.wait(20)
    rows = stages(urgent, alarms((site.folder / "alarms").read_text().splitlines()))
    stage.stop()
    if len(rows) < max(1, told_active["acknowledged"]):
        raise BenchError(f"{told_active['acknowledged']} active readings were acknowledged, {len(rows)} are in the log")
    run = {"log": log, "per_datagram": batch, "lanes": lanes, "offered_per_s": rate, "per_s": told["acknowledged"] / told["seconds"], "missed": told["missed"],
           "alarms": len(rows), "without_alarm": told_active["readings"] + told_active["missed"] - len(rows),
           **{k: told[k] + told_active[k] for k in ("sessions_lost", "unanswered")}}
    for name in ("received_ms", "append_ms", "alarm_ms"):
        values = [r[name] for r in rows]
        run.update({f"{name[:-3]}_p50_ms": quantile(values, 0.5), f"{name[:-3]}_p99_ms": quantile(values, 0.99)})
    run.update(alarm_max_ms=max(r["alarm_ms"] for r in rows), answer_p50_ms=told["p50_ms"], answer_p99_ms=told["p99_ms"], echo_us=echo, **quiet)
    return run, sorted(r["alarm_ms"] for r in rows)


def run(stage, args):
    """[(run, its samples)]; `after` of a run is 1 where it was made because the path carried less than the load."""
    rows = []

    def measure(repeat, after, log, batch, lanes, rate):
        one, values = once(stage, log, batch, rate, args.devices, args.seconds, lanes)
        rows.append(({"repeat": repeat, "after": after, **one}, values))

    for repeat in range(args.repeats):
        for log in args.log or LOGS:
            for batch in args.batch or (1,):
                for lanes in args.lanes or (1,):
                    measure(repeat, 0, log, batch, lanes, args.rate or HALF_LOAD[batch])
    for (log, batch, lanes, offered, _), (mine, *_) in grouped(rows).items():
        if (carried := mid(mine, "per_s")) < CARRIED * offered:
            measure(0, 1, log, batch, lanes, max(1, int(carried / 2)))
    print(f"\nDatagram to alarm: load from {args.devices} sessions beside {ACTIVE_PER_S} active readings/s, {args.seconds} s, {args.repeats} times, "
          f"{describe_pins(stage.pins)}; ms from when the reading fell due")
    table(("log", "per datagram", "lanes", "load/s", "of it", "alarms", "without", "received p50", "in the log p50", "alarm p50", "p99", "longest", "others %"),
          [(*key[:3], *summary(*of)) for key, of in grouped(rows).items()])
    return rows


def grouped(rows):
    """(log, readings per datagram, lanes, load, after) -> (its runs, the samples of all of them, active readings without an alarm)"""
    out = {}
    for one, values in rows:
        runs, samples = out.setdefault(tuple(one[k] for k in ("log", "per_datagram", "lanes", "offered_per_s", "after")), ([], []))
        runs.append(one)
        samples.extend(values)
    return {key: (runs, samples, sum(r["without_alarm"] for r in runs)) for key, (runs, samples) in out.items()}


def mid(runs, name):
    return statistics.median(r[name] for r in runs)


def share(runs):
    """% of the load that was carried."""
    return 100 * mid(runs, "per_s") / runs[0]["offered_per_s"]


def ms(value):
    return "none" if value is None else f"{value:.1f}"


def summary(runs, samples, without):
    return (f"{runs[0]['offered_per_s']:,}", f"{share(runs):.0f} %", len(samples), without, f"{mid(runs, 'received_p50_ms'):.1f}",
            f"{mid(runs, 'append_p50_ms'):.1f}", ms(quantile(samples, 0.5, without)), ms(quantile(samples, 0.99, without)), f"{max(samples):.1f}",
            f"{mid(runs, 'other_pct'):.1f}")


def named(key):
    log, batch, lanes, offered, after = key
    return (f"{log}, {offered:,} readings/s" + (" (half of what it carried)" if after else "")
            + f", {batch} per datagram, " + ("one lane" if lanes == 1 else "both lanes"))


STEPS = {"until received": "Before it is received a reading waits for its session's request under way and for the cores: what bench-throughput names comes "
                           "first, the emulated devices and the broker on machines of their own.",
         "from there into the log": "Into the log it waits for the group's sync: next comes a disk that syncs faster.",
         "from there to the alarm": "From the log to the alarm it waits for the processor's commits, the one under way and its own: next comes a commit that "
                                    "costs less (bench-profile says where the processor's time goes; on Kafka a commit is several requests, each synced by "
                                    "the broker)."}


def next_step(groups, missed):
    """Where the time goes in what missed its target, from these rows, and what would change the longest part."""
    out, longest = [], []
    for key in missed:
        runs, samples, without = groups[key]
        ends = [mid(runs, f"{name}_p99_ms") for name in ("received", "append", "alarm")]
        parts = dict(zip(STEPS, (ends[0], ends[1] - ends[0], ends[2] - ends[1])))
        longest.append(max(parts, key=parts.get))
        out.append(f"{named(key)}: of the p99, " + ", ".join(f"{value:.0f} ms {name}" for name, value in parts.items())
                   + (f"; {without:,} of {len(samples) + without:,} active readings got no alarm" if without else "")
                   + f"; {share(runs):.0f} % of the load was carried.")
    if any(share(groups[key][0]) < 100 * CARRIED for key in missed):
        longest.append("until received")
    return " ".join([*out, "(The parts are differences of quantiles.)", *(text for name, text in STEPS.items() if name in longest)])


def figures(r, key, runs, samples, without):
    """The figures of one load; True where it missed a target."""
    name, p99, offered = named(key), quantile(samples, 0.99, without), key[3]
    carried = mid(runs, "per_s") >= CARRIED * offered
    met = carried and p99 is not None and p99 <= TARGET_P99_MS
    target = {} if key[4] else {"target": f"≤ {TARGET_P99_MS}", "ok": met, "speed": True}
    r.figure(f"{name}: datagram to alarm, p99", f"none: {without:,} of {len(samples) + without:,} readings have no alarm" if p99 is None else round(p99, 1),
             "ms" if carried else f"ms, beside {share(runs):.0f} % of the load", **target)
    r.figure(f"{name}: the same, p50 and longest of those that came", f"{ms(quantile(samples, 0.5, without))} and {max(samples):.1f}", "ms")
    target = {} if key[4] else {"target": f"≥ {CARRIED * offered:,.0f}", "ok": carried, "speed": True}
    r.figure(f"{name}: load carried meanwhile", round(mid(runs, "per_s")), "readings/s", **target)
    r.figure(f"{name}: until received, and until in the log, p50", f"{mid(runs, 'received_p50_ms'):.0f} and {mid(runs, 'append_p50_ms'):.0f}", "ms")
    r.figure(f"{name}: alarms measured", len(samples))
    r.figure(f"{name}: active readings without an alarm", without, "", "0", without == 0)
    return not key[4] and not (met and without == 0)


def evidence(stage, args, rows):
    r = Result("bench-latency", "From the datagram to the alarm in the log", began=stage.began,
               method=f"{args.devices} sessions send normal readings at the load named; {ACTIVE_DEVICES} more send {ACTIVE_PER_S} active readings/s, "
                      f"one per datagram, each of another sensor, and strikes = 1 makes each raise at once; Kafka is one broker with one "
                      "partition, which syncs every append to our topics (flush.messages=1), alarms and the marks of their transactions among them. The "
                      "clock runs from when the reading fell due in vigia-fleet (it is sent then or later, so waiting counts) until a "
                      "follower that reads committed records only has the event "
                      f"`raised` in its hands; all on one clock. {args.seconds} s, {args.repeats} paired rounds, quantiles over all of them; "
                      f"{describe_pins(stage.pins)}. {LANES}Every active reading that is in the log must have exactly one alarm; one that never got there "
                      "(missed because 256 of its device waited, or not answered) counts as one that took for ever. A p99 meets its target only beside "
                      f"{CARRIED:.0%} of the load; where less was carried, one more round tells what it is at half of that.",
               not_covered="The sensor's and the agent's own part (a commit of the buffer before sending); networks; notifications to people. Times "
                           "of `received` and `in the log` have steps of 1 ms.")
    groups = grouped(rows)
    missed = [key for key, of in groups.items() if figures(r, key, *of)]
    r.next_step = next_step(groups, missed) if missed else None
    runs = [one for one, _ in rows]
    shortfalls(r, runs)
    r.figure("raw UDP echo, both sides", statistics.median(x["echo_us"] for x in runs), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in runs), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), runs)
        r.raw_file(args.result, "svg").write_text(lines("Share of alarms in the log after so long", {key: curve(*of[1:]) for key, of in plotted(groups)},
                                                        "ms since the reading fell due", "% of alarms", x_log=True, points=False, y_top=100))
    return r


def plotted(groups):
    """Names for the legend."""
    return [(f"{log}, {batch}/datagram, {lanes} lane{'s' if lanes > 1 else ''}", of) for (log, batch, lanes, _, after), of in groups.items() if not after]


def curve(samples, without):
    points = [(quantile(samples, q / 1000, without), q / 10) for q in range(0, 1000, 5)]
    return [(max(0.1, value), percent) for value, percent in points if value is not None]

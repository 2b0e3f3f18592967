"""The agent: memory, start, how fast a backlog leaves, CPU time and instructions per reading; and that nothing was lost meanwhile."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from result import Result
from stage import BenchError, cpu_s, describe_pins, table, write_csv

HERE = pathlib.Path(__file__).resolve().parent
# What the agent is held to. Memory and start: design of the agent; the drain: this project's target for an unpaced backlog.
RSS_KIB, FIRST_MS, DRAIN_PER_S = 8 * 1024, 1000, 5000
STAMP = "stamp on\n"  # for the checker: each reading carries its time in the story
SENSORS = "sensor s-01..s-64 period 640ms temperature sine 21 3 60s max_temperature 30 motion off smoke off\n"  # 100 readings/s
QUIET = "sensor nothing period 1d motion off\nend 1s\n"
ACKNOWLEDGED = "vigia_edge_acknowledged_readings_total"
WAITING = 'vigia_edge_waiting_readings{lane="routine"}'


def options(p):
    p.add_argument("--seconds", type=int, default=20, help="of steady sending")
    p.add_argument("--backlog", type=int, default=100000, help="rows")


def status_kib(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key + ":"))


def judge(stage, rig):
    """What the independent checker says of the sensors' ledger and the log: (said, stored, {kind of problem: how many})."""
    readings = pathlib.Path(rig.path("readings.jsonl"))
    with open(readings, "wb") as out:
        subprocess.run([stage.bin / "vigia", "--log", rig.url, "topic", "read", "readings", "--from-beginning", "--json"], stdout=out, check=True,
                       timeout=300)
    done = subprocess.run([sys.executable, HERE.parent / "checker" / "check", "--json", "--ledger", rig.path("ledger.jsonl"), "--readings", readings],
                          capture_output=True, text=True, timeout=600)
    if done.returncode not in (0, 1):
        raise BenchError(f"the checker could not judge: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    for text in told["problems"][:20]:
        print(text)
    return told["figures"]["sent"], told["figures"]["stored"], told["counts"]


def add_verdict(row, verdict):
    said, stored, problems = verdict
    row["said"], row["stored"] = row.get("said", 0) + said, row.get("stored", 0) + stored
    row["lost"] = row.get("lost", 0) + problems["lost"]
    row["other_problems"] = row.get("other_problems", 0) + sum(problems.values()) - problems["lost"]


def steady(rig, rigs, seconds):
    collector = rig.collector()
    address = f"127.0.0.1:{collector.port}"
    rig.agent(STAMP + SENSORS, address, buffer__group="1s")
    pid = rig.edge.process.pid
    rigs.wait_for("sending", lambda: (rigs.figures(rig.edge) or {}).get(ACKNOWLEDGED, 0) > 200)
    first, cpu, at = rigs.figures(rig.edge)[ACKNOWLEDGED], cpu_s(pid), time.monotonic()
    rigs.wait_for("the measuring time", lambda: time.monotonic() - at >= seconds, seconds + 10)
    readings = rigs.figures(rig.edge)[ACKNOWLEDGED] - first
    out = {"rss_kib": status_kib(pid, "VmRSS"), "rss_peak_kib": status_kib(pid, "VmHWM"), "readings_per_s": readings / (time.monotonic() - at),
           "cpu_us_per_reading": (cpu_s(pid) - cpu) * 1e6 / readings}
    rig.edge.stop()
    rig.agent(QUIET, address, source_sim__ledger="")  # sends what the first had not sent yet
    # Before its first session the figures are those of nothing.
    rigs.wait_for("everything to be sent", lambda: (rig.drained() or {}).get("vigia_edge_session_up"))
    rig.edge.stop()
    collector.stop()
    return out


def backlog(rig, rigs, proxy_class, rows):
    class Watch(proxy_class):
        """Notes when the first record of application data passes upwards (DTLS content type 23, or 25 with CID)."""
        first = None

        def _pass(self, client, direction, data):
            if direction == "up" and self.first is None and data[:1] in (b"\x17", b"\x19"):
                self.first = time.monotonic()
            super()._pass(client, direction, data)

    def fill():
        for end in ("", "-wal", "-shm"):
            pathlib.Path(rig.path("backlog.db" + end)).unlink(missing_ok=True)
        rig.agent(STAMP + "sensor s-0001..s-2000 period 500ms temperature sine 21 3 60s max_temperature 30\n", "127.0.0.1:9",
                  buffer__path=rig.path("backlog.db"), buffer__routine_ring="4M", uplink__backoff_max="1h")
        rigs.wait_for(f"a backlog of {rows}", lambda: (rigs.figures(rig.edge) or {}).get(WAITING, 0) >= rows, 300)
        rig.edge.stop()

    def drain(address):
        rig.agent(QUIET, address, buffer__path=rig.path("backlog.db"), source_sim__ledger="", uplink__rate="0")

    fill()
    collector = rig.collector("unlimited")
    with Watch(("127.0.0.1", collector.port)) as proxy:
        started = time.monotonic()
        drain(f"127.0.0.1:{proxy.port}")
        rigs.wait_for("the first reading", lambda: proxy.first)
        first = proxy.first - started
        rig.edge.stop()
    # Without the proxy: it is Python, and would be what is measured.
    started = time.monotonic()
    drain(f"127.0.0.1:{collector.port}")
    pid = rig.edge.process.pid
    begin = rigs.wait_for("the first acknowledgement", lambda: (rigs.figures(rig.edge) or {}).get(ACKNOWLEDGED))
    at = time.monotonic()
    rigs.wait_for("most of the backlog to leave", lambda: rigs.figures(rig.edge)[WAITING] <= rows / 20, 300)
    sent, flowing = rigs.figures(rig.edge)[ACKNOWLEDGED] - begin, time.monotonic() - at
    drained = rigs.wait_for("an empty buffer", lambda: rig.drained(), 300)[ACKNOWLEDGED]
    wall = time.monotonic() - started
    out = {"backlog": rows, "first_sent_ms": first * 1000, "drained": int(drained), "drain_s": wall, "drain_per_s": drained / wall,
           "flow_per_s": sent / flowing, "drain_cpu_pct": 100 * cpu_s(pid) / wall, "backlog_rss_peak_kib": status_kib(pid, "VmHWM")}
    rig.edge.stop()
    return out


def instructions(rig, rigs):
    """Instructions per reading at 100 readings/s: the slope between a short and a long run, so that start and end cancel out."""
    count = rig.path("instructions")
    wrapper = pathlib.Path(rig.path("counted-edge"))
    wrapper.write_text(f"#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file={count} {rigs.EDGE} \"$@\"\n")
    wrapper.chmod(0o755)
    collector = rig.collector("counted")
    points = []

    def stored():
        return (rigs.figures(collector) or {}).get("vigia_collector_readings_total", 0)

    for readings in (600, 2200):
        for end in ("", "-wal", "-shm"):
            pathlib.Path(rig.path("edge.db" + end)).unlink(missing_ok=True)
        before = stored()
        rig.agent(SENSORS, f"127.0.0.1:{collector.port}", program=str(wrapper), buffer__group="1s", source_sim__ledger="")
        # The collector is asked: each look at the agent's own metrics would be counted.
        rigs.wait_for(f"{readings} readings", lambda: stored() - before >= readings, 120)
        rig.edge.stop()
        sent = stored() - before
        found = re.search(r"Collected : (\d+)", pathlib.Path(count).read_text())
        if not found:
            raise BenchError("valgrind did not tell how many instructions it counted")
        points.append((sent, int(found[1])))
    return {"instructions_per_reading": (points[1][1] - points[0][1]) / (points[1][0] - points[0][0])}


def run(stage, args):
    os.environ["VIGIA_BINARY_DIR"] = str(stage.bin.parent)
    # The collector lets a device have 50 requests/s; here it must not be what is measured.
    os.environ.update(VIGIA_COLLECTOR_REQUEST_RATE="100000", VIGIA_COLLECTOR_REQUEST_BURST="100000")
    tests = HERE.parent / "integration"
    sys.path[:0] = [str(tests / "edge"), str(tests / "support")]
    import rig as rigs
    from udp_proxy import UdpProxy
    row = {"echo_us": stage.echo_us()}

    @contextlib.contextmanager
    def fresh(name):
        (stage.dir / name).mkdir()
        with rigs.Rig(str(stage.dir / name)) as rig:
            yield rig

    # One story to a log: the checker knows one beginning.
    for name, work in (("steady", lambda rig: steady(rig, rigs, args.seconds)), ("backlog", lambda rig: backlog(rig, rigs, UdpProxy, args.backlog))):
        with fresh(name) as rig:
            row.update(work(rig))
            add_verdict(row, judge(stage, rig))
    if shutil.which("valgrind"):
        with fresh("instructions") as rig:
            row.update(instructions(rig, rigs))
    elif args.result:
        raise BenchError("valgrind is not installed (cross/setup check)")
    print(f"\nThe agent: 64 sensors, 100 readings/s, {args.seconds} s; a backlog of {args.backlog:,} rows; {describe_pins(stage.pins)}")
    table(("figure", "value"), [(k, f"{v:,.1f}") for k, v in row.items()])
    return [row]


def next_step(row):
    """Where the time went while the backlog left, from what was measured."""
    busy = row["drain_cpu_pct"] >= 80
    return (f"The backlog of {row['backlog']:,} rows was gone {row['drain_s']:.1f} s after the start; the first datagram left after "
            f"{row['first_sent_ms'] / 1000:.2f} s, the rate in between was {row['flow_per_s']:,.0f} readings/s, and the agent used "
            f"{row['drain_cpu_pct']:.0f} % of one core. " + (
                "The processor is the limit: next come the instructions per reading of packing and of DTLS (bench-instructions, bench-profile)."
                if busy else "It waited: for answers, one request under way in each lane, and for the card's commits that remove rows. Next: more "
                             "rows to a datagram, or a second request under way (NSTART, RFC 7252 §4.7) for a backlog."))


def evidence(stage, args, rows):
    row = rows[0]
    r = Result("bench-agent", "The agent: memory, start, backlog, cost of a reading", began=stage.began,
               method=f"vigia-edge with 64 emulated sensors at 100 readings/s, in groups of 1 s, sending to a real collector for {args.seconds} s; then a "
                      f"backlog of {args.backlog:,} rows in the buffer: time from the start of the process to its first datagram of readings, seen by "
                      "a proxy, and, in another start, the time until the buffer is empty, without pacing, each row removed only on its 2.04, to a "
                      "collector that does not limit the device (the agent's own figures tell it, renewed each second). The sensors keep a ledger "
                      "and stamp each reading, which is in the figures, and the independent checker compares the ledgers with the logs. Instructions "
                      "are counted by valgrind's callgrind, without ledger, as the slope between 600 and 2,200 readings: all of the process, "
                      "libraries included, kernel not.",
               not_covered="A Raspberry Pi's processor and card; radio links; bytes written to the card (part of the crash tests).")
    r.next_step = next_step(row)
    r.figure("memory, resident, peak at 100 readings/s", row["rss_peak_kib"], "KiB", f"≤ {RSS_KIB:,}", row["rss_peak_kib"] <= RSS_KIB)
    r.figure("memory, resident, peak while the backlog leaves", row["backlog_rss_peak_kib"], "KiB", f"≤ {RSS_KIB:,}", row["backlog_rss_peak_kib"] <= RSS_KIB)
    r.figure(f"start to first datagram with {row['backlog']:,} rows waiting", round(row["first_sent_ms"], 1), "ms", f"≤ {FIRST_MS:,}",
             row["first_sent_ms"] <= FIRST_MS, speed=True)
    r.figure(f"backlog of {row['backlog']:,} rows, unpaced, from the start of the process to an empty buffer", round(row["drain_per_s"]), "readings/s",
             f"≥ {DRAIN_PER_S:,}", row["drain_per_s"] >= DRAIN_PER_S, speed=True)
    r.figure("the same from the first acknowledgement until 5 % are left", round(row["flow_per_s"]), "readings/s")
    r.figure("CPU time of the agent meanwhile", round(row["drain_cpu_pct"]), "% of one core")
    r.figure("readings that the sensors said", row["said"], "", "> 0", row["said"] > 0)
    r.figure("of them in the log", row["stored"], "", row["said"], row["stored"] == row["said"])
    r.figure("lost readings", row["lost"], "", "0", row["lost"] == 0)
    r.figure("readings duplicated, reordered, changed, invented or with a wrong time", row["other_problems"], "", "0", row["other_problems"] == 0)
    r.figure("rate of acknowledged readings meanwhile, of 100 said each second", row["readings_per_s"], "readings/s")
    r.figure("CPU time at 100 readings/s", row["cpu_us_per_reading"], "µs per reading")
    r.figure("instructions at 100 readings/s", round(row["instructions_per_reading"]), "per reading")
    r.figure("raw UDP echo, both sides", row["echo_us"], "µs of CPU time")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
    return r

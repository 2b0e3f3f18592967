"""The agent: memory, start, how fast a backlog leaves, CPU time and instructions per reading."""
import os
import pathlib
import re
import shutil
import sys
import time

from result import Result
from stage import BenchError, describe_pins, table, write_csv

HERE = pathlib.Path(__file__).resolve().parent
# What the agent is held to. Memory and start: design of the agent; the drain: this project's target for an unpaced backlog.
RSS_KIB, FIRST_MS, DRAIN_PER_S = 8 * 1024, 1000, 5000
SENSORS = "sensor s-01..s-64 period 640ms temperature sine 21 3 60s max_temperature 30 motion off smoke off\n"  # 100 readings/s
ACKNOWLEDGED = "vigia_edge_acknowledged_readings_total"
WAITING = 'vigia_edge_waiting_readings{lane="routine"}'


def options(p):
    p.add_argument("--seconds", type=int, default=20, help="of steady sending")
    p.add_argument("--backlog", type=int, default=100000, help="rows")


def status_kib(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key + ":"))


def steady(rig, rigs, seconds):
    from stage import cpu_s
    collector = rig.collector()
    rig.agent(SENSORS, f"127.0.0.1:{collector.port}", buffer__group="1s", source_sim__ledger="")
    pid = rig.edge.process.pid
    rigs.wait_for("sending", lambda: (rigs.figures(rig.edge) or {}).get(ACKNOWLEDGED, 0) > 200)
    first, cpu, at = rigs.figures(rig.edge)[ACKNOWLEDGED], cpu_s(pid), time.monotonic()
    rigs.wait_for("the measuring time", lambda: time.monotonic() - at >= seconds, seconds + 10)
    readings = rigs.figures(rig.edge)[ACKNOWLEDGED] - first
    out = {"rss_kib": status_kib(pid, "VmRSS"), "rss_peak_kib": status_kib(pid, "VmHWM"), "readings_per_s": readings / (time.monotonic() - at),
           "cpu_us_per_reading": (cpu_s(pid) - cpu) * 1e6 / readings}
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
        rig.agent("sensor s-0001..s-2000 period 500ms temperature sine 21 3 60s max_temperature 30\n", "127.0.0.1:9",
                  buffer__path=rig.path("backlog.db"), buffer__routine_ring="4M", source_sim__ledger="", uplink__backoff_max="1h")
        rigs.wait_for(f"a backlog of {rows}", lambda: (rigs.figures(rig.edge) or {}).get(WAITING, 0) >= rows, 300)
        rig.edge.stop()

    def drain(address):
        rig.agent("sensor s-0001 period 1h motion off\n", address, buffer__path=rig.path("backlog.db"), source_sim__ledger="", uplink__rate="0")

    fill()
    collector = rig.collector("unlimited")
    with Watch(("127.0.0.1", collector.port)) as proxy:
        started = time.monotonic()
        drain(f"127.0.0.1:{proxy.port}")
        rigs.wait_for("the first reading", lambda: proxy.first)
        first = proxy.first - started
        rig.edge.stop()
    # Without the proxy: it is Python, and would be what is measured.
    drain(f"127.0.0.1:{collector.port}")
    begin = rigs.wait_for("the first acknowledgement", lambda: (rigs.figures(rig.edge) or {}).get(ACKNOWLEDGED))
    at = time.monotonic()
    rigs.wait_for("the backlog's end", lambda: rigs.figures(rig.edge)[WAITING] <= rows / 20, 300)
    drained, wall = rigs.figures(rig.edge)[ACKNOWLEDGED] - begin, time.monotonic() - at
    peak = status_kib(rig.edge.process.pid, "VmHWM")
    rigs.wait_for("an empty buffer", lambda: rig.drained(), 120)
    rig.edge.stop()
    return {"backlog": rows, "first_sent_ms": first * 1000, "drained": int(drained), "drain_per_s": drained / wall, "backlog_rss_peak_kib": peak}


def instructions(rig, rigs):
    """Instructions per reading at 100 readings/s: the slope between a short and a long run, so that start and end cancel out."""
    real, count = rigs.EDGE, rig.path("instructions")
    wrapper = pathlib.Path(rig.path("counted-edge"))
    wrapper.write_text(f"#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file={count} {real} \"$@\"\n")
    wrapper.chmod(0o755)
    collector = rig.collector("counted")
    points = []

    def stored():
        return (rigs.figures(collector) or {}).get("vigia_collector_readings_total", 0)

    try:
        rigs.EDGE = str(wrapper)
        for readings in (600, 2200):
            for end in ("", "-wal", "-shm"):
                pathlib.Path(rig.path("edge.db" + end)).unlink(missing_ok=True)
            before = stored()
            rig.agent(SENSORS, f"127.0.0.1:{collector.port}", buffer__group="1s", source_sim__ledger="")
            # The collector is asked: each look at the agent's own metrics would be counted.
            rigs.wait_for(f"{readings} readings", lambda: stored() - before >= readings, 120)
            rig.edge.stop()
            sent = stored() - before
            found = re.search(r"Collected : (\d+)", pathlib.Path(count).read_text())
            if not found:
                raise BenchError("valgrind did not tell how many instructions it counted")
            points.append((sent, int(found[1])))
    finally:
        rigs.EDGE = real
    return {"instructions_per_reading": (points[1][1] - points[0][1]) / (points[1][0] - points[0][0])}


def run(stage, args):
    os.environ["VIGIA_BINARY_DIR"] = str(stage.bin.parent)
    # The collector lets a device have 50 requests/s; here it must not be what is measured.
    os.environ.update(VIGIA_COLLECTOR_REQUEST_RATE="100000", VIGIA_COLLECTOR_REQUEST_BURST="100000")
    tests = HERE.parent / "integration"
    sys.path[:0] = [str(tests / "edge"), str(tests / "support")]
    import rig as rigs
    from udp_proxy import UdpProxy
    stage.dir.mkdir(parents=True, exist_ok=True)
    folder = stage.dir / "agent"
    folder.mkdir()
    row = {"echo_us": stage.echo_us()}
    with rigs.Rig(str(folder)) as rig:
        row.update(steady(rig, rigs, args.seconds))
        row.update(backlog(rig, rigs, UdpProxy, args.backlog))
        if shutil.which("valgrind"):
            row.update(instructions(rig, rigs))
        elif args.result:
            raise BenchError("valgrind is not installed (cross/setup check)")
    print(f"\nThe agent: 64 sensors, 100 readings/s, {args.seconds} s; a backlog of {args.backlog:,} rows; {describe_pins(stage.pins)}")
    table(("figure", "value"), [(k, f"{v:,.1f}") for k, v in row.items()])
    return [row]


def evidence(stage, args, rows):
    row = rows[0]
    r = Result("bench-agent", "The agent: memory, start, backlog, cost of a reading", began=stage.began,
               method=f"vigia-edge with 64 emulated sensors at 100 readings/s, in groups of 1 s, sending to a real collector for {args.seconds} s; then a "
                      f"backlog of {args.backlog:,} rows in the buffer: time from the start of the process to its first datagram of readings, seen by "
                      "a proxy, and the rate at which the backlog leaves without pacing, each row removed only on its 2.04, to a collector that does "
                      "not limit the device, until 5 % are left. Instructions are counted by valgrind's callgrind, as the slope between 600 and "
                      "2,200 readings: all of the process, libraries included, kernel not.",
               not_covered="A Raspberry Pi's processor and card; radio links; bytes written to the card (part of the crash tests).")
    r.figure("memory, resident, peak at 100 readings/s", row["rss_peak_kib"], "KiB", f"≤ {RSS_KIB:,}", row["rss_peak_kib"] <= RSS_KIB)
    r.figure("memory, resident, peak while the backlog leaves", row["backlog_rss_peak_kib"], "KiB", f"≤ {RSS_KIB:,}", row["backlog_rss_peak_kib"] <= RSS_KIB)
    r.figure(f"start to first datagram with {row['backlog']:,} rows waiting", round(row["first_sent_ms"], 1), "ms", f"≤ {FIRST_MS:,}",
             row["first_sent_ms"] <= FIRST_MS)
    r.figure(f"backlog of {row['backlog']:,} rows, unpaced", round(row["drain_per_s"]), "readings/s", f"≥ {DRAIN_PER_S:,}", row["drain_per_s"] >= DRAIN_PER_S)
    r.figure("CPU time at 100 readings/s", row["cpu_us_per_reading"], "µs per reading")
    r.figure("instructions at 100 readings/s", round(row["instructions_per_reading"]), "per reading")
    r.figure("raw UDP echo, both sides", row["echo_us"], "µs of CPU time")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
    return r

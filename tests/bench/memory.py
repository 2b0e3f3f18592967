"""The agent under valgrind: does its heap grow while it sends, and does it read or lose what it should not."""
import os
import pathlib
import re
import shutil
import sys
import time

from agent import ACKNOWLEDGED
from plot import lines
from result import Result
from stage import HERE, BenchError, table

SENSORS = "sensor s-0001..s-0400 period 400ms temperature sine 21 3 60s max_temperature 30 motion off\n"  # 1,000 readings/s
RINGS = {"buffer__group": "1s", "buffer__routine_ring": "4M", "source_sim__ledger": "", "uplink__rate": "0"}


def options(p):
    p.add_argument("--readings", type=int, default=100000, help="of the run that looks for growth")
    p.add_argument("--checked", type=int, default=10000, help="readings of the run that looks for errors and leaks")


def sent(rigs, rig):
    return (rigs.figures(rig.edge) or {}).get(ACKNOWLEDGED, 0)


def under(rig, rigs, tool, collector, readings):
    """One run of the agent under `tool` until `readings` are acknowledged; (time, readings) as it went."""
    real = rigs.EDGE
    wrapper = pathlib.Path(rig.path("agent-under-valgrind"))
    wrapper.write_text("#!/bin/sh\nexec valgrind " + " ".join(tool) + f" --log-file={rig.path('valgrind.log')} {real} \"$@\"\n")
    wrapper.chmod(0o755)
    for end in ("", "-wal", "-shm"):
        pathlib.Path(rig.path("edge.db" + end)).unlink(missing_ok=True)
    began, points = time.monotonic(), []
    rigs.EDGE = str(wrapper)
    try:
        rig.agent(SENSORS, f"127.0.0.1:{collector.port}", **RINGS)
        while not points or points[-1][1] < readings:
            if time.monotonic() - began > 120 + readings / 20:
                raise BenchError(f"{points[-1][1]:.0f} readings sent under valgrind in {time.monotonic() - began:.0f} s, wanted {readings}")
            time.sleep(0.5)  # between two looks
            points.append((time.monotonic() - began, sent(rigs, rig)))
        process = rig.edge.process
        rig.edge.stop()
    finally:
        rigs.EDGE = real
    return points, process.returncode


def heap(path, points):
    """[(readings sent, heap bytes)] from massif's snapshots, whose time is in ms."""
    out = []
    for when, size in re.findall(r"^time=(\d+)\nmem_heap_B=(\d+)$", pathlib.Path(path).read_text(), re.M):
        before = [n for t, n in points if t <= int(when) / 1000]
        out.append((before[-1] if before else 0, int(size)))
    return out


def run(stage, args):
    if shutil.which("valgrind") is None:
        raise BenchError("valgrind is not installed (cross/setup bench)")
    os.environ["VIGIA_BINARY_DIR"] = str(stage.bin.parent)
    os.environ.update(VIGIA_COLLECTOR_REQUEST_RATE="100000", VIGIA_COLLECTOR_REQUEST_BURST="100000")
    tests = HERE.parent / "integration"
    sys.path[:0] = [str(tests / "edge"), str(tests / "support")]
    import rig as rigs
    folder = stage.dir / "memory"
    folder.mkdir(parents=True)
    massif = folder / "massif.out"
    with rigs.Rig(str(folder)) as rig:
        collector = rig.collector()
        points, _ = under(rig, rigs, ["--tool=massif", f"--massif-out-file={massif}", "--time-unit=ms", "--max-snapshots=400", "--depth=1"], collector,
                          args.readings)
        _, status = under(rig, rigs, ["--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible", "--error-exitcode=99"], collector,
                          args.checked)
        log = pathlib.Path(rig.path("valgrind.log")).read_text()
    found = re.search(r"ERROR SUMMARY: (\d+) errors", log)
    if not found or status not in (0, 99):
        raise BenchError(f"the agent under memcheck ended with {status}: {log[-300:]}")
    curve = [p for p in heap(massif, points) if p[0] > 0]
    early = [b for n, b in curve if 0.1 * args.readings <= n < 0.4 * args.readings]
    late = [b for n, b in curve if n >= 0.7 * args.readings]
    if not early or not late:
        raise BenchError("too few snapshots of the heap")
    out = {"readings": points[-1][1], "checked": args.checked, "errors": int(found[1]), "early": max(early), "late": max(late), "curve": curve}
    table(("the agent under valgrind", "value"), [("readings sent", f"{out['readings']:,.0f}"), ("heap, most, 10 to 40 % sent", f"{out['early']:,} B"),
                                                  ("heap, most, last 30 %", f"{out['late']:,} B"), ("errors and leaks", out["errors"])])
    return out


def evidence(stage, args, row):
    r = Result("agent-memory", "The agent's heap does not grow", began=stage.began,
               method=f"vigia-edge under valgrind's massif with 400 emulated sensors until {args.readings:,} readings are acknowledged by a real collector; "
                      "the greatest heap between 10 and 40 % of them is compared with the greatest of the last 30 %. A second run, of "
                      f"{args.checked:,} readings, under memcheck with leaks counted.",
               not_covered="Failures of the network and of the card meanwhile: other parts make them. Memory that is not heap.")
    r.figure("readings sent", int(row["readings"]), "", f"≥ {args.readings:,}", row["readings"] >= args.readings)
    r.figure("greatest heap, early", row["early"], "bytes")
    r.figure("growth of the greatest heap", row["late"] - row["early"], "bytes", "≤ 1,024", row["late"] - row["early"] <= 1024)
    r.figure("memcheck: errors and leaks", row["errors"], "", "0", row["errors"] == 0)
    if args.result:
        r.raw_file(args.result, "csv").write_text("readings,heap_bytes\n" + "".join(f"{n:.0f},{b}\n" for n, b in row["curve"]))
        r.raw_file(args.result, "svg").write_text(lines("The agent's heap while it sends", {"heap": [(n, b / 1024) for n, b in row["curve"]]},
                                                        "readings sent", "KiB", points=False))
    return r

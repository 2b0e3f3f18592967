"""Where the time goes: a sampling profile of each program while the path is fully loaded, by library and by function."""
import collections
import pathlib
import re
import shutil
import subprocess

from result import Result
from stage import LOGS, BenchError, median, table, write_csv
import throughput

HERTZ = 997  # prime, so that it does not march in step with the programs' own timers
GROUPS = (("kernel", r"kernel|\[unknown\]|vdso"), ("libc", r"libc\.|libm\.|ld-linux|libpthread"), ("OpenSSL", r"libcrypto|libssl"))
ARCHIVES = (("Mbed TLS", r"mbed"), ("libcoap", r"coap"), ("librdkafka", r"rdkafka"), ("SQLite", r"sqlite"), ("tinycbor", r"cbor"),
            ("cJSON", r"cjson"))


def options(p):
    throughput.options(p)
    p.add_argument("--top", type=int, default=12, help="functions of each program that are told")


def owners(build):
    """symbol -> library or module, of everything that is linked statically."""
    out = {}
    for path in sorted(set(re.findall(r"\S+\.a\b", (build / "build.ninja").read_text()))):
        path = pathlib.Path(path) if path.startswith("/") else build / path
        if not path.is_file():
            continue
        name = path.name.removeprefix("lib").removesuffix(".a")
        group = next((g for g, pattern in ARCHIVES if re.search(pattern, name, re.I)), name)
        told = subprocess.run(["nm", "--defined-only", str(path)], capture_output=True, text=True).stdout
        for line in told.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in "tTwW":
                out.setdefault(words[2], group)
    return out


def read(data, owner, program):
    """[(share of all samples, group, function)], greatest first."""
    out = subprocess.run(["perf", "report", "-i", str(data), "--stdio", "--no-children", "-s", "dso,sym", "--field-separator=|"],
                         capture_output=True, text=True).stdout
    rows = []
    for line in out.splitlines():
        cells = [c.strip() for c in line.split("|")]
        if line.startswith("#") or len(cells) != 3:
            continue
        share, dso, symbol = float(cells[0].rstrip("%")), cells[1], re.sub(r"^\[.\]\s*", "", cells[2])
        group = next((g for g, pattern in GROUPS if re.search(pattern, dso)), None)
        if group is None:
            bare = re.sub(r"\.(constprop|isra|part|cold|lto_priv).*$", "", symbol)
            group = owner.get(symbol) or owner.get(bare, f"vigia-{program}" if program != "broker" else "Java")
        rows.append((share, group, symbol))
    return sorted(rows, reverse=True)


def record(stage, pids, seconds):
    """Samples each program for `seconds`; returns the files."""
    files, running = {}, []
    for program, them in pids.items():
        if not them:
            continue
        files[program] = stage.dir / f"perf-{program}.data"
        running.append(subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-o", str(files[program]), "-p",
                                         ",".join(map(str, them)), "--", "sleep", str(seconds)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
    stage.running += running
    for process in running:
        _, told = process.communicate(timeout=seconds + 60)
        stage.running.remove(process)
        if process.returncode != 0:
            raise BenchError(f"perf: {told.decode(errors='replace').strip()[-300:]}")
    return files


def run(stage, args):
    if shutil.which("perf") is None:
        raise BenchError("perf is not installed (cross/setup bench)")
    owner, rows = owners(stage.bin.parent), []
    for log in args.log or LOGS:
        for batch in args.batch or (1, 10):
            found = {}
            one = throughput.once(stage, log, batch, args.devices, args.seconds, lanes=max(args.lanes or (1,)),
                                  during=lambda pids: found.update(record(stage, pids, max(1, args.seconds - 2))))
            print(f"\n{log}, {batch} per datagram: {one['per_s']:,.0f} readings/s")
            for program, data in found.items():
                functions = read(data, owner, program)
                data.unlink()
                if not functions:
                    raise BenchError(f"perf took no sample of the {program}")
                us = one[f"{program}_us"]
                groups = collections.Counter()
                for share, group, _ in functions:
                    groups[group] += share
                table((f"{program}, {us:.2f} µs per reading", "%", "µs"), [(g, f"{s:.1f}", f"{us * s / 100:.2f}") for g, s in groups.most_common(8)])
                table(("  function", "%", "of"), [(f"  {f[:60]}", f"{s:.1f}", g) for s, g, f in functions[:args.top]])
                rows += [{"log": log, "per_datagram": batch, "program": program, "us": us, "group": g, "function": f.replace(",", ";"), "share": s,
                          "echo_us": one["echo_us"], "other_pct": one["other_pct"]}
                         for s, g, f in functions[:60]]
                rows += [{"log": log, "per_datagram": batch, "program": program, "us": us, "group": g, "function": "*", "share": s,
                          "echo_us": one["echo_us"], "other_pct": one["other_pct"]}
                         for g, s in groups.items()]
    return rows


def evidence(stage, args, rows):
    r = Result("bench-profile", "Where the time goes, by program and library", began=stage.began,
               method=f"The load of bench-throughput for {args.seconds} s with perf sampling the CPU clock at {HERTZ} Hz in every program; functions are "
                      "given to the library that their name is in. Shares are of the program's samples, so they add up to its CPU time.",
               not_covered="Waiting: only time on a core is sampled. Inlined functions count for their caller.")
    for key in dict.fromkeys((x["log"], x["per_datagram"], x["program"]) for x in rows):
        groups = sorted(((x["share"], x["group"], x["us"]) for x in rows if (x["log"], x["per_datagram"], x["program"]) == key and x["function"] == "*"),
                        reverse=True)
        log, batch, program = key
        r.figure(f"{log}, {batch} per datagram: {program}", ", ".join(f"{g} {s:.0f} %" for s, g, _ in groups[:5]) + f", of {groups[0][2]:.2f} µs per reading")
    r.figure("raw UDP echo, both sides", median([x["echo_us"] for x in rows]), "µs of CPU time")
    r.figure("other work on the machine meanwhile, most", max(x["other_pct"] for x in rows), "% of all cores")
    if args.result:
        write_csv(r.raw_file(args.result, "csv"), rows)
    return r

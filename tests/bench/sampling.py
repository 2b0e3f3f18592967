"""Where a program's CPU time goes: perf's samples, by the library that a function's name is in."""
import collections
import contextlib
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess

from stage import BenchError

HERTZ = 997  # prime, so that it does not march in step with the programs' own timers
ATTACH_S, END_S = 30, 60
GROUPS = (("kernel", r"kernel|\[unknown\]|vdso"), ("libc", r"libc\.|libm\.|ld-linux|libpthread"), ("OpenSSL", r"libcrypto|libssl"))
ARCHIVES = (("Mbed TLS", r"mbed"), ("libcoap", r"coap"), ("librdkafka", r"rdkafka"), ("SQLite", r"sqlite"), ("tinycbor", r"cbor"),
            ("cJSON", r"cjson"))
TOLD = 5  # groups of a program that are named
# What would be done about what takes most of a program's time: program, group, of it the function that takes most, the step.
NEXT = (("collector", "kernel", "", "fewer system calls per datagram in the collector: several received and answered at once (recvmmsg, sendmmsg)"),
        ("collector", "vg_wire", "", "a decoder of packs and an encoder of records that touch each byte once"),
        ("collector", "SQLite", "", "fewer statements per reading: several rows to an INSERT"),
        ("collector", "librdkafka", "", "several readings to a record of the log, which a producer pays for one by one"),
        ("collector", "Mbed TLS", "", "a cipher suite that this processor has instructions for"),
        ("collector", "libcoap", "", "a shorter way from a datagram to its session and handler in libcoap"),
        ("alarm", "kernel", "", "fewer and larger reads by the processor, and commits further apart while there is a backlog"),
        ("alarm", "vg_wire", "", "a decoder of records that stops at the fields the rules read"),
        ("alarm", "vg_rules", "", "the sensors' states closer together in memory"),
        ("alarm", "libc", "cmp", "the sensors' states closer together in memory"),  # comparing the name is the first touch of a state
        ("alarm", "libc", "mem", "less copying between the log's batch and the rules"),
        ("alarm", "SQLite", "", "several readings to a row of the log, which SQLite reads one by one"),
        ("alarm", "librdkafka", "", "several readings to a record of the log, which a consumer pays for one by one"),
        ("broker", "", "", "the broker on a machine of its own, and more readings to each of its requests"),
        ("fleet", "", "", "the emulated devices on machines of their own"))


def needs_perf():
    if shutil.which("perf") is None:
        raise BenchError("perf is not installed (cross/setup bench)")


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
    """[(share of all samples, group, function)], greatest first. The file is removed."""
    out = subprocess.run(["perf", "report", "-i", str(data), "--stdio", "--no-children", "-s", "dso,sym", "--field-separator=|"],
                         capture_output=True, text=True).stdout
    data.unlink()
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
    if not rows:
        raise BenchError(f"perf took no sample of the {program}")
    return sorted(rows, reverse=True)


class Sampler:
    """perf on the processes of one program, sampling from when this is made."""

    def __init__(self, stage, program, pids):
        self.file = stage.dir / f"perf-{program}.data"
        (asked, self.ask), (self.answer, answered) = os.pipe(), os.pipe()  # perf ends when these are closed
        try:
            self.process = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-o", str(self.file), "-p",
                                             ",".join(map(str, pids)), "--delay", "-1", "--control", f"fd:{asked},{answered}"],
                                            pass_fds=(asked, answered), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        finally:
            os.close(asked)
            os.close(answered)
        stage.running.append(self.process)
        os.write(self.ask, b"enable\n")
        if not select.select([self.answer], [], [], ATTACH_S)[0] or not os.read(self.answer, 16).startswith(b"ack"):
            self.process.kill()
            raise BenchError(f"perf does not begin: {self.process.communicate()[1].decode(errors='replace').strip()[-300:]}")

    def end(self, stage):
        self.process.send_signal(signal.SIGINT)
        _, told = self.process.communicate(timeout=END_S)
        stage.running.remove(self.process)
        if self.process.returncode not in (0, -signal.SIGINT, 128 + signal.SIGINT):
            raise BenchError(f"perf ended with {self.process.returncode}: {told.decode(errors='replace').strip()[-300:]}")

    def close(self):
        os.close(self.ask)
        os.close(self.answer)


@contextlib.contextmanager
def sampled(stage, pids):
    """Samples programs (name -> processes) as long as the block lasts; gives name -> file, complete when the block is left."""
    samplers = {}
    try:
        for program, them in pids.items():
            if them:
                samplers[program] = Sampler(stage, program, them)
        yield {program: s.file for program, s in samplers.items()}
        for s in samplers.values():
            s.end(stage)
    finally:
        for s in samplers.values():
            s.close()


def groups_of(functions):
    """[(group, share)], greatest first."""
    groups = collections.Counter()
    for share, group, _ in functions:
        groups[group] += share
    return groups.most_common()


def next_for(program, group, functions):
    """What would be done about this group of a program, whose functions are [(share, group, function)]."""
    most = max((f for f in functions if f[1] == group), default=(0, group, group))[2]
    return next((step for p, g, part, step in NEXT if p == program and g in ("", group) and part in most),
                f"what {most} ({group}) does in the {'processor' if program == 'alarm' else program}")


def told(us, groups):
    """A program's CPU time per reading, by group."""
    return ", ".join(f"{g} {s:.0f} %" for g, s in groups[:TOLD]) + f", of {us:.2f} µs per reading"

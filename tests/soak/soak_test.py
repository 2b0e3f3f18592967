#!/usr/bin/env python3
"""The soak itself: what it refuses, that it ends what it begins, and that nothing is left of it when it is interrupted."""
import contextlib
import errno
import io
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
import disk_watch  # noqa: E402
import faults  # noqa: E402
import processes  # noqa: E402
PROGRAMS = pathlib.Path(os.environ["VIGIA_BINARY_DIR"]) / "bin"


def soak(*words):
    return subprocess.run([HERE / "soak", *words], capture_output=True, text=True, timeout=60)


def wrong_arguments_are_refused():
    for words, needle in ((["--bogus"], "--bogus"), (["--faults", "fire"], "fire"), (["--kills", "0"], "'0'"),
                          (["--patience", "0"], "'0'"), (["--gap", "2..1"], "2..1"),
                          (["--faults", "broker"], "--log kafka"), (["--brokers", "3"], "--log kafka"), (["--log", "tape"], "tape"),
                          (["--kill", "3"], "--kill"), (["--faults", "net", "--kills", "3"], "--kills"), (["--seconds", "3", "--kills", "3"], "not allowed")):
        done = soak("--programs", PROGRAMS, *words)
        assert done.returncode == 2 and needle in done.stderr.splitlines()[-1], (words, done)


def missing_programs_are_told_in_one_line():
    done = soak("--programs", "no/such/folder")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no/such/folder" in done.stderr, done


def a_folder_with_something_in_it_is_left_alone():
    done = soak("--programs", PROGRAMS, "--dir", HERE)
    assert done.returncode == 1 and "not empty" in done.stderr and (HERE / "soak").exists(), done


WAITER = """
import ctypes, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
cond, mutex = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
deadline = time.clock_gettime_ns(time.CLOCK_REALTIME) + int(sys.argv[1]) * 1_000_000
began = time.monotonic_ns()
print("waits", flush=True)
rc = libc.pthread_cond_timedwait(cond, mutex, struct.pack("qq", *divmod(deadline, 1_000_000_000)))
print(rc, (time.monotonic_ns() - began) // 1_000_000, flush=True)
"""


def wait_by_the_wall_clock(folder, wait_ms, offset_ms, then_ms=None):
    """How long a program waited that wants `wait_ms` by a wall clock that is moved, and stepped while it waits."""
    file = folder / "clock"
    file.write_bytes(struct.pack("q", offset_ms))
    shim = pathlib.Path(os.environ["VIGIA_BINARY_DIR"]) / "tests" / "fault_shim.so"
    child = subprocess.Popen([sys.executable, "-c", WAITER, str(wait_ms)], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "LD_PRELOAD": str(shim), "VIGIA_TEST_CLOCK": str(file)})
    try:
        assert child.stdout.readline() == "waits\n"
        if then_ms is not None:
            with open(file, "r+b") as word:
                word.write(struct.pack("q", then_ms))
        rc, took_ms = map(int, child.communicate(timeout=30)[0].split())
    finally:
        child.kill()
        child.wait()
    assert rc == errno.ETIMEDOUT, rc
    return took_ms


def a_program_waits_by_the_clock_that_it_sees():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for offset_ms in (0, -20_000, 20_000):
            took_ms = wait_by_the_wall_clock(folder, 200, offset_ms)
            assert 195 <= took_ms < 5000, (offset_ms, took_ms)
        took_ms = wait_by_the_wall_clock(folder, 20_000, 0, then_ms=3_600_000)
        assert took_ms < 10_000, took_ms
        took_ms = wait_by_the_wall_clock(folder, 500, 0, then_ms=-1500)
        assert 1500 <= took_ms < 10_000, took_ms


def a_disk_that_stands_still_is_told():
    ours, theirs = os.pipe()
    syncs = []

    def slow_sync(_):
        syncs.append(time.time_ns() // 1_000_000)
        threading.Event().wait(0.7 if len(syncs) == 4 else 0)
        if len(syncs) == 6:
            os.close(theirs)

    with tempfile.TemporaryDirectory() as folder, open(ours) as stdin, contextlib.redirect_stdout(io.StringIO()) as told, \
            unittest.mock.patch("sys.stdin", stdin), unittest.mock.patch("os.fdatasync", slow_sync):
        disk_watch.watch(f"{folder}/watched")
    still, looks = map(json.loads, told.getvalue().splitlines())
    assert looks == {"looks": 3}, looks
    assert abs(still["begin_ms"] - syncs[3]) < 100 and 700 <= still["end_ms"] - still["begin_ms"] < 5000, (still, syncs)
    lines = [{"begin_ms": b, "end_ms": e} for b, e in ((1000, 1600), (1800, 4000), (9000, 9600))] + [{"looks": 9}]
    watch = disk_watch.DiskWatch.__new__(disk_watch.DiskWatch)
    watch.stills, watch.looks, watch.processes = [], 0, []
    for told in (lines[:2] + lines[3:], [lines[2], {"looks": 7}]):
        watch.processes.append(subprocess.Popen(["printf", "%s\\n", *map(json.dumps, told)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    watch.end()
    assert watch.stills == [(1000, 4000), (9000, 9600)] and watch.looks == 7, (watch.stills, watch.looks)


class Disk:
    def __init__(self):
        self.full = 0

    def set(self, value):
        self.full = value


class Daemon:
    """A program that only says whether it runs."""

    def __init__(self):
        self.up, self.started_ms = True, 0

    def runs(self):
        return self.up

    def start(self):
        self.up = True


def a_fault_under_way_is_carried_to_its_end():
    disks, daemon = {"log": Disk(), "card": Disk()}, Daemon()
    world = types.SimpleNamespace(args=types.SimpleNamespace(seed=3, log="sqlite", gap=(0.3, 0.6)), disks=disks, agents=[daemon],
                                  collectors=[daemon], processors=[daemon], note=lambda *_, **line: line,
                                  kill=lambda program: vars(program).update(up=False) or {})
    done = types.SimpleNamespace(full_disks=0, kills=0)
    hurt = {"disk": lambda: any(disk.full for disk in disks.values()), "kill": lambda: not daemon.up}
    for name, is_hurt in hurt.items():
        fault, waited = faults.Fault(name, world, done), []
        while not fault.busy:
            assert not is_hurt()
            fault.go_on()
        assert is_hurt()
        fault.finish(waited.append)
        assert not fault.busy and not is_hurt() and sum(waited) <= 0.2, (name, waited)
        fault.finish(waited.append)  # nothing is under way now: nothing begins
        assert not is_hurt()
    assert (done.full_disks, done.kills) == (1, 1), done


# What the kernel kills because its parent is gone dies a moment after it: a process that was being started when the signal came, or
# the helper that looks for leaks in one that was just ending.
DYING_S = 5


def nothing_is_left_when_it_is_interrupted():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        running = subprocess.Popen([HERE / "soak", "--programs", PROGRAMS, "--seconds", "60", "--seed", "5"], stdout=subprocess.PIPE, text=True)
        try:
            folder = re.search(r" in (/\S+)$", running.stdout.readline()).group(1)
            while len(processes.that_name(folder)) < 7 and running.poll() is None:
                pass  # four agents, two collectors, a processor
            running.send_signal(number)
            assert running.wait(30) == 128 + number, running.returncode
        finally:
            running.kill()
            running.wait()
        assert not pathlib.Path(folder).exists(), folder
        deadline = time.monotonic() + DYING_S
        while left := processes.that_name(folder):
            assert time.monotonic() < deadline, left


def main():
    for test in (wrong_arguments_are_refused, missing_programs_are_told_in_one_line, a_folder_with_something_in_it_is_left_alone,
                 a_program_waits_by_the_clock_that_it_sees, a_disk_that_stands_still_is_told,
                 a_fault_under_way_is_carried_to_its_end, nothing_is_left_when_it_is_interrupted):
        test()
        print("ok  ", test.__name__.replace("_", " "))
    return 0


sys.exit(main())

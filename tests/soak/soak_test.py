#!/usr/bin/env python3
"""The soak itself: what it refuses, and that nothing is left of it when it is interrupted."""
import os
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = pathlib.Path(os.environ["VIGIA_BINARY_DIR"]) / "bin"


def soak(*words):
    return subprocess.run([HERE / "soak", *words], capture_output=True, text=True, timeout=60)


def wrong_arguments_are_refused():
    for words, needle in ((["--bogus"], "--bogus"), (["--faults", "fire"], "fire"), (["--kills", "0"], "'0'"), (["--gap", "2..1"], "2..1"),
                          (["--faults", "broker"], "--log kafka"), (["--brokers", "3"], "--log kafka"), (["--log", "tape"], "tape"),
                          (["--faults", "net", "--kills", "3"], "--kills"), (["--seconds", "3", "--kills", "3"], "not allowed")):
        done = soak("--programs", PROGRAMS, *words)
        assert done.returncode == 2 and needle in done.stderr.splitlines()[-1], (words, done)


def missing_programs_are_told_in_one_line():
    done = soak("--programs", "no/such/folder")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no/such/folder" in done.stderr, done


def a_folder_with_something_in_it_is_left_alone():
    done = soak("--programs", PROGRAMS, "--dir", HERE)
    assert done.returncode == 1 and "not empty" in done.stderr and (HERE / "soak").exists(), done


def processes_that_name(folder):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and folder.encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            pass  # it has just ended
    return found


def nothing_is_left_when_it_is_interrupted():
    for number in (signal.SIGTERM, signal.SIGINT):
        running = subprocess.Popen([HERE / "soak", "--programs", PROGRAMS, "--seconds", "60", "--seed", "5"], stdout=subprocess.PIPE, text=True)
        try:
            folder = re.search(r" in (/\S+)$", running.stdout.readline()).group(1)
            while len(processes_that_name(folder)) < 7 and running.poll() is None:
                pass  # four agents, two collectors, a processor
            running.send_signal(number)
            assert running.wait(30) == 128 + number, running.returncode
        finally:
            running.kill()
            running.wait()
        assert not pathlib.Path(folder).exists(), folder
        assert not processes_that_name(folder), processes_that_name(folder)


def main():
    for test in (wrong_arguments_are_refused, missing_programs_are_told_in_one_line, a_folder_with_something_in_it_is_left_alone,
                 nothing_is_left_when_it_is_interrupted):
        test()
        print("ok  ", test.__name__.replace("_", " "))
    return 0


sys.exit(main())

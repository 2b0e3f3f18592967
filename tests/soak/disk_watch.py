#!/usr/bin/env python3
"""Watches whether the disk of a soak answers, beside the programs that are judged and without asking them.

On each core a process of its own syncs a small file four times a second, once grown and once written over, and tells each sync that took
longer than STILL_MS. The first kind waits for the file system's journal, the second only for the device to empty its cache; under
load a queue of the device, of which each core may have one, may let the second kind wait for up to 5 s while the first gets through
(Linux, block/blk-flush.c). An agent that is killed while its sync is held so cannot have committed what it heard since then, and no alarm is
stored before the disk goes on: so that time is no one's fault, does not count in what a kill may cost and in what an alarm may take
(bounds.py), and is told.
"""
import json
import os
import select
import subprocess
import sys
import time

EACH_S = 0.25
STILL_MS = 500
NEAR_MS = 1000      # what comes so soon after one is the same standstill: a few writes got through
FILE_MAX = 65536
STOP_S = 120


def sync(file):
    """Tells when it took long."""
    begin, wall_ms = time.monotonic(), time.time_ns() // 1_000_000
    os.fdatasync(file.fileno())
    took_ms = int((time.monotonic() - begin) * 1000)
    if took_ms > STILL_MS:
        print(json.dumps({"begin_ms": wall_ms, "end_ms": wall_ms + took_ms}), flush=True)


def watch(path):
    """Until standard input ends: a line for each sync that took long, and one with the number of looks."""
    looks = size = 0
    with open(path, "wb", buffering=0) as file:
        while not select.select([sys.stdin], [], [], EACH_S)[0]:
            if size >= FILE_MAX:
                file.truncate(0)
                size = 0
            size += os.pwrite(file.fileno(), b"\0" * 512, size)
            sync(file)
            os.pwrite(file.fileno(), b"\1" * 512, 0)
            sync(file)
            looks += 1
    print(json.dumps({"looks": looks}), flush=True)


def merged(stills):
    """Standstills in order, those together that are near to each other."""
    out = []
    for begin, end in sorted(stills):
        if out and begin <= out[-1][1] + NEAR_MS:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((begin, end))
    return out


class DiskWatch:
    def __init__(self, folder):
        self.processes = [subprocess.Popen([sys.executable, __file__, folder / f"watched-{core}", str(core)], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True, start_new_session=True)  # a Ctrl-C is for the soak
                          for core in sorted(os.sched_getaffinity(0))]
        self.stills, self.looks = [], 0

    def end(self):
        """Ends the watch; then `stills` has (begin, end) of each time the disk stood still, true time in ms, in order, and `looks` the
        number of looks of that core which had fewest."""
        looks, stills = [], []
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            for line in map(json.loads, process.stdout.read().splitlines()):
                if "looks" in line:
                    looks.append(line["looks"])
                else:
                    stills.append((line["begin_ms"], line["end_ms"]))
        if self.processes:
            self.looks = min(looks) if len(looks) == len(self.processes) else 0
            self.stills = merged(stills)
        self.processes = []


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    watch(sys.argv[1])

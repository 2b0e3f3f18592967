#!/usr/bin/env python3
"""Watches whether the disk of a soak answers, beside the programs that are judged and without asking them.

A process of its own syncs a small file four times a second and tells each sync that took longer than STILL_MS. An agent that is killed
while the disk stands still cannot have committed what it heard since then, and no alarm is stored before the disk goes on: so the time
that it stood still is no one's fault, is added to what a kill may cost and to what an alarm may take, and is told.
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
FILE_MAX = 65536    # it always grows, so that each sync waits for the file system's journal too, as that of a growing write-ahead log does
STOP_S = 120


def watch(path):
    """Until standard input ends: a line for each sync that took long, and one with their number."""
    looks = 0
    with open(path, "wb", buffering=0) as file:
        while not select.select([sys.stdin], [], [], EACH_S)[0]:
            if file.tell() >= FILE_MAX:
                file.seek(0)
                file.truncate()
            file.write(b"\0" * 512)
            begin, wall_ms = time.monotonic(), time.time_ns() // 1_000_000
            os.fdatasync(file.fileno())
            took_ms = int((time.monotonic() - begin) * 1000)
            looks += 1
            if took_ms > STILL_MS:
                print(json.dumps({"begin_ms": wall_ms, "end_ms": wall_ms + took_ms}), flush=True)
    print(json.dumps({"looks": looks}), flush=True)


class DiskWatch:
    def __init__(self, folder):
        self.process = subprocess.Popen([sys.executable, __file__, folder / "watched"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)  # a Ctrl-C is for the soak: the end of its input ends it
        self.stills, self.looks = [], 0

    def end(self):
        """Ends the watch; then `stills` has (begin, end) of each time the disk stood still, true time in ms, in order, and `looks` the
        number of syncs."""
        if self.process.stdin.closed:
            return
        try:
            told, _ = self.process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            told, _ = self.process.communicate()
        for line in map(json.loads, told.splitlines()):
            if "looks" in line:
                self.looks = line["looks"]
            elif self.stills and line["begin_ms"] <= self.stills[-1][1] + NEAR_MS:
                self.stills[-1] = (self.stills[-1][0], line["end_ms"])
            else:
                self.stills.append((line["begin_ms"], line["end_ms"]))

    def stood_still_ms(self, at_ms, before_ms):
        """For how long before `at_ms` it had stood still, then or less than `before_ms` ago."""
        return max((at_ms - begin for begin, end in self.stills if begin <= at_ms <= end + before_ms), default=0)

    def moments(self):
        """Moments of all these times, near to each other, and their ends."""
        return sorted(at for begin, end in self.stills for at in (*range(begin, end, STILL_MS), end))


if __name__ == "__main__":
    watch(sys.argv[1])

"""How busy the machine was: CPU time of all cores, of a program with all its descendants, and so what others took."""
import ctypes
import os
import pathlib
import time

TICK = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


def machine_s():
    """Busy and stolen time of all cores together."""
    f = [int(x) / TICK for x in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return f[0] + f[1] + f[2] + f[5] + f[6], f[7]


def adopt():
    """From now on a descendant whose parent has ended is a child of this process, so that its CPU time is counted here."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no subreaper")


def reap(seconds):
    """Waits for all children, and for descendants that came to be; returns the pids of those that are still there after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return []
        if time.monotonic() > deadline:
            return children(os.getpid())
        time.sleep(0.05)  # between two looks


def children(parent):
    out = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rsplit(")", 1)[1].split()[1]) == parent:
                out.append(int(path.parent.name))
        except OSError:
            pass  # it has ended meanwhile
    return out


def own_s():
    """CPU time of this process and of every descendant that has ended."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


class Load:
    """Over a span at whose end every descendant has ended: what the program took, and what others did (the kernel's threads are in it)."""

    def __init__(self):
        self.began, self.machine, self.own = time.monotonic(), machine_s(), own_s()

    def told(self):
        wall = max(time.monotonic() - self.began, 0.001) * os.cpu_count()
        (busy, stolen), own = machine_s(), own_s() - self.own
        return {"own_cpu_s": round(own, 2), "other_pct": round(max(0.0, 100 * (busy - self.machine[0] - own) / wall), 1),
                "steal_pct": round(100 * (stolen - self.machine[1]) / wall, 1)}

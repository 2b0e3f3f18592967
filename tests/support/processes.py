"""Processes that tools and tests begin: that they end with who began them, and which are there."""
import ctypes
import os
import pathlib
import signal

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with(parent):
    """For preexec_fn: SIGKILL when `parent`, the process that begins it, ends, or the thread of it that does so."""
    def ask():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it has died between the fork and the asking
    return ask


def that_name(folder):
    """pid -> command line, of each process whose command line names the folder."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()  # once: a moment later it may have ended
        except OSError:
            continue  # it has ended meanwhile
        if str(folder).encode() in words:
            found[path.parent.name] = words.replace(b"\0", b" ").decode(errors="replace")
    return found

"""Calls out of our programs: where they stand in the code, which of them a run came by, and which no scenario comes by.

A place is a call instruction: (file:line, function called, which of several on that line). interpose.c counts the calls of every place in
memory that survives the program."""
import collections
import errno
import functools
import mmap
import os
import pathlib
import re
import struct
import subprocess

from world import ROOT

FAULTS, SITES = 4, 4096  # as in interpose.c
FIRED, SITE = struct.Struct(f"={FAULTS}Q"), struct.Struct("=QQ24s")
CALL = re.compile(r"^ *([0-9a-f]+):\s+call\s+[0-9a-f]+ <vgs_own_(\w+)>\n *([0-9a-f]+):", re.M)
# What cannot be made to fail: it has no error to give, glibc's never fails, or only the command line uses it, on its standard output
# (own_calls.h has all others). A function that is in neither list is a gap in the sweep, and a failure.
HARMLESS = set("""
_exit atexit clock_gettime closedir dirname exit explicit_bzero ferror free freeaddrinfo frexp ftell gai_strerror getenv getopt_long getpid
getpwuid getrlimit getrusage getuid gmtime_r inet_pton isatty ldexp memchr memcmp memcpy memmem memmove memrchr memset nanosleep optarg
optind pause printf pthread_attr_destroy pthread_attr_init pthread_attr_setstacksize pthread_cond_broadcast pthread_cond_destroy
pthread_cond_init pthread_cond_signal pthread_cond_timedwait pthread_cond_wait pthread_condattr_destroy pthread_condattr_init
pthread_condattr_setclock pthread_detach pthread_join pthread_mutex_destroy pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock
pthread_once pthread_sigmask putchar puts qsort raise round setrlimit sigaddset sigemptyset sigfillset signal sigprocmask sin snprintf
stderr stdin stdout strcasecmp strchr strcmp strcspn strerror strlen strncmp strnlen strrchr strspn strstr strtod strtod_l strtoul strtoull
toupper umask usleep vfprintf vsnprintf fmod floor ceil pow exp log gettid sched_yield""".split())
OURS = ("vg", "sqlite3_", "coap_", "rd_", "cJSON_", "cbor_", "_cbor_", "MHD_", "mbedtls_", "ini_", "cli_", "__", "_GLOBAL_")


def unswept(build):
    """Functions that our own objects call, and that the sweep neither fails nor knows to be harmless."""
    objects = [str(o) for part in ("lib", "edge", "collector") for o in (build / part).rglob("*.o")]
    if not objects:
        raise SystemExit(f"calls: no objects in {build}")
    out = subprocess.run(["nm", "-u", *objects], capture_output=True, text=True, timeout=60).stdout
    names = {line.split()[1] for line in out.splitlines() if line.strip().startswith("U ")}
    return sorted(n for n in names if not n.startswith(OURS) and n not in HARMLESS)


def place_of(line):
    """A file of ours as it is named here, wherever it was compiled; of another file the last two names."""
    names = os.path.normpath(line).lstrip("/").split("/")
    for first in range(len(names) - 1):
        if (ROOT / "/".join(names[first:]).rpartition(":")[0]).is_file():
            return "/".join(names[first:])
    return "/".join(names[-2:])


def located(program, addresses):
    """[(function, file:line)] of addresses in a program."""
    if not addresses:
        return []
    out = subprocess.run(["addr2line", "-fe", program, *map(hex, addresses)], capture_output=True, text=True, timeout=120, check=True)
    told = [line.split(" (")[0] for line in out.stdout.splitlines()]
    return [(function, place_of(line)) for function, line in zip(told[::2], told[1::2], strict=True)]


@functools.lru_cache(None)
def calls_of(program):
    """{return address: (file:line, function called, which one on that line, function that calls)} of our own calls in a program."""
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], capture_output=True, text=True, timeout=120, check=True).stdout
    found = [(int(m[1], 16), m[2], int(m[3], 16)) for m in CALL.finditer(out)]
    seen, calls = collections.Counter(), {}
    for (_, name, back), (function, line) in zip(found, located(program, [at for at, _, _ in found]), strict=True):
        seen[line, name] += 1
        calls[back] = (line, name, seen[line, name], function)
    if not calls:
        raise SystemExit(f"calls: {program} has no calls of its own: build the preset faults")
    return calls


def errors():
    """{function: the error that interpose.c gives it}"""
    text, out = pathlib.Path(__file__).with_name("interpose.c").read_text(encoding="utf-8"), {"close": "EIO", "open": "EMFILE", "open64": "EMFILE"}
    for name, rest in re.findall(r"^CALL\([^,]+, (\w+),(.*?)\)\n(?=CALL|/|\n)", text, re.M | re.S):
        out[name] = ([e for e in re.findall(r"\bE[A-Z]+\b", rest) if e != "EOF"] or ["EIO"])[-1]
    out["fprintf"] = "ENOSPC"
    return {name: os.strerror(getattr(errno, which)) for name, which in out.items()} | {"getaddrinfo": "Memory allocation failure"}


class Told:
    """The memory that a program shares with us, and that survives it."""

    def __init__(self, path):
        size = FIRED.size + SITES * SITE.size
        path.write_bytes(bytes(size))
        self.path, self.file = path, open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), size)

    def clear(self):
        self.map[:] = bytes(len(self.map))

    def fired(self):
        """How often each fault has happened."""
        return FIRED.unpack_from(self.map)

    def sites(self):
        """{return address: (calls, function called)}"""
        return {at: (calls, name.split(b"\0")[0].decode()) for at, calls, name in SITE.iter_unpack(self.map[FIRED.size:]) if at}


def unreached(programs, reached):
    """Places of our own code in `programs` ({name: path}) that are not among `reached`: {place: names of the programs that hold it}."""
    left = collections.defaultdict(list)
    for name, path in programs.items():
        for place in calls_of(path).values():
            if place[:3] not in reached:
                left[place].append(name)
    return left


def reasons(path=pathlib.Path(__file__).with_name("unreached")):
    """Why no scenario comes by: {(function that calls, function called or "*"): reason}."""
    why, out = "", {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            why = line[1:].strip()
        elif line.strip():
            function, *names = line.split()
            out.update({(function, name): why for name in names})
    return out

"""Free ports for servers that a test starts, and may kill and start again."""
import os
import pathlib
import random
import socket

_random = random.Random(os.getpid() ^ int.from_bytes(os.urandom(4), "big"))


def free_port(kind=socket.SOCK_DGRAM):
    """A loopback port that is free now, below the range that outgoing sockets are given, so that nobody's client takes it before
    its server does or while that is dead."""
    high = 32000
    try:
        high = min(high, int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    except OSError:
        pass
    for _ in range(1000):
        port = _random.randrange(10000, high)
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port found in 1,000 tries")

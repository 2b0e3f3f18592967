#!/usr/bin/env python3
"""Listens to a Kafka broker's port on loopback, and writes a line for every request that was answered:

  capture.py PORT FILE      until SIGTERM; "ready" on standard output once it listens; needs CAP_NET_RAW

FILE has comma-separated columns: `sent` and `answered`, seconds since 1970 by the kernel's stamp of the packet that had the first byte,
`client` (its client.id), `connection` (its port), `api` (its number, as in the Kafka protocol guide), `bytes` and `answer_bytes` with their
sizes. Only headers are looked at. A last line `#lost N` says how many packets the kernel dropped: with one, later lines of a connection
may be missing, and the measurement does not count.
"""
import ctypes
import os
import signal
import socket
import struct
import sys
import time

ETH_P_IP = 0x0800  # a listener to one protocol sees a packet of loopback once, as it comes
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS, SOL_PACKET, PACKET_STATISTICS = 26, 33, 35, 263, 6
ROOM = 64 << 20  # bytes of packets that may wait for this program
LONGEST = 1 << 17


def tcp_of(port):
    """A classic BPF program: IPv4, TCP, no fragment, from or to this port; the whole packet. Offsets from the IP header."""
    jump = [(0x30, 0, 0, 9), (0x15, 0, 7, 6), (0x28, 0, 0, 6), (0x45, 5, 0, 0x1fff), (0xb1, 0, 0, 0),
            (0x48, 0, 0, 0), (0x15, 3, 0, port), (0x48, 0, 0, 2), (0x15, 1, 0, port), (6, 0, 0, 0), (6, 0, 0, 0x7fffffff)]
    return b"".join(struct.pack("=HBBI", *line) for line in jump)


def listen(port):
    code = tcp_of(port)
    buffer = ctypes.create_string_buffer(code)
    # SOCK_DGRAM: packets come from their IP header on, whatever the device's.
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))
    try:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    except PermissionError:  # without CAP_NET_ADMIN: as much as the system allows; what is lost is told
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    s.bind(("lo", ETH_P_IP))
    return s


class Stream:
    """One direction of a connection: messages, each led by its length. Gives what lies at the beginning of each."""

    HEAD = 80  # enough for a request's header with its client.id

    def __init__(self, at):
        self.at = at          # sequence number of the next byte that is not known
        self.skip = 0         # bytes of the message under way that are still to come and not looked at
        self.head = b""       # of a message whose head has not all come
        self.began = 0.0
        self.ahead = {}       # came before what lies before it

    def feed(self, seq, payload, when):
        """[(when its first byte came, its size, its head)]"""
        out = []
        self.ahead[seq] = (payload, when)
        while self.ahead:
            first = next((q for q in self.ahead if (self.at - q) & 0xffffffff < 1 << 31), None)
            if first is None:
                break
            payload, when = self.ahead.pop(first)
            fresh = payload[(self.at - first) & 0xffffffff:]
            self.at = (self.at + len(fresh)) & 0xffffffff
            self._eat(fresh, when, out)
        return out

    def _eat(self, data, when, out):
        while data:
            step = min(self.skip, len(data))
            self.skip -= step
            data = data[step:]
            if not data:
                return
            if not self.head:
                self.began = when
            size = None
            if len(self.head) + len(data) >= 4:
                size = struct.unpack(">I", (self.head + data[:4])[:4])[0]
            want = self.HEAD if size is None else min(self.HEAD, size + 4)
            take = data[:want - len(self.head)]
            self.head += take
            data = data[len(take):]
            if size is not None and len(self.head) == want:
                out.append((self.began, size, self.head[4:]))
                self.skip = size + 4 - want
                self.head = b""


class Listener:
    """Packets of one broker -> rows of answered requests."""

    def __init__(self, port):
        self.port = port
        self.streams = {}
        self.waiting = {}  # (client's port, correlation id) -> a request

    def packet(self, data, when):
        header, total, source, target = (data[0] & 15) * 4, *struct.unpack_from(">H", data, 2), *struct.unpack_from(">HH", data, (data[0] & 15) * 4)
        seq, = struct.unpack_from(">I", data, header + 4)
        payload = data[header + (data[header + 12] >> 4) * 4:total or len(data)]
        key = (source, target)
        if data[header + 13] & 2:  # SYN: the port may have been another connection's
            self.streams[key] = Stream((seq + 1) & 0xffffffff)
        elif payload and key in self.streams:
            for message in self.streams[key].feed(seq, payload, when):
                yield from (self._request(source, *message) if target == self.port else self._answer(target, *message))

    def _request(self, port, when, size, head):
        api, _, correlation, length = struct.unpack_from(">hhih", head)
        self.waiting[port, correlation] = (when, head[10:10 + max(0, length)].decode(errors="replace"), api, size)
        return ()

    def _answer(self, port, when, size, head):
        asked = self.waiting.pop((port, struct.unpack_from(">i", head)[0]), None)
        if asked:
            sent, client, api, asked_size = asked
            yield f"{sent:.6f},{when:.6f},{client},{port},{api},{asked_size},{size}"


def main():
    if len(sys.argv) != 3 or not sys.argv[1].isdigit():
        print(f"capture: accepted: PORT FILE, not {' '.join(sys.argv[1:])!r}", file=sys.stderr)
        return 2
    ends, parent = [], os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: ends.append(time.time()))
    try:
        s = listen(int(sys.argv[1]))
    except PermissionError:
        print("capture: the right to listen to packets is missing (CAP_NET_RAW): run it as root", file=sys.stderr)
        return 77
    s.settimeout(0.2)
    listener = Listener(int(sys.argv[1]))
    with open(sys.argv[2], "w") as out:
        out.write("sent,answered,client,connection,api,bytes,answer_bytes\n")
        print("ready", flush=True)
        when = 0
        while not ends or when < ends[0]:  # what waits already is still heard
            try:
                data, more, _, _ = s.recvmsg(LONGEST, 64)
            except TimeoutError:
                if ends or os.getppid() != parent:  # or whoever asked for it is gone
                    break
                continue
            seconds, ns = struct.unpack("qq", next(v for _, kind, v in more if kind == SO_TIMESTAMPNS)[:16])
            when = seconds + ns / 1e9
            for row in listener.packet(data, when):
                out.write(row + "\n")
        dropped = struct.unpack("II", s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        out.write(f"#lost {dropped}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

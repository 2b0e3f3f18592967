#!/usr/bin/env python3
"""A UDP proxy that behaves badly on purpose, always in the same way for the same seed.

  udp_proxy.py --to HOST:PORT [--listen HOST:PORT] [--seed N] [--loss P] [--dup P] [--corrupt P] [--reorder P]
               [--delay MS[..MS]] [--rebind N [--rebind-after M]] [--for SECONDS]

Prints "listening PORT" at once and a JSON line of counts when it ends (SIGTERM, SIGINT, SIGHUP, --for, or end of standard input with
--stdin). Probabilities are parts of 1 and apply to both directions. --reorder holds a datagram back until the next one
in its direction has passed (at most 200 ms). --rebind N sends every N datagrams of a client from a new source port, as
a forgetful NAT would, from the client's datagram M on (a handshake knows no Connection ID yet: it takes 3); answers to
older ports still arrive. With --stdin the lines "blackhole on" and "blackhole off"
stop and start everything.

In Python: with UdpProxy(("127.0.0.1", 5684), rebind=2) as proxy: proxy.port, proxy.counts, proxy.blackhole = True
"""
import argparse
import heapq
import json
import random
import selectors
import signal
import socket
import sys
import threading
import time

OLD_PORTS = 16  # a client's former source ports that still take answers
REORDER_LIMIT_S = 0.2
CLIENTS_MAX = 4096
CLIENT_IDLE_S = 120  # a client that was silent for so long is forgotten, with its ports


class _Client:
    def __init__(self, address):
        self.address = address
        self.sockets = []  # newest last
        self.datagrams = 0
        self.heard = time.monotonic()
        self.held = {}  # direction -> (deadline, data)


class UdpProxy:
    def __init__(self, to, listen=("127.0.0.1", 0), seed=1, loss=0.0, dup=0.0, corrupt=0.0, reorder=0.0,
                 delay_ms=(0, 0), rebind=0, rebind_after=0):
        self.to, self.loss, self.dup, self.corrupt, self.reorder = to, loss, dup, corrupt, reorder
        self.delay_ms, self.rebind, self.rebind_after = delay_ms, rebind, rebind_after
        self.blackhole = False
        self.counts = dict(up=0, down=0, lost=0, duplicated=0, corrupted=0, reordered=0, delayed=0, rebound=0, blackholed=0)
        self._random = random.Random(seed)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(listen)
        self._front.setblocking(False)
        self.port = self._front.getsockname()[1]
        self._clients, self._owner = {}, {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ)
        self._next_sweep = time.monotonic() + CLIENT_IDLE_S
        self._later, self._order = [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        self._stop.set()
        self._thread.join(5)
        self._selector.close()
        for s in [self._front, *self._owner]:
            s.close()

    def _chance(self, p):
        return p > 0 and self._random.random() < p

    def _upstream(self, client):
        beyond = client.datagrams - self.rebind_after
        if not client.sockets or (self.rebind and beyond >= 0 and beyond % self.rebind == 0):
            if client.sockets:
                self.counts["rebound"] += 1
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.connect(self.to)
            # A refusal (ICMP) makes it ready; a send may take that away before the receive, which then would wait for ever.
            s.setblocking(False)
            client.sockets.append(s)
            self._owner[s] = client
            self._selector.register(s, selectors.EVENT_READ)
            while len(client.sockets) > OLD_PORTS:
                self._drop(client.sockets.pop(0))
        client.datagrams += 1
        return client.sockets[-1]

    def _drop(self, s):
        self._selector.unregister(s)
        del self._owner[s]
        s.close()

    def _sweep(self):
        """Forgets clients that are gone: each start of a program is a new one."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + CLIENT_IDLE_S / 4
        for address, client in list(self._clients.items()):
            if now - client.heard > CLIENT_IDLE_S:
                del self._clients[address]
                while client.sockets:
                    self._drop(client.sockets.pop())

    def _deliver(self, client, direction, data):
        try:
            if direction == "up":
                self._upstream(client).send(data)
            else:
                self._front.sendto(data, client.address)
            self.counts[direction] += 1
        except OSError:
            pass  # nobody there: UDP says nothing, and neither does the proxy

    def _plan(self, client, direction, data):
        low, high = self.delay_ms
        wait = self._random.uniform(low, high) / 1000 if high > 0 else 0
        if wait == 0:
            self._deliver(client, direction, data)
            return
        self.counts["delayed"] += 1
        self._order += 1
        heapq.heappush(self._later, (time.monotonic() + wait, self._order, client, direction, data))

    def _pass(self, client, direction, data):
        if self.blackhole:
            self.counts["blackholed"] += 1
            return
        if self._chance(self.loss):
            self.counts["lost"] += 1
            return
        if self._chance(self.corrupt):
            self.counts["corrupted"] += 1
            at = self._random.randrange(len(data)) if data else 0
            data = data[:at] + bytes([data[at] ^ (1 << self._random.randrange(8))]) + data[at + 1:] if data else data
        copies = 1
        if self._chance(self.dup):
            self.counts["duplicated"] += 1
            copies = 2
        if direction not in client.held and self._chance(self.reorder):
            self.counts["reordered"] += 1
            client.held[direction] = (time.monotonic() + REORDER_LIMIT_S, data)
            return
        for _ in range(copies):
            self._plan(client, direction, data)
        if direction in client.held:
            self._plan(client, direction, client.held.pop(direction)[1])

    def _timers(self):
        now, next_at = time.monotonic(), None
        for client in self._clients.values():
            for direction in list(client.held):
                deadline, data = client.held[direction]
                if deadline <= now:
                    del client.held[direction]
                    self._plan(client, direction, data)
                else:
                    next_at = deadline if next_at is None else min(next_at, deadline)
        while self._later and self._later[0][0] <= now:
            _, _, client, direction, data = heapq.heappop(self._later)
            self._deliver(client, direction, data)
        if self._later:
            next_at = self._later[0][0] if next_at is None else min(next_at, self._later[0][0])
        return 0.1 if next_at is None else max(0.0, min(0.1, next_at - now))

    def _run(self):
        while not self._stop.is_set():
            ready = self._selector.select(self._timers())
            self._sweep()
            for s in [key.fileobj for key, _ in ready]:
                if s is not self._front and s not in self._owner:
                    continue  # dropped a moment ago
                try:
                    data, address = s.recvfrom(65535)
                except OSError:
                    continue
                if s is not self._front:
                    self._pass(self._owner[s], "down", data)
                    continue
                client = self._clients.get(address)
                if client is None:
                    if len(self._clients) >= CLIENTS_MAX:
                        continue
                    client = self._clients[address] = _Client(address)
                client.heard = time.monotonic()
                self._pass(client, "up", data)


def _endpoint(text):
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    p.add_argument("--to", required=True, type=_endpoint)
    p.add_argument("--listen", default=("127.0.0.1", 0), type=_endpoint)
    p.add_argument("--seed", type=int, default=1)
    for name in ("loss", "dup", "corrupt", "reorder"):
        p.add_argument("--" + name, type=float, default=0.0)
    p.add_argument("--delay", default="0", help="milliseconds, or FROM..TO")
    p.add_argument("--rebind", type=int, default=0)
    p.add_argument("--rebind-after", type=int, default=0)
    p.add_argument("--for", dest="seconds", type=float, default=3600)
    p.add_argument("--stdin", action="store_true")
    a = p.parse_args()
    low, _, high = a.delay.partition("..")
    done = threading.Event()
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda *_: done.set())
    with UdpProxy(a.to, a.listen, a.seed, a.loss, a.dup, a.corrupt, a.reorder, (float(low), float(high or low)),
                  a.rebind, a.rebind_after) as proxy:
        print("listening", proxy.port, flush=True)

        def commands():
            for line in sys.stdin:
                if line.split()[:1] == ["blackhole"]:
                    proxy.blackhole = line.split()[1:] == ["on"]
            done.set()

        if a.stdin:
            threading.Thread(target=commands, daemon=True).start()
        done.wait(a.seconds)
    print(json.dumps({"seed": a.seed, **proxy.counts}), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the soak judges beside the checker, judged: what a kill may cost, which time does not count, times to resume, what faults did.

A figure that cannot miss its target proves nothing: so each is given what it must not let pass."""
import json
import pathlib
import socket
import sqlite3
import struct
import sys
import tempfile
import threading
import types

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "checker", HERE.parent / "evidence"):
    sys.path.insert(0, str(folder))
import bounds  # noqa: E402
import faults  # noqa: E402
import journal  # noqa: E402
import judge  # noqa: E402
import judged  # noqa: E402
import resume  # noqa: E402
from result import Result  # noqa: E402
from udp_proxy import UdpProxy  # noqa: E402  (faults has made it known)

START = 1_795_000_000_000
ANSWER_S = 10


def a_kill_may_cost_what_had_no_time_for_its_commit():
    for stills, killed, urgent in (((), 10_000, 500),
                                   (((2000, 9400),), 10_000, 500),    # over long enough before: what was said before it was committed since
                                   (((2000, 9600),), 10_000, 8350),   # the disk answered for 0.4 s only since, and 0.1 s before it
                                   (((9000, 12_000),), 10_000, 1750),  # it stands still as the kill comes
                                   (((2000, 5000), (9900, 10_500)), 10_000, 850),
                                   (((8000, 9500), (9900, 10_500)), 10_000, 2600),
                                   (((10_300, 11_000),), 10_000, 500)):
        assert bounds.windows_ms(killed, stills) == (urgent + bounds.GROUP_MS, urgent), (stills, bounds.windows_ms(killed, stills))


def the_group_waits_for_its_dead_and_no_longer():
    session, take = bounds.SESSION_MS, bounds.TAKE_OVER_MS
    assert bounds.without_group([(1000, 1100)]) == [(1000, 1000 + session + take)]
    # One that dies while the next generation forms is in it, dead; a third then costs nothing more.
    assert bounds.without_group([(1000, 1100), (3000, 3100), (5000, 5100)])[1:] == [(at, 1000 + 2 * session + take) for at in (3000, 5000)]
    assert bounds.without_group([(1000, 1100), (8000, 8100)])[1] == (8000, 8000 + session + take)
    # Killed every 2 s for 100 s: the generations go on forming, and it ends as soon as the killing does.
    ends = [end for _, end in bounds.without_group([(at, at + 100) for at in range(0, 100_000, 2000)])]
    assert max(ends) <= 98_000 + 2 * session + take, max(ends)
    assert bounds.without_group([(1000, 60_000)]) == [(1000, 60_000 + take)]
    assert bounds.without_group([(1000, 1100)], patience=6) == [(1000, 1000 + session + 6 * take)]


def the_journal_of_a_card_shows_what_was_committed_and_deleted_and_nothing_else():
    def place(lane, seq, epoch=5):
        return lane << 62 | epoch << 38 | seq

    with tempfile.TemporaryDirectory() as name:
        buffer = pathlib.Path(name) / "buffer.db"
        assert journal.rows_that_were_on_card(buffer) == set()
        db = sqlite3.connect(buffer, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        assert journal.rows_that_were_on_card(buffer) == set()
        db.execute("CREATE TABLE epochs(epoch INTEGER PRIMARY KEY, store INTEGER NOT NULL, boot INTEGER NOT NULL)")
        db.execute("CREATE TABLE queue(place INTEGER PRIMARY KEY, taken INTEGER NOT NULL, row BLOB NOT NULL)")
        db.execute("INSERT INTO epochs VALUES(5, -1, 1)")
        for seq in range(1, 201):
            db.execute("INSERT INTO queue VALUES(?, ?, zeroblob(100))", (place(seq % 2, seq), seq))
            db.execute("DELETE FROM queue WHERE place = ?", (place(seq % 2, seq),))
        db.execute("INSERT INTO queue VALUES(?, 1, x'')", (place(0, 7, epoch=4),))  # an epoch that the card no longer knows
        all_rows = {(seq % 2, 2**64 - 1, seq) for seq in range(1, 201)}
        assert journal.rows_that_were_on_card(buffer) == all_rows
        wal = buffer.with_name("buffer.db-wal")
        whole = wal.read_bytes()
        db.execute("BEGIN")
        db.execute("INSERT INTO queue VALUES(?, 1, x'')", (place(0, 500),))
        assert journal.rows_that_were_on_card(buffer) == all_rows
        # A last frame that was not written to its end, and one whose checksum is wrong: SQLite takes neither for committed.
        assert journal.rows_ever(whole[:-1], {5: 0}) == {(lane, 0, seq) for lane, _, seq in all_rows}
        spoilt = bytearray(whole)
        spoilt[len(whole) // 2] ^= 1
        some = journal.rows_ever(bytes(spoilt), {5: 0})
        assert 80 < len(some) < 120, len(some)
        frames = journal.committed_pages(whole)
        size = len(frames[0]) + journal.FRAME
        unfinished = bytearray(whole)
        struct.pack_into(">I", unfinished, len(whole) - size + 4, 0)  # its last frame commits nothing: its checksum is wrong besides
        assert len(journal.committed_pages(bytes(unfinished))) == len(frames) - 1
        db.execute("ROLLBACK")
        db.close()


class Log:
    """What other readers saw: readings of devices, heartbeats of collectors, alarm events of two partitions."""

    def __init__(self):
        self.topics, self.seen, self.clock = {"readings": [], "alarms": []}, {"readings": {}, "alarms": {}}, []

    def put(self, topic, partition, seen_ms, value, append_ms=0):
        offset = len(self.topics[topic])
        self.topics[topic].append({"partition": partition, "offset": offset, "append_ms": START + append_ms, "key": "k", "value": value})
        self.seen[topic][partition, offset] = START + seen_ms

    def said(self, device, at, seen_ms, partition=0):
        self.put("readings", partition, seen_ms, {"device": device, "x": {"at": at}})

    def beat(self, collector, at, seen_ms):
        self.put("readings", 0, seen_ms, {"heartbeat": collector, "time_ms": START + at})

    def event(self, partition, at, seen_ms):
        self.put("alarms", partition, seen_ms, {"event": "raised"}, at)

    def judged(self, kind, what, killed=10_000, restarted=10_100, served=(), end=60_000, resume_ms=20_000):
        act = {"act": "kill", "kind": kind, "what": what, "wall_ms": START + killed, "restart_ms": START + restarted, "served": list(served)}
        out = resume.Resumed(START, self.topics["readings"], self.topics["alarms"], self.seen, self.clock)
        out.judge([act], START + end, resume_ms)
        return out


def a_processor_has_resumed_when_each_partition_has_an_event_told_since():
    log = Log()
    log.event(1, 9000, 10_050)    # told before the kill and seen after it
    log.event(0, 10_500, 10_600)  # the other processor's
    out = log.judged("processor", "alarm-1", served=[1])
    assert out.times == {} and len(out.unresumed) == 1 and "alarm-1" in out.unresumed[0], vars(out)
    log.event(1, 16_500, 16_700)
    out = log.judged("processor", "alarm-1", served=[1])
    assert out.times == {"processor": [6700]} and not out.unresumed, vars(out)
    out = log.judged("processor", "alarm-1", served=[])
    assert out.times == {} and out.served_nothing["processor"] == 1 and not out.unresumed


def a_kill_near_the_end_need_not_have_resumed_and_is_told():
    out = Log().judged("agent", "pi-1", end=20_000)
    assert out.too_near == 1 and not out.unresumed
    out = Log().judged("agent", "pi-1", end=31_000)
    assert out.too_near == 0 and len(out.unresumed) == 1


def an_agent_has_resumed_when_something_said_since_is_in_the_log():
    log = Log()
    log.said("pi-1", 9000, 10_200)  # had waited on its card
    log.said("pi-2", 10_300, 10_310)
    assert log.judged("agent", "pi-1").unresumed
    log.said("pi-1", 12_000, 12_400)
    log.said("pi-1", 11_000, 12_500)
    assert log.judged("agent", "pi-1").times == {"agent": [2300]}


def a_collector_has_resumed_when_it_lives_and_whom_it_served_have_delivered():
    log = Log()
    log.beat("collector-1", 9990, 10_200)
    log.said("pi-1", 10_500, 10_600)
    assert "heartbeat" in log.judged("collector", "collector-1").unresumed[0]
    log.beat("collector-1", 10_150, 10_300)
    out = log.judged("collector", "collector-1", served=["pi-1", "pi-2"])
    assert out.times == {"collector": [200]} and len(out.unresumed) == 1 and "served" in out.unresumed[0], vars(out)
    log.said("pi-2", 13_000, 13_500)
    out = log.judged("collector", "collector-1", served=["pi-1", "pi-2"])
    assert out.times == {"collector": [200], "agents": [3500]} and not out.unresumed
    out = log.judged("collector", "collector-1")
    assert "agents" not in out.times and out.served_nothing["collector"] == 1


def a_heartbeat_counts_by_true_time_where_its_clock_is_wrong():
    log = Log()
    log.clock = [{"device": "collector-1", "wall_ms": START + 5000, "offset_ms": 20_000},
                 {"device": "collector-1", "wall_ms": START + 28_000, "offset_ms": 0}]
    log.clock.append({"device": "collector-1", "wall_ms": START + 40_000, "offset_ms": 2000})
    log.beat("collector-1", 29_900, 10_150)  # true: 9900, before the kill
    assert log.judged("collector", "collector-1").unresumed
    log.beat("collector-1", 30_300, 10_350)
    assert log.judged("collector", "collector-1").times == {"collector": [250]}


def a_broker_has_resumed_when_every_partition_has_what_began_since():
    log = Log()
    for partition in (0, 1):
        log.said("pi-1", 10_200, 11_000 + partition, partition)
        log.event(partition, 10_300, 12_000 + partition)
    assert log.judged("broker", "broker-1").times == {"broker": [2001]}
    log.said("pi-1", 9000, 15_000, 2)
    assert log.judged("broker", "broker-1").unresumed


class Echo:
    """Answers each datagram with itself."""

    def __enter__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self.socket.getsockname()

    def run(self):
        while not self.done.is_set():
            try:
                self.socket.sendto(*self.socket.recvfrom(2048))
            except TimeoutError:
                pass

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.socket.close()


def what_the_proxy_counts_it_has_done():
    """Each harm alone: its own count rises, and no other."""
    alone = {"lost": {"loss": 1.0}, "duplicated": {"dup": 1.0}, "corrupted": {"corrupt": 1.0}, "reordered": {"reorder": 1.0},
             "delayed": {"delay_ms": (1, 2)}, "rebound": {"rebind": 1, "rebind_after": 0}, "blackholed": {"blackhole": True}}
    assert set(alone) == set(faults.HARM), "every harm that is a figure"
    with Echo() as address:
        for what, settings in alone.items():
            with UdpProxy(address, seed=5) as proxy, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for key, value in {**faults.CLEAR, **settings}.items():
                    setattr(proxy, key, value)
                client.connect(("127.0.0.1", proxy.port))
                client.settimeout(0.05 if what in ("lost", "blackholed") else ANSWER_S)
                answers = 0
                for _ in range(3):
                    client.send(b"datagram")
                    try:
                        answers += client.recv(2048) == b"datagram"
                    except TimeoutError:
                        pass
                proxy.stop()
                counts = {k: n for k, n in faults.counted_by_proxies(types.SimpleNamespace(proxies=[proxy])).items() if n}
                assert list(counts) == [what], (what, counts)
                assert answers == (0 if what in ("lost", "blackholed", "corrupted") else 3), (what, answers)


def every_weather_comes_before_any_comes_too_often():
    proxies = [types.SimpleNamespace() for _ in range(2)]
    world = types.SimpleNamespace(args=types.SimpleNamespace(seed=3), proxies=proxies, notes=[])
    world.note = lambda _, **line: world.notes.append(line["act"])
    done = types.SimpleNamespace(weathers=0)
    fault = faults.Fault("net", world, done)
    dealt = sum(often for often, _, _ in faults.WEATHER)
    for _ in range(2 * dealt + 1):
        fault.go_on()
    assert done.weathers == 2 * dealt
    for often, name, _ in faults.WEATHER:
        assert world.notes.count(f"network {name}") == 2 * often, name


class Stepped:
    """A program whose clock can be stepped."""

    def __init__(self):
        self.clock, self.name = self, ""
        self.offset_ms = 0

    def step(self, offset_ms):
        self.offset_ms = offset_ms

    def finds_its_place(self):
        return False


def never_are_all_collectors_behind():
    for collectors in (1, 2, 3):
        world = types.SimpleNamespace(args=types.SimpleNamespace(seed=collectors), agents=[Stepped()], note=lambda *_, **__: None,
                                      collectors=[Stepped() for _ in range(collectors)])
        fault, behind = faults.Fault("clock", world, types.SimpleNamespace(steps=0)), 0
        for _ in range(2000):
            fault.go_on()
            now = sum(one.offset_ms < 0 for one in world.collectors)
            assert now < collectors, now
            behind = max(behind, now)
        assert behind == collectors - 1, behind


def a_world(folder=None, **more):
    """Nothing in it yet but what figures read."""
    args = types.SimpleNamespace(**{"gap": (4.0, 8.0), "broker_gap": (6.0, 10.0), "kills": None, "broker_kills": None, "patience": 1,
                                    "log": "kafka", **more})
    proxy = types.SimpleNamespace(counts=dict.fromkeys(faults.HARM, 1))
    return types.SimpleNamespace(args=args, faults=["kill", "broker", "net"], hurt_s=600.0, notes={"acts": []}, proxies=[proxy], disks={},
                                 folder=folder)


def missed(world, **done):
    """Names of the figures of what was done that miss their target."""
    result = Result("part", "title", method="-", not_covered="-")
    judge.work_done(world, types.SimpleNamespace(**{"kills": 99, "brokers": 41, "weathers": 300, "steps": 0, "full_disks": 0, **done}), result)
    return {f["name"] for f in result.data["figures"] if f["ok"] is False}


def too_few_acts_miss_their_target():
    world = a_world()
    world.notes["acts"] = [{"act": "kill", "kind": kind} for kind in ("agent", "collector", "processor")]
    assert missed(world) == set()
    assert missed(world, kills=1) == {"kills of agents, collectors, processors"}
    assert missed(world, brokers=3) == {"kills of brokers"}
    assert missed(world, weathers=20) == {"changes of the network"}
    world.args.broker_kills, world.args.kills = 50, 100
    assert missed(world) == {"kills of brokers", "kills of agents, collectors, processors"}
    world = a_world()
    assert missed(world) == {"kills of an agent", "kills of a collector", "kills of a processor"}
    world.hurt_s = 1.0
    assert missed(world, kills=1, brokers=1, weathers=1) == set()
    assert missed(world, kills=0, brokers=1, weathers=1) == {"kills of agents, collectors, processors"}


def a_harm_that_the_proxies_never_did_misses_its_target():
    world = a_world()
    world.notes["acts"] = [{"act": "kill", "kind": kind} for kind in ("agent", "collector", "processor")]
    world.proxies[0].counts["blackholed"] = 0
    assert missed(world) == {"by the proxies' own count: datagrams into a blackhole"}
    world.hurt_s = 20.0
    assert missed(world) == set()


def what_was_judged_is_kept_and_never_large():
    reading = {"partition": 0, "offset": 0, "append_ms": 1, "key": "s-1", "value": {"sensor": "s-1", "device": "pi-1", "store": "a", "lane": "r", "seq": 1}}
    alarm = {"partition": 0, "offset": 0, "append_ms": 2, "key": "s-1", "value": {"event": "raised"}}
    verdict = {"ok": True, "counts": {"lost": 0}, "figures": {"sent": 2}, "problems": ["lost: x" * 20] * 5000}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        ledger = folder / "ledger"
        world = types.SimpleNamespace(folder=folder, agents=[types.SimpleNamespace(ledger=ledger)])

        def written(sensors, alarms):
            ledger.write_text("".join(json.dumps({"sensor": f"s-{n}"}) + "\n" for n in range(1, sensors + 1)))
            (folder / "readings.jsonl").write_text(json.dumps(reading) + "\n")
            (folder / "alarms.jsonl").write_text("".join(json.dumps(a) + "\n" for a in alarms))
            judged.write(world, verdict, folder / "out.jsonl")
            return resume.lines(folder / "out.jsonl")

        first, readings, events, one, two = written(2, [alarm])
        assert first["counts"] == {"lost": 0} and first["problems_in_all"] == 5000 and len(first["problems"]) == judged.PROBLEMS_MAX
        assert readings["readings"] == 1 and events["alarm events"] == 1
        assert (one["sensor"], one["said"], one["stored"], one["events"]) == ("s-1", 1, 1, {"raised": 1}), one
        assert (two["sensor"], two["said"], two["stored"]) == ("s-2", 1, 0)
        assert written(2, [{**alarm, "append_ms": 3}])[3]["digest"] != one["digest"] == written(2, [alarm])[3]["digest"]
        many = written(5000, [alarm])
        assert (folder / "out.jsonl").stat().st_size <= judged.BYTES_MAX + 100 and many[-1]["lines that did not fit"] > 0


def main():
    tests = [f for f in globals().values() if isinstance(f, types.FunctionType) and f.__module__ == __name__ and f.__code__.co_argcount == 0
             and f is not main]
    for test in tests:
        test()
        print("ok  ", test.__name__.replace("_", " "))
    return 0


sys.exit(main())

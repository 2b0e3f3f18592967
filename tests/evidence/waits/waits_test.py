#!/usr/bin/env python3
"""What tests/evidence/waits hears, what it makes of it, and what it refuses.

  tests/evidence/waits/waits_test.py
"""
import contextlib
import csv
import importlib.machinery
import importlib.util
import io
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import capture  # noqa: E402
import cycle  # noqa: E402
from cycle import ADD_OFFSETS, ADD_PARTITIONS, END, POSITIONS, PRODUCE  # noqa: E402

WAITS = HERE / "waits"
TOOL_FILE = importlib.machinery.SourceFileLoader("waits", str(WAITS))
TOOL = importlib.util.module_from_spec(importlib.util.spec_from_loader("waits", TOOL_FILE))
TOOL_FILE.exec_module(TOOL)


def request(api, correlation, client=b"me", body=b""):
    inner = struct.pack(">hhih", api, 7, correlation, len(client)) + client + body
    return struct.pack(">I", len(inner)) + inner


def answer(correlation, body=b""):
    return struct.pack(">Ii", 4 + len(body), correlation) + body


def packet(source, target, seq, payload=b"", flags=0x10):
    tcp = struct.pack(">HHIIBBHHH", source, target, seq & 0xffffffff, 0, 5 << 4, flags, 0, 0, 0) + payload
    return struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, 0, 0) + tcp


class Hearing(unittest.TestCase):
    def setUp(self):
        self.ear = capture.Listener(9092)
        for source, target, first in ((4000, 9092, 100), (9092, 4000, 0xfffffff0)):  # the second wraps
            self.assertEqual(list(self.ear.packet(packet(source, target, first, flags=2), 0)), [])

    def hear(self, *packets):
        return [row for when, (mine, seq, data) in enumerate(packets, 1)
                for row in self.ear.packet(packet(*((4000, 9092, 101 + seq) if mine else (9092, 4000, 0xfffffff1 + seq)), data), when)]

    def test_a_request_is_told_when_it_is_answered(self):
        self.assertEqual(self.hear((True, 0, request(PRODUCE, 5, body=b"x" * 300)), (False, 0, answer(5, b"y" * 9))),
                         ["1.000000,2.000000,me,4000,0,312,13"])

    def test_messages_lie_across_packets_as_they_like(self):
        asked = request(PRODUCE, 5, body=b"x" * 300) + request(END, 6) + request(ADD_OFFSETS, 7, client=b"")
        answers = answer(5) + answer(6, b"y" * 90) + answer(7)
        for size in (1, 3, 7, 50, 310, 1000):
            with self.subTest(size=size):
                self.setUp()
                rows = self.hear(*[(True, at, asked[at:at + size]) for at in range(0, len(asked), size)],
                                 *[(False, at, answers[at:at + size]) for at in range(0, len(answers), size)])
                self.assertEqual([r.split(",")[2:] for r in rows], [["me", "4000", "0", "312", "4"], ["me", "4000", "26", "12", "94"], ["", "4000", "25", "10", "4"]])

    def test_the_first_byte_is_what_counts(self):
        asked = request(PRODUCE, 5, body=b"x" * 300)
        self.assertEqual(self.hear((True, 0, asked[:2]), (True, 2, asked[2:]), (False, 0, answer(5)[:1]), (False, 1, answer(5)[1:]))[0][:17], "1.000000,3.000000")

    def test_what_comes_twice_or_too_early_is_put_right(self):
        asked = request(PRODUCE, 5, body=b"x" * 30) + request(END, 6)
        rows = self.hear((True, 20, asked[20:]), (True, 0, asked[:20]), (True, 0, asked), (False, 0, answer(5) + answer(6)), (False, 0, answer(5)))
        self.assertEqual([r.split(",")[4] for r in rows], ["0", "26"])

    def test_an_answer_without_its_request_is_nothing(self):
        self.assertEqual(self.hear((False, 0, answer(5))), [])

    def test_a_connection_whose_beginning_was_not_heard_is_left_alone(self):
        self.assertEqual(list(self.ear.packet(packet(4001, 9092, 7, b"in the midst of something"), 1)), [])

    @staticmethod
    def stamps():
        """A socket that keeps the kernel stamping packets as they come. It begins some time after it is asked; until then each has the time at
        which it is read, and what capture.py reads after its end would seem to have come after it."""
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, capture.SO_TIMESTAMPNS, 1)
        s.settimeout(60)
        s.bind(("127.0.0.1", 0))
        for _ in range(1000000):
            s.sendto(b"x", s.getsockname())
            before = time.time_ns()
            seconds, ns = struct.unpack("qq", s.recvmsg(1, 64)[1][0][2][:16])
            if seconds * 10**9 + ns < before:
                return s
        raise AssertionError("the kernel stamps no packets as they come")

    def test_a_real_connection_is_heard(self):
        with self.stamps(), socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
            port, out = server.getsockname()[1], pathlib.Path(folder, "heard")
            ear = subprocess.Popen([HERE / "capture.py", str(port), out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                if ear.stdout.readline() != "ready\n":
                    self.assertEqual(ear.wait(), 77, ear.stderr.read())
                    print("skipped: the right to listen to packets is missing (CAP_NET_RAW)")
                    self.skipTest("CAP_NET_RAW is missing")

                def serve():
                    with server.accept()[0] as s:
                        for correlation in (1, 2):
                            s.recv(4096)
                            s.sendall(answer(correlation, b"y" * 70000))
                        s.recv(1)
                threading.Thread(target=serve, daemon=True).start()
                with socket.create_connection(("127.0.0.1", port)) as s:
                    for correlation in (1, 2):
                        s.sendall(request(POSITIONS, correlation, b"someone"))
                        left = 70008
                        while left:
                            left -= len(s.recv(left))
            finally:
                ear.terminate()
                ear.communicate(timeout=60)
            heard = cycle.requests(out)
        self.assertEqual([(r.client, r.api) for r in heard], [("someone", POSITIONS)] * 2)
        self.assertTrue(heard[0].sent < heard[0].answered < heard[1].sent < heard[1].answered)

    def test_without_the_right_to_listen_it_says_so(self):
        with unittest.mock.patch("capture.listen", side_effect=PermissionError), unittest.mock.patch("sys.argv", ["capture", "1", "x"]), \
                unittest.mock.patch("capture.signal.signal"), contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(capture.main(), 77)
        self.assertIn("CAP_NET_RAW", said.getvalue())


def asked(api, sent, answered, client="me"):
    return cycle.Request(sent, answered, client, api)


FIRST = [asked(END, 0, 1)]
WHOLE = [asked(ADD_OFFSETS, 2, 3), asked(ADD_PARTITIONS, 2.5, 3.5), asked(ADD_OFFSETS, 4, 5), asked(POSITIONS, 5, 7), asked(ADD_PARTITIONS, 8, 9),
         asked(PRODUCE, 9, 13), asked(PRODUCE, 9, 12), asked(END, 14, 16)]


class Commits(unittest.TestCase):
    def test_the_steps_add_up_to_the_time_between_two(self):
        one, = cycle.commits(FIRST + WHOLE, "me")
        self.assertEqual(one, cycle.Commit(2, 14, 16, {ADD_OFFSETS: 2, POSITIONS: 1, ADD_PARTITIONS: 2, PRODUCE: 2, END: 1}, (1, 3, 2, 2, 4, 3)))
        self.assertEqual(sum(one.steps), 16 - 1)

    def test_others_and_other_requests_do_not_count(self):
        other = [asked(END, 2, 30, "you"), asked(cycle.FETCH, 2, 40)]
        self.assertEqual(cycle.commits(FIRST + other + WHOLE, "me"), cycle.commits(FIRST + WHOLE, "me"))

    def test_a_commit_of_positions_only_has_no_other_steps(self):
        one, = cycle.commits([*FIRST, asked(ADD_OFFSETS, 2, 3), asked(POSITIONS, 3, 5), asked(END, 5, 6)], "me")
        self.assertEqual(one.steps, (1, 1, 2, 0, 0, 1))

    def test_partitions_announced_early_cost_nothing_later(self):
        early = [asked(ADD_PARTITIONS, 1.5, 2.5), asked(ADD_OFFSETS, 2, 3), asked(POSITIONS, 3, 6), asked(PRODUCE, 3.6, 8), asked(END, 8, 9)]
        one, = cycle.commits(FIRST + early, "me")
        self.assertEqual((one.begun, one.steps), (2, (1, 1, 3, 0, 2, 1)))

    def test_an_end_asked_for_again_is_no_commit_of_its_own(self):
        one, = cycle.commits([*FIRST, *WHOLE, asked(END, 17, 19)], "me")
        self.assertEqual((one.decided, one.answered, one.steps), (14, 19, (1, 3, 2, 2, 4, 6)))

    def test_the_ways_of_an_alarm_add_up_to_its_wait(self):
        done = [cycle.Commit(2, 14, 16, 0, ()), cycle.Commit(20, 30, 32, 0, ())]
        self.assertEqual(cycle.ways([(1, 17), (10, 31), (21, 40)], done, [0, 15, 30.5, 50]), [(1, 12, 3, False), (10, 10, 1, False), (0, 9, 10, False)])

    def test_a_late_follower_has_what_its_answer_brought(self):
        done = [cycle.Commit(2, 14, 16, 0, ()), cycle.Commit(20, 30, 32, 0, ())]
        self.assertEqual(cycle.ways([(1, 40)], done, [15, 50]), [(1, 12, 26, False)])
        self.assertEqual(cycle.ways([(1, 40)], done, [13, 35]), [(19, 10, 10, True)])

    def test_an_alarm_whose_commit_was_not_heard_is_left_out(self):
        self.assertEqual(cycle.ways([(1, 3), (15, 19), (1, 20)], [cycle.Commit(2, 14, 16, 0, ())], [2.5, 18]), [(1, 12, 6, False)])

    def test_how_many_are_under_way(self):
        self.assertEqual(cycle.under_way([(0, 2), (1, 3), (5, 9)], 1, 11), [0.4, 0.5, 0.1])
        self.assertEqual(cycle.under_way([], 0, 5), [1, 0, 0])


class Rows(unittest.TestCase):
    """A made-up load: alarms in a commit each 10 ms, the collector's requests of 1 ms each 4 ms."""

    def stage(self):
        heard, alarms = [], []
        for n in range(400):
            at = 1000 + n / 100
            heard += [asked(api, at + a / 1000, at + b / 1000, TOOL.PROCESSOR)
                      for api, a, b in ((ADD_OFFSETS, 1, 2), (POSITIONS, 2, 4), (ADD_PARTITIONS, 4, 5), (PRODUCE, 5, 8), (END, 8, 9))]
            heard.append(asked(cycle.FETCH, at + 0.0005, at + 0.0095, TOOL.FOLLOWER))
            alarms.append((at - 0.004, at + 0.0098))
        heard += [asked(PRODUCE, 1000 + n / 250, 1000.001 + n / 250, TOOL.COLLECTOR) for n in range(1000)]
        return types.SimpleNamespace(heard=lambda: sorted(heard), alarms=lambda: alarms, since=1000.0, over=1004.0, began=1, listener_s=0.5)

    def row(self, kind):
        told = dict.fromkeys(("sessions_lost", "unanswered", "echo_us", "other_pct"), 0) | {"per_s": 5000}
        args = types.SimpleNamespace(devices=1, seconds=4)
        with unittest.mock.patch("latency.once", return_value=(told, [1] * 400)), unittest.mock.patch("throughput.once", return_value=told):
            return TOOL.once(self.stage(), kind, 100 if kind == "latency" else None, 1, 1, args)

    def test_a_row_tells_what_was_heard(self):
        row = self.row("latency")
        for name, wanted in (*zip(cycle.STEPS, (2, 1, 2, 1, 3, 1)), *zip(TOOL.WAYS, (5, 7, 1.8)), ("sends_per_s", 250), ("send_p50_ms", 1), ("one_send", 0.25),
                             ("no_send", 0.75), ("more_sends", 0), ("asked", 5), ("apart_p50_ms", 10)):
            self.assertAlmostEqual(row[name], wanted, delta=0.02 * max(1, wanted), msg=name)
        self.assertIsNone(self.row("throughput")["p99_ms"])

    def test_what_is_said_and_kept_of_it_is_whole(self):
        rows = [self.row("latency"), self.row("throughput")]
        with tempfile.TemporaryDirectory() as folder:
            args = types.SimpleNamespace(devices=1, seconds=4, result=pathlib.Path(folder, "bench-waits.json"))
            r = TOOL.evidence(self.stage(), args, rows)
            with open(pathlib.Path(folder, "bench-waits.csv")) as f:
                kept = list(csv.DictReader(f))
        self.assertTrue(r.ok)
        self.assertEqual([None in x or None in x.values() for x in kept], [False, False])
        self.assertEqual(float(kept[0][f"slowest: {TOOL.WAYS[1]}"]), 7)
        self.assertIn(f"The longest: {TOOL.WAYS[1]}: ", r.next_step)
        self.assertIn(f"The longest: {cycle.STEPS[4]}: ", r.next_step)
        self.assertIn("as the client sends none", r.next_step)

    def test_a_load_of_which_nothing_was_heard_does_not_count(self):
        with unittest.mock.patch.object(cycle, "commits", return_value=[]), self.assertRaises(TOOL.BenchError):
            self.row("throughput")


class Refusals(unittest.TestCase):
    def test_a_file_with_lost_packets_does_not_count(self):
        for text in ("a,b\n#lost 3\n", "sent,answered\n1,2\n"):
            with tempfile.NamedTemporaryFile("w") as f:
                f.write(text)
                f.flush()
                self.assertRaises(ValueError, cycle.requests, f.name)

    def test_unknown_words_and_missing_programs_are_told_in_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            for words, status in ((["--nonsense"], 2), (["--second", "5"], 2), (["--seconds", "2"], 2), (["--devices", "0"], 2),
                                  (["--programs", "/nonexistent", "--dir", f"{folder}/run"], 1)):
                done = subprocess.run([WAITS, *words], capture_output=True, text=True, check=False, cwd=folder)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertRegex(done.stderr.splitlines()[-1], "^waits: ")
                self.assertEqual(list(pathlib.Path(folder).iterdir()), [])
        for words in ([], ["x", "y"], ["1"], ["--help"]):
            done = subprocess.run([HERE / "capture.py", *words], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)


if __name__ == "__main__":
    unittest.main()

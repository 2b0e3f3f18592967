#!/usr/bin/env python3
"""tests/broker/errors believes in a real broker only when the suite says that it ran on one, and refuses what it does not know."""
import collections
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import types
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
ERRORS = HERE / "errors"
WAIT_S = 60
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))
loader = importlib.machinery.SourceFileLoader("broker_errors", str(ERRORS))
errors = importlib.util.module_from_spec(importlib.util.spec_from_loader("broker_errors", loader))
loader.exec_module(errors)
import isolation  # noqa: E402
from result import Result  # noqa: E402


def programs():
    return pathlib.Path(os.environ.get("VIGIA_BINARY_DIR") or SOURCE / "build/host")


def output(log="kafka:127.0.0.1:9092", names=isolation.TRANSACTIONS, running=None, more=""):
    lines = [f"[ RUN      ] {name}\n[       OK ] {name}" for name in names]
    return "\n".join([f"log: {log}", f"[==========] process: Running {running or len(names)} test(s).", *lines]) + "\n" + more


def judged(status, text):
    """Whether the part is good with this outcome."""
    result = Result("broker-errors", "t", method="m", not_covered="n", command="c")
    with contextlib.redirect_stdout(io.StringIO()):
        isolation.tell(result, isolation.Outcome(status, text), None)
    return result.ok


class Isolation(unittest.TestCase):
    def test_a_whole_suite_on_a_broker_is_good(self):
        self.assertTrue(judged(0, output()))

    def test_a_suite_that_ran_on_sqlite_is_not(self):
        self.assertFalse(judged(0, output("sqlite, a fresh file per test")))

    def test_a_suite_without_its_tests_of_transactions_is_not(self):
        self.assertFalse(judged(0, output(names=isolation.TRANSACTIONS[1:])))
        self.assertFalse(judged(0, output(names=[])))

    def test_a_test_that_failed_was_skipped_or_never_ended_is_told(self):
        for more in ("[ RUN      ] other\n[  FAILED  ] other\n", "[ RUN      ] other\n[  SKIPPED ] other\n", "[ RUN      ] other\n"):
            self.assertFalse(judged(0, output(more=more)), more)
        self.assertFalse(judged(0, output(running=len(isolation.TRANSACTIONS) + 1)))

    def test_a_status_other_than_0_is_never_good(self):
        for status in (1, 77, None):
            self.assertFalse(judged(status, output()))

    def test_the_suite_of_the_programs_given_is_told_the_brokers_address(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "tests").mkdir()
            self.write(folder / "tests/log_conformance", 'echo "log: ${VIGIA_TEST_LOG_URL:-sqlite}"')
            self.write(folder / "broker", 'shift 3; VIGIA_KAFKA=127.0.0.1:7 exec "$@"')
            outcome = isolation.run(folder, folder / "broker")
        self.assertEqual((outcome.status, outcome.text), (0, "log: kafka:127.0.0.1:7\n"))

    @staticmethod
    def write(path, text):
        path.write_text("#!/bin/sh\n" + text + "\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Batches(unittest.TestCase):
    def test_they_go_on_until_as_many_requests_got_an_error_as_batches_were_wanted(self):
        class Chaos:
            made, refused = 1000, 0

            def got(self, api):
                assert api == errors.PRODUCE
                return self.refused
        chaos = Chaos()
        work = errors.Work(3, 60, chaos)
        self.assertEqual([work.take() for _ in range(5)], [True] * 5)
        chaos.refused = 3
        self.assertFalse(work.take())

    def test_fewer_refused_requests_than_batches_are_a_miss(self):
        for refused, ok in ((2, False), (3, True)):
            result = Result("broker-errors", "t", method="m", not_covered="n", command="c")
            options = types.SimpleNamespace(batches=3, verdict=1, seed=7, defect=None, result=None)
            device = types.SimpleNamespace(acked=[0, 1, 2, 3], codes=collections.Counter(), waits=[0.1], troubled=0, repeated=0)
            collector = types.SimpleNamespace(most_pending=1, killed=0, ended_itself=0)
            chaos = types.SimpleNamespace(made=3, at_batches=3, counts=collections.Counter())
            report = {"missing": [], "disordered": 0, "repeated": 0, "looks": 1, "reached": True,
                      "told": {(errors.PRODUCE, 7): refused, (errors.FETCH, 6): 9}}
            errors.tell(options, result, report, [device], chaos, collector)
            self.assertEqual(result.ok, ok)


class Producers(unittest.TestCase):
    PRODUCERS = 3000  # what a whole run has; of 900,000 random ids, some would be given twice in 99 of 100 runs

    def test_no_two_get_one_id(self):
        """Or what one has stored is told of the records of another: a false answer that is none of the collector's."""
        cluster = errors.Cluster(programs())
        try:
            with socket.create_connection(cluster.bootstrap.split(",")[0].rsplit(":", 1), WAIT_S) as broker:
                broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ids = [self.producer_id(broker) for _ in range(self.PRODUCERS)]
        finally:
            errors.end(cluster.process)
        self.assertEqual(self.PRODUCERS, len(set(ids)))

    def producer_id(self, broker):
        """InitProducerId of version 0, without a client's name and a transaction."""
        request = struct.pack(">hhihhi", errors.INIT_PRODUCER_ID, 0, 0, -1, -1, 60000)
        broker.sendall(struct.pack(">i", len(request)) + request)
        with broker.makefile("rb") as stream:
            length, = struct.unpack(">i", stream.read(4))
            _, _, code, producer, epoch = struct.unpack(">iihqh", stream.read(length))
        self.assertEqual((0, 0), (code, epoch))
        return producer


class Arguments(unittest.TestCase):
    def test_what_it_does_not_know_is_refused_an_abbreviation_too(self):
        for words in (["--nonsense"], ["--batch", "5"], ["--kill", "1"], ["--devices", "0"]):
            self.assertEqual(subprocess.run([ERRORS, *words], capture_output=True, check=False).returncode, 2, words)

    def test_missing_programs_are_named_in_one_line(self):
        done = subprocess.run([ERRORS, "--programs", "/nonexistent"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertIn("/nonexistent", done.stderr)


def processes_with(folder):
    """Those that were told this folder of temporary files."""
    found = []
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={folder}\0".encode() in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:  # gone, or not ours
            pass
    return found


class Interrupted(unittest.TestCase):
    def test_a_hangup_leaves_neither_processes_nor_folders(self):
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen([ERRORS, "--short", "--programs", programs()], env={**os.environ, "TMPDIR": folder},
                                       preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup may have it ignored
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.until(lambda: len(processes_with(folder)) >= 3, "it and a broker and a collector run")
                process.send_signal(signal.SIGHUP)
                self.assertEqual(process.wait(WAIT_S), 128 + signal.SIGHUP)
                self.assertEqual((processes_with(folder), list(pathlib.Path(folder).iterdir())), ([], []))
            finally:
                for pid in map(int, processes_with(folder)):
                    os.kill(pid, signal.SIGKILL)
                process.wait()

    def until(self, true, what):
        end = time.monotonic() + WAIT_S
        while not true():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)


if __name__ == "__main__":
    unittest.main()

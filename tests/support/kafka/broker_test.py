#!/usr/bin/env python3
"""A broker that is ended before its time leaves no process and no folder.

  tests/support/kafka/broker_test.py
"""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BROKER = pathlib.Path(__file__).resolve().parent / "broker"
sys.path.insert(0, str(BROKER.parents[1]))
import processes  # noqa: E402
from patience import PATIENCE  # noqa: E402

DEADLINE_S = 60 * PATIENCE


class Broker(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="vigia-broker-test-")
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)

    def until(self, what, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.01)  # between two looks

    def begin(self, *words):
        process = subprocess.Popen([BROKER, "run", "-", "--", *words], env={**os.environ, "TMPDIR": str(self.folder)}, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # nohup may have it ignored
        self.addCleanup(process.communicate)
        self.addCleanup(self.end_all, process)
        return process

    @staticmethod
    def end_all(process):
        """Also what it left behind, which would hold its pipes open."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing is left of it

    def ended(self, process, number, send=True):
        if send:
            process.send_signal(number)
        _, said = process.communicate(timeout=DEADLINE_S)
        self.assertEqual((process.returncode, said), (128 + number, ""))
        self.until("what watches over it ends", lambda: not processes.that_name(self.folder))
        self.assertEqual(list(self.folder.iterdir()), [])

    def skip_without_a_broker(self, process):
        if process.poll() is not None and process.returncode == 77:
            self.skipTest(process.stderr.read().strip().removeprefix("skipped: "))

    def test_while_its_command_runs(self):
        process = self.begin("sh", "-c", f"echo begun; exec tail -f /dev/null {self.folder}/no-such 2>/dev/null")
        begun = process.stdout.readline()
        self.until("it runs or has ended", lambda: begun or process.poll() is not None)
        self.skip_without_a_broker(process)
        self.assertEqual(begun, "begun\n")
        self.assertIn("kafka.Kafka", "\n".join(processes.that_name(self.folder).values()))
        self.ended(process, signal.SIGHUP)

    def test_while_its_command_begins(self):
        process = self.begin("sh", "-c", f"kill -HUP $PPID; exec tail -f /dev/null {self.folder}/no-such 2>/dev/null")
        self.until("it has ended", lambda: process.poll() is not None)
        self.skip_without_a_broker(process)
        self.ended(process, signal.SIGHUP, send=False)

    def test_while_it_starts(self):
        process = self.begin("true")
        self.until("its node has begun", lambda: process.poll() is not None or list(self.folder.glob("vigia-kafka-*/node1/pid")))
        self.skip_without_a_broker(process)
        self.ended(process, signal.SIGTERM)

    def test_an_argument_is_not_guessed_from_its_beginning(self):
        out = subprocess.run([BROKER, "start", "--node", "1", self.folder / "x"], capture_output=True, text=True, timeout=60)
        self.assertEqual((out.returncode, (self.folder / "x").exists()), (2, False), out.stderr)


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    for _, why in result.skipped:
        print(f"skipped: {why}")
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped else 0)

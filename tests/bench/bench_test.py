#!/usr/bin/env python3
"""What the benchmark refuses, and that it counts what it says.

  tests/bench/bench_test.py
"""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
import unittest.mock
import xml.dom.minidom

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parent / "evidence")]
import agent  # noqa: E402
import growth  # noqa: E402
import latency  # noqa: E402
import page  # noqa: E402
import pinning  # noqa: E402
import plot  # noqa: E402
import processor  # noqa: E402
import sampling  # noqa: E402
import stage  # noqa: E402
import throughput  # noqa: E402
import whereabouts  # noqa: E402

ENDINGS = ((signal.SIGTERM, 143), (signal.SIGHUP, 129))
GATE_FILE = importlib.machinery.SourceFileLoader("gate", str(HERE / "gate"))
GATE = importlib.util.module_from_spec(importlib.util.spec_from_loader("gate", GATE_FILE))
GATE_FILE.exec_module(GATE)
PROGRAMS = pathlib.Path(os.environ.get("VIGIA_BINARY_DIR", "build/host")) / "bin"


def bench(*words):
    return subprocess.run([HERE / "bench", *words], capture_output=True, text=True, timeout=60)


def reading(seq, due, device="d1", received=3, appended=5):
    """A line of `bench_log active`, as vigia-fleet dates what it sends."""
    return f"{device} {seq} {due - 64 + seq % 64} {due + received} {due + appended}"


def event(seq, at_ms, device="d1"):
    return f'{at_ms * 1000} {{"event":"raised","type":"smoke","alarm_id":"x","device":"{device}","seq":{seq}}}'


def carried(per_s, **more):
    return {"repeat": 0, "log": "kafka", "per_datagram": 1, "lanes": 1, "per_s": per_s, "collector_us": 20.0, "alarm_us": 3.5, "broker_us": 33.0,
            "fleet_us": 17.0, "echo_us": 10.0, "x_echo": 2.0, "sessions_lost": 0, "unanswered": 0, "other_pct": 0.0, **more}


def waited(alarm_ms, per_s=20000, lanes=1, **more):
    """One round of the latency and its samples: 100 alarms, each after so long."""
    run = {"repeat": 0, "after": 0, "log": "sqlite", "per_datagram": 1, "lanes": lanes, "offered_per_s": 20000, "per_s": per_s, "alarms": 100, "without_alarm": 0,
           "sessions_lost": 0, "unanswered": 0, "echo_us": 10.0, "other_pct": 0.0, **more}
    for name, at in (("received", 1), ("append", 2), ("alarm", alarm_ms)):
        run.update({f"{name}_p50_ms": at, f"{name}_p99_ms": at})
    return run, [float(alarm_ms)] * run["alarms"]


def fleet(**more):
    """What vigia-fleet says at the end of a good run."""
    return {"devices": 32, "sessions_at_start": 32, "sessions": 32, "seconds": 1.0, "readings": 1000, "acknowledged": 1000, "quarantined": 0, "parked": 0,
            "missed": 0, "sessions_lost": 0, **more}


def targets(result):
    """name -> whether its target is met"""
    return {f["name"]: f["ok"] for f in result.data["figures"] if f["target"] is not None}


def grew(sessions, **more):
    return {"log": "sqlite", "against": "sessions", "sessions": sessions, "rows_before": 0, "rows": 0, "per_s": growth.RATE, "missed": 0, "sessions_lost": 0,
            "unanswered": 0, "collector_us": 5.0, "alarm_us": 1.0, "echo_us": 10.0, "other_pct": 0.0, **more}


SAMPLES = [(60.0, "vg_wire", "take_string"), (25.0, "libc", "__strcmp_evex"), (15.0, "libc", "__memmove_evex")]


def profiled(load, program, us, *groups):
    """Rows of the profile of one program: each group with one function that takes all of it."""
    return [{"load": load, "program": program, "us": us, "group": g, "function": f, "share": share, "sessions_lost": 0, "unanswered": 0, "echo_us": 10.0,
             "other_pct": 0.0} for g, share in groups for f in (f"work_of_{g}", "*")]


STAGE = types.SimpleNamespace(began=time.time(), pins={}, bin=PROGRAMS)
ARGS = types.SimpleNamespace(devices=32, seconds=1, partitions=1, repeats=1, result=None, rows=1000, backlog=1000, log=None)


class Bench(unittest.TestCase):
    @contextlib.contextmanager
    def at_work(self):
        """A stage in a folder of its own."""
        with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder:
            s = stage.Stage(types.SimpleNamespace(programs=PROGRAMS, dir=pathlib.Path(folder) / "run", pin={}))
            try:
                yield s
            finally:
                s.close()

    def test_a_wrong_call_is_refused_with_what_is_accepted(self):
        for words, told in ((("speed",), "throughput"), (("throughput", "--pin", "disk=0"), "collector|alarm"),
                            (("throughput", "--pin", "collector=999"), "cores"), (("latency", "--seconds", "0"), "at least 1"),
                            (("growth", "--no-such"), "--no-such"), (("growth", "--second", "5"), "--second"), (("latency", "--seconds", "60"), "3 to 40"),
                            (("latency", "--seconds", "2"), "3 to 40")):
            out = bench(*words)
            self.assertEqual(out.returncode, 2, words)
            self.assertIn(told, out.stderr)

    def test_missing_programs_are_one_line(self):
        out = bench("throughput", "--programs", "/nonexistent/bin")
        self.assertEqual((out.returncode, out.stderr.count("\n")), (1, 1), out.stderr)
        self.assertIn("is missing; build first", out.stderr)

    def test_a_folder_with_something_in_it_is_refused_and_left_as_it_is(self):
        with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder:
            (pathlib.Path(folder) / "thesis.txt").write_text("years of work")
            for folder_or_file in (folder, pathlib.Path(folder) / "thesis.txt"):
                out = bench("throughput", "--programs", PROGRAMS, "--dir", folder_or_file)
                self.assertEqual((out.returncode, out.stderr.count("\n")), (1, 1), out.stderr)
                self.assertIn(str(folder_or_file), out.stderr)
            self.assertEqual((pathlib.Path(folder) / "thesis.txt").read_text(), "years of work")
            mine = pathlib.Path(folder) / "mine"
            stage.claim(mine)
            with self.assertRaisesRegex(stage.BenchError, "not empty"):  # a second run's
                stage.claim(mine)

    def test_one_lane_has_its_verdict_too_and_a_missed_target_its_next_step(self):
        rows = [carried(18000), carried(50000, lanes=2)]
        r = throughput.evidence(STAGE, ARGS, rows)
        self.assertEqual([name for name, ok in targets(r).items() if not ok], ["kafka, 1 per datagram, one lane: throughput, median"])
        self.assertIn("kafka, 1 per datagram, one lane: broker 33.0, collector 20.0, fleet 17.0, processor 3.5 µs", r.next_step)
        self.assertNotIn("both lanes", r.next_step)
        self.assertIsNone(throughput.evidence(STAGE, ARGS, [carried(50000)]).next_step)
        r = latency.evidence(STAGE, ARGS, [waited(300), waited(5, lanes=2)])
        self.assertEqual([name for name, ok in targets(r).items() if not ok], ["sqlite, 20,000 readings/s, 1 per datagram, one lane: datagram to alarm, p99"])
        self.assertIn("298 ms from there to the alarm", r.next_step)

    def test_every_part_that_misses_a_speed_target_is_taken_by_the_page(self):
        slow = {"log": "sqlite", "per_cpu_s": 10.0, "per_wall_s": 9.0, "alarm_us": 4.0, "broker_us": None, "events": 3, "echo_us": 10.0, "other_pct": 0.0}
        grown = [grew(n, collector_us=float(n)) for n in growth.SESSIONS]
        lame = {"rss_peak_kib": 1, "backlog_rss_peak_kib": 1, "backlog": 1000, "first_sent_ms": 5.0, "drain_per_s": 10.0, "drain_s": 100.0, "flow_per_s": 10.0,
                "drain_cpu_pct": 5.0, "said": 1000, "stored": 1000, "lost": 0, "other_problems": 0, "cpu_us_per_reading": 1.0, "readings_per_s": 100.0,
                "instructions_per_reading": 1.0, "echo_us": 10.0}
        for part, rows in ((throughput, [carried(9)]), (latency, [waited(5, per_s=9)]), (growth, grown), (agent, [lame]),
                           (processor, ([slow], {"sqlite": (4.0, [("vg_wire", 60.0), ("libc", 40.0)], SAMPLES)}))):
            r = part.evidence(STAGE, ARGS, rows)
            self.assertFalse(r.ok)
            with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder:
                r.write(pathlib.Path(folder) / "result.json")
            page.check(r.data)
            del r.data["next_step"]
            with self.assertRaisesRegex(ValueError, "next_step"):
                page.check(r.data)

    def test_a_round_with_fewer_devices_than_asked_for_or_refused_readings_does_not_count(self):
        stage.check_fleet(fleet(), 32, 0)
        self.assertEqual(stage.check_fleet(fleet(missed=7, acknowledged=990), 32, 1)["unanswered"], 10)
        for told, status, why in ((fleet(sessions_at_start=31), 0, "with 31 of 32 sessions"), (fleet(devices=31), 0, "31 of 32 devices"),
                                  (fleet(parked=1, acknowledged=999), 1, "1 readings were parked"),
                                  (fleet(quarantined=2, acknowledged=998), 1, "2 readings were refused"), (fleet(), 1, "status 1"), (fleet(), -9, "status -9"),
                                  (fleet(acknowledged=999), 0, "status 0")):
            with self.assertRaisesRegex(stage.BenchError, why):
                stage.check_fleet(told, 32, status)

    def test_a_device_that_gets_no_session_voids_the_round(self):
        with self.at_work() as s:
            site = s.site("short", "sqlite", 3)
            keys = (site.folder / "credentials").read_text().splitlines()
            (site.folder / "credentials").write_text("\n".join([*keys[:2], keys[2][:-4] + "0000"]) + "\n")
            s.collector(site)
            with self.assertRaisesRegex(stage.BenchError, "with 2 of 3 sessions"):
                s.fleet_report(s.fleet(site, rate=30, duration="1s", grace="2s"), 3, 3)

    def test_sessions_lost_and_readings_without_an_answer_fail_their_part_and_are_told(self):
        for lame in ({"sessions_lost": 2}, {"unanswered": 5}):
            for part, rows in ((throughput, [carried(50000, **lame)]), (latency, [waited(5, **lame)]), (pinning, [carried(50000, layout=x, **lame)
                               for x in ("none", "collector=0")]), (growth, [grew(n, **lame) for n in growth.SESSIONS])):
                if part is pinning:
                    rows = [{**r, "per_datagram": b} for r in rows for b in (1, 10)]
                args = types.SimpleNamespace(**{**vars(ARGS), "lanes": 2}) if part is pinning else ARGS
                self.assertEqual([ok for name, ok in targets(part.evidence(STAGE, args, rows)).items() if not ok], [False], (part, lame))

    def test_a_processor_that_was_done_before_it_was_seen_to_move_has_no_rate_by_the_clock(self):
        self.assertEqual([processor.by_clock([{"per_wall_s": v} for v in values]) for values in ([None, None], [None, 9000.0, 7000.0])], ["-", "8,000"])

    def test_the_next_step_is_chosen_by_what_was_sampled(self):
        self.assertEqual([processor.next_step({"sqlite": (1.5, groups, SAMPLES)}).split("Next: ")[1].split(";")[0] for groups in
                          ([("vg_wire", 60.0), ("libc", 40.0)], [("libc", 60.0), ("vg_wire", 40.0)])],
                         ["a decoder of records that stops at the fields the rules read", "the sensors' states closer together in memory"])
        self.assertIn("what odd (zlib) does in the processor", sampling.next_for("alarm", "zlib", [(9.0, "zlib", "odd"), (1.0, "zlib", "even")]))
        path = profiled("kafka; both lanes", "collector", 20.0, ("kernel", 60.0), ("libcoap", 40.0))
        for broker_us, first in ((50.0, "the broker on a machine of its own"), (5.0, "fewer system calls per datagram")):
            r = whereabouts.evidence(STAGE, ARGS, [*path, *profiled("kafka; both lanes", "broker", broker_us, ("Java", 90.0), ("kernel", 10.0))])
            self.assertIn("in all of these together: " + first, r.next_step)
            self.assertIn("kafka, both lanes: ", r.next_step)

    @unittest.skipUnless(shutil.which("perf"), "perf is not installed (cross/setup bench)")
    def test_perf_tells_where_a_program_spends_its_time(self):
        with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder:
            s = types.SimpleNamespace(dir=pathlib.Path(folder), running=[])
            busy = subprocess.Popen([PROGRAMS.parent / "tests" / "udp_echo", "100000000"], stdout=subprocess.DEVNULL)
            try:
                with sampling.sampled(s, {"collector": [busy.pid], "broker": []}) as files:
                    began = stage.cpu_s(busy.pid)
                    while (spent := stage.cpu_s(busy.pid) - began) < 0.5:
                        time.sleep(0.02)
            finally:
                busy.kill()
                busy.wait()
            told = subprocess.run(["perf", "script", "-i", files["collector"], "-F", "time"], capture_output=True, text=True).stdout
            self.assertGreater(len(told.splitlines()), 0.7 * spent * sampling.HERTZ)  # it samples from the first moment of the block
            groups = dict(sampling.groups_of(sampling.read(files["collector"], {}, "collector")))
            self.assertGreater(groups["kernel"], 50)
            self.assertAlmostEqual(sum(groups.values()), 100, delta=5)
            self.assertEqual((s.running, list(files), os.listdir(folder)), ([], ["collector"], []))

    def test_growth_wants_its_rate_carried_at_every_step(self):
        rows = [grew(n) for n in growth.SESSIONS]
        self.assertTrue(growth.evidence(STAGE, ARGS, rows).ok)
        rows[2].update(per_s=0.9 * growth.RATE, missed=800)
        r = growth.evidence(STAGE, ARGS, rows)
        self.assertEqual([name for name, ok in targets(r).items() if not ok],
                         ["sqlite: exponent of the collector's cost with the number of sessions", "rate carried, the least of all rounds"])
        self.assertIn("3,200 sessions", r.next_step)

    def test_a_reading_without_an_alarm_counts_as_one_that_took_for_ever(self):
        self.assertEqual(latency.quantile([1, 2, 3, 4], 0.5), 3)
        self.assertEqual(latency.quantile(range(1, 101), 0.99), 100)
        self.assertEqual(latency.quantile(range(1, 100), 0.5, without=1), 51)
        self.assertIsNone(latency.quantile(range(1, 100), 0.99, without=1))
        self.assertIsNone(latency.quantile([], 0.5))
        name = "sqlite, 20,000 readings/s, 1 per datagram, one lane: "
        r = latency.evidence(STAGE, ARGS, [waited(5, alarms=98, without_alarm=2)])
        figures = {f["name"]: f for f in r.data["figures"]}
        self.assertEqual([n for n, ok in targets(r).items() if not ok], [name + "datagram to alarm, p99", name + "active readings without an alarm"])
        self.assertEqual(figures[name + "datagram to alarm, p99"]["value"], "none: 2 of 100 readings have no alarm")
        self.assertEqual(figures[name + "active readings without an alarm"]["value"], 2)
        self.assertIn("2 of 100 active readings got no alarm", r.next_step)
        # One in a thousand is outside the quantile, but not outside the result.
        r = latency.evidence(STAGE, ARGS, [waited(5, alarms=999, without_alarm=1)])
        self.assertEqual([n for n, ok in targets(r).items() if not ok], [name + "active readings without an alarm"])

    def test_a_p99_beside_less_than_the_load_is_no_success(self):
        r = latency.evidence(STAGE, ARGS, [waited(5, per_s=14000), waited(4, per_s=7000, offered_per_s=7000, after=1)])
        name = "sqlite, 20,000 readings/s, 1 per datagram, one lane: "
        self.assertEqual([n for n, ok in targets(r).items() if not ok], [name + "datagram to alarm, p99", name + "load carried meanwhile"])
        figures = {f["name"]: f for f in r.data["figures"]}
        self.assertEqual(figures[name + "datagram to alarm, p99"]["unit"], "ms, beside 70 % of the load")
        self.assertIn("sqlite, 7,000 readings/s (half of what it carried), 1 per datagram, one lane: datagram to alarm, p99", figures)
        self.assertIn("70 % of the load was carried", r.next_step)

    def test_where_the_path_carries_less_the_latency_is_measured_once_more_at_half_of_that(self):
        asked = []

        def once(_stage, log, batch, rate, _devices, _seconds, lanes):
            asked.append((log, batch, rate, lanes))
            run, values = waited(5, per_s=min(rate, 13000), lanes=lanes)
            del run["repeat"], run["after"]
            return {**run, "log": log, "per_datagram": batch, "offered_per_s": rate}, values
        args = types.SimpleNamespace(**{**vars(ARGS), "log": ["kafka"], "batch": [1], "lanes": [1], "rate": None, "repeats": 2})
        with unittest.mock.patch.object(latency, "once", once), contextlib.redirect_stdout(io.StringIO()):
            rows = latency.run(STAGE, args)
            self.assertEqual([rate for _, _, rate, _ in asked], [20000, 20000, 6500])
            self.assertEqual([run["after"] for run, _ in rows], [0, 0, 1])
            asked.clear()
            latency.run(STAGE, types.SimpleNamespace(**{**vars(args), "rate": 5000}))
            self.assertEqual([rate for _, _, rate, _ in asked], [5000, 5000])

    def test_what_the_agent_lost_fails_its_part(self):
        row = {}
        agent.add_verdict(row, (1000, 998, {"lost": 2, "duplicated": 0, "late": 1}))
        agent.add_verdict(row, (10, 10, {"lost": 0, "duplicated": 0, "late": 0}))
        self.assertEqual(row, {"said": 1010, "stored": 1008, "lost": 2, "other_problems": 1})

    def test_a_run_that_is_ended_leaves_no_process_and_no_folder(self):
        for number, status in ENDINGS:
            with self.subTest(number):
                self.end_by(number, status)

    def started(self, process, least, word):
        """Its children whose command line has `word`, once there are so many."""
        deadline = time.monotonic() + 40
        while len(out := [p for p in children(process.pid) if word in read(f"/proc/{p}/cmdline")]) < least:
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        return out

    def end_by(self, number, status):
        with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder:
            scratch = pathlib.Path(folder) / "run"
            result = pathlib.Path(folder) / "bench-throughput.json"
            process = subprocess.Popen([HERE / "bench", "throughput", "--programs", PROGRAMS, "--dir", scratch, "--log", "sqlite", "--seconds", "60",
                                        "--result", result], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       preexec_fn=hang_up_ends)
            self.addCleanup(process.kill)
            started = self.started(process, 3, "bin/vigia-")
            process.send_signal(number)
            self.assertEqual(process.wait(40), status)
            self.assertEqual([p for p in started if alive(p)], [])
            self.assertFalse(scratch.exists() or result.exists())

    def test_latency_counts_from_when_a_reading_fell_due(self):
        lines = [reading(seq, 10000 + seq) for seq in range(1, 65)]
        rows = latency.stages("\n".join(lines), latency.alarms([event(seq, 10000 + seq + 7) for seq in range(1, 65)]))
        self.assertEqual({(r["received_ms"], r["append_ms"], r["alarm_ms"]) for r in rows}, {(3, 5, 7.0)})

    def test_latency_of_the_real_path_counts_every_active_reading_once(self):
        with self.at_work() as s:
            run, values = latency.once(s, "sqlite", 10, 400, 2, 3, lanes=2)
        self.assertEqual((run["alarms"], run["without_alarm"], run["unanswered"]), (len(values), 0, 0))
        self.assertGreater(len(values), 90)  # of 100 that fall due in the one second between the load's beginning and two before its end
        self.assertTrue(all(v > 0 for v in values))

    def test_a_reading_that_is_in_the_log_twice_is_one(self):
        lines = [reading(seq, 10000) for seq in range(1, 65)]
        rows = latency.stages("\n".join([*lines, reading(7, 10000, received=900)]), latency.alarms([event(seq, 10007) for seq in range(1, 65)]))
        self.assertEqual((len(rows), max(r["received_ms"] for r in rows)), (64, 3))

    def test_a_missing_a_second_and_an_unfounded_alarm_void_the_figure(self):
        lines = "\n".join(reading(seq, 10000) for seq in range(1, 65))
        events = [event(seq, 10007) for seq in range(1, 65)]
        for wrong, why in ((events[1:], "its alarm is not"), (events + events[:1], "twice"), (events + [event(99, 10007)], "without their reading")):
            with self.assertRaisesRegex(stage.BenchError, why):
                latency.stages(lines, latency.alarms(wrong))

    def test_a_fleet_that_dates_its_readings_otherwise_voids_the_figure(self):
        lines = "\n".join(f"d1 {seq} 10000 10003 10005" for seq in range(1, 65))
        with self.assertRaisesRegex(stage.BenchError, "otherwise"):
            latency.stages(lines, latency.alarms([event(seq, 10007) for seq in range(1, 65)]))

    def test_the_exponent_of_a_known_law_is_found(self):
        for law in (0.0, 0.5, 1.0, 2.0):
            self.assertAlmostEqual(growth.fit([(x, 3 * x ** law) for x in (32, 320, 3200)]), law, places=9)

    def test_cpu_time_is_told_finer_than_a_tick_of_the_kernel(self):
        before = time.process_time()
        told = stage.cpu_s(os.getpid())
        self.assertTrue(before <= told <= time.process_time(), (before, told))

    def test_the_instruction_counts_are_kept_as_they_were_counted(self):
        self.assertEqual(GATE.per_reading({"encode": (1000, 101000)}), {"encode": 100.0})
        self.assertEqual(GATE.raw({"encode": (1000, 101000)}, {"encode": 99.5}).splitlines()[1], "encode,1000,101000,100.0,99.5")
        self.assertEqual(subprocess.run([HERE / "gate", "--buil", PROGRAMS.parent], capture_output=True).returncode, 2)

    @unittest.skipUnless(shutil.which("valgrind"), "valgrind is not installed (cross/setup test)")
    def test_counting_that_is_ended_leaves_no_valgrind(self):
        if GATE.compiler(PROGRAMS.parent) != GATE.read_baseline()[0]:
            self.skipTest("another compiler than the baseline's: nothing is counted")
        for number, status in ENDINGS:
            with self.subTest(number), subprocess.Popen([HERE / "gate", "--build", PROGRAMS.parent], stdout=subprocess.DEVNULL,
                                                        preexec_fn=hang_up_ends) as process:
                started = self.started(process, 1, "hot_paths")
                process.send_signal(number)
                self.assertEqual(process.wait(40), status)
                deadline = time.monotonic() + 5  # the kernel ends what was killed a moment after
                while any(map(alive, started)) and time.monotonic() < deadline:
                    time.sleep(0.02)
                self.assertEqual([p for p in started if alive(p)], [])

    def test_plots_are_well_formed(self):
        for text in (plot.bars("a < b", ["x & y", "z"], [1, 250000.5], "µs", marks=[2, 3], spread=[(0.5, 2), (1, 300000)]),
                     plot.bars("stacked", ["x"], [[1], [2]], "µs", series=("one", "two")),
                     plot.lines("l", {"s": [(32, 1.5), (3200, 2.5)]}, "x", "y", x_log=True, y_log=True, y_mark=2)):
            self.assertEqual(xml.dom.minidom.parseString(text).documentElement.tagName, "svg")


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(p) for p in out.split()]


def alive(pid):
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def hang_up_ends():
    """Also where these tests run under nohup, which children inherit."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    unittest.main()

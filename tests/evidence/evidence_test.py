#!/usr/bin/env python3
"""The runner and the page, on parts made for the purpose: what must never be reported as good is not.

  tests/evidence/evidence_test.py
"""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
RUN = HERE / "run"
sys.path.insert(0, str(HERE))
import page  # noqa: E402
import result  # noqa: E402

PART = """
import os, sys, time, pathlib
sys.path.insert(0, %r)
from result import Result
path = sys.argv[sys.argv.index("--result") + 1]
here = pathlib.Path(__file__).parent
with open(here / "ran", "a") as f: f.write("x")
r = Result(pathlib.Path(path).stem, "A part", method="by hand", not_covered="the rest", seed=3)
"""
GOOD = 'r.figure("lost", 0, target="0", ok=True)\nr.figure("speed", 12345.6, "readings/s")\nr.raw_file(path, "csv").write_text("a,b\\n")\n' \
       'sys.exit(r.write(path))'
BAD = 'r.figure("lost", 2, target="0", ok=False)\nsys.exit(r.write(path))'
LIAR = 'import json\nr.figure("lost", 2, target="0", ok=False)\nr.write(path)\nd = json.load(open(path)); d["ok"] = True\n' \
       'json.dump(d, open(path, "w"))'
STATUS = 'r.figure("lost", 0, target="0", ok=True)\nr.write(path)\nsys.exit(1)'
IDLE = 'sys.exit(r.write(path))'
SILENT = 'sys.exit(0)'
SPEED = 'r.figure("rate", 2.5, "readings/s", target="≥ 3", ok=False, speed=True)\n%s\nsys.exit(r.write(path))'
SPIN = "t = time.process_time()\nwhile time.process_time() - t < 1: pass"
# A second of CPU time by a process that leaves the part's session and outlives its parent.
ORPHAN = f"import subprocess\nsubprocess.run(['setsid', '--fork', sys.executable, '-c', {'import time;' + chr(10) + SPIN!r}])\n" + GOOD
SLOW = 'import subprocess\nc = subprocess.Popen(["sleep", "300"])\n(here / "child").write_text(str(c.pid))\nopen(path, "w").write("{")\ntime.sleep(300)'


class Evidence(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="vigia-evidence-")
        self.folder = pathlib.Path(self._folder.name)
        self.dir = self.folder / "measurements"
        self.page = self.folder / "measurements.md"

    def tearDown(self):
        self._folder.cleanup()

    def parts(self, **bodies):
        lines = []
        for name, body in bodies.items():
            folder = self.folder / name
            folder.mkdir(exist_ok=True)
            (folder / "part.py").write_text(PART % str(HERE) + textwrap.dedent(body) + "\n")
            lines.append(f"{name} | 1 | What {name} shows | {sys.executable} {folder / 'part.py'}")
        (self.folder / "parts").write_text("# a comment\n\n[What it is about]\n" + "\n".join(lines) + "\n")

    def command(self, *words, build="true"):
        return [str(RUN), "--dir", str(self.dir), "--parts", str(self.folder / "parts"), "--scratch", str(self.folder / "scratch"),
                "--lock", str(self.folder / "lock"), "--build", build, *words]

    def run_it(self, *words, status, **more):
        out = subprocess.run(self.command(*words, **more), capture_output=True, text=True, timeout=60)
        self.assertEqual(out.returncode, status, out.stdout + out.stderr)
        return out

    def times_run(self, name):
        path = self.folder / name / "ran"
        return len(path.read_text()) if path.exists() else 0

    def test_a_good_part_is_kept_with_its_raw_file_machine_and_revision(self):
        self.parts(good=GOOD)
        self.run_it(status=0)
        data = json.loads((self.dir / "good.json").read_text())
        self.assertEqual((self.dir / "good.csv").read_text(), "a,b\n")
        self.assertTrue(data["machine"]["cores"] >= 1 and data["machine"]["kernel"] and data["revision"]["commit"] and data["sources"])
        text = self.page.read_text()
        for wanted in ("| lost | 0 | 0 | met |", "12,346 readings/s", "seed 3", "the rest", "## What it is about",
                       "1 part. On the present sources: 1 measured, 1 with every target met, none with a target missed."):
            self.assertIn(wanted, text)
        self.assertEqual(list((self.folder / "scratch").glob("good/*")), [])

    def test_a_part_with_a_good_result_is_left_alone_unless_asked_again(self):
        self.parts(good=GOOD)
        self.run_it(status=0)
        self.run_it(status=0)
        self.assertEqual(self.times_run("good"), 1)
        self.run_it("good", "--again", status=0)
        self.assertEqual(self.times_run("good"), 2)

    def test_a_result_of_other_sources_is_measured_anew(self):
        self.parts(good=GOOD)
        self.run_it(status=0)
        path = self.dir / "good.json"
        path.write_text(path.read_text().replace('"sources": "', '"sources": "0'))
        self.assertIn("older", self.run_it("--list", status=0).stdout)
        self.run_it(status=0)
        self.assertEqual(self.times_run("good"), 2)

    def test_a_result_by_another_form_of_its_tool_or_by_none_named_is_measured_anew(self):
        self.parts(good=GOOD)
        self.run_it(status=0)
        tool = self.folder / "good" / "part.py"
        tool.write_text(tool.read_text() + "# another form\n")
        self.assertIn("older", self.run_it("--list", status=0).stdout)
        self.run_it(status=0)
        self.assertIn("good    ", self.run_it("--list", status=0).stdout)
        path = self.dir / "good.json"
        data = json.loads(path.read_text())
        del data["tools"]
        path.write_text(json.dumps(data))
        self.assertIn("older", self.run_it("--list", status=0).stdout)
        self.assertEqual(self.times_run("good"), 2)

    def test_the_page_names_what_is_older_and_never_counts_it_as_present(self):
        self.parts(good=GOOD, other=GOOD, bad=BAD)
        self.run_it(status=1)
        for name in ("good", "bad"):
            path = self.dir / f"{name}.json"
            path.write_text(path.read_text().replace('"sources": "', '"sources": "0'))
        self.assertIn("make measurements", self.run_it("--page", "--check", status=1).stderr)
        self.run_it("--page", status=0)
        text = self.page.read_text()
        for wanted in ("3 parts. On the present sources: 1 measured, 1 with every target met, none with a target missed. "
                       "**Older: 2**, 1 with every target met then, **1 with a target missed**.",
                       "| [good](#good) | lost | 0 | 0 | met, older |", "| [other](#other) | lost | 0 | 0 | met |",
                       "| [bad](#bad) | lost | 2 | 0 | **missed**, older |", "**Older:** measured on other sources of the product."):
            self.assertIn(wanted, text)

    def test_every_tool_of_the_list_has_a_digest_of_its_own_folder(self):
        parts = [line.split("|")[3].strip() for line in (HERE / "parts").read_text().splitlines() if line.count("|") == 3]
        digests = {}
        for command in parts:
            digests.setdefault(shlex.split(command)[0].rsplit("/", 1)[0], set()).add(result.tools(command))
        self.assertTrue(all(len(d) == 1 for d in digests.values()), digests)
        self.assertEqual(len(set.union(*digests.values())), len(digests))

    def test_a_tool_made_of_anothers_is_another_with_it(self):
        with unittest.mock.patch("result._digest", side_effect=list):
            names = result.tools("tests/evidence/waits/waits --seconds 20")
        self.assertLessEqual({"tests/evidence/waits/cycle.py", "tests/bench/latency.py"}, set(names))
        self.assertFalse({"tests/bench/bench_test.py", "tests/soak/soak"} & set(names))

    def test_the_programs_are_built_before_a_part_and_without_them_nothing_is_measured(self):
        self.parts(good='assert (here.parent / "built").exists()\n' + GOOD, more=GOOD)
        out = self.run_it(status=1, build="sh -c 'echo no such header; exit 3'")
        self.assertIn("ended with 3; nothing is measured", out.stderr)
        self.assertIn("no such header", out.stderr)
        self.assertEqual((self.times_run("good"), self.dir.exists()), (0, False))
        self.run_it(status=0, build=f"touch {self.folder / 'built'}")

    def test_two_runs_measure_at_once_only_when_both_are_told_to(self):
        self.parts(good=GOOD, slow=SLOW)
        other = ("--scratch", str(self.folder / "elsewhere"), "good")
        for first, second in (((), ()), ((), ("--beside",)), (("--beside",), ()), (("--beside",), ("--beside",))):
            with self.subTest(first=first, second=second), open(os.devnull, "w") as out:
                (self.folder / "slow" / "child").unlink(missing_ok=True)
                runner = subprocess.Popen(self.command("slow", *first), stdout=out, stderr=out)
                self.addCleanup(runner.kill)
                self.child()
                if first and second:
                    self.run_it(*other, *second, status=0)
                else:
                    self.assertIn("another run is at work", self.run_it(*other, *second, status=1).stderr)
                runner.send_signal(signal.SIGTERM)
                self.assertEqual(runner.wait(30), 130)
        self.assertTrue(json.loads((self.dir / "good.json").read_text())["beside"])
        self.assertIn("Not alone on the machine", self.page.read_text())
        self.run_it("good", "--again", status=0)
        self.assertFalse(json.loads((self.dir / "good.json").read_text())["beside"])

    def test_the_lock_is_one_for_all_working_copies(self):
        told = subprocess.run([sys.executable, "-c", "import runpy, sys; print(runpy.run_path(sys.argv[1])['LOCK'])", RUN], capture_output=True,
                              text=True, cwd=self.folder, check=True).stdout.strip()
        self.assertEqual(told, f"/tmp/vigia-evidence-{os.getuid()}.lock")

    def test_what_others_take_of_the_machine_is_told_and_what_a_part_leaves_behind_is_its_own(self):
        self.parts(busy=ORPHAN, quiet="time.sleep(1.5)\n" + GOOD)
        self.run_it("busy", status=0)
        self.assertGreater(json.loads((self.dir / "busy.json").read_text())["load"]["own_cpu_s"], 1)
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            try:
                self.run_it("quiet", status=0)
            finally:
                other.kill()
        load = json.loads((self.dir / "quiet.json").read_text())["load"]
        self.assertGreater(load["other_pct"], 50 / os.cpu_count())
        self.assertLess(load["own_cpu_s"], 1)
        self.assertIn(f"others took {load['other_pct']:g} % of all cores meanwhile", self.page.read_text())

    def test_a_missed_speed_target_needs_its_next_step(self):
        self.parts(slow=SPEED % "", known=SPEED % 'r.next_step = "the disk; a faster one"')
        self.assertIn("'next_step' does not say", self.run_it("slow", status=1).stdout)
        self.assertFalse((self.dir / "slow.json").exists())
        self.run_it("known", status=1)
        self.assertIn("the next step:** the disk; a faster one", self.page.read_text())

    def test_the_summary_names_every_promise_of_none_and_shows_numbers_as_targets(self):
        zeros = [{"name": n, "value": 0, "unit": "", "target": 0, "ok": True} for n in ("lost", "twice", "wrong")]
        many = [{"name": f"figure {n}", "value": n, "unit": "", "target": f"≥ {n}", "ok": True} for n in range(20)]
        missed = {"name": "late", "value": 3, "unit": "", "target": 0, "ok": False}
        rows = page.rows_of({"figures": [*many, *zeros, missed], "title": "T"})
        self.assertEqual(len(rows), page.SUMMARY_MOST)
        self.assertIn("lost; twice; wrong", [r["name"] for r in rows])
        self.assertIn(missed, rows)
        self.assertEqual(rows[-1]["name"], "15 further targets")
        self.assertEqual([page.target(f) for f in (missed, zeros[0], {"target": 19981}, {"target": None})], ["0", "0", "19,981", ""])

    def test_the_summary_says_what_a_rule_excused(self):
        told = [{"name": "figure", "value": 1, "unit": "", "target": "≥ 1", "ok": True}]
        excused = [{"name": f"excused: {n}", "value": n, "unit": "", "target": None, "ok": None} for n in (7, 0, 8)]
        self.assertEqual([(r["name"], r["value"]) for r in page.rows_of({"figures": told + excused})], [("figure", 1), ("excused: 7; excused: 8", "7; 8")])
        self.assertEqual(page.rows_of({"figures": told + excused[1:2]}), told)

    def test_a_missed_target_is_told_plainly_and_measured_anew(self):
        self.parts(bad=BAD, good=GOOD)
        out = self.run_it(status=1)
        self.assertIn("failed: bad", out.stdout)
        text = self.page.read_text()
        self.assertIn("**missed**", text)
        self.assertIn("**Missed:** lost 2, target 0.", text)
        self.assertIn("**1 with a target missed**", text)
        self.run_it(status=1)
        self.assertEqual((self.times_run("bad"), self.times_run("good")), (2, 1))

    def test_a_part_that_did_not_prove_its_work_is_no_success(self):
        for name, body in (("liar", LIAR), ("status", STATUS), ("idle", IDLE), ("silent", SILENT)):
            with self.subTest(name):
                self.parts(**{name: body})
                out = self.run_it(name, status=1)
                self.assertIn(f"{name}: FAILED", out.stdout)
                self.assertFalse((self.dir / f"{name}.json").exists())
                self.assertIn("not measured yet", self.page.read_text())

    def test_a_command_that_does_not_exist_is_no_success(self):
        (self.folder / "parts").write_text("absent | 1 | Absent | tests/evidence/no-such-program --all\n")
        self.assertIn("does not start", self.run_it(status=1).stdout)

    def test_what_a_part_prints_is_kept_beside_its_result_short_and_of_no_machine(self):
        told = f'print("begin in {result.ROOT}/build/host, {self.folder}/part.py:3: https://mirror.example.org/debian 3 readings/s of http://127.0.0.1:80/x/y")\n'
        self.parts(told=told + 'print("x" * 99 + "\\n" * 2000, *["y" * 99] * 2000, sep="\\n")\nprint("the end")\n' + GOOD)
        self.run_it(status=0)
        self.assertEqual(json.loads((self.dir / "told.json").read_text())["raw"], ["told.csv", "told.log"])
        log = (self.dir / "told.log").read_text()
        self.assertIn("[told.log](measurements/told.log)", self.page.read_text())
        self.assertTrue(log.startswith("begin in build/host, …/part.py:3: https://…/debian 3 readings/s of http://127.0.0.1:80/x/y\n"), log[:200])
        self.assertTrue(log.endswith("y\nthe end\n"))
        self.assertIn(" bytes are left out here …\n", log)
        self.assertLess(len(log.encode()), 70000)

    def test_without_git_nothing_is_measured_and_nothing_called_present(self):
        self.parts(good=GOOD)
        with unittest.mock.patch.dict(os.environ, GIT_DIR=str(self.folder / "no-such")):
            for words in ((), ("--list",), ("--page",)):
                self.assertIn("git knows no sources here", self.run_it(*words, status=1).stderr)
        self.assertEqual((self.times_run("good"), self.page.exists()), (0, False))

    def test_an_argument_is_not_guessed_from_its_beginning(self):
        self.parts(good=GOOD)
        self.run_it("--aga", status=2)
        self.assertEqual(subprocess.run([HERE / "suite", "asan", "--test", "x"], capture_output=True, timeout=60).returncode, 2)

    def test_what_tools_measure_with_is_part_of_each(self):
        for name in ("tests/evidence/load.py", "tests/conformance/log/suite.c", "tests/integration/collector/collector_client.c", "tests/support/kafka/broker"):
            with self.subTest(name), unittest.mock.patch.object(result, "_digest", lambda names: sorted(names)):
                for command in ("tests/broker/errors --isolation", "tests/bench/bench agent", "tests/sweep/calls --make"):
                    self.assertIn(name, result.tools(command))
                    self.assertNotIn("tests/integration/collector/test_collector.py", result.tools(command))

    def test_an_unknown_part_is_refused(self):
        self.parts(good=GOOD)
        out = self.run_it("godo", status=2)
        self.assertIn("unknown part 'godo'; there are: good", out.stderr)
        self.run_it("--no-such", status=2)
        self.assertEqual(self.times_run("good"), 0)

    def test_a_wrong_line_of_the_list_is_named(self):
        (self.folder / "parts").write_text("# the list\nname | soon | Title | true\n")
        self.assertIn("parts:2: 'soon' is no number of minutes", self.run_it("--list", status=1).stderr)

    def test_an_interrupted_part_leaves_no_result_and_no_process(self):
        self.parts(good=GOOD, slow=SLOW)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number), open(self.folder / "out", "w") as out:
                (self.folder / "slow" / "child").unlink(missing_ok=True)
                runner = subprocess.Popen(self.command(), stdout=out, stderr=out, preexec_fn=hangup_counts)
                self.addCleanup(runner.kill)
                child = self.child()
                runner.send_signal(number)
                self.assertEqual(runner.wait(30), 130)
                self.assertFalse(alive(child))
                self.assertEqual(sorted(p.name for p in self.dir.iterdir()), ["good.csv", "good.json"])
                self.assertEqual(list((self.folder / "scratch").glob("slow/*")), [])

    def test_a_run_under_nohup_goes_on_when_its_terminal_closes(self):
        self.parts(good="(here / 'child').write_text(str(os.getpid()))\nwhile not (here.parent / 'go').exists(): time.sleep(0.01)\n" + GOOD)
        with open(os.devnull, "w") as out:
            runner = subprocess.Popen(["nohup", *self.command()], stdout=out, stderr=out)
            self.addCleanup(runner.kill)
            self.child("good")
            runner.send_signal(signal.SIGHUP)
            (self.folder / "go").touch()
            self.assertEqual(runner.wait(30), 0)

    def child(self, part="slow"):
        path, deadline = self.folder / part / "child", time.monotonic() + 30
        while not (path.exists() and path.read_text()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        return int(path.read_text())

    def test_the_page_is_the_same_for_the_same_results_and_its_age_is_seen(self):
        self.parts(good=GOOD, other=GOOD)
        self.run_it("good", status=0)
        text = self.page.read_text()
        self.assertIn("What other shows: not measured yet.", text)
        self.run_it("--page", "--check", status=0)
        self.page.write_text(text + "edited\n")
        self.assertIn("make measurements", self.run_it("--page", "--check", status=1).stderr)
        self.run_it("--page", status=0)
        self.assertEqual(self.page.read_text(), text)

    def test_a_result_of_no_part_is_refused(self):
        self.parts(good=GOOD, gone=GOOD)
        self.run_it(status=0)
        self.parts(good=GOOD)
        self.assertIn("gone.json", self.run_it("--page", status=1).stderr)


class Suite(unittest.TestCase):
    """What tests/evidence/suite counts."""

    def setUp(self):
        loader = importlib.machinery.SourceFileLoader("suite", str(HERE / "suite"))
        self.suite = importlib.util.module_from_spec(importlib.util.spec_from_loader("suite", loader))
        loader.exec_module(self.suite)

    def test_a_sanitizer_that_is_told_to_be_silent_is_counted(self):
        own, tools = self.suite.own_texts(), self.suite.tool_texts()
        self.assertEqual(self.suite.suppressions(own, tools, {"ASAN_OPTIONS": "detect_leaks=1"})[1], [])
        attribute = {"lib/a.c": "int a;\n__attribute__((no_sanitize(\"undefined\"))) int f(void);\n"}
        self.assertEqual(len(self.suite.suppressions({**own, **attribute}, {}, {})[1]), 1)
        self.assertEqual(len(self.suite.suppressions({}, {}, {"TSAN_OPTIONS": "suppressions=tsan.txt", "LSAN_OPTIONS": ""})[1]), 1)

    def test_a_tool_that_sets_options_of_a_sanitizer_does_it_with_leave_or_is_counted(self):
        tools = {"tests/a.py": 'env["ASAN_OPTIONS"] = "detect_leaks=0:verify_asan_link_order=0"\n', "tests/support/sanitized": "UBSAN_OPTIONS, ASAN_OPTIONS"}
        named, silent = self.suite.suppressions({}, tools, {})
        self.assertEqual((named, len(silent)), ([("tests/support/sanitized", "SAN_OPTIONS")], 3))
        self.assertIn("tests/a.py:1: detect_leaks=0", "\n".join(silent))
        named, _ = self.suite.suppressions({"tests/integration/alarm/world.c": '"%s%sverify_asan_link_order=0"'}, {}, {})
        self.assertEqual(named, [("tests/integration/alarm/world.c", "verify_asan_link_order=0")])
        for name in ("tests/sweep/calls", "tests/soak/soak", "tests/gate/sanitizer/told", "tests/checker/checker.py"):
            self.assertIn(name, self.suite.tool_texts())

    def test_the_whole_suite_is_that_of_the_plain_build(self):
        plain = {"log", "wire", "hot_paths_cost_what_they_did"}
        for mine, passed, met in (({"log", "wire"}, 2, True), ({"log", "wire", "told"}, 3, True), ({"log"}, 1, False), ({"log", "wire"}, 1, False)):
            r = result.Result("suite", "T", method="m", not_covered="n")
            self.suite.ran(r, "asan", (passed, [], {}), mine, plain)
            self.assertEqual(r.ok, met, mine)
        self.assertIn("instructions", [f["unit"] for f in r.data["figures"] if "with leave" in f["name"]][0])

    def test_only_what_a_library_does_by_itself_may_be_kept_silent(self):
        self.assertEqual(self.suite.of_libraries()[1], [])
        with tempfile.NamedTemporaryFile("w") as file, unittest.mock.patch.object(self.suite, "LIBRARIES", pathlib.Path(file.name)):
            file.write("# why\ndeadlock:rd_kafka_q_keep\nrace:vgi_commit\nrace:*\n")
            file.flush()
            self.assertEqual(self.suite.of_libraries(), (["deadlock:rd_kafka_q_keep"], ["race:vgi_commit", "race:*"]))

    def test_a_suite_that_is_ended_leaves_no_folder(self):
        stand_in = "import runpy, sys, time, pathlib\n" \
                   "suite = runpy.run_path(sys.argv[1])\n" \
                   "main = suite['main'].__globals__\n" \
                   "main['build'] = lambda *_: pathlib.Path('/nowhere')\n" \
                   "main['test'] = lambda folder, args, reports: (print(reports, flush=True), time.sleep(60))\n" \
                   "sys.argv[1:] = ['asan']\n" \
                   "sys.exit(main['main']())\n"
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with subprocess.Popen([sys.executable, "-c", stand_in, HERE / "suite"], stdout=subprocess.PIPE, text=True, preexec_fn=hangup_counts) as suite:
                reports = pathlib.Path(suite.stdout.readline().strip())
                self.assertTrue(reports.is_dir())
                suite.send_signal(number)
                self.assertEqual(suite.wait(30), 128 + number)
                self.assertFalse(reports.exists())

    def test_a_test_is_skipped_with_leave_or_it_is_missing(self):
        for kind, skipped, met in (("tsan", {"simulation": "coroutines"}, True), ("asan", {"simulation": "?"}, False),
                                   ("tsan", {"kafka_log": "no Java"}, False), ("asan", {}, True)):
            r = result.Result("suite", "T", method="m", not_covered="n")
            tests = {str(n) for n in range(70 + len(skipped))}
            self.suite.ran(r, kind, (70, [], skipped), tests, tests)
            self.assertEqual(r.ok, met, (kind, skipped))

    def test_an_excuse_is_for_so_many_branches_and_no_more(self):
        source = "x\nif (a) {\nassert(b);\nif (a) {\n"
        branches = {"lib/wire/x.c": {2: [3, 0], 3: [1, 0], 4: [0, 0, 5]}, "edge/y.c": {1: [0, 0]}}
        count, taken, missing = self.suite.untaken(r"lib/wire/.*", branches, read=lambda _: source)
        self.assertEqual((count, taken, missing), (5, 2, {("lib/wire/x.c", "if (a) {"): [(2, 1), (4, 2)]}))
        for allowed, told in ((3, (3, 0, 0)), (4, (3, 0, 0)), (2, (2, 1, 2)), (0, (0, 3, 2))):
            named, bare, rows = self.suite.excuse(missing, {("lib/wire/x.c", "if (a) {"): (allowed, "why")} if allowed else {})
            self.assertEqual((named, bare, len(rows)), told)

    def test_a_file_that_no_test_ran_counts_with_all_its_lines(self):
        with tempfile.TemporaryDirectory(prefix="vigia-gcov-") as folder:
            root = self.suite.ROOT = pathlib.Path(folder).resolve()
            for name in ("lib", "build/lib"):
                (root / name).mkdir(parents=True)
            (root / "lib" / "ran.c").write_text("int main(int argc, char **argv)\n{\n    (void)argv;\n    if (argc > 1) {\n        return 1;\n    }\n    return 0;\n}\n")
            (root / "lib" / "idle.c").write_text("int idle(int a);\nint idle(int a)\n{\n    return a + 1;\n}\n")
            for name in ("ran", "idle"):
                subprocess.run(["gcc", "--coverage", "-c", root / "lib" / f"{name}.c", "-o", root / "build/lib" / f"{name}.o"], check=True, cwd=root / "build")
            subprocess.run(["gcc", "--coverage", root / "build/lib/ran.o", "-o", root / "build/ran"], check=True)
            subprocess.run([root / "build/ran"], check=True)
            lines, branches = self.suite.gcov(root / "build")
            self.assertEqual({path: any(counts.values()) for path, counts in lines.items()}, {"lib/ran.c": True, "lib/idle.c": False})
            self.assertEqual(sorted(map(bool, branches["lib/ran.c"][4])), [False, True])
            (root / "lib" / "lost.c").write_text("int lost;\n")
            self.assertEqual(self.suite.uncounted(lines, ["lib/ran.c", "lib/idle.c", "lib/lost.c", "lib/lost.h", "lib/base/fault.c"]),
                             (["lib/base/fault.c"], ["lib/lost.c"]))
            (root / "build/lib/idle.gcno").write_text("no notes of a compiler")
            with self.assertRaisesRegex(SystemExit, "gcov"):
                self.suite.gcov(root / "build")


def hangup_counts():
    """In a child: nohup may have had it ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Patience(unittest.TestCase):
    """How long tests wait for what must come: tests/support/patience.py."""

    def waits(self, **environment):
        out = subprocess.run([sys.executable, "-c", "import rig; print(rig.PATIENCE_S)"], cwd=HERE.parent / "integration/edge", capture_output=True, text=True,
                             env={**{k: v for k, v in os.environ.items() if k != "VIGIA_TEST_PATIENCE"}, "VIGIA_BINARY_DIR": "/nowhere", **environment})
        return out.stdout.strip() or out.stderr.strip().splitlines()[-1]

    def test_what_must_come_is_waited_for_longer_only_where_the_build_says_so(self):
        self.assertEqual((self.waits(), self.waits(VIGIA_TEST_PATIENCE="1"), self.waits(VIGIA_TEST_PATIENCE="6")), ("60", "60", "360"))

    def test_a_patience_that_is_none_is_refused(self):
        for text in ("", "0", "101", "1.5", "many"):
            self.assertEqual(self.waits(VIGIA_TEST_PATIENCE=text), f"VIGIA_TEST_PATIENCE is '{text}', accepted: 1 to 100")


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    unittest.main()

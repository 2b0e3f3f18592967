#!/usr/bin/env python3
"""The runner and the page, on parts made for the purpose: what must never be reported as good is not.

  tests/evidence/evidence_test.py
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
RUN = HERE / "run"
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

    def command(self, *words):
        return [str(RUN), "--dir", str(self.dir), "--parts", str(self.folder / "parts"), "--scratch", str(self.folder / "scratch"), *words]

    def run_it(self, *words, status):
        out = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60)
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
        for wanted in ("| lost | 0 | 0 | met |", "12,346 readings/s", "seed 3", "the rest", "## What it is about", "1 part: 1 with every target met"):
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
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), open(self.folder / "out", "w") as out:
                (self.folder / "slow" / "child").unlink(missing_ok=True)
                runner = subprocess.Popen(self.command(), stdout=out, stderr=out)
                self.addCleanup(runner.kill)
                child = self.child()
                runner.send_signal(number)
                self.assertEqual(runner.wait(30), 130)
                self.assertFalse(alive(child))
                self.assertEqual(sorted(p.name for p in self.dir.iterdir()), ["good.csv", "good.json"])
                self.assertEqual(list((self.folder / "scratch").glob("slow/*")), [])

    def child(self):
        path, deadline = self.folder / "slow" / "child", time.monotonic() + 30
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


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    unittest.main()

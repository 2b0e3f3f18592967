#!/usr/bin/env python3
"""tests/fuzz/run calls nothing good that it did not do: a run that ended early, a coverage that was not counted."""
import json
import pathlib
import subprocess
import tempfile
import unittest

RUN = pathlib.Path(__file__).resolve().parent / "run"
# What libFuzzer prints, and how it ends.
PROGRAM = """#!/bin/sh
case "$*" in
*-print_coverage=1*) echo 'COVERED_FUNC: hits: 3 edges: {reached}/9 vg_conf_load /src/lib/base/conf/load.c:7'; exit {covered};;
*) echo '#2 cov: 80 ft: 90'; echo 'Done {runs} runs in {seconds} second(s)'; echo 'stat::number_of_executed_units: {runs}';;
esac
"""


class Outcomes(unittest.TestCase):
    def run_with(self, reached=5, covered=0, runs=99999, seconds=2):
        """Exit status, figures by name, of the target conf as this program."""
        with tempfile.TemporaryDirectory() as folder:
            build = pathlib.Path(folder)
            (build / "fuzz").mkdir()
            (build / "fuzz/fuzz_conf").write_text(PROGRAM.format(reached=reached, covered=covered, runs=runs, seconds=seconds))
            (build / "fuzz/fuzz_conf").chmod(0o755)
            (build / "fuzz/fuzz_conf.covers").write_text("lib/base/conf\n")
            done = subprocess.run([RUN, "--build", build, "--target", "conf", "--seconds", "2", "--result", build / "fuzz.json"],
                                  capture_output=True, text=True, check=False)
            data = json.loads((build / "fuzz.json").read_text())
        self.assertEqual(done.returncode, 0 if data["ok"] else 1, done.stdout + done.stderr)
        return data["ok"], {f["name"]: (f["value"], f["ok"]) for f in data["figures"]}

    def test_a_whole_run_tells_how_long_it_fuzzed(self):
        ok, figures = self.run_with()
        self.assertTrue(ok)
        self.assertEqual(figures["conf: time fuzzed"], (2, True))
        self.assertEqual(figures["conf: edges of its own sources reached"], ("5 of 9", True))

    def test_a_coverage_run_that_fails_is_told(self):
        ok, figures = self.run_with(covered=1)
        self.assertEqual((ok, figures["conf: findings"]), (False, (0, True)))
        self.assertFalse(figures["conf: edges of its own sources reached"][1])

    def test_no_edge_reached_is_no_coverage(self):
        ok, figures = self.run_with(reached=0)
        self.assertEqual((ok, figures["conf: edges of its own sources reached"]), (False, ("0 of 9", False)))

    def test_a_run_that_ended_early_is_no_run(self):
        self.assertFalse(self.run_with(seconds=1)[0])

    def test_no_more_runs_than_inputs_kept_are_none(self):
        self.assertFalse(self.run_with(runs=1)[0])

    def test_an_abbreviation_is_refused(self):
        self.assertEqual(subprocess.run([RUN, "--second", "1"], capture_output=True, check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main()

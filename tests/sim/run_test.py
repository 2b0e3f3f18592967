#!/usr/bin/env python3
"""tests/sim/run takes a defect for found only when what the defect does was told, and refuses what it does not know."""
import importlib.machinery
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

RUN = pathlib.Path(__file__).resolve().parent / "run"
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("sim_run", str(RUN))
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("sim_run", loader))
loader.exec_module(run)


def found(defect, **wrong):
    """The seed by which the defect is found where every seed tells this."""
    seed = {"seed": 1, "clean": not wrong, **dict.fromkeys(run.ZEROS, 0), **{name.replace("_", " "): n for name, n in wrong.items()}}
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "vigia_sim"
        program.write_text(f"#!/bin/sh\necho '{json.dumps(seed)}'\nexit 1\n")
        program.chmod(0o755)
        return run.find_defect(str(program), defect, 2)


class Defects(unittest.TestCase):
    def test_a_simulation_that_breaks_has_found_nothing(self):
        for defect in run.DEFECTS:
            self.assertIsNone(found(defect, broken=1), defect)

    def test_what_the_defect_does_finds_it(self):
        for defect, kinds in run.DEFECTS.items():
            for kind in kinds:
                self.assertEqual(found(defect, **{kind.replace(" ", "_"): 1}), 1, defect)

    def test_something_else_does_not(self):
        self.assertIsNone(found("late-alarm", lost=3, broken=1))
        self.assertIsNone(found("late-alarm"))

    def test_every_kind_is_one_that_has_to_be_zero(self):
        self.assertEqual({kind for kinds in run.DEFECTS.values() for kind in kinds} - set(run.ZEROS), set())


class Arguments(unittest.TestCase):
    def test_what_it_does_not_know_is_refused_an_abbreviation_too(self):
        for words in (["--nonsense"], ["--seed", "1"], ["--hour", "1"], ["--seeds", "0"]):
            self.assertEqual(subprocess.run([RUN, *words], capture_output=True, check=False).returncode, 2, words)


if __name__ == "__main__":
    unittest.main()

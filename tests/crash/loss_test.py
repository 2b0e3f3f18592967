#!/usr/bin/env python3
"""tests/crash/loss_bound counts readings, and tells what an open group costs from what came while a commit was on its way."""
import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("loss_bound", str(pathlib.Path(__file__).resolve().parent / "loss_bound"))
loss_bound = importlib.util.module_from_spec(importlib.util.spec_from_loader("loss_bound", loader))
loader.exec_module(loss_bound)
KILL_MS = 100000


def judged(*ages, motion=False):
    """The kill's row when readings of these ages were lost with it, and one was not."""
    row = loss_bound.row_of("a case", 0, KILL_MS)
    ledger = [{"sensor": "s", "at": age, "wall_ms": KILL_MS - age, "motion": motion} for age in (*ages, 5000)]
    loss_bound.attribute([row], ledger, {("s", 5000)})
    return row


class Attribution(unittest.TestCase):
    def test_readings_are_counted_and_not_kills(self):
        rows = [loss_bound.row_of("a case", n, at) for n, at in enumerate((1000, 2000))]
        said = [{"sensor": "s", "at": at, "wall_ms": at, "motion": motion}
                for at, motion in ((700, True), (800, True), (980, True), (990, False), (1500, True))]
        loss_bound.attribute(rows, said, {("s", 1500)})
        self.assertEqual([(r["given"], r["lost_urgent"], r["late_urgent"], r["lost_routine"]) for r in rows], [(4, 3, 2, 1), (1, 0, 0, 0)])

    def test_what_came_during_a_commit_is_lost_but_not_of_the_group(self):
        row = judged(*range(60, 124), 5, 10, 15, 20, 25)
        self.assertEqual((row["given"], row["lost_routine"], row["lost_group"], row["oldest_ms"]), (70, 69, 64, 123))

    def test_one_more_than_a_group_is_one_too_many(self):
        self.assertEqual(judged(*range(60, 125))["lost_group"], 65)

    def test_an_urgent_one_is_late_once_its_commit_had_the_time(self):
        row = judged(50, 51, motion=True)
        self.assertEqual((row["lost_urgent"], row["late_urgent"], row["lost_routine"], row["lost_group"]), (2, 1, 0, 0))


if __name__ == "__main__":
    unittest.main()

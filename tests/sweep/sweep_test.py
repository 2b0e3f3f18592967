#!/usr/bin/env python3
"""The sweeps themselves: what they refuse, how they name a place, and that nothing is left of them however they end."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLAIN = pathlib.Path(os.environ["VIGIA_BINARY_DIR"])
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "support")]
import processes  # noqa: E402


def refused(tool, code, needle, *words):
    done = subprocess.run([HERE / tool, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == code and needle in done.stderr.splitlines()[-1], (tool, words, done)


def wrong_arguments_are_refused():
    for tool in ("points", "calls"):
        refused(tool, 2, "--bogus", "--bogus")
        refused(tool, 1, "no/such/folder", "--programs", "no/such/folder")
    refused("points", 2, "tape", "--log", "tape")
    refused("points", 1, "no.such-point", "--plain", PLAIN, "--point", "no.such-point")
    for word in ("--points", "--first", "--last", "--per-place", "--seed"):
        refused("calls", 2, "'0'", word, "0")
    refused("calls", 2, "kettle", "--scenario", "kettle")


def a_place_is_named_without_the_folder_it_was_compiled_in():
    import places
    for told, place in ((f"{ROOT}/build/faults/../../lib/base/conf.c:356", "lib/base/conf.c:356"),
                        ("/elsewhere/build/faults/../../edge/agent/agent.c:7", "edge/agent/agent.c:7"),
                        ("/elsewhere/library/src/net.c:7", "src/net.c:7"), ("?", "?"), ("??:0", "??:0")):
        assert places.place_of(told) == place, (told, places.place_of(told))


def a_reason_names_a_call_that_is_there():
    import places
    there = {(function, name) for program in ("vigia-edge", "vigia-collector", "vigia-alarm", "vigia")
             for _, name, _, function in places.calls_of(ROOT / "build" / "faults" / "bin" / program).values()}
    assert places.reasons() and not set(places.reasons()) - there, set(places.reasons()) - there


def nothing_is_left_when_one_is_interrupted():
    for tool, number, programs in (("points", signal.SIGTERM, 6), ("calls", signal.SIGINT, 3), ("points", signal.SIGKILL, 6)):
        folder = tempfile.mkdtemp(prefix="vigia-sweep-test-")
        running = subprocess.Popen([HERE / tool, "--plain", PLAIN], stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": folder})
        try:
            end = time.monotonic() + 60
            while sum("/vigia-" in words.split()[0] for words in processes.that_name(folder).values()) < programs:  # collectors, processors, agents
                assert running.poll() is None and time.monotonic() < end, (tool, running.returncode)
            running.send_signal(number)
            code = running.wait(60)
            assert code == (-number if number == signal.SIGKILL else 128 + number), (tool, code)
            end = time.monotonic() + 10  # the kernel ends what a killed sweep leaves, a moment later
            while (left := processes.that_name(folder)) and number == signal.SIGKILL and time.monotonic() < end:
                pass
            assert not left, (tool, left)
            assert number == signal.SIGKILL or not any(pathlib.Path(folder).iterdir()), (tool, sorted(pathlib.Path(folder).rglob("*"))[:9])
        finally:
            running.kill()
            running.wait()
            shutil.rmtree(folder, ignore_errors=True)


def main():
    missing = ROOT / "build" / "faults" / "bin" / "vigia-edge"
    if not missing.exists():
        print(f"Skipped: {missing} is not built (cmake --preset faults; make test does it)")
        return 77
    wrong_arguments_are_refused()
    a_place_is_named_without_the_folder_it_was_compiled_in()
    a_reason_names_a_call_that_is_there()
    nothing_is_left_when_one_is_interrupted()
    return 0


sys.exit(main())

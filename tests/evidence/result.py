"""The result of one part of the evidence: one JSON object, written whole or not at all.

  result = Result("kills-sqlite", "Random kills, SQLite log", seed=7,
                  method="how it was measured, one or two sentences", not_covered="what it does not show")
  result.figure("lost readings", lost, target="0", ok=lost == 0)      a target that must be met
  result.figure("time to resume, median", 0.31, "s")                  a figure without a target
  result.figure("rate", 9, "/s", target="≥ 10", ok=False, speed=True)   a speed target: where one is missed, result.next_step must say
                                                                      where the time goes and what to do next
  result.fail("the broker did not come back")                         anything else that makes the part fail
  with open(result.raw_file(args.result, "csv"), "w") as f: ...       a small raw file beside the result, PART.csv
  return result.write(args.result)                                    0 when every target is met, otherwise 1

tests/evidence/run starts each part with --result FILE; docs/measurements.md is made from these files. A part that did nothing has no
figures, and write() refuses it.
"""
import datetime
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a measurement is about: the product, and how it and its libraries are built. Not the tests, not the documents.
PRODUCT = ("lib", "edge", "collector", "cmake", "cross", "CMakeLists.txt", "CMakePresets.json")
# What several tools judge, measure and build their worlds with; it counts as part of every tool.
SHARED_TOOLS = ("tests/checker", "tests/conformance", "tests/evidence/load.py", "tests/integration/collector", "tests/integration/edge/rig.py",
                "tests/integration/support", "tests/rules", "tests/support", "tests/CMakeLists.txt")


def _git(*words):
    try:
        out = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    except FileNotFoundError:  # no git here: a tool still measures, its result speaks of no revision
        return ""
    return out.stdout if out.returncode == 0 else ""


def revision():
    """The commit, and whether tracked files differ from it (measurements themselves aside)."""
    commit = _git("rev-parse", "--short=12", "HEAD").strip() or "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs/measurements", ":!docs/measurements.md")
    return {"commit": commit, "dirty": bool(changed.strip())}


def _digest(names):
    digest = hashlib.sha256()
    for name in sorted(names):
        path = ROOT / name
        if path.is_file():
            digest.update(str(name).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _tracked(*names):
    return filter(None, _git("ls-files", "-z", "--", *names).split("\0"))


_OWN_TESTS = re.compile(r"_test\.py$|/test_[^/]*\.py$|\.md$")


def known():
    """Whether git knows the sources here; without it every digest is that of nothing, and says nothing."""
    return bool(_git("ls-files", "--", *PRODUCT).strip())


def sources():
    """A digest of the product's sources as they lie in the working tree: the same digest is the same product."""
    return _digest(_tracked(*PRODUCT))


def tools(command):
    """The same of what a part measures with: the folder of its tool, and what tools share; their own tests left out."""
    words = shlex.split(command)
    tool = ROOT / next((w for w in words if not pathlib.Path(w).name.startswith("python")), "")
    if not tool.is_relative_to(ROOT):
        return _digest([tool])
    folder = tool.relative_to(ROOT).parent
    # The suite's tool is the suite: every test.
    mine = "tests" if folder.name == "evidence" else str(folder)
    uses = ROOT / folder / "uses"  # a tool that is made of another's says so there: folders, one per line
    others = uses.read_text().split() if uses.exists() else []
    for other in others:
        if not (ROOT / other).is_dir():
            sys.exit(f"evidence: {uses.relative_to(ROOT)}: {other} is no folder")
    return _digest(name for name in _tracked(mine, *others, *SHARED_TOOLS) if mine == "tests" or not _OWN_TESTS.search(name))


def _first(path, key):
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            name, _, value = line.replace("=", ":", 1).partition(":")
            if name.strip() == key:
                return value.strip().strip('"')
    except OSError:
        pass
    return ""


def _file_system(folder):
    """Type of the file system that holds `folder`: what a sync costs depends on it."""
    best = ("", "")
    try:
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            _, where, kind = line.split()[:3]
            if (str(folder) + "/").startswith(where.rstrip("/") + "/") and len(where) >= len(best[0]):
                best = (where, kind)
    except OSError:
        pass
    return best[1]


def machine():
    kib = _first("/proc/meminfo", "MemTotal").split()
    return {"cpu": _first("/proc/cpuinfo", "model name") or os.uname().machine, "cores": os.cpu_count(),
            "memory_mib": int(kib[0]) // 1024 if kib else 0, "kernel": os.uname().release,
            "system": _first("/etc/os-release", "PRETTY_NAME"), "file_system": _file_system(ROOT)}


def write_atomically(path, text):
    """The file appears whole, on stable storage, or not at all."""
    path = pathlib.Path(path)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(new, "w") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def command_line(argv=None):
    """How this program was called, as one would type it at the root of the sources; without --result."""
    words, out = list(sys.argv if argv is None else argv), []
    try:
        words[0] = str(pathlib.Path(words[0]).resolve().relative_to(ROOT))
    except ValueError:
        pass
    while words:
        word = words.pop(0)
        if word == "--result":
            words = words[1:]
        elif not word.startswith("--result="):
            out.append(word)
    return shlex.join(out)


class Result:
    def __init__(self, part, title, *, method, not_covered, seed=None, command=None, began=None):
        """`began`: time.time() of the beginning, where the result is made at the end."""
        self._began = began or time.time()
        self._failures = []
        self.next_step = None
        self.data = {"part": part, "title": title, "command": command or command_line(), "seed": seed, "method": method,
                     "not_covered": not_covered,
                     "started": datetime.datetime.fromtimestamp(self._began, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "seconds": 0.0, "ok": False,
                     "figures": [], "raw": []}

    def figure(self, name, value, unit="", target=None, ok=None, speed=False):
        """One figure. With a target, `ok` says whether it is met; without one, `ok` stays None. `speed`: a target of speed or cost."""
        if (target is None) != (ok is None):
            raise ValueError(f"figure '{name}': a target and its verdict belong together")
        self.data["figures"].append({"name": name, "value": value, "unit": unit, "target": target,
                                     "ok": None if ok is None else bool(ok), **({"speed": True} if speed else {})})

    def fail(self, why):
        self._failures.append(why)

    def raw_file(self, result_path, suffix):
        """Where a raw file of this part goes: beside the result. Small text, or a plot."""
        name = f"{self.data['part']}.{suffix}"
        if name not in self.data["raw"]:
            self.data["raw"].append(name)
        return pathlib.Path(result_path).with_name(name)

    @property
    def ok(self):
        return not self._failures and all(f["ok"] is not False for f in self.data["figures"])

    def write(self, path):
        """Writes the result where --result was given (a None path writes nothing); returns the program's exit status."""
        if not self.data["figures"]:
            raise ValueError(f"part '{self.data['part']}' has no figures: it did nothing")
        self.data.update(seconds=round(time.time() - self._began, 1), ok=self.ok, machine=machine(), revision=revision(),
                         sources=sources())
        if self._failures:
            self.data["failures"] = self._failures
        if self.next_step:
            self.data["next_step"] = self.next_step
        if path:
            write_atomically(path, json.dumps(self.data, indent=1, ensure_ascii=False) + "\n")
        return 0 if self.ok else 1

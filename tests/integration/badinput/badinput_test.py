#!/usr/bin/env python3
"""Every kind of bad input, on every program that can meet it: exactly one line that names the place, what was found and what
is accepted; the right exit code; and nothing stored is touched. (The command line has its own cases in tests/integration/cli.)"""
import hashlib
import os
import pathlib
import socket
import sqlite3
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["VIGIA_BINARY_DIR"]) / "bin"
DAEMONS = ("collector", "alarm", "edge", "fleet")
KEY = "07" * 32


def run(program, *words, cwd):
    return subprocess.run([str(BIN / program), *map(str, words)], capture_output=True, text=True, timeout=60, cwd=cwd)


def digest(folder):
    """What is stored: every file but SQLite's shared memory, an index that readers make and drop."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.endswith(("-shm", "-wal"))}


class BadInput(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vigia-badinput-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        made = run("vigia", "init", "--dir", self.dir, cwd=self.dir)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.secret("psk", KEY)
        self.secret("credentials", f"pi-1 {KEY}\n")
        self.write("story", "sensor s period 1s motion off\n")
        self.write("collector.ini", "include = log.ini\n[collector]\nlisten = 127.0.0.1:5684\n[keys]\nkek_file = vigia.key\n"
                                    "[metrics]\nlisten =\n")
        self.write("alarm.ini", "include = log.ini\n[processor]\ninstance = a\n[metrics]\nlisten =\n")
        self.write("edge.ini", "[device]\nname = pi-1\n[uplink]\ncollectors = 127.0.0.1:9\npsk_file = psk\n"
                               "[buffer]\npath = buffer.db\n[source s]\nscenario = story\n[metrics]\nlisten =\n")
        self.write("fleet.ini", "[fleet]\ncollectors = 127.0.0.1:9\ncredentials = credentials\n[metrics]\nlisten =\n")

    def write(self, name, text, mode=0o600):
        path = self.dir / name
        path.write_text(text)
        path.chmod(mode)
        return path

    secret = write

    def refuses(self, name, *words, says, code=78, config=None):
        before = digest(self.dir)
        out = run(f"vigia-{name}", "--config", config or self.dir / f"{name}.ini", *words, cwd=self.dir)
        what = (name, words, out.stdout, out.stderr)
        self.assertEqual(out.returncode, code, what)
        self.assertEqual(out.stdout, "", what)
        self.assertEqual(out.stderr.count("\n"), 1, what)
        for text in (says,) if isinstance(says, str) else says:
            self.assertIn(text, out.stderr, what)
        self.assertEqual(digest(self.dir), before, what)

    def each(self, rows):
        for row in rows:
            with self.subTest(row[:2]):
                self.refuses(row[0], *row[1], says=row[2], code=row[3] if len(row) > 3 else 78)

    # ---- the file itself ----

    def test_what_every_test_starts_from_is_accepted(self):
        for name in DAEMONS:
            out = run(f"vigia-{name}", "--config", self.dir / f"{name}.ini", "--check-config", cwd=self.dir)
            self.assertEqual((out.returncode, out.stderr), (0, ""), name)

    def test_a_wrong_line_is_named_with_its_file_line_and_key(self):
        ranged = {"collector": ("[collector]", "max_batch = 129", "'129', accepted: 1 to 128 readings"),
                  "alarm": ("[rules]", "strikes = 0", "'0', accepted: 1 to 10 readings"),
                  "edge": ("[uplink]", "batch = 65", "'65', accepted: 1 to 64 readings"),
                  "fleet": ("[fleet]", "rate = many", "'many', accepted: 1 to 10000000 readings/s")}
        for name in DAEMONS:
            good = (self.dir / f"{name}.ini").read_text()
            line = good.count("\n") + 2
            section, wrong, says = ranged[name]
            cases = (("[metrics]\nfrob = 1\n", f"bad.ini:{line}: metrics.frob: unknown key, accepted: listen"),
                     ("\n[frob]\n", f"bad.ini:{line}: [frob]: unknown section, accepted: ["),
                     (f"{section}\n{wrong}\n", f"bad.ini:{line}: {section[1:-1]}.{wrong.split()[0]}: {says}"))
            for more, text in cases:
                with self.subTest((name, more)):
                    self.refuses(name, says=text, config=self.write("bad.ini", good + more))
                    self.refuses(name, "--check-config", says=text, config=self.dir / "bad.ini")

    def test_a_missing_file_is_named(self):
        for name in DAEMONS:
            self.refuses(name, says="none.ini: cannot be opened: No such file", config=self.dir / "none.ini")

    def test_a_wrong_command_line_ends_with_2(self):
        for name in DAEMONS:
            self.refuses(name, "--frob", says="--frob", code=2)
            self.refuses(name, "word", says="'word'", code=2)

    # ---- keys ----

    def test_a_key_file_that_cannot_be_used_is_named_with_the_reason(self):
        self.write("open", KEY, 0o644)
        self.write("short", "zz")
        (self.dir / "folder").mkdir()
        rows = []
        for name, key in (("edge", "uplink.psk_file"), ("fleet", "fleet.credentials"), ("collector", "keys.kek_file"),
                          ("collector", "keys.kek_file_old"), ("edge", "device.provisioning")):
            more = ("--set", "uplink.psk_file=", "--set", "device.name=", "--set", "uplink.collectors=") \
                if key == "device.provisioning" else ()
            for file, says in (("none", "No such file"), ("open", ("0644", "accepted: 0600")), ("folder", "regular file"),
                               ("short", ("accepted: exactly 32" if name == "collector" else ":1: "
                                          if key in ("fleet.credentials", "device.provisioning") else "hexadecimal digits"))):
                says = (f"{self.dir}/{file}",) + ((says,) if isinstance(says, str) else says)
                rows.append((name, (*more, "--set", f"{key}={file}"), says))
        # Relative paths on the command line are taken from the working folder, which is this one.
        self.each(rows)

    # ---- addresses ----

    def test_an_address_that_cannot_be_one_is_refused_by_the_check_too(self):
        for name in DAEMONS:
            for check in ((), ("--check-config",)):
                self.refuses(name, "--set", "metrics.listen=nonsense", *check,
                             says=("metrics.listen: 'nonsense'", "accepted: host:port"))
        self.each([("edge", ("--set", "uplink.collectors=a:b"), ("uplink.collectors: 'a:b'", "accepted: host")),
                   ("fleet", ("--set", "fleet.collectors=a:b"), ("fleet.collectors: 'a:b'", "accepted: host")),
                   ("collector", ("--set", "collector.listen=1.2.3.4:99999"),
                    ("collector.listen: '1.2.3.4:99999'", "accepted: host")),
                   ("collector", ("--set", "collector.listen=no..such:5684"), "collector.listen: no..such:5684: ")])

    def test_a_port_in_use_is_named(self):
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            tcp.listen(1)
            udp.bind(("127.0.0.1", 0))
            page, coap = ("127.0.0.1:%d" % s.getsockname()[1] for s in (tcp, udp))
            for name in DAEMONS:
                self.refuses(name, "--set", f"metrics.listen={page}", says=("metrics.listen", page, "in use"))
            self.refuses("collector", "--set", f"collector.listen={coap}",
                         says=("collector.listen", coap, "in use", "accepted:"))

    # ---- the log and the buffer ----

    def test_a_log_that_is_none_is_refused(self):
        rows = []
        for name in ("collector", "alarm"):
            for url, says in (("mysql:x", ("log.url: 'mysql:x'", "accepted are sqlite:FILE and kafka:HOST:PORT")),
                              ("sqlite:", "log.url: 'sqlite:'"), ("kafka:", "log.url: 'kafka:'"),
                              ("kafka:127.0.0.1:0", ("'127.0.0.1:0'", "accepted: kafka:HOST:PORT")),
                              ("sqlite:/nowhere/log.db", ("/nowhere/log.db", "No such file", "vigia init"))):
                rows.append((name, ("--set", f"log.url={url}"), says))
        self.each(rows)

    def test_a_database_of_another_program_or_a_newer_version_is_left_as_it_is(self):
        with sqlite3.connect(self.dir / "foreign.db") as db:
            db.execute("create table theirs (a)")
        db.close()
        self.write("text.db", "This is a letter and no database. " * 40)
        (self.dir / "folder").mkdir()
        own = subprocess.Popen([BIN / "vigia-edge", "--config", self.dir / "edge.ini"], stderr=subprocess.PIPE, text=True,
                               cwd=self.dir)
        for line in own.stderr:
            if "msg=ready" in line:
                break
        own.terminate()
        own.communicate(timeout=30)
        self.assertEqual(own.returncode, 0)
        for path in ("log.db", "buffer.db"):
            db = sqlite3.connect(self.dir / path)
            db.execute("pragma user_version = 99")
            db.close()
        self.each([(name, ("--set", f"{key}{self.dir}/{file}"), (file, says))
                   for name, key, newer in (("collector", "log.url=sqlite:", "log.db"), ("alarm", "log.url=sqlite:", "log.db"),
                                            ("edge", "buffer.path=", "buffer.db"))
                   for file, says in (("foreign.db", "another program"), (newer, "99"), ("text.db", "not a"),
                                      ("folder", "file"))])

    def test_a_broker_that_does_not_answer_is_named(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]  # bound, not listening: every connection is refused
            for name in ("collector", "alarm"):
                self.refuses(name, "--set", f"log.url=kafka:127.0.0.1:{port}", "--set", "log.call_deadline=3s",
                             says=(f"127.0.0.1:{port}", "no broker answers"), code=1)


if __name__ == "__main__":
    unittest.main(verbosity=2)

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


def run(program, *words, cwd, env=None):
    return subprocess.run([str(BIN / program), *map(str, words)], capture_output=True, text=True, timeout=60, cwd=cwd,
                          env={**os.environ, **(env or {})})


def digest(folder):
    """What is stored: every file."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}


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

    def refuses(self, name, *words, says, code=78, config=None, env=None):
        before = digest(self.dir)
        program = name if name == "vigia" else f"vigia-{name}"
        options = ("--config", config or self.dir / f"{name}.ini")
        # The command line's own options stand behind its command.
        out = run(program, *words, *options, cwd=self.dir, env=env)
        what = (name, words, out.stdout, out.stderr)
        self.assertEqual(out.returncode, code, what)
        self.assertEqual(out.stdout, "", what)
        self.assertEqual(out.stderr.count("\n"), 1, what)
        for text in (says,) if isinstance(says, str) else says:
            self.assertIn(text, out.stderr, what)
        self.assertEqual(digest(self.dir), before, what)

    def put(self, name, **values):
        """The good file with keys (section__key) changed; returns the file and the line of the first of them."""
        kept, section = [], ""
        for line in (self.dir / f"{name}.ini").read_text().splitlines():
            section = line if line.startswith("[") else section
            if f"{section[1:-1]}__{line.split(' =')[0]}".replace(" ", "__") not in values:
                kept.append(line)
        at = len(kept) + 2
        for key, value in values.items():
            section, _, word = key.rpartition("__")
            kept += [f"[{section.replace('__', ' ')}]", f"{word} = {value}"]
        return self.write("bad.ini", "\n".join(kept) + "\n"), at

    def blames(self, name, key, value, says, code=78, command=(), **others):
        """The key is at fault, wherever it was set: the line says where, in every program."""
        says = (says,) if isinstance(says, str) else says
        config, line = self.put(name, **{key.replace(".", "__").replace(" ", "__"): value}, **others)
        with self.subTest((name, key, value, "file")):
            self.refuses(name, *command, says=(f"bad.ini:{line}: {key}: ", *says), code=code, config=config)
        good, _ = self.put(name, **others) if others else (self.dir / f"{name}.ini", 0)
        with self.subTest((name, key, value, "--set")):
            self.refuses(name, *command, "--set", f"{key}={value}", says=(f"--set: {key}: ", *says), code=code, config=good)
        env = "VIGIA_" + key.upper().replace(".", "_").replace(" ", "_")
        with self.subTest((name, key, value, "environment")):
            self.refuses(name, *command, says=(f"environment {env}: {key}: ", *says), code=code, config=good,
                         env={env: str(value)})

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

    def test_output_that_is_lost_ends_with_1_and_one_line(self):
        self.write("readings", '{"v":1,"sensor":"s","device":"d","store":"00000000000000a1","lane":"u","seq":1,"time_ms":1000,"received_ms":1000,'
                               '"quality":"synced","motion":true}\n')
        cases = [(name, word) for name in DAEMONS for word in ("--help", "--version", "--manual", "--dump-config")]
        for name, *words in (*cases, ("alarm", "--replay", "readings")):
            good = run(f"vigia-{name}", *words, cwd=self.dir)
            self.assertEqual((good.returncode, good.stderr), (0, ""), (name, words))
            self.assertNotEqual(good.stdout, "", (name, words))
            with self.subTest((name, words)), open("/dev/full", "wb") as full:
                out = subprocess.run([BIN / f"vigia-{name}", *words], stdout=full, stderr=subprocess.PIPE, timeout=60, cwd=self.dir)
                self.assertEqual((out.returncode, out.stderr.decode()),
                                 (1, f"vigia-{name}: standard output: No space left on device\n"))

    # ---- keys ----

    def test_a_key_file_that_cannot_be_used_is_named_with_the_reason(self):
        self.write("open", KEY, 0o644)
        self.write("short", "zz")
        (self.dir / "folder").mkdir()
        for name, key in (("edge", "uplink.psk_file"), ("fleet", "fleet.credentials"), ("collector", "keys.kek_file"),
                          ("collector", "keys.kek_file_old"), ("edge", "device.provisioning")):
            for file, says in (("none", "No such file"), ("open", ("0644", "accepted: 0600")), ("folder", "regular file"),
                               ("short", "accepted: exactly 32" if name == "collector" else "hexadecimal digits")):
                others = {"uplink__psk_file": "", "device__name": "", "uplink__collectors": ""} \
                    if key == "device.provisioning" else {}
                if file == "short" and others:
                    continue  # its place is in that file: the next test
                self.blames(name, key, self.dir / file, (f"{self.dir}/{file}", *((says,) if isinstance(says, str) else says)),
                            **others)

    def test_what_is_wrong_in_a_provisioning_file_is_named_with_its_line_there(self):
        for lines, says in (
                (("zz",), "prov:1: neither [section]"),
                (("[device]", "name = -pi", "[uplink]", "collectors = a", f"psk = {KEY}"), "prov:2: device.name: '-pi', accepted: "),
                (("[device]", "name = pi", "[uplink]", "collectors = a:b", f"psk = {KEY}"), "prov:4: uplink.collectors: 'a:b'"),
                (("[device]", "name = pi", "[uplink]", "collectors = a", "psk = zz"), "prov:5: uplink.psk: 2 characters")):
            self.write("prov", "\n".join(lines) + "\n")
            config, _ = self.put("edge", device__provisioning="prov", uplink__psk_file="", device__name="", uplink__collectors="")
            with self.subTest(says):
                self.refuses("edge", says=says, config=config)
        self.write("prov", f"[device]\nname = pi-2\n[uplink]\ncollectors = a\npsk = {KEY}\n")
        config, _ = self.put("edge", device__provisioning="prov", uplink__psk_file="", uplink__collectors="")
        self.refuses("edge", says="bad.ini:2: device.name: set here and, differently, in the provisioning file", config=config)

    def test_what_the_agent_cannot_do_without_is_named_with_the_file(self):
        lines = (self.dir / "edge.ini").read_text().splitlines()
        for words, says in ((("psk_file",), "bad.ini: uplink.psk: no key, accepted"),
                            (("collectors",), "bad.ini: uplink.collectors: missing, accepted: host:port"),
                            (("[source", "scenario"), "bad.ini: [source]: none, accepted: at least one block"),
                            (("scenario",), "bad.ini: source s.scenario: missing, accepted: ")):
            config = self.write("bad.ini", "\n".join(line for line in lines if not line.startswith(words)) + "\n")
            with self.subTest(says):
                self.refuses("edge", says=says, config=config)

    def test_a_scenario_or_ledger_that_cannot_be_used_is_named(self):
        self.write("poem", "roses are red\n")
        self.blames("edge", "source s.scenario", self.dir / "none", (f"{self.dir}/none", "No such file"))
        self.blames("edge", "source s.scenario", self.dir / "poem", f"{self.dir}/poem:1: ")
        self.blames("edge", "source s.ledger", "/nowhere/ledger", ("/nowhere/ledger", "No such file"))

    # ---- addresses ----

    def test_an_address_that_cannot_be_one_is_refused_by_the_check_too(self):
        for name in DAEMONS:
            self.blames(name, "metrics.listen", "nonsense", ("'nonsense'", "accepted: host:port"))
            self.blames(name, "metrics.listen", "nonsense", ("'nonsense'", "accepted: host:port"), command=("--check-config",))
            self.blames(name, "metrics.listen", "no..such:1", ("'no..such'", "does not resolve", "accepted: host:port"))
        self.blames("edge", "uplink.collectors", "a:b", ("'a:b'", "accepted: host"))
        self.blames("fleet", "fleet.collectors", "a:b", ("'a:b'", "accepted: host"))
        self.blames("collector", "collector.listen", "1.2.3.4:99999", ("'1.2.3.4:99999'", "accepted: host"))
        self.blames("collector", "collector.listen", "no..such:5684", ("no..such:5684: ", "accepted: an address"))
        self.blames("collector", "collector.instance", "c 1", ("'c 1'", "accepted: "))
        self.blames("alarm", "processor.instance", "a 1", ("'a 1'", "accepted are "))

    def test_a_collector_that_does_not_resolve_is_told_while_the_agent_goes_on(self):
        config, line = self.put("edge", uplink__collectors="no..such:5684")
        edge = subprocess.Popen([BIN / "vigia-edge", "--config", config], stderr=subprocess.PIPE, text=True, cwd=self.dir)
        told = next(text for text in edge.stderr if "msg=uplink-lost" in text)
        edge.terminate()
        edge.communicate(timeout=30)
        self.assertEqual(edge.returncode, 0)
        for text in ("no..such", f"bad.ini:{line}: uplink.collectors", "resolve"):
            self.assertIn(text, told)

    def test_a_port_in_use_is_named(self):
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            tcp.listen(1)
            udp.bind(("127.0.0.1", 0))
            page, coap = ("127.0.0.1:%d" % s.getsockname()[1] for s in (tcp, udp))
            for name in DAEMONS:
                self.blames(name, "metrics.listen", page, (page, "in use", "accepted: "))
            self.blames("collector", "collector.listen", coap, (coap, "in use", "accepted:"))

    # ---- the log and the buffer ----

    def test_a_log_that_is_none_is_refused(self):
        bad = (("mysql:x", ("'mysql:x'", "accepted are sqlite:FILE and kafka:HOST:PORT")), ("sqlite:", "'sqlite:'"),
               ("kafka:", "'kafka:'"), ("kafka:127.0.0.1:0", ("'127.0.0.1:0'", "accepted: kafka:HOST:PORT")),
               ("sqlite:/nowhere/log.db", ("/nowhere/log.db", "No such file", "vigia init")))
        for name, command in (("collector", ()), ("alarm", ()), ("vigia", ("topic", "list"))):
            whole = (self.dir / f"{name}.ini").read_text()
            self.write(f"{name}.ini", whole.replace("include = log.ini\n", ""))  # so that the key stands in one place
            for url, says in bad:
                self.blames(name, "log.url", url, says, command=command)
            self.write(f"{name}.ini", whole)

    def test_a_key_of_an_included_file_is_named_with_its_line_there(self):
        log = (self.dir / "log.ini").read_text().splitlines()
        line = next(i for i, text in enumerate(log, 1) if text.startswith("url = "))
        log[line - 1] = "url = mysql:x"
        self.write("log.ini", "\n".join(log) + "\n")
        for name, command in (("collector", ()), ("alarm", ()), ("vigia", ("device", "list"))):
            self.refuses(name, *command, says=f"log.ini:{line}: log.url: 'mysql:x'")
        self.refuses("vigia", "device", "list", "--log", "oracle:y", says="--log: log.url: 'oracle:y'")

    def test_a_key_that_stands_nowhere_is_named_with_the_file_where_it_could(self):
        bare = self.write("bad.ini", "[processor]\ninstance = a\n")
        self.refuses("alarm", says=("bad.ini (default): log.url: /var/lib/vigia/log.db", "vigia init"), config=bare)

    def test_a_kept_topic_with_another_setting_is_named_with_its_key(self):
        for name, command in (("collector", ()), ("alarm", ())):
            self.blames(name, "log.retain", "1d", ("topic vigia.readings", "2592000000", "accepted: 86400000"), command=command)

    def test_a_database_of_another_program_or_a_newer_version_is_left_as_it_is(self):
        with sqlite3.connect(self.dir / "foreign.db") as db:
            db.execute("create table theirs (a)")
        db.close()
        with sqlite3.connect(self.dir / "wal.db") as db:
            db.execute("pragma journal_mode = wal")
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
        for name in ("collector", "alarm"):
            self.write(f"{name}.ini", (self.dir / f"{name}.ini").read_text().replace("include = log.ini\n", ""))
        for name, key, scheme, newer in (("collector", "log.url", "sqlite:", "log.db"), ("alarm", "log.url", "sqlite:", "log.db"),
                                         ("edge", "buffer.path", "", "buffer.db")):
            for file, says in (("foreign.db", "another program"), ("wal.db", "another program"), (newer, "99"), ("text.db", "not a"), ("folder", "file")):
                self.blames(name, key, f"{scheme}{self.dir}/{file}", (file, says))

    def test_a_buffer_that_cannot_be_made_is_named(self):
        self.blames("edge", "buffer.path", "/nowhere/buffer.db", ("/nowhere/buffer.db", "No such file"))

    def test_a_broker_that_does_not_answer_is_named(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]  # bound, not listening: every connection is refused
            for name in ("collector", "alarm"):
                self.write(f"{name}.ini", (self.dir / f"{name}.ini").read_text().replace("include = log.ini\n", ""))
                config, line = self.put(name, log__url=f"kafka:127.0.0.1:{port}", log__call_deadline="3s")
                self.refuses(name, says=(f"bad.ini:{line}: log.url: ", f"127.0.0.1:{port}", "no broker answers"), code=1,
                             config=config)


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/env python3
"""The command line on an embedded log: what it prints, what it refuses, and that nothing stored is touched by a refusal."""
import contextlib
import hashlib
import json
import os
import pathlib
import socket
import sqlite3
import stat
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["VIGIA_BINARY_DIR"]) / "bin"


def run(*words, program="vigia", stdin=None, env=None):
    out = subprocess.run([str(BIN / program), *map(str, words)], input=stdin, capture_output=True, timeout=60,
                         env={**os.environ, **(env or {})})
    return out.returncode, out.stdout.decode(), out.stderr.decode()


class Site(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.dir = pathlib.Path(self.folder.name)
        self.site = self.dir / "site"
        code, out, err = run("init", "--dir", self.site)
        self.assertEqual((code, out), (0, ""), err)

    def vigia(self, *words, expect=0, stdin=None):
        code, out, err = run("--config", self.site / "vigia.ini", *words, stdin=stdin)
        self.assertEqual(code, expect, f"{words}: {out}{err}")
        self.assertLessEqual(err.count("\n"), 1, err)
        return out if expect == 0 else err

    def add(self, name="pi-1", *more):
        return self.vigia("device", "add", name, "--sensor", "hall-*", "kitchen", "--out", self.dir / f"{name}.ini", *more)

    def log_hash(self):
        rows = self.vigia("topic", "read", "devices", "--from-beginning", "--json")
        return hashlib.sha256(rows.encode()).hexdigest()

    # ---- init ----

    def test_init_makes_everything_once_and_keeps_it(self):
        names = sorted(p.name for p in self.site.iterdir())
        for name in ("alarm.ini", "collector.ini", "edge.ini", "log.db", "log.ini", "vigia.ini", "vigia.key"):
            self.assertIn(name, names)
        key = (self.site / "vigia.key").read_bytes()
        self.assertEqual(len(key), 32)
        self.assertEqual(stat.S_IMODE((self.site / "vigia.key").stat().st_mode), 0o600)
        (self.site / "alarm.ini").write_text("; mine\n")
        self.assertEqual(run("init", "--dir", self.site)[0], 0)
        self.assertEqual((self.site / "vigia.key").read_bytes(), key)
        self.assertEqual((self.site / "alarm.ini").read_text(), "; mine\n")

    def test_an_init_that_fails_leaves_no_folder_of_its_own(self):
        new = self.dir / "new"
        for url in ("mysql:x", "kafka:127.0.0.1:0", "sqlite:/nowhere/log.db"):
            self.assertEqual(run("init", "--dir", new, "--log", url)[0], 78)
            self.assertFalse(new.exists(), url)
        new.mkdir()
        self.assertEqual(run("init", "--dir", new, "--log", "mysql:x")[0], 78)
        self.assertTrue(new.exists())

    def test_init_makes_no_topics_that_a_kept_log_ini_contradicts(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            url = f"kafka:127.0.0.1:{s.getsockname()[1]}"  # nobody answers there
        ini = self.site / "log.ini"
        ini.write_text(f"[log]\nurl = {url}\npartitions = 4\nreplication = 3\nmin_insync = 1\n")
        (self.site / "edge.ini").unlink()
        config = ("--config", self.site / "vigia.ini")
        for words, says in (((*config, "init", "--partitions", "12"), f"{ini}:3: log.partitions: 4, the topics would have 12"),
                            ((*config, "init", "--replication", "2"), f"{ini}:4: log.replication: 3, the topics would have 2"),
                            ((*config, "--set", "log.min_insync=2", "init"), f"{ini}:5: log.min_insync: 1, the topics would have 2"),
                            (("--log", url, "init"), f"{ini}:3: log.partitions: 4, the topics would have 6")):
            code, out, err = run(*words, "--dir", self.site)
            self.assertEqual((code, out, err.count("\n")), (78, "", 1), err)
            self.assertIn(says, err)
        # What agrees goes to the broker; another log is none of log.ini's.
        for words, expect, says in (((*config, "init", "--partitions", "4", "--replication", "3"), 1, "no broker answers"),
                                    (("--log", "kafka:127.0.0.1:0", "init"), 78, "--log: log.url")):
            code, out, err = run(*words, "--dir", self.site)
            self.assertEqual((code, out), (expect, ""), err)
            self.assertIn(says, err)
        self.assertFalse((self.site / "edge.ini").exists())
        ini.write_text("[log]\nfrob = 1\n")
        code, out, err = run("--log", url, "init", "--dir", self.site)
        self.assertEqual((code, out, err.count("\n")), (78, "", 1), err)
        self.assertIn(f"{ini}:2: log.frob", err)

    def test_every_file_that_init_writes_is_accepted_by_its_program(self):
        self.add()
        for program, more in (("vigia-collector", ()), ("vigia-alarm", ()),
                              ("vigia-edge", ("--set", f"device.provisioning={self.dir}/pi-1.ini",
                                              "--set", "source s.scenario=x"))):
            name = {"vigia-collector": "collector", "vigia-alarm": "alarm", "vigia-edge": "edge"}[program]
            code, _, err = run("--config", self.site / f"{name}.ini", "--check-config", *more, program=program)
            self.assertEqual(code, 0, err)

    # ---- devices ----

    def test_a_key_is_in_the_provisioning_file_and_nowhere_else(self):
        out = self.add()
        self.assertEqual(out, "")
        path = self.dir / "pi-1.ini"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        key = [line.split("=")[1].strip() for line in path.read_text().splitlines() if line.startswith("psk")][0]
        self.assertEqual(len(key), 64)
        self.assertNotIn(key, self.vigia("topic", "read", "devices", "--from-beginning"))
        self.assertNotIn(bytes.fromhex(key), (self.site / "log.db").read_bytes())

    def test_show_key_prints_the_key_of_the_file(self):
        key = self.add("pi-2", "--show-key").strip()
        self.assertIn(key, (self.dir / "pi-2.ini").read_text())

    def test_a_device_lives_from_add_to_remove(self):
        self.add("pi-1", "--period", "30s", "--class", "home")
        row = json.loads(self.vigia("--json", "device", "list"))
        self.assertEqual(row, {"device": "pi-1", "state": "active", "class": "home", "period": "30000ms", "version": 1,
                               "sensors": ["hall-*", "kitchen"]})
        self.assertIn("pi-1", self.vigia("device", "list"))
        old = (self.dir / "pi-1.ini").read_text()
        self.vigia("device", "rotate", "pi-1", "--out", self.dir / "pi-1.ini")
        self.assertNotEqual((self.dir / "pi-1.ini").read_text(), old)
        self.assertEqual(json.loads(self.vigia("device", "show", "pi-1", "--json"))["version"], 2)
        self.vigia("device", "revoke", "pi-1")
        self.assertEqual(json.loads(self.vigia("device", "show", "pi-1", "--json"))["state"], "revoked")
        self.assertIn("revoked", self.vigia("device", "rotate", "pi-1", expect=1))
        self.vigia("device", "remove", "pi-1")
        self.assertEqual(self.vigia("device", "list"), "")

    def test_a_device_whose_entry_cannot_be_read_can_be_removed(self):
        for name in ("pi-1", "pi-2", "pi-3", "pi-4"):
            self.add(name)
        with contextlib.closing(sqlite3.connect(self.site / "log.db")) as db, db:
            (topic,), = db.execute("select id from topic where name = 'vigia.devices'")
            entry = lambda name, value: self.assertEqual(
                db.execute(f"update r{topic} set value = ? where key = ?", (value, name)).rowcount, 1)
            (other,), = db.execute(f"select value from r{topic} where key = ?", (b"pi-4",))
            entry(b"pi-1", b'{"frob":1}')
            entry(b"pi-2", other)  # an entry of pi-4
            entry(b"pi-3", b"\xff\x00{")
        for name in ("pi-1", "pi-2", "pi-3"):
            self.assertIn(f"no device '{name}'", self.vigia("device", "show", name, expect=1))
            code, out, err = run("--config", self.site / "vigia.ini", "device", "remove", name)
            self.assertEqual((code, out, err), (0, "", f"vigia: device '{name}' is removed; its entry could not be read\n"))
            self.assertIn(f"no device '{name}'", self.vigia("device", "remove", name, expect=1))
        self.assertEqual(self.vigia("topic", "count", "devices"), "1\n")
        self.assertEqual(json.loads(self.vigia("device", "list", "--json"))["device"], "pi-4")
        self.add("pi-1")

    def test_a_device_that_is_refused_changes_nothing(self):
        self.add()
        before = self.log_hash()
        for words, says in (
            (("device", "add", "pi-1", "--sensor", "x"), "is there already"),
            (("device", "add", "p/1", "--sensor", "x"), "name 'p/1'"),
            (("device", "add", "pi-3", "--sensor", "a*b"), "--sensor a*b"),
            (("device", "add", "pi-3", "--sensor", "x", "--period", "soon"), "--period"),
            (("device", "add", "pi-3", "--sensor", "x", "--period", "1ms"), "--period"),
            (("device", "add", "pi-3", "--sensor", "x", "--out", "/nowhere/pi-3.ini"), "/nowhere"),
            (("device", "show", "pi-9"), "no device 'pi-9'"),
            (("device", "remove", "pi-9"), "no device 'pi-9'"),
        ):
            code, out, err = run("--config", self.site / "vigia.ini", *words)
            self.assertIn(code, (1, 78), (words, out, err))
            self.assertIn(says, err)
            self.assertEqual(err.count("\n"), 1, err)
        self.assertEqual(self.log_hash(), before)

    # ---- topics, alarms, log ----

    def test_reading_a_topic_ends_while_others_write_to_it(self):
        """A collector's heartbeats come faster than a reader waits for more: what came after its start is not waited for."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        collector = subprocess.Popen([BIN / "vigia-collector", "--config", self.site / "collector.ini", "--set", "metrics.listen=",
                                      "--set", f"collector.listen=127.0.0.1:{port}", "--set", "collector.heartbeat=100ms"],
                                     stderr=subprocess.DEVNULL)
        try:
            # The first ends with its limit: from here on there is always something new.
            self.vigia("topic", "read", "readings", "--from-beginning", "--follow", "--limit", "3")
            for _ in range(3):
                self.assertGreaterEqual(self.vigia("topic", "read", "readings", "--from-beginning").count("heartbeat"), 3)
        finally:
            collector.kill()
            collector.wait(10)

    def test_topics_are_listed_described_counted_and_read(self):
        self.add()
        rows = [json.loads(line) for line in self.vigia("topic", "list", "--json").splitlines()]
        self.assertEqual(len(rows), 8)
        self.assertEqual(json.loads(self.vigia("topic", "describe", "vigia.devices", "--json"))["cleanup"], "compact")
        self.assertEqual(self.vigia("topic", "count", "devices"), "1\n")
        record = json.loads(self.vigia("topic", "read", "devices", "--from-beginning", "--json"))
        self.assertEqual((record["key"], record["value"]["state"]), ("pi-1", "active"))
        self.assertEqual(self.vigia("topic", "read", "devices"), "")
        self.assertIn("no topic 'nonsense'", self.vigia("topic", "read", "nonsense", expect=2))
        self.assertIn("--limit", self.vigia("topic", "read", "devices", "--limit", "0", expect=1))

    def test_an_acknowledgement_becomes_a_command(self):
        self.vigia("alarm", "ack", "kitchen:smoke:3", "--who", "Marta", "--why", "on my way")
        record = json.loads(self.vigia("topic", "read", "commands", "--from-beginning", "--json"))
        self.assertEqual(record["key"], "kitchen")
        self.assertEqual(record["value"]["alarm_id"], "kitchen:smoke:3")
        self.assertEqual((record["value"]["who"], record["value"]["why"]), ("Marta", "on my way"))
        self.assertIn("no alarm id", self.vigia("alarm", "ack", "kitchen", expect=2))
        self.assertEqual(self.vigia("alarm", "list"), "")

    def test_output_that_is_lost_ends_with_1_and_one_line(self):
        self.add()
        (self.dir / "pack").write_bytes(b'[{"bn":"hall-1/","n":"motion","vb":true}]')
        site = ("--config", self.site / "vigia.ini")
        for words in (("--help",), ("--version",), ("--manual",), ("device", "--help"), ("device", "add", "--help"), ("completion",),
                      ("decode", "--format", "senml-json"),
                      (*site, "topic", "list"), (*site, "topic", "list", "--json"),
                      (*site, "topic", "count", "readings"), (*site, "topic", "count", "readings", "--json"),
                      (*site, "topic", "describe", "readings"), (*site, "topic", "describe", "readings", "--json"),
                      (*site, "topic", "read", "devices", "--from-beginning"), (*site, "device", "list"),
                      (*site, "device", "show", "pi-1"), (*site, "device", "show", "pi-1", "--json")):
            with self.subTest(words), open("/dev/full", "wb") as full, open(self.dir / "pack", "rb") as pack:
                out = subprocess.run([BIN / "vigia", *words], stdin=pack, stdout=full, stderr=subprocess.PIPE, timeout=60)
                self.assertEqual(out.returncode, 1, out.stderr)
                self.assertRegex(out.stderr, rb"\Avigia: standard output: .+\n\Z")

    def test_a_key_that_could_not_be_shown_ends_with_1(self):
        with open("/dev/full", "wb") as full:
            out = subprocess.run([BIN / "vigia", "--config", self.site / "vigia.ini", "device", "add", "pi-1", "--sensor", "x",
                                  "--show-key", "--out", self.dir / "pi-1.ini"], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(out.returncode, 1, out.stderr)
        self.assertIn(b"vigia: standard output: No space left on device\n", out.stderr)

    def test_a_backup_opens_as_a_log(self):
        self.add()
        copy = self.dir / "copy.db"
        self.vigia("log", "backup", copy)
        code, out, _ = run("--log", f"sqlite:{copy}", "--config", self.site / "vigia.ini", "--json", "device", "list")
        self.assertEqual((code, json.loads(out)["device"]), (0, "pi-1"))
        self.assertIn("copy.db", self.vigia("log", "backup", copy, expect=78))

    # ---- bad input: one line, the right code ----

    def test_skipping_names_a_group_that_is_not_there(self):
        self.assertIn("'alarm' has read nothing", self.vigia("log", "skip", "alarm", expect=78))
        self.assertIn("accepted are", self.vigia("log", "skip", "an alarm", expect=78))

    def test_usage_errors_end_with_2(self):
        for words, says in (((), "which command"), (("frob",), "unknown command 'frob'"), (("--frob",), "unknown option"),
                            (("device", "add"), "needs NAME"), (("device", "add", "x"), "needs --sensor"),
                            (("device", "show", "a", "b"), "one argument too many"), (("--config",), "needs a value"),
                            (("topic", "read", "x", "--frob"), "unknown option --frob"),
                            (("decode", "--format"), "--format needs"), (("--set",), "--set needs")):
            code, out, err = run(*words)
            self.assertEqual((code, out), (2, ""), (words, err))
            self.assertIn(says, err)

    def test_configuration_errors_end_with_78_and_name_their_place(self):
        bad = self.dir / "bad.ini"
        foreign = self.dir / "foreign.db"
        subprocess.run(["sqlite3", foreign, "create table t (a); pragma user_version=3"], check=True)
        before = foreign.read_bytes()
        open_key = self.dir / "open.key"
        open_key.write_bytes(b"x" * 32)
        open_key.chmod(0o644)
        cases = [
            (["--config", "/nowhere.ini", "device", "list"], "/nowhere.ini"),
            (["--config", bad, "device", "list"], f"{bad}:2: log.frob"),
            (["--log", "mysql:x", "device", "list"], "mysql"),
            (["--log", "sqlite:/nowhere/log.db", "device", "list"], "/nowhere/log.db"),
            (["--log", f"sqlite:{foreign}", "device", "list"], str(foreign)),
            (["--config", self.site / "vigia.ini", "--set", "log.queue_max=1", "device", "list"], "log.queue_max"),
            (["--config", self.site / "vigia.ini", "--set", f"keys.kek_file={open_key}", "device", "add", "n", "--sensor", "n"],
             "0644"),
            (["--config", self.site / "vigia.ini", "--set", "keys.kek_file=/nowhere.key", "device", "add", "n", "--sensor", "n"],
             "/nowhere.key"),
        ]
        bad.write_text("[log]\nfrob = 1\n")
        for words, says in cases:
            code, out, err = run(*words)
            self.assertEqual((code, out), (78, ""), (words, err))
            self.assertIn(says, err)
            self.assertEqual(err.count("\n"), 1, err)
        self.assertEqual(foreign.read_bytes(), before)

    def test_a_broker_that_cannot_be_reached_is_named_within_a_bounded_time(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        code, out, err = run("--log", f"kafka:127.0.0.1:{port}", "topic", "list")
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn(f"127.0.0.1:{port}", err)

    def test_a_topic_with_wrong_settings_stops_a_program_with_78(self):
        for program in ("vigia-collector", "vigia-alarm"):
            name = program.split("-")[1]
            code, _, err = run("--config", self.site / f"{name}.ini", "--set", "log.retain=2d", "--set", "metrics.listen=",
                               program=program)
            self.assertEqual(code, 78, err)
            self.assertIn("vigia.readings", err)

    # ---- decode, help, completion, manual ----

    def test_decode_prints_readings_and_names_refusals(self):
        pack = b'[{"bn":"hall-1/","n":"motion","vb":true},{"bn":"hall-2/","n":"smoke","v":1}]'
        code, out, err = run("decode", "--format", "senml-json", stdin=pack)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual((code, lines[0]["sensor"], lines[0]["motion"]), (1, "hall-1", True))
        self.assertEqual((lines[1]["refused"], lines[1]["code"]), (1, "4.22"))
        self.assertIn("4.22", err)
        code, out, err = run("decode", "--format", "senml-cbor", stdin=b"\xff")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("4.00", err)
        self.assertEqual(run("decode", "--format", "xml", stdin=b"")[0], 2)
        self.assertIn("4.13", run("decode", "--format", "json", stdin=b" " * 1153)[2])

    def test_help_manual_and_completion_come_from_one_table(self):
        code, text, _ = run("--help")
        self.assertEqual(code, 0)
        manual = run("--manual")[1]
        completion = run("completion")[1]
        for word in ("init", "rotate", "backup", "decode", "ack"):
            for where in (text, manual, completion):
                self.assertIn(word, where)
        self.assertEqual(run("device", "add", "--help")[1].count("--sensor"), 1)
        self.assertEqual(run("device", "--help")[1].count("  device "), 6)
        script = completion + "\nCOMP_WORDS=(vigia device r); COMP_CWORD=2; _vigia; echo ${COMPREPLY[*]}\n"
        out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
        self.assertEqual(sorted(out.split()), ["remove", "revoke", "rotate"])


if __name__ == "__main__":
    unittest.main(verbosity=2)

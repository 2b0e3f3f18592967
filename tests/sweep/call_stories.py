"""Scenarios of the programs that run on: what each does, from its start to its orderly end, and how a run of it is judged."""
import contextlib
import shutil
import signal
import socket
import sqlite3
import time

from agents import AgentRun
from call_sweep import Sweep
from world import Failure, ask_metrics, checker, free_port, wait_for

EXPECTED = {"a": ["pre_alarm smoke"], "b": ["pre_alarm smoke", "raised smoke"]}
RELOAD_S = 0.5  # what tells of a reload may be what a fault has taken


class Story(Sweep):
    """A collector, and where it is not the one that is swept, readings told to it."""

    def prepare(self):
        self.metrics, self.page = free_port(socket.SOCK_STREAM), ""
        metrics = f"metrics.listen=127.0.0.1:{self.metrics}"
        self.collector = self.site.collector(*([metrics] if self.name == "collector" else []))
        self.alarm = self.site.alarm(*([metrics] if self.binary == "vigia-alarm" else []))
        self.supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.supervisor.bind(str(self.dir / "notify"))
        if self.name != "collector":
            self.collector.start()
            self.site.listening(self.collector)

    def start(self, p, env):
        """As systemd would: it wants to be told of the start, and standard error may be its journal."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.supervisor.recv(4096, socket.MSG_DONTWAIT)
        p.start(**env, NOTIFY_SOCKET=str(self.dir / "notify"), JOURNAL_STREAM="0:0")

    @staticmethod
    def reload(p):
        """SIGHUP, and the end of what it sets off."""
        end = time.monotonic() + RELOAD_S
        if not p.ended():
            p.process.send_signal(signal.SIGHUP)
        while "msg=reload" not in p.told() and not p.ended() and time.monotonic() < end:
            time.sleep(0.01)

    def see_page(self, port):
        self.page = ask_metrics(port)
        if not self.faults and " 200 " not in self.page:
            raise Failure(f"no page of metrics: {self.page!r}")

    def tell_story(self, name, alive, revive):
        """Requests until each is acknowledged."""
        def r(which, quantity, value):
            return {"sensor": f"{name}-{which}", "name": quantity, "value": value}
        self.expected.update({f"{name}-{which}": events for which, events in EXPECTED.items()})
        for readings in ([r("a", "smoke", True), r("b", "smoke", True), r("n", "motion", False)], [r("b", "smoke", True)],
                         [r("a", "smoke", True), r("b", "smoke", True)]):
            end = time.monotonic() + 60
            while (code := self.device.post(readings, alive)) != "2.04":
                if code not in (None, "none", "4.01", "5.00", "5.03"):  # 5.00: libcoap, without memory
                    raise Failure(f"answer {code}")
                if time.monotonic() > end:
                    raise Failure(f"no 2.04 in 60 s, last answer {code}")
                if code != "5.03":
                    self.device.close()
                revive()

    def finish(self):
        """Everything drains, and the whole log is checked."""
        if self.name == "collector":
            self.collector.start()
            self.site.listening(self.collector)
        self.alarm.start()
        wait_for("the processor's partitions", lambda: "partition-caught-up" in self.alarm.told() or self.alarm.ended())
        try:
            wait_for("the alarms of every story", lambda: not checker.check_alarms(self.site.events(), self.expected), 20)
        except Failure:
            pass  # the check below says which are missing
        for p in (self.alarm, self.collector):
            if p.stop() != 0 or p.complaints():
                raise Failure(f"{p.name}: {p.told()[-300:]}")
        super().finish()


class Collector(Story):
    name, binary = "collector", "vigia-collector"

    def play(self, name, env):
        self.device.close()
        ends = []
        c = self.collector
        self.start(c, env)

        def revive():
            if not ends and c.ended():
                ends.append(self.end_of(c))
                c.start()
                if not self.site.listening(c):
                    raise Failure(f"does not start again: {c.told()[-300:]}")

        if self.site.listening(c):
            self.reload(c)
        else:
            revive()
        self.tell_story(name, lambda: not c.ended(), revive)
        self.see_page(self.metrics)
        last = self.end_of(c, fault=not ends)
        return ends[0] if ends else last


class Alarm(Story):
    name, binary = "alarm", "vigia-alarm"

    def play(self, name, env):
        self.tell_story(name, lambda: not self.collector.ended(), lambda: None)
        a, ends = self.alarm, []
        self.start(a, env)
        mine = {f"{name}-{which}" for which in EXPECTED}

        def told():
            return a.ended() or len([e for e in self.site.events() if e["key"] in mine]) >= 3

        wait_for("its alarms, or an end", told, 40)
        self.reload(a)
        if a.ended():
            ends.append(self.end_of(a))
            a.start()
            wait_for("its alarms after a new start", lambda: told() and not a.ended(), 20)
        self.see_page(self.metrics)
        last = self.end_of(a, fault=not ends)
        return ends[0] if ends else last


class Standby(Alarm):
    """The same, started while another processor holds the partitions, which then ends."""
    name, per_place = "standby", 2

    def play(self, name, env):
        holder = self.holder = getattr(self, "holder", None) or self.site.alarm()
        holder.start()
        wait_for("the partitions of the other one", lambda: "partition-caught-up" in holder.told())
        return super().play(name, env)

    def start(self, p, env):
        super().start(p, env)
        refused = {at for at, (_, name, _, function) in self.own.items() if (function, name) == ("vgi_group_lock", "close")}
        end = time.monotonic() + 3
        # It says nothing of it: it has tried, and left the lock to the other one.
        while not refused & set(self.told.sites()) and not p.ended() and time.monotonic() < end:
            time.sleep(0.01)
        if self.holder.stop() != 0:
            raise Failure(f"the other processor: {self.holder.told()[-300:]}")


class Edge(Story):
    """An agent whose card is not there yet."""
    name, binary = "edge", "vigia-edge"

    def agent(self, name):
        """The run, with its card and its files as they are before it starts."""
        return AgentRun(self.site, name)

    def look(self, run):
        """When it has ended by itself, and in the end."""

    def play(self, name, env):
        run, ends = self.agent(name), []
        self.began_with += len(run.kept)
        self.start(run.agent, env)
        wait_for("what it said is stored, or an end", run.settled, 60)
        if run.agent.ended():
            ends.append(self.end_of(run.agent))
            self.look(run)
            run.died()
            run.agent.start()
            wait_for("a new start", lambda: "agent-up" in run.agent.told() or run.agent.ended(), 20)
            wait_for("what it had said, and what its card held, is stored", run.settled, 40)
        self.see_page(run.metrics)
        last = self.end_of(run.agent, fault=not ends)
        if self.site.owed(run.said(), run.deaths, run.kept):
            run.agent.start()  # it said something when it was told to end: its card holds that
            wait_for("what its card still held is stored", run.settled, 40)
            self.end_of(run.agent, fault=False)
        self.look(run)
        self.deaths += run.deaths
        self.kept += run.kept
        self.ledgers += run.said()
        self.expected.update({f"{name}-a": ["pre_alarm smoke"] for r in self.site.topic("readings")
                              if r["key"] == f"{name}-a" and r["value"].get("smoke")})
        self.site.running.remove(run.agent)
        for path in self.site.dir.glob(f"{name}.*"):
            if path != run.ledger:
                path.unlink()
        return ends[0] if ends else last


class EdgeCard(Edge):
    """A card that holds rows: what an agent before it could not send."""
    name, per_place = "edge-card", 4

    def agent(self, name):
        return AgentRun(self.site, name, card=self.args.plain / "bin" / "vigia-edge")


class EdgeDamaged(Edge):
    """A card that is no database any more, and the remains of others: it is set aside, the oldest of them goes. Its key is in a file of
    its own."""
    name, per_place = "damaged", 4
    RUIN = b"\x5a" * (3 * 4096)  # whole pages

    def agent(self, name):
        psk = self.dir / f"{name}.psk"
        psk.write_text(self.site.psk)
        psk.chmod(0o600)
        run = AgentRun(self.site, name, psk_file=psk)
        for end, what in (("", self.RUIN), ("-wal", b"its wal"), *((f".damaged-000000000{n}", b"old") for n in (1, 2, 3)),
                          (".damaged-0000000001-wal", b"old")):
            (self.dir / f"{name}.db{end}").write_bytes(what)
        run.ruin = self.RUIN
        return run

    def look(self, run):
        left = [path.read_bytes() for path in self.dir.glob(f"{run.name}.db*")]
        if left.count(self.RUIN) != 1:
            raise Failure(f"the damaged card is there {left.count(self.RUIN)} times")


class EdgeOther(Edge):
    """A card that holds another device's rows, and this one's set aside: they change places, and nobody sends the other's."""
    name, per_place = "other-device", 4

    def agent(self, name):
        run = AgentRun(self.site, name, card=self.args.plain / "bin" / "vigia-edge")
        card = self.dir / f"{name}.db"
        for path in self.dir.glob(f"{name}.db-*"):
            path.unlink()
        shutil.copy(card, f"{card}.of-pi")
        db = sqlite3.connect(card)
        db.execute("UPDATE epochs SET device = 'another', store = store + 1")
        db.commit()
        db.close()
        run.ruin = card.read_bytes()
        return run

    def look(self, run):
        left = {path.name: path.read_bytes() == run.ruin for path in self.dir.glob(f"{run.name}.db*")}
        card = f"{run.name}.db"
        if list(left.values()).count(True) != 1 or not (left.get(card) or left.get(card + ".of-another")):
            raise Failure(f"the other device's card is not there once: {left}")
        if "msg=agent-up" in run.agent.told() and not left.get(card + ".of-another"):
            raise Failure(f"the agent runs, and the other device's card is not set aside: {left}")


class EdgeBoot(Edge):
    """A new provisioning file on the boot partition, which takes the place of one with an older key."""
    name, per_place = "provision", 4

    def agent(self, name):
        boot, kept = self.dir / f"{name}.boot", self.dir / f"{name}.provision"
        text = (self.dir / "pi.ini").read_text()
        boot.write_text(text.replace("127.0.0.1:", "localhost:"))
        kept.write_text(text.replace(self.site.psk, "0" * len(self.site.psk)))
        kept.chmod(0o600)
        return AgentRun(self.site, name, provisioning=kept, boot=boot)

    def look(self, run):
        boot, kept = ((self.dir / f"{run.name}.{end}").read_text() for end in ("boot", "provision"))
        if self.site.psk not in boot + kept:
            raise Failure("the new key is lost")
        if self.site.psk in boot and "msg=agent-up" in run.agent.told():
            raise Failure("the agent runs, and the key still stands on the boot partition")
        if (self.dir / f"{run.name}.provision").stat().st_mode & 0o777 != 0o600:
            raise Failure("the key can be read by others")

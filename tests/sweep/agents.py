"""Agents in the sweeps: what the end of one excuses, and one with a short story."""
import socket
import time

from world import COMMIT_MS, GROUP_MS, Failure, checker, free_port, wait_for

STORY = """seed 7
stamp on
sensor {name}-n period 40ms temperature constant 20 max_temperature 50
sensor {name}-a period 10d smoke off
at {alarm}ms {name}-a smoke
end {end}ms
"""
ALARM_MS, END_MS = 240, 400  # of its story
FILL = """seed 7
stamp on
sensor {name}-f period 15ms temperature constant 20 max_temperature 50
"""
FILLED, NOWHERE = 3, "127.0.0.1:9"  # readings; the discard port: nobody answers
UP_LATE_MS = 3000  # after which an agent that has not told its start is taken for one that has


class Death:
    """The end of one agent. What it said in its last moments may be lost, if its card does not hold it. `failed_ms`: since then its card
    took nothing, and what it says until it ends is in memory only."""

    def __init__(self, name, failed_ms=None):
        self.prefix, self.at_ms = f"{name}-", time.time() * 1000
        self.failed_ms = failed_ms or self.at_ms

    def excuses(self, line):
        window = COMMIT_MS if checker.is_urgent(line) else GROUP_MS + COMMIT_MS
        return line["sensor"].startswith(self.prefix) and self.failed_ms - window <= line["wall_ms"] <= self.at_ms + 5

    def kills(self):
        """The same for the checker: a card that takes nothing is a kill at every moment."""
        at = self.failed_ms
        while at < self.at_ms:
            yield at, lambda sensor: sensor.startswith(self.prefix)
            at += COMMIT_MS
        yield self.at_ms, lambda sensor: sensor.startswith(self.prefix)


class AgentRun:
    """One agent and its short story, until what it owes is in the log."""

    def __init__(self, site, name, card=None, **where):
        """`card`: an agent's program that fills the card before, while it reaches no collector."""
        self.site, self.name = site, name
        self.metrics = free_port(socket.SOCK_STREAM)
        self.ledger = site.dir / f"{name}.ledger"
        self.up_ms = self.failed_ms = self.ruin = None
        self.deaths, self.kept = [], self.fill(card) if card else []
        self.begin = site.now_ms()
        self.agent = site.agent(name, STORY.format(name=name, alarm=self.begin + ALARM_MS, end=self.begin + END_MS),
                                f"127.0.0.1:{self.metrics}", **where)

    def fill(self, program):
        """The rows that the card holds when nobody has heard of them."""
        filler = self.site.agent(self.name, FILL.format(name=self.name), program=program, collectors=NOWHERE)
        filler.start()
        try:
            wait_for("something was said", lambda: len(self.said()) >= FILLED or filler.ended(), 20)
            if filler.stop() != 0:
                raise Failure(f"the agent that fills the card: {filler.told()[-300:]}")
        finally:
            self.site.running.remove(filler)
        rows = self.site.card(self.name)
        if not rows:
            raise Failure("the card holds no row")
        return rows

    def said(self):
        return checker.read_lines(self.ledger) if self.ledger.exists() else []

    def settled(self):
        """True when it has ended, or its story is over and nothing is owed."""
        told, now = self.agent.told(), self.site.now_ms()
        if self.up_ms is None and ("agent-up" in told or now > self.begin + UP_LATE_MS):
            self.up_ms = now  # also that of an agent that was slow; the line that tells of it may be what a fault has taken
        if self.failed_ms is None and "msg=buffer-failed" in told:
            self.failed_ms = time.time() * 1000  # it goes on for five seconds, to send what it holds in memory, and ends
        if self.agent.ended():
            return True
        return self.up_ms is not None and now > max(self.begin + END_MS + 50, self.up_ms + 200) and not self.site.owed(
            self.said(), self.deaths, self.kept)

    def died(self):
        """Its end, by its own hand, and what its card holds then; the next start is another one."""
        there = [] if self.ruined() else self.site.card(self.name)
        self.deaths = [Death(self.name, self.failed_ms)]
        self.kept += [row for row in there if row not in self.kept]
        self.up_ms = self.failed_ms = None

    def ruined(self):
        """Whether its card is no database yet: it was made unreadable before it began."""
        card = self.site.dir / f"{self.name}.db"
        return self.ruin is not None and card.exists() and card.read_bytes() == self.ruin

"""The faults of the soak, each a stream of acts of its own from the seed.

Below, the acts of a fault are a generator that yields how many seconds to wait before it is asked again; the soak's loop asks whichever
is due. So the same seed gives the same acts in the same order, whatever other faults run beside it."""
import contextlib
import random
import time

from world import BROKER, Failed, now_ms

# How often each kind of program is killed. A collector that dies costs its agents the two retransmissions that tell them (RFC 7252:
# 1 s and 2 s), and with Kafka a processor the session of its group (6 s): so they die less often, or nothing would ever move.
WEIGHTS = {"sqlite": {"agent": 0.4, "collector": 0.2, "processor": 0.4}, "kafka": {"agent": 0.6, "collector": 0.2, "processor": 0.2}}
DOWN_S = (0.0, 0.15)  # a killed program is away for so long


class Fault:
    """One fault on its way through its acts. `busy`: an act is under way, so something is down that the rest of the act brings back."""

    def __init__(self, name, world, done):
        self.busy = False
        self.waits = ACTS[name](self, world, done)

    def go_on(self):
        """Does what is due, and tells for how many seconds nothing is."""
        return next(self.waits)

    def finish(self, pause):
        """Carries the act that is under way to its end, without its long waits."""
        while self.busy:
            pause(min(0.2, self.go_on()))

    @contextlib.contextmanager
    def act(self):
        self.busy = True
        yield
        self.busy = False


def kills(fault, world, done):
    """kill -9 of a random program, and its next start. `done.kills` counts."""
    rng = random.Random(f"{world.args.seed}/kill")
    weights = WEIGHTS[world.args.log]
    groups = {"agent": [a for a in world.agents if not getattr(a, "spared", False)], "collector": world.collectors,
              "processor": world.processors}
    yield 2.0
    while True:
        yield rng.uniform(*world.args.gap)
        kind = rng.choices(list(weights), list(weights.values()))[0]
        program, down = rng.choice(groups[kind]), rng.uniform(*DOWN_S)
        if not program.runs():
            continue  # it ended by itself and begins again in a moment
        with fault.act():
            note = world.kill(program)
            program.held = True
            yield down
            program.held = False
            program.start()
            note["restart_ms"] = program.started_ms
        done.kills += 1


def brokers(fault, world, done):
    """kill -9 of one broker, then its next start; the next one dies when all are back."""
    rng = random.Random(f"{world.args.seed}/broker")
    nodes = world.args.brokers
    yield 3.0
    while True:
        yield rng.uniform(*world.args.broker_gap)
        node = rng.randrange(1, nodes + 1)
        with fault.act():
            at = now_ms()
            world.call([BROKER, "kill9", world.folder / "kafka", node])
            note = world.note("acts", wall_ms=at, act="kill", what=f"broker-{node}", kind="broker")
            yield rng.uniform(0.2, 2.0)
            note["restart_ms"] = now_ms()
            starting = world.begin([BROKER, "restart", world.folder / "kafka", node])
            while not world.ended_well(starting):
                yield 0.2
            note["ready_ms"] = now_ms()
        done.brokers += 1


WEATHER = (  # what a network can be, and how often
    (3, "good", {}),
    (3, "lossy", {"loss": 0.3, "dup": 0.1, "reorder": 0.1}),
    (2, "bad", {"loss": 0.5, "dup": 0.2, "reorder": 0.3, "corrupt": 0.05, "delay_ms": (1, 80)}),
    (2, "slow", {"delay_ms": (200, 1500)}),
    (2, "rebinding", {"rebind": 3, "rebind_after": 3}),
    (1, "corrupting", {"corrupt": 0.3}),
    (1, "blackhole", {"blackhole": True}),
)
HARM = {"lost": "datagrams lost", "duplicated": "datagrams duplicated", "reordered": "datagrams reordered", "corrupted": "datagrams corrupted",
        "delayed": "datagrams delayed", "rebound": "new source ports", "blackholed": "datagrams into a blackhole"}
CLEAR = {"loss": 0.0, "dup": 0.0, "reorder": 0.0, "corrupt": 0.0, "delay_ms": (0, 0), "rebind": 0, "rebind_after": 0, "blackhole": False}


def network(_, world, done):
    """Each way to a collector has its own weather, which changes every few seconds; none is left out for long."""
    rng, deck = random.Random(f"{world.args.seed}/net"), []
    while True:
        yield rng.uniform(0.5, 3.0)
        proxy = rng.choice(world.proxies)
        if not deck:
            deck = [weather for weather in WEATHER for _ in range(weather[0])]
            rng.shuffle(deck)
        _, name, settings = deck.pop()
        for key, value in {**CLEAR, **settings}.items():
            setattr(proxy, key, value)
        world.note("acts", wall_ms=now_ms(), act=f"network {name}", what=f"way-{world.proxies.index(proxy) + 1}", kind="network")
        done.weathers += 1


def clear_network(world):
    for proxy in world.proxies:
        for key, value in CLEAR.items():
            setattr(proxy, key, value)


AGENT_STEPS_MS = (-86_400_000, -3_600_000, -30_000, -2_000, 2_000, 30_000, 3_600_000, 86_400_000)
SPEAK_S = 30  # in which an agent that has begun says something
COLLECTOR_STEPS_MS = (-20_000, -2_000, 2_000, 20_000)  # less than what the processor takes for a wrong clock


def one_is_not_behind(world, who):
    """Whether another collector's clock is right or ahead: where all are behind, the log's own time stands still while the processor's
    does not, and when a pre-alarm ends is not in the log."""
    return any(other is not who and other.clock.offset_ms >= 0 for other in world.collectors)


def clocks(_, world, done):
    """The wall clock of an agent or a collector steps, stays wrong for a while, and steps back."""
    rng = random.Random(f"{world.args.seed}/clock")
    while True:
        yield rng.uniform(1.0, 4.0)
        of_agent = rng.random() < 0.75
        who = rng.choice(world.agents if of_agent else world.collectors)
        while of_agent and who.finds_its_place():
            yield 0.05
        wrong = who.clock.offset_ms != 0
        steps = AGENT_STEPS_MS if of_agent else COLLECTOR_STEPS_MS if one_is_not_behind(world, who) else COLLECTOR_STEPS_MS[2:]
        who.clock.step(0 if wrong else rng.choice(steps))
        world.note("acts", wall_ms=now_ms(), act=f"clock {who.clock.offset_ms} ms", what=who.name, kind="clock")
        done.steps += 1


def right_clocks(world, pause):
    for agent in world.agents:
        deadline = time.monotonic() + SPEAK_S
        while agent.finds_its_place():
            if time.monotonic() > deadline:
                raise Failed(f"{agent.name} runs and has said nothing for {SPEAK_S} s:\n{agent.tail()}")
            pause(0.05)
    for who in world.agents + world.collectors:
        if who.clock.offset_ms != 0:
            who.clock.step(0)


def counted_by_proxies(world):
    """What the bad network did to datagrams, all ways together."""
    return {what: sum(proxy.counts[what] for proxy in world.proxies) for what in HARM}


FULL_S = (0.5, 4.0)  # a disk is full for so long


def disks(fault, world, done):
    """The disk of one agent's card, or of the log, is full for a while."""
    rng = random.Random(f"{world.args.seed}/disk")
    while True:
        yield rng.uniform(2.0, 6.0)
        name = rng.choice(sorted(world.disks))
        with fault.act():
            world.disks[name].set(1)
            world.note("acts", wall_ms=now_ms(), act="disk full", what=name, kind="disk")
            yield rng.uniform(*FULL_S)
            world.disks[name].set(0)
            world.note("acts", wall_ms=now_ms(), act="disk free", what=name, kind="disk")
        done.full_disks += 1


ACTS = {"kill": kills, "net": network, "clock": clocks, "disk": disks, "broker": brokers}


def at_least(name, args, seconds):
    """How often a fault must have acted in that time, or it was not what it is said to have been: half as often as at its slowest."""
    slowest_s = {"kill": args.gap[1] + DOWN_S[1], "net": 3.0, "clock": 4.0, "disk": 6.0 + FULL_S[1],
                 "broker": args.broker_gap[1] + 10.0}  # and until all are back
    return max(1, int(seconds / 2 / slowest_s[name]))

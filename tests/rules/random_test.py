#!/usr/bin/env python3
"""Random sequences through both implementations of the rules: the C one and tests/rules/naive.py.

  random_test.py [--seed N] [--count N]              rules_transcript --print, with commands, restarts, changing devices
  random_test.py --replay [--seed N] [--count N]     vigia-alarm --replay -, with readings and heartbeats

Sequences have duplicates, late readings, equal times, several stores (more than are remembered), commands, silence, lost
heartbeats, and restarts with what was stored. A difference prints the seed, the sequence up to there, and both tellings.
"""
import argparse
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import naive  # noqa: E402

SENSORS = ("hall", "urn:dev:mac:0024befffe804ff1", "pi")


def sequence(rng):
    """The lines of one random life."""
    conf = {"strikes": rng.choice((1, 2, 3, 3, 3, 10)), "window": rng.choice((50, 200, 1000, "never")),
            "normal_resets": rng.choice((0, 0, 1)), "supervision": rng.choice((0, 1)), "k": rng.choice((1, 2, 3)),
            "alive": 40, "heartbeat": rng.choice((60, 300))}
    lines = ["conf " + " ".join(f"{k}={v}" for k, v in conf.items())]
    for device in ("pi", "pi2"):
        lines.append(f"period {device} {rng.choice((0, 30, 100))}")
    now = 1000
    next_seq = {}
    sent = []
    stores = [f"{rng.getrandbits(64):x}" for _ in range(rng.choice((1, 2, 12, 60)))]
    for _ in range(rng.randrange(5, 120)):
        now += rng.choice((0, 0, 1, 5, 10, 30, 80))
        kind = rng.random()
        if kind < 0.62:
            lines.append(reading(rng, now, stores, next_seq, sent))
        elif kind < 0.70 and sent:
            lines.append(rng.choice(sent))          # delivered again, as it was
        elif kind < 0.78:
            lines.append(f"tick {now + rng.choice((0, 40, 200))}")
        elif kind < 0.86:
            lines.append(f"beat {now}")
        elif kind < 0.93:
            alarm = f"{rng.choice(SENSORS + ('nobody', 'collectors/0'))}:{rng.choice(naive.ALL_TYPES + ('fire',))}"
            number = rng.choice(("0", "1", "1", "2", "3", "4", "01", "x"))
            lines.append(f"{rng.choice(('ack', 'ack', 'ack', 'reset'))} {alarm}:{number} at={now} who=ana")
        elif kind < 0.97:
            lines.append("restart")
        else:
            lines.append(f"period {rng.choice(('pi', 'pi2'))} {rng.choice((0, 30, 100))}")
    return lines


def reading(rng, now, stores, next_seq, sent):
    sensor = rng.choice(SENSORS)
    device = rng.choice(("pi", "pi", "pi", "pi2"))
    at = max(0, now - rng.choice((0, 0, 0, 0, 1, 10, 60, 300)) + rng.choice((0, 0, 0, 0, 0, 500)))
    words = [f"r {sensor} at={at} rx={now} dev={device}"]
    what = rng.random()
    if sensor == "pi" and what < 0.7:
        words.append("event=" + rng.choice(("alive", "alive", "gap", "storage", "clock")))
    elif what < 0.2:
        words.append("ok")
    else:
        if rng.random() < 0.3:
            words.append(f"motion={rng.choice((0, 1))}")
        if rng.random() < 0.7:
            words.append(f"smoke={rng.choice((0, 1, 1))}")
        if rng.random() < 0.5:
            words.append(f"temp={rng.choice((20, 30, 31, 40.5))}")
        if rng.random() < 0.5:
            words.append("max=30")
    if rng.random() < 0.2:
        words.append("q=" + rng.choice(("unsynced", "stale", "warming-up", "fault")))
    if rng.random() < 0.9:
        store, lane = rng.choice(stores), rng.choice("uuur")
        seq = next_seq.get((store, lane), rng.choice((0, 1, 7)))
        next_seq[store, lane] = seq + 1
        words.append(f"id={store}:{lane}:{seq}")
    line = " ".join(words)
    sent.append(line)
    return line


def told_by_naive(lines, steps=None):
    told = []
    model = naive.Naive(told.append)
    for n, line in enumerate(lines):
        model.line(line)
        if steps is not None:
            steps.append((n, len(told)))
    return told


def told_by_c(program, lines):
    done = subprocess.run([program, "--print"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"{program}: exit {done.returncode}\n{done.stderr}\n" + "\n".join(lines))
    return [told for told in map(json.loads, done.stdout.splitlines()) if "event" in told]


def replayed(rng):
    """A sequence without what a file of readings cannot have, as transcript lines and as the records of `readings`."""
    lines = [line for line in sequence(rng) if line.split()[0] in ("conf", "r", "beat")]
    pairs = dict(word.split("=") for word in lines[0].split()[1:])
    pairs.update(alive="140", heartbeat=str(max(100, int(pairs["heartbeat"]))))
    lines[0] = "conf " + " ".join(f"{k}={v}" for k, v in pairs.items())
    arguments = ["--replay", "-"] + (["--supervision"] if pairs["supervision"] == "1" else [])
    settings = {"rules.strikes": pairs["strikes"], "rules.normal_resets": "true" if pairs["normal_resets"] == "1" else "false",
                "rules.window": pairs["window"] if pairs["window"] == "never" else pairs["window"] + "ms",
                "supervision.factor": pairs["k"], "supervision.alive": "140ms", "supervision.replay_period": "110ms",
                "supervision.heartbeat": pairs["heartbeat"] + "ms"}
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    return [lines[0], "period pi 110", "period pi2 110"] + lines[1:], [record(line) for line in lines[1:]], arguments


def record(line):
    words = line.split()
    if words[0] == "beat":
        return json.dumps({"v": 1, "heartbeat": "c1", "time_ms": int(words[1]), "received_ms": int(words[1])})
    pairs = dict(w.split("=", 1) if "=" in w else (w, "1") for w in words[2:])
    out = {"v": 1, "sensor": words[1], "device": pairs["dev"]}
    if "id" in pairs:
        store, lane, seq = pairs["id"].split(":")
        out.update(store=store.zfill(16), lane=lane, seq=int(seq))
    out.update(time_ms=int(pairs["at"]), received_ms=int(pairs["rx"]), quality=pairs.get("q", "synced"))
    for name, key in (("motion", "motion"), ("smoke", "smoke")):
        if name in pairs:
            out[key] = pairs[name] == "1"
    for name, key in (("temp", "temperature"), ("max", "max_temperature")):
        if name in pairs:
            out[key] = float(pairs[name])
    if "ok" in pairs:
        out["ok"] = True
    if "event" in pairs:
        out[pairs["event"]] = True if pairs["event"] == "alive" else "something happened"
    return json.dumps(out)


def told_by_replay(program, records, arguments):
    done = subprocess.run([program] + arguments, input="\n".join(records) + "\n", capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"{program} {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}\n" + "\n".join(records))
    return [json.loads(line) for line in done.stdout.splitlines()]


def difference(naive_events, c_events):
    """Index of the first event that the two do not agree on, else None. Each field that naive tells must be the same."""
    for i in range(max(len(naive_events), len(c_events))):
        if i >= len(naive_events) or i >= len(c_events):
            return i
        theirs = c_events[i]
        for key, value in naive_events[i].items():
            if theirs.get(key) != value:
                return i
        for key in ("raised_ms", "first_ms", "strikes", "count", "seq", "reason"):
            if key in theirs and key not in naive_events[i]:
                return i
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--count", type=int, default=int(os.environ.get("VIGIA_RANDOM_COUNT", "2500")))
    parser.add_argument("--replay", action="store_true")
    options = parser.parse_args()
    built = os.environ.get("VIGIA_BINARY_DIR", "build/host")
    if options.replay:
        options.count = max(1, options.count // 8)      # a process with its configuration each
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    program = os.path.join(built, "bin", "vigia-alarm") if options.replay else os.path.join(built, "tests", "rules_transcript")
    print(f"seed {seed}, {options.count} sequences", flush=True)
    events = 0
    kinds = {}
    for i in range(options.count):
        rng = random.Random(f"{seed}/{i}")
        steps = []
        if options.replay:
            lines, records, arguments = replayed(rng)
            theirs = told_by_replay(program, records, arguments)
        else:
            lines = sequence(rng)
            theirs = told_by_c(program, lines)
        ours = told_by_naive(lines, steps)
        at = difference(ours, theirs)
        if at is not None:
            line = next((n for n, count in steps if count > at), len(lines) - 1)
            print("\n".join(lines[: line + 1]))
            print(f"seed {seed}, sequence {i}: event {at} differs, at the line above")
            print("naive:", json.dumps(ours[at]) if at < len(ours) else "nothing")
            print("C:    ", json.dumps(theirs[at]) if at < len(theirs) else "nothing")
            return 1
        events += len(ours)
        for event in ours:
            name = event["event"] + " " + event.get("type", "-")
            kinds[name] = kinds.get(name, 0) + 1
    print(f"{events} events agree: " + ", ".join(f"{k} {v}" for k, v in sorted(kinds.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

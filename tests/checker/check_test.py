#!/usr/bin/env python3
"""The checker checked: a small run that is right passes, and each kind of fault put into it is found and named, by the command itself.

A checker that cannot fail proves nothing; so every test below changes one thing in a right run and says which kind must come of it."""
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types

HERE = pathlib.Path(__file__).resolve().parent
START = 1_795_000_000_000
STORE = "00000000000000aa"
WINDOW = 20_000


class Run:
    """Two sensors of one agent: one tells a motion and OK, one three strikes of smoke, then OK, then a strike that comes to nothing."""

    def __init__(self):
        self.ledger, self.readings, self.alarms, self.kills, self.kept, self.clock, self.pauses = [], [], [], [], [], [], []
        self.seen = None  # what another reader saw; None: --seen is not given
        self.seq = {"u": 0, "r": 0}
        self.arguments = []
        for at in range(0, 10_000, 1000):
            self.say(at, "hall-1", motion=False)
        self.say(2100, "hall-1", motion=True)
        self.tell("raised", "hall-1:motion:1", 2100, strikes=1, raised=2100, first=2100, count=1)
        self.say(3100, "hall-1", ok=True)
        self.tell("cleared", "hall-1:motion:1", 3100, strikes=1, raised=2100, first=2100, count=1)
        for n, at in enumerate((4200, 4900, 5600)):
            self.say(at, "smoke-1", smoke=True)
            if n == 0:
                self.tell("pre_alarm", "smoke-1:smoke:1", at, strikes=1, first=4200, count=1)
            if n == 2:
                self.tell("raised", "smoke-1:smoke:1", at, strikes=3, raised=5600, first=4200, count=3)
        self.say(7200, "smoke-1", ok=True)
        self.tell("cleared", "smoke-1:smoke:1", 7200, strikes=3, raised=5600, first=4200, count=3)
        self.say(8300, "smoke-1", smoke=True)
        self.tell("pre_alarm", "smoke-1:smoke:2", 8300, strikes=1, first=8300, count=1)
        self.alarms.append(self.event("pre_alarm_expired", "smoke-1:smoke:2", 8300 + WINDOW + 5, strikes=1, first=8300, count=1))
        self.readings.sort(key=lambda r: r["append_ms"])
        self.end_ms = START + 40_000

    def say(self, at, sensor, motion=None, smoke=None, ok=False):
        self.ledger.append({"at": at, "sensor": sensor, "kind": "event", "motion": motion, "smoke": smoke, "temperature": None,
                            "max_temperature": None, "ok": ok, "quality": "synced", "wall_ms": START + at + 2})
        lane = "u" if motion or smoke or ok else "r"
        self.seq[lane] += 1
        value = {"v": 1, "sensor": sensor, "device": "pi-1", "store": STORE, "lane": lane, "seq": self.seq[lane],
                 "time_ms": START + at, "received_ms": START + at + 5, "quality": "synced"}
        value.update({k: v for k, v in (("motion", motion), ("smoke", smoke)) if v is not None})
        value.update({"ok": True} if ok else {"x": {"at": at}})
        self.readings.append({"partition": 0, "offset": len(self.readings), "append_ms": START + at + 6, "key": sensor, "value": value})

    def event(self, what, alarm, at, raised=None, **more):
        sensor, kind, activation = alarm.split(":")
        value = {"v": 1, "event": what, "alarm_id": alarm, "sensor": sensor, "type": kind, "activation": int(activation),
                 "priority": "high", "late": False, "time_ms": START + at, "strikes": more["strikes"], "count": more["count"],
                 "first_ms": START + more["first"]}
        if raised is not None:
            value["raised_ms"] = START + raised
        return {"partition": 0, "offset": len(self.alarms), "append_ms": START + at + 9, "key": sensor, "value": value}

    def tell(self, what, alarm, at, **more):
        record = self.event(what, alarm, at, **more)
        record["value"].update(device="pi-1", store=STORE, lane="u", seq=self.seq["u"])
        self.alarms.append(record)

    # --- finding things to spoil -----------------------------------------------------------------------------------------

    def reading(self, sensor, at):
        return next(r for r in self.readings if r["key"] == sensor and r["value"]["time_ms"] == START + at)

    def alarm(self, what, alarm):
        return next(a for a in self.alarms if a["value"]["event"] == what and a["value"]["alarm_id"] == alarm)

    def judged(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name in ("ledger", "readings", "alarms", "kills", "kept", "clock", "pauses", "seen"):
                if getattr(self, name) is None:
                    continue
                paths[name] = os.path.join(folder, name)
                with open(paths[name], "w") as file:
                    file.writelines(json.dumps(line) + "\n" for line in getattr(self, name))
            command = [HERE / "check", "--json", "--rules", f"strikes=3,window={WINDOW}", "--end-ms", str(self.end_ms)]
            for name, path in paths.items():
                command += [f"--{name}", path]
            done = subprocess.run([str(c) for c in command + self.arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1), done.stderr
        assert done.stdout, done.stderr
        out = json.loads(done.stdout)
        assert (done.returncode == 0) == out["ok"] == (not out["problems"])
        return out


def kinds(run):
    return {kind: n for kind, n in run.judged()["counts"].items() if n}


def a_right_run_passes(run):
    out = run.judged()
    assert out["problems"] == [], out["problems"]
    f = out["figures"]
    assert (f["sent"], f["stored"], f["alarm events by the rules"], f["alarm events as they must be"]) == (17, 17, 7, 7), f
    assert f["active readings and OKs counted"] == 7 and f["alarms raised"] == 2


def a_lost_routine_reading_is_found(run):
    run.readings.remove(run.reading("hall-1", 4000))
    # By the ledger, and by the hole in its lane's numbers.
    assert kinds(run) == {"lost": 2}


def a_lost_strike_is_found_in_the_log_and_in_the_alarms(run):
    run.readings.remove(run.reading("smoke-1", 4900))
    found = kinds(run)
    assert found["lost"] == 2 and found["false alarm"] >= 1, found


def a_lost_ok_is_found(run):
    run.readings.remove(run.reading("hall-1", 3100))
    found = kinds(run)
    assert found["lost"] == 2 and found["false alarm"] == 1, found


def what_an_agent_had_not_committed_when_killed_is_counted_and_not_blamed(run):
    for at in (8000, 9000):
        run.readings.remove(run.reading("hall-1", at))
    run.kills.append({"wall_ms": START + 9100, "sensors": ["hall-*"]})
    out = run.judged()
    assert out["ok"] and out["figures"]["excused: routine readings not yet committed when their agent was killed"] == 2, out
    assert out["figures"]["oldest excused by a kill, ms"] == 1098 and out["figures"]["most excused by one kill"] == 2, out


def a_kill_excuses_nothing_older_than_the_window(run):
    for at in (7000, 8000, 9000):
        run.readings.remove(run.reading("hall-1", at))
    run.kills.append({"wall_ms": START + 9100, "sensors": ["hall-*"]})
    assert kinds(run) == {"lost": 1}


def a_kill_excuses_nothing_of_another_agent(run):
    run.readings.remove(run.reading("hall-1", 9000))
    run.kills.append({"wall_ms": START + 9100, "sensors": ["smoke-*"]})
    assert kinds(run) == {"lost": 1}


def a_kill_excuses_no_urgent_reading_that_had_time_for_its_commit(run):
    run.readings.remove(run.reading("smoke-1", 8300))
    run.alarms = [a for a in run.alarms if not a["value"]["alarm_id"].endswith(":2")]
    run.kills.append({"wall_ms": START + 9100, "sensors": ["smoke-*"]})
    run.arguments = ["--urgent-window-ms", "300"]
    assert kinds(run) == {"lost": 1}
    run.arguments = ["--urgent-window-ms", "1000"]
    assert kinds(run) == {} and run.judged()["figures"]["excused: urgent readings not yet committed when their agent was killed"] == 1


def a_kill_that_tells_its_own_windows_is_judged_by_them(run):
    run.readings.remove(run.reading("smoke-1", 8300))
    run.alarms = [a for a in run.alarms if not a["value"]["alarm_id"].endswith(":2")]
    run.arguments = ["--window-ms", "20000", "--urgent-window-ms", "20000"]
    run.kills = [{"wall_ms": START + 9100, "sensors": ["smoke-*"], "window_ms": 1000, "urgent_window_ms": 300}]
    assert kinds(run) == {"lost": 1}
    run.kills[0]["urgent_window_ms"] = 1000
    assert kinds(run) == {}


def a_row_that_was_on_the_card_is_never_excused(run):
    row = run.reading("hall-1", 9000)
    run.readings.remove(row)
    run.kills.append({"wall_ms": START + 9100, "sensors": ["hall-*"]})
    run.kept.append({k: row["value"][k] for k in ("device", "store", "lane", "seq")})
    assert kinds(run) == {"lost": 1}


def gave_up(run, text, device="pi-1", store=STORE, seq=8):
    """Another record of the device: it says what it gave up."""
    gap = copy.deepcopy(run.reading("hall-1", 9000))
    gap["key"] = gap["value"]["sensor"] = device
    del gap["value"]["motion"], gap["value"]["x"]
    gap["value"].update(device=device, store=store, lane="u", seq=seq, gap=text)
    run.readings.append(gap)


def lost_with(run, text, **where):
    """Whether a routine reading that is gone, number 5 of its lane, is blamed in spite of a gap event."""
    run.readings.remove(run.reading("hall-1", 4000))
    gone = len(run.ledger) - len(run.readings)
    gave_up(run, text, **where)
    out = run.judged()
    excused = out["figures"]["excused: routine readings that a full agent gave up and told"]
    assert out["figures"]["excused: urgent readings that a full agent gave up and told"] == 0
    assert out["figures"]["neither stored nor excused"] == gone - excused
    return out["counts"]["lost"], excused


def what_an_agent_says_that_it_gave_up_is_counted(run):
    assert lost_with(run, f"full lane=r count=1 store={STORE} seq=5-5") == (0, 1)
    # The device's storage alarm follows from the gap: it was not told in this run.
    assert kinds(run) == {"missed alarm": 1}


def a_gap_without_numbers_excuses_its_lane(run):
    assert lost_with(run, f"memory lane=r count=1 store={STORE}") == (0, 1)


def a_gap_of_another_device_excuses_nothing(run):
    assert lost_with(run, f"full lane=r count=1 store={'b' * 16} seq=5-5", device="pi-2", store="b" * 16) == (2, 0)


def a_gap_of_another_lane_excuses_nothing(run):
    assert lost_with(run, f"full lane=u count=1 store={STORE} seq=5-5") == (2, 0)


def a_gap_explains_no_number_that_it_does_not_name(run):
    # By its count the reading may be among what it tells; the hole in the numbers says that it is not.
    assert lost_with(run, f"full lane=r count=1 store={STORE} seq=6-6") == (1, 1)


def a_gap_of_another_store_explains_no_number(run):
    assert lost_with(run, f"full lane=r count=1 store={'b' * 16} seq=5-5") == (1, 1)


def a_gap_excuses_no_more_than_it_tells(run):
    run.readings.remove(run.reading("hall-1", 5000))
    assert lost_with(run, f"full lane=r count=1 store={STORE} seq=5-6") == (2, 1)


def a_gap_of_an_agent_that_was_never_full_excuses_nothing(run):
    run.arguments = ["--full", "pi-2"]
    assert lost_with(run, f"full lane=r count=1 store={STORE} seq=5-5") == (2, 0)
    figures = run.judged()["figures"]
    assert figures["gap events of agents that were never full"] == 1, figures
    run.arguments = ["--full"]
    assert run.judged()["counts"]["lost"] == 2
    run.arguments = ["--full", "pi-2", "pi-1"]
    out = run.judged()
    assert out["counts"]["lost"] == 0 and out["figures"]["gap events of agents that were never full"] == 0, out


def a_gap_that_tells_no_count_is_found_and_excuses_nothing(run):
    assert lost_with(run, "full") == (2, 0)
    assert kinds(run)["changed"] == 1


def the_same_record_twice_is_harmless(run):
    at = run.readings.index(run.reading("smoke-1", 4900))
    run.readings.insert(at + 1, copy.deepcopy(run.readings[at]))
    out = run.judged()
    assert out["ok"] and out["figures"]["delivered again"] == 1, out


def a_repeat_whose_agent_has_learnt_the_time_meanwhile_is_harmless(run):
    at = run.readings.index(run.reading("smoke-1", 4900))
    run.readings.insert(at + 1, copy.deepcopy(run.readings[at]))
    run.readings[at + 1]["value"].update(quality="unsynced", time_ms=START + 4000)
    out = run.judged()
    assert out["ok"] and out["figures"]["delivered again"] == 1, out


def a_repeat_that_is_counted_as_a_strike_is_found(run):
    """The log holds the second strike twice, and the processor raised on the repeat."""
    at = run.readings.index(run.reading("smoke-1", 4900))
    run.readings.insert(at + 1, copy.deepcopy(run.readings[at]))
    raised = run.alarm("raised", "smoke-1:smoke:1")["value"]
    raised.update(seq=run.readings[at]["value"]["seq"], time_ms=START + 4900, raised_ms=START + 4900)
    assert kinds(run).keys() == {"wrong alarm"}


def a_strike_more_than_there_were_is_found(run):
    run.alarm("raised", "smoke-1:smoke:1")["value"]["count"] = 4
    assert kinds(run) == {"duplicate strike": 1}


def two_identities_for_one_reading_are_found(run):
    twin = copy.deepcopy(run.reading("hall-1", 9000))
    twin["value"]["seq"] += 1
    run.readings.append(twin)
    assert kinds(run) == {"duplicated": 1}


def an_identity_with_two_contents_is_found(run):
    twin = copy.deepcopy(run.reading("hall-1", 9000))
    twin["value"]["motion"] = True
    run.readings.append(twin)
    assert "duplicated" in kinds(run)


def a_reordered_reading_is_found(run):
    a, b = (run.readings.index(run.reading("hall-1", at)) for at in (5000, 6000))
    run.readings[a], run.readings[b] = run.readings[b], run.readings[a]
    assert kinds(run) == {"reordered": 1}


def a_wrong_reading_time_is_found(run):
    run.reading("hall-1", 6000)["value"]["time_ms"] += 3000
    assert kinds(run) == {"wrong time": 1}


def a_reading_received_before_it_was_said_is_found(run):
    run.reading("hall-1", 6000)["value"]["received_ms"] -= 3000
    assert kinds(run) == {"wrong time": 1}


def a_clock_step_that_is_known_explains_a_time(run):
    run.clock += [{"device": "pi-1", "wall_ms": START + 5500, "offset_ms": 3000}, {"device": "pi-1", "wall_ms": START + 6500, "offset_ms": 0}]
    run.reading("hall-1", 6000)["value"]["time_ms"] += 3000
    assert kinds(run) == {} and run.judged()["figures"]["stored with the time of a wrong clock"] == 1
    run.reading("hall-1", 9000)["value"]["time_ms"] += 3000
    assert kinds(run) == {"wrong time": 1}


def a_changed_value_is_found(run):
    run.reading("smoke-1", 8300)["value"]["smoke"] = False
    assert "changed" in kinds(run)


def a_wrong_key_is_found(run):
    run.reading("hall-1", 6000)["key"] = "hall-2"
    assert kinds(run) == {"changed": 1}


def a_reading_that_nobody_said_is_found(run):
    run.ledger = [line for line in run.ledger if line["at"] != 6000]
    assert kinds(run) == {"invented": 1}


def an_ok_that_nobody_said_is_found(run):
    run.ledger = [line for line in run.ledger if line["at"] != 3100]
    assert kinds(run) == {"invented": 1}


def an_ok_that_is_stored_twice_is_found(run):
    again = copy.deepcopy(run.reading("hall-1", 3100))
    again["value"]["seq"] += 100
    run.readings.append(again)
    assert kinds(run)["duplicated"] == 1


def an_ok_whose_time_fits_two_goes_where_it_leaves_the_other_its_place(run):
    """A clock is 2 s ahead as one OK is said and right as the next one is, 2 s later: both have the same time."""
    run.say(6100, "hall-1", ok=True)
    run.reading("hall-1", 6100)["value"]["time_ms"] += 2000
    run.say(8100, "hall-1", ok=True)
    run.readings.sort(key=lambda r: r["append_ms"])
    run.clock = [{"device": "pi-1", "wall_ms": START + 6050, "offset_ms": 2000}, {"device": "pi-1", "wall_ms": START + 7000, "offset_ms": 0}]
    assert kinds(run) == {}, run.judged()["problems"]


def a_false_alarm_is_found(run):
    run.alarms.append(run.event("raised", "hall-1:motion:2", 9500, raised=9500, strikes=1, first=9500, count=1))
    assert kinds(run) == {"false alarm": 1}


def an_alarm_of_a_sensor_that_said_nothing_is_found(run):
    run.alarms.append(run.event("raised", "attic-1:motion:1", 9500, raised=9500, strikes=1, first=9500, count=1))
    assert kinds(run) == {"false alarm": 1}


def a_silence_alarm_is_a_false_one_unless_it_is_ignored(run):
    run.alarms.append(run.event("raised", "hall-1:silence:1", 9500, raised=9500, strikes=1, first=9500, count=1))
    assert kinds(run) == {"false alarm": 1}
    run.arguments = ["--ignore", "silence"]
    assert kinds(run) == {}


def a_missed_alarm_is_found(run):
    run.alarms.remove(run.alarm("raised", "smoke-1:smoke:1"))
    assert kinds(run) == {"missed alarm": 1}, run.judged()["problems"]


def a_missed_clear_is_found(run):
    run.alarms.remove(run.alarm("cleared", "hall-1:motion:1"))
    assert kinds(run) == {"missed alarm": 1}, run.judged()["problems"]


def a_pre_alarm_that_never_ended_is_found(run):
    run.alarms.pop()
    assert kinds(run) == {"missed alarm": 1}, run.judged()["problems"]
    run.end_ms = START + 8300 + WINDOW + 100  # too near to its end to be sure
    assert kinds(run) == {}


def a_duplicate_alarm_id_is_found(run):
    at = run.alarms.index(run.alarm("raised", "smoke-1:smoke:1"))
    run.alarms.insert(at + 1, copy.deepcopy(run.alarms[at]))
    assert kinds(run) == {"duplicate alarm id": 1, "false alarm": 1}


def an_alarm_with_a_wrong_time_is_found(run):
    run.alarm("raised", "smoke-1:smoke:1")["value"]["raised_ms"] += 700
    assert kinds(run) == {"wrong alarm": 1}


def alarms_in_a_wrong_order_are_found(run):
    a, b = run.alarms.index(run.alarm("raised", "smoke-1:smoke:1")), run.alarms.index(run.alarm("cleared", "smoke-1:smoke:1"))
    run.alarms[a], run.alarms[b] = run.alarms[b], run.alarms[a]
    assert {"missed alarm", "false alarm"} <= kinds(run).keys()


def a_late_alarm_is_found(run):
    run.alarm("raised", "hall-1:motion:1")["append_ms"] += 900
    assert kinds(run) == {}
    run.arguments = ["--late-ms", "500"]
    assert kinds(run) == {"late": 1}


def see(run, after_ms):
    """Another reader sees each record so long after its append."""
    run.seen = [{"topic": topic, "partition": r["partition"], "offset": r["offset"], "seen_ms": r["append_ms"] + after_ms}
                for topic, records in (("readings", run.readings), ("alarms", run.alarms)) for r in records]


def an_alarm_is_late_that_was_appended_in_time_and_seen_late(run):
    run.arguments = ["--late-ms", "500"]
    see(run, 400)
    assert kinds(run) == {}
    see(run, 600)
    out = run.judged()
    assert {k: n for k, n in out["counts"].items() if n} == {"late": 2} and out["figures"]["alarm worst ms"] == 604, out


def an_alarm_that_no_other_reader_saw_is_late(run):
    see(run, 0)
    run.seen = [s for s in run.seen if s["topic"] == "readings" or s["offset"] != run.alarm("raised", "smoke-1:smoke:1")["offset"]]
    assert kinds(run) == {"late": 1}


def a_pause_does_not_count_in_a_wait_and_no_more_than_it_takes(run):
    raised = run.alarm("raised", "hall-1:motion:1")  # its reading was received at 2105 ms
    raised["append_ms"] = START + 4000
    run.arguments = ["--late-ms", "1000"]
    for pauses, late in (((), 1), (((2500, 3396),), 0), (((2500, 3394),), 1), (((1000, 3005),), 0), (((1000, 2900),), 1),
                         (((2500, 3000), (3100, 3500)), 0), (((2500, 3000), (2600, 3000)), 1),
                         (((3106, 9000),), 1), (((900, 2000), (3900, 4000)), 1)):
        run.pauses = [{"begin_ms": START + begin, "end_ms": START + end} for begin, end in pauses]
        out = run.judged()
        assert out["counts"]["late"] == late and out["figures"]["excused: alarms late only because of pauses"] == 1 - late, (pauses, out)
    run.pauses = [{"begin_ms": START + 2500, "end_ms": START + 3500}]
    figures = run.judged()["figures"]  # the other alarm raised had no pause
    assert figures["longest wait allowed for an alarm, ms"] == 2000 and figures["wait allowed for an alarm, mean ms"] == 1500, figures


def many_short_pauses_excuse_no_long_wait(run):
    """A processor that is killed every second, and one that hangs besides: being killed again and again excuses no hanging."""
    run.alarm("raised", "hall-1:motion:1")["append_ms"] = START + 30_000
    run.end_ms = START + 60_000
    run.arguments = ["--late-ms", "4000"]
    run.pauses = [{"begin_ms": START + at, "end_ms": START + at + 100} for at in range(0, 30_000, 1000)]
    assert kinds(run) == {"late": 1}


def a_wait_begins_with_the_delivery_that_raised(run):
    """A reading was delivered an hour in the past, which raises nothing, and again when its device had set its clock."""
    reading = run.reading("hall-1", 2100)
    before = copy.deepcopy(reading)
    before["append_ms"] -= 1500
    before["value"].update(received_ms=reading["value"]["received_ms"] - 1500, time_ms=reading["value"]["time_ms"] - 3_600_000)
    run.readings.insert(run.readings.index(reading), before)
    run.arguments = ["--late-ms", "500"]
    assert run.judged()["counts"]["late"] == 0
    before["value"]["time_ms"] = reading["value"]["time_ms"]
    assert run.judged()["counts"]["late"] == 1


def where_a_collectors_clock_is_wrong_a_wait_counts_from_the_sight_of_its_reading(run):
    run.arguments = ["--late-ms", "500"]
    see(run, 100)
    reading = run.reading("hall-1", 2100)["value"]
    reading["received_ms"] -= 900
    run.alarm("raised", "hall-1:motion:1")["value"]["time_ms"] = reading["received_ms"]
    for event in ("raised", "cleared"):
        run.alarm(event, "hall-1:motion:1")["value"].update(first_ms=reading["received_ms"], raised_ms=reading["received_ms"])
    assert kinds(run) == {"late": 1}, run.judged()["problems"]
    assert run.judged()["figures"]["received by a wrong clock before they were said"] == 0
    run.clock = [{"device": "collector-1", "wall_ms": START + 1000, "offset_ms": -900}]
    assert kinds(run) == {}


def a_pre_alarm_may_end_before_or_after_a_reading_that_comes_as_it_ends(run):
    """A second strike is received just after the first one's window has passed on the clock: both ways are right, a third is not."""
    run.say(8400 + WINDOW - 300, "smoke-1", smoke=True)
    run.reading("smoke-1", 8400 + WINDOW - 300)["value"]["received_ms"] = START + 8300 + WINDOW + 200
    run.end_ms = START + 90_000
    expired = run.alarms.pop()
    after = [run.event("pre_alarm", "smoke-1:smoke:3", 8100 + WINDOW, strikes=1, first=8100 + WINDOW, count=1),
             run.event("pre_alarm_expired", "smoke-1:smoke:3", 8100 + 2 * WINDOW + 400, strikes=1, first=8100 + WINDOW, count=1)]
    after[0]["value"].update(device="pi-1", store=STORE, lane="u", seq=run.seq["u"])
    without = copy.deepcopy(run.alarms)
    run.alarms = without + [expired] + after
    assert kinds(run) == {}, run.judged()["problems"]
    late = copy.deepcopy(expired)
    late["value"].update(strikes=2, count=2)
    run.alarms = without + [late]
    assert kinds(run) == {}, run.judged()["problems"]
    run.alarms = without + after
    assert kinds(run) == {"missed alarm": 1}, run.judged()["problems"]


def an_empty_ledger_proves_nothing(run):
    run.ledger = []
    try:
        run.judged()
    except AssertionError as why:
        assert "nothing was said" in str(why)
    else:
        raise AssertionError("it was accepted")


def wrong_arguments_are_refused(run):
    del run
    for words, needle in (([], "required"), (["--ledger", "no-such", "--readings", "no-such"], "no-such"),
                          (["--ledger", "x", "--readings", "x", "--bogus"], "bogus"),
                          (["--ledger", "x", "--readings", "x", "--late", "5"], "--late")):
        done = subprocess.run([HERE / "check", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and needle in done.stderr, (words, done)


def main():
    tests = [f for f in globals().values() if isinstance(f, types.FunctionType) and f.__code__.co_varnames[:1] == ("run",)
             and f.__code__.co_argcount == 1 and f is not kinds]
    only = sys.argv[1:]
    failed = 0
    for test in tests:
        if only and test.__name__ not in only:
            continue
        try:
            test(Run())
            print("ok      ", test.__name__.replace("_", " "))
        except AssertionError as why:
            failed += 1
            print("FAILED  ", test.__name__.replace("_", " "), "--", why)
    return 1 if failed else 0


sys.exit(main())

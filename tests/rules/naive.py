#!/usr/bin/env python3
"""The alarm rules once more, written from their description and not from the C code: clear, slow, lists of everything.

It reads the lines of a transcript (tests/vectors/rules/README) from standard input and prints the events as JSON lines, each with
the fields that both implementations must agree on. tests/rules/random_test.py compares the two.
"""
import copy
import json
import sys

STORES = 32
NEVER = float("inf")
READING_TYPES = ("motion", "smoke", "temperature")
ALL_TYPES = READING_TYPES + ("silence", "device", "storage", "collector")


def number(text):
    return NEVER if text == "never" else int(text)


class Alarm:
    """One (sensor, type)."""

    def __init__(self):
        self.activation = 0
        self.raised = 0            # last activation that was raised
        self.acked = False
        self.state = "normal"
        self.strikes = []          # (reading time, arrival), in the order of reading time, then of the log
        self.told_strikes = 0      # as the events tell it
        self.first = None
        self.raised_ms = None
        self.count = 0


class Sensor:
    def __init__(self, name):
        self.name = name
        self.device = ""
        self.alarms = {t: Alarm() for t in ALL_TYPES}
        self.oks = []              # reading times
        self.applied = []          # reading times of active readings and OKs
        self.stores = {}           # id -> {"seqs": {lane: [..]}, "times": [..]}
        self.seen = None
        self.stored_seen = None
        self.restored = False
        self.since = -NEVER
        self.period = 0
        self.dirty = False

    def last_ok(self):
        return max(self.oks, default=-NEVER)

    def silence_type(self):
        return "device" if self.device == self.name else "silence"


class Naive:
    def __init__(self, tell):
        self.tell = tell
        self.conf = {"strikes": 3, "window": 600000, "normal_resets": 0, "supervision": 0, "k": 3, "alive": 60000,
                     "heartbeat": 30000}
        self.periods = {}
        self.stored = {}
        self.begin()

    def begin(self):
        """A process starts: all it knows is what was stored."""
        self.sensors = {}
        for name, sensor in self.stored.items():
            sensor = copy.deepcopy(sensor)
            sensor.restored = True
            sensor.seen = sensor.stored_seen
            self.sensors[name] = sensor
        self.collectors = self.sensors.pop("collectors/0", None) or Sensor("collectors/0")
        self.clock = getattr(self.collectors, "clock", None)
        self.arrived = getattr(self.collectors, "arrived", -NEVER)
        self.ask_periods = True

    # --- telling -------------------------------------------------------------------------------------------------------

    def event(self, sensor, kind, type_, time, late=False, reading=None, **more):
        alarm = sensor.alarms[type_]
        activation = more.pop("activation", alarm.activation)
        event = {"event": kind, "alarm_id": f"{sensor.name}:{type_}:{activation}", "type": type_, "time_ms": time,
                 "late": late}
        event.update({k: v for k, v in more.items() if v is not None})
        if reading is not None and "id" in reading:
            event["seq"] = reading["id"][2]
        self.tell(event)

    def alarm_event(self, sensor, kind, type_, time, late=False, reading=None, **more):
        alarm = sensor.alarms[type_]
        self.event(sensor, kind, type_, time, late, reading, strikes=alarm.told_strikes, first_ms=alarm.first,
                   count=alarm.count, **more)

    # --- time ----------------------------------------------------------------------------------------------------------

    def advance(self, now):
        self.clock = now if self.clock is None else max(self.clock, now)
        if self.collectors.seen is None:
            self.collectors.seen = self.clock
        if self.ask_periods:
            self.ask()
        while True:
            due = [d for d in self.deadlines() if d[0] <= self.clock]
            if not due:
                return
            time, _, name, _, fire = min(due, key=lambda d: d[:4])
            fire(time)

    def deadlines(self):
        """(time, order, sensor, type, what to do)"""
        silent = self.collectors.alarms["collector"].state == "active"
        if self.conf["supervision"] and not silent and self.collectors.seen is not None:
            yield (self.collectors.seen + self.conf["heartbeat"], 0, "", 0, self.collectors_silent)
        for sensor in self.sensors.values():
            for order, type_ in enumerate(("smoke", "temperature")):
                alarm = sensor.alarms[type_]
                if alarm.state == "pending" and self.conf["window"] != NEVER:
                    yield (alarm.strikes[0][1] + self.conf["window"], 1, sensor.name, order,
                           lambda t, s=sensor, k=type_: self.end_pre_alarm(s, k, "pre_alarm_expired", t))
            if self.conf["supervision"] and sensor.period and sensor.seen is not None and not silent and \
                    sensor.alarms[sensor.silence_type()].state == "normal":
                patience = sensor.period * self.conf["k"]
                heard = sensor.seen + (patience if sensor.restored else 0)
                yield (max(heard, sensor.since, self.collectors.since) + patience, 2, sensor.name, 0,
                       lambda t, s=sensor: self.raise_new(s, s.silence_type(), t, first=s.seen))

    def collectors_silent(self, time):
        self.raise_new(self.collectors, "collector", time, first=self.collectors.seen)

    def heartbeat(self, received):
        self.arrived = max(self.arrived, received)
        c = self.collectors
        c.seen = self.clock
        c.dirty = True
        if c.alarms["collector"].state == "active":
            c.since = self.clock
            self.clear(c, "collector", self.clock)

    # --- alarms --------------------------------------------------------------------------------------------------------

    def raise_new(self, sensor, type_, time, first=None, late=False, reading=None, reason=None):
        alarm = sensor.alarms[type_]
        alarm.activation += 1
        alarm.count = alarm.told_strikes = 1
        alarm.first = time if first is None else first
        self.activate(sensor, alarm, time)
        self.alarm_event(sensor, "raised", type_, time, late, reading, raised_ms=alarm.raised_ms, reason=reason)

    def activate(self, sensor, alarm, time):
        alarm.state = "active"
        alarm.raised = alarm.activation
        alarm.raised_ms = time
        alarm.acked = False
        alarm.strikes = []
        sensor.dirty = True

    def clear(self, sensor, type_, time, late=False, reading=None, reason=None):
        alarm = sensor.alarms[type_]
        alarm.state = "normal"
        sensor.dirty = True
        self.alarm_event(sensor, "cleared", type_, time, late, reading, raised_ms=alarm.raised_ms, reason=reason)

    def end_pre_alarm(self, sensor, type_, how, time, late=False, reading=None):
        alarm = sensor.alarms[type_]
        alarm.state = "normal"
        alarm.strikes = []
        sensor.dirty = True
        self.alarm_event(sensor, how, type_, time, late, reading)

    # --- readings ------------------------------------------------------------------------------------------------------

    def reading(self, m):
        if m["sensor"] not in self.sensors:
            self.sensors[m["sensor"]] = Sensor(m["sensor"])
        sensor = self.sensors[m["sensor"]]
        if sensor.seen is None or sensor.device != m["dev"]:
            self.supervise(sensor, m["dev"])
        self.heard(sensor, m)
        time = self.reading_time(sensor, m)
        if m.get("event"):
            self.device_event(sensor, m, time)
            return
        active = [t for t in READING_TYPES if self.is_active(m, t)]
        if not active and "ok" not in m:
            self.normal(sensor, m, time)
            return
        verdict = self.identity(sensor, m, time)
        if verdict == "duplicate":
            return
        late = any(t > time for t in sensor.applied)
        if "ok" in m:
            if verdict == "new":
                for type_ in READING_TYPES:
                    self.ok(sensor, type_, time, late, m)
                sensor.oks.append(time)
        for type_ in active:
            if "ok" in m:
                continue
            if verdict == "old":
                self.late_activity(sensor, type_, time, m, "old-store")
            elif time < sensor.last_ok():
                self.late_activity(sensor, type_, time, m, "older-than-ok")
            else:
                self.activity(sensor, type_, time, late, m)
        if verdict == "new":
            sensor.dirty = True
            if time >= sensor.last_ok():
                sensor.applied.append(time)

    def reading_time(self, sensor, m):
        """Nothing is measured after it has arrived, and what has no time of its own is not before what the sensor has told."""
        if m["q"] == "synced":
            return min(m["at"], max([self.arrived] + sensor.applied))
        return max([m["rx"]] + sensor.applied)

    @staticmethod
    def is_active(m, type_):
        if type_ == "temperature":
            return "temp" in m and "max" in m and m["temp"] > m["max"]
        return m.get(type_) == 1

    def late_activity(self, sensor, type_, time, m, reason):
        self.event(sensor, "late_activity", type_, time, True, m, activation=0, reason=reason)

    def activity(self, sensor, type_, time, late, m):
        alarm = sensor.alarms[type_]
        window = self.conf["window"]
        if alarm.state == "active":
            alarm.count += 1
            return
        if alarm.state == "pending":
            times = [t for t, _ in alarm.strikes]
            if time - min(times) > window:
                self.end_pre_alarm(sensor, type_, "pre_alarm_expired", time, late, m)
            elif max(times) - time > window:
                self.late_activity(sensor, type_, time, m, "before-window")
                return
        if type_ == "motion" or self.conf["strikes"] == 1:
            self.raise_new(sensor, type_, time, late=late, reading=m)
            return
        fresh = alarm.state == "normal"
        if fresh:
            alarm.activation += 1
            alarm.count = 0
        alarm.strikes.append((time, self.clock))
        alarm.strikes.sort(key=lambda k: k[0])          # stable: equal times keep the log's order
        alarm.count += 1
        alarm.told_strikes = len(alarm.strikes)
        alarm.first = alarm.strikes[0][0]
        if fresh:
            alarm.state = "pending"
            self.alarm_event(sensor, "pre_alarm", type_, time, late, m)
        elif len(alarm.strikes) >= self.conf["strikes"]:
            self.activate(sensor, alarm, max(t for t, _ in alarm.strikes))
            self.alarm_event(sensor, "raised", type_, time, late, m, raised_ms=alarm.raised_ms)

    def ok(self, sensor, type_, time, late, m):
        alarm = sensor.alarms[type_]
        if alarm.state == "active" and alarm.raised_ms <= time:
            self.clear(sensor, type_, time, late, m)
        elif alarm.state == "pending":
            self.forgive(sensor, type_, time, late, m)

    def forgive(self, sensor, type_, time, late, m):
        alarm = sensor.alarms[type_]
        left = [k for k in alarm.strikes if k[0] > time]
        if len(left) == len(alarm.strikes):
            return
        if not left:
            self.end_pre_alarm(sensor, type_, "pre_alarm_cancelled", time, late, m)
            return
        alarm.strikes = left
        alarm.told_strikes = len(left)
        alarm.first = left[0][0]
        sensor.dirty = True

    def normal(self, sensor, m, time):
        if not self.conf["normal_resets"] or m["q"] not in ("synced", "unsynced"):
            return
        late = any(t > time for t in sensor.applied)
        for type_, needed in (("smoke", ("smoke",)), ("temperature", ("temp", "max"))):
            if sensor.alarms[type_].state == "pending" and all(n in m for n in needed):
                self.forgive(sensor, type_, time, late, m)

    def identity(self, sensor, m, time):
        if "id" not in m:
            return "new"
        store, lane, seq = m["id"]
        time = min(time, m["rx"])
        if store not in sensor.stores:
            if len(sensor.stores) == STORES:
                newest, oldest = min((max(v["times"]), k) for k, v in sensor.stores.items())
                if time <= newest:
                    return "old"
                del sensor.stores[oldest]
            sensor.stores[store] = {"seqs": {"u": [], "r": []}, "times": []}
        known = sensor.stores[store]
        if seq <= max(known["seqs"][lane], default=-1):
            return "duplicate"
        known["seqs"][lane].append(seq)
        known["times"].append(time)
        return "new"

    # --- supervision ---------------------------------------------------------------------------------------------------

    def device_event(self, sensor, m, time):
        if m["event"] not in ("gap", "storage") or self.identity(sensor, m, time) != "new":
            return
        sensor.dirty = True
        alarm = sensor.alarms["storage"]
        if alarm.state == "active":
            alarm.count += 1
        else:
            self.raise_new(sensor, "storage", time, reading=m, reason=m["event"])

    def heard(self, sensor, m):
        sensor.seen = self.clock
        sensor.restored = False
        if sensor.device != m["dev"]:
            sensor.device = m["dev"]
            sensor.dirty = True
        for type_ in ("silence", "device"):
            if sensor.alarms[type_].state == "active":
                self.clear(sensor, type_, self.clock, reading=m)
        storage = sensor.alarms["storage"]
        time = self.reading_time(sensor, m)
        if storage.state == "active" and m.get("event") not in ("gap", "storage") and time >= storage.raised_ms:
            self.clear(sensor, "storage", time, reading=m)
        if self.conf["supervision"] and sensor.period and \
                (sensor.stored_seen is None or self.clock - sensor.stored_seen >= sensor.period * self.conf["k"]):
            sensor.dirty = True

    def supervise(self, sensor, device):
        period = self.periods.get(device, 0)
        if period and device == sensor.name:
            period = self.conf["alive"]
        if period == sensor.period:
            return
        sensor.period = period
        sensor.since = self.clock
        sensor.dirty = True
        if not period:
            for type_ in ("silence", "device"):
                if sensor.alarms[type_].state == "active":
                    self.clear(sensor, type_, self.clock, reason="not-supervised")

    def ask(self):
        self.ask_periods = False
        for sensor in self.sensors.values():
            self.supervise(sensor, sensor.device)

    # --- commands ------------------------------------------------------------------------------------------------------

    def command(self, verb, alarm_id, at):
        name, type_, activation = (alarm_id.rsplit(":", 2) + ["", ""])[:3]
        well_formed = type_ in ALL_TYPES and activation.isdigit() and str(int(activation)) == activation and name
        sensor = self.collectors if name == "collectors/0" else self.sensors.get(name, Sensor(name))
        alarm = sensor.alarms.get(type_)
        reason = None
        if not well_formed:
            reason = "unknown"
        elif verb != "ack":
            reason = "unsupported"
        else:
            n = int(activation)
            if n == 0 or n > alarm.activation:
                reason = "unknown"
            elif n == alarm.activation and alarm.state == "pending":
                reason = "not-raised"
            elif n != alarm.raised:
                reason = "stale"
            elif alarm.acked:
                reason = "already-acknowledged"
        event = {"event": "refused" if reason else "acknowledged", "alarm_id": alarm_id, "time_ms": at, "late": False}
        if well_formed:
            event["type"] = type_
        if reason:
            event["reason"] = reason
        else:
            alarm.acked = True
            sensor.dirty = True
            event["raised_ms"] = alarm.raised_ms
        self.tell(event)

    # --- transcript ----------------------------------------------------------------------------------------------------

    def line(self, text):
        words = text.split()
        if not words or words[0].startswith(("#", ">", "=")):
            return
        pairs = dict(w.split("=", 1) if "=" in w else (w, "1") for w in words[1:])
        verb = words[0]
        if verb == "conf":
            self.conf.update({k: number(v) for k, v in pairs.items()})
        elif verb == "period":
            self.periods[words[1]] = number(words[2])
            self.ask_periods = True
            if self.clock is not None:
                self.advance(self.clock)
        elif verb == "r":
            self.advance_and_read(words[1], pairs)
        elif verb in ("ack", "reset"):
            self.command(verb, words[1], int(pairs.get("at", 0)))
        elif verb == "tick":
            self.advance(int(words[1]))
        elif verb == "beat":
            self.advance(int(words[1]))
            self.heartbeat(int(words[1]))
        elif verb == "restart":
            self.begin()
        self.store()

    def advance_and_read(self, sensor, pairs):
        m = {"sensor": sensor, "dev": pairs.get("dev", "pi"), "q": pairs.get("q", "synced"), "at": int(pairs.get("at", 0))}
        m["rx"] = int(pairs.get("rx", m["at"]))
        for name in ("motion", "smoke", "temp", "max"):
            if name in pairs:
                m[name] = float(pairs[name])
        if "ok" in pairs:
            m["ok"] = True
        if "event" in pairs:
            m["event"] = pairs["event"]
        if "id" in pairs:
            store, lane, seq = pairs["id"].split(":")
            m["id"] = (int(store, 16), lane, int(seq))
        self.advance(m["rx"])
        self.arrived = max(self.arrived, m["rx"])
        self.reading(m)

    def store(self):
        for sensor in list(self.sensors.values()) + [self.collectors]:
            if sensor.dirty:
                sensor.dirty = False
                sensor.stored_seen = sensor.seen
                if sensor is self.collectors:
                    sensor.clock, sensor.arrived = self.clock, self.arrived
                self.stored[sensor.name] = copy.deepcopy(sensor)


def main():
    naive = Naive(lambda event: print(json.dumps(event)))
    for text in sys.stdin:
        naive.line(text)


if __name__ == "__main__":
    main()

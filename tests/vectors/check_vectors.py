#!/usr/bin/env python3
"""A second reader of the wire's vectors: its own CBOR, its own SenML, nothing but the standard library.

It decodes every body of tests/vectors/wire/*.json and must come to the lines or the refusal that the file states; the codec in
lib/wire is held to the same files by run_vectors.c. Two readings of one text, so that a mistake has to be made twice.
"""
import json
import math
import pathlib
import re
import struct
import sys

DEPTH_MAX = 8
LABELS_MAX = 32
LABEL_LENGTH_MAX = 95
READINGS_MAX = 128
RELATIVE_BELOW = 2**28
TIME_MS_MAX = 253402300799999

LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5,
          "t": 6, "ut": 7, "vd": 8}
BY_NUMBER = {number: name for name, number in LABELS.items()}
RESERVED = {"v", "sensor", "device", "store", "lane", "seq", "time_ms", "received_ms", "quality", "x", "heartbeat"}
EVENTS = ("alive", "gap", "storage", "clock")
FIELDS = ("ok", "motion", "smoke", "temperature", "max_temperature") + EVENTS


class Refused(Exception):
    """The whole body: its reason."""


class Wrong(Exception):
    """One reading: its reason."""


class Break:
    pass


class Tagged:
    def __init__(self, tag, value):
        self.tag, self.value = tag, value


# ---------------------------------------------------------------- CBOR (RFC 8949)
class Cbor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Refused("syntax")
        self.at += count
        return self.data[self.at - count:self.at]

    def head(self):
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        if info < 28:
            return major, info, int.from_bytes(self.take(1 << (info - 24)), "big")
        if info == 31 and major in (2, 3, 4, 5, 7):
            return major, info, None
        raise Refused("syntax")

    def string(self, major, length):
        def text(raw):
            if major == 2:
                return raw
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                raise Refused("utf8")
        if length is not None:
            return text(self.take(length))
        parts = []
        while True:
            inner, info, length = self.head()
            if inner == 7 and info == 31:
                return (b"" if major == 2 else "").join(parts)
            if inner != major or length is None:
                raise Refused("syntax")
            parts.append(text(self.take(length)))

    def items(self, count, depth):
        """The values inside a container, one by one; a pair counts as two."""
        while count is None or count > 0:
            value = self.value(depth, may_break=count is None)
            if isinstance(value, Break):
                return
            yield value
            if count is not None:
                count -= 1

    def value(self, depth=0, may_break=False):
        major, info, number = self.head()
        if major == 0:
            return number
        if major == 1:
            return -1 - number
        if major in (2, 3):
            return self.string(major, number)
        if major in (4, 5):
            if depth == DEPTH_MAX:
                raise Refused("depth")
            if major == 4:
                return list(self.items(number, depth + 1))
            flat = list(self.items(None if number is None else 2 * number, depth + 1))
            if len(flat) % 2:
                raise Refused("syntax")
            return ("map", list(zip(flat[0::2], flat[1::2])))
        if major == 6:
            return Tagged(number, self.value(depth))
        if info == 31:
            if may_break:
                return Break()
            raise Refused("syntax")
        if info in (25, 26, 27):
            raw = number.to_bytes(1 << (info - 24), "big")
            return struct.unpack({25: ">e", 26: ">f", 27: ">d"}[info], raw)[0]
        if info == 24 and number < 32:
            raise Refused("syntax")
        return {20: False, 21: True, 22: None}.get(number, ("simple", number))


def cbor_number(value):
    """A number of SenML-CBOR: integer, float or decimal fraction (RFC 8428 section 6)."""
    if isinstance(value, Tagged):
        parts = value.value
        if value.tag != 4 or not isinstance(parts, list) or len(parts) != 2:
            raise Refused("label-type")
        if any(isinstance(p, bool) or not isinstance(p, int) for p in parts):
            raise Refused("label-type")
        exponent, mantissa = parts
        if not -2**31 <= exponent < 2**31 or not -2**63 <= mantissa < 2**63:
            raise Refused("label-type")
        return float("%de%d" % (mantissa, exponent))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("label-type")
    return float(value)


def cbor_records(body):
    reader = Cbor(body)
    pack = reader.value()
    if not isinstance(pack, list):
        raise Refused("shape")
    if reader.at != len(body):
        raise Refused("trailing")
    for record in pack:
        if not (isinstance(record, tuple) and record[0] == "map"):
            raise Refused("shape")
        yield [cbor_label(key, value) for key, value in record[1]]


def cbor_label(key, value):
    if isinstance(key, bool) or not isinstance(key, (int, str)):
        raise Refused("label-form")
    if isinstance(key, str):
        if key in LABELS:
            raise Refused("label-form")
        return key, value
    if key not in BY_NUMBER:
        raise Refused("label-form")
    name = BY_NUMBER[key]
    if name == "bver" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise Refused("label-type")
    if name in ("bt", "bv", "bs", "v", "s", "t", "ut", "bver"):
        return name, cbor_number(value)
    if not isinstance(value, {"vb": bool, "vd": bytes}.get(name, str)):
        raise Refused("label-type")
    return name, value


# ---------------------------------------------------------------- JSON (RFC 8259)
class Members(list):
    """A JSON object as pairs, so that a name given twice is seen."""


def json_depth(value):
    if isinstance(value, Members):
        return 1 + max((json_depth(v) for _, v in value), default=0)
    if isinstance(value, list):
        return 1 + max((json_depth(v) for v in value), default=0)
    return 0


def json_body(body):
    def no_constant(_):
        raise ValueError("not a number of JSON")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("utf8")
    white = " \t\r\n"
    start = len(text) - len(text.lstrip(white))
    decoder = json.JSONDecoder(object_pairs_hook=Members, parse_constant=no_constant, parse_int=float)
    try:
        value, end = decoder.raw_decode(text, start)
    except ValueError:
        raise Refused("syntax")
    if lone_surrogate(value):
        raise Refused("syntax")
    if json_depth(value) > DEPTH_MAX:
        raise Refused("depth")
    if text[end:].strip(white):
        raise Refused("trailing")
    return value


def lone_surrogate(value):
    if isinstance(value, str):
        return any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, (list, tuple)):
        return any(lone_surrogate(v) for v in value)
    return False


def json_records(body):
    pack = json_body(body)
    if isinstance(pack, Members) or not isinstance(pack, list):
        raise Refused("shape")
    for record in pack:
        if not isinstance(record, Members):
            raise Refused("shape")
        for name, value in record:
            if name in LABELS:
                wanted = float if name in ("bt", "bv", "bs", "v", "s", "t", "ut", "bver") else bool if name == "vb" else str
                if not isinstance(value, wanted):
                    raise Refused("label-type")
        yield list(record)


# ---------------------------------------------------------------- SenML (RFC 8428)
NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9:./_]*\Z")


class Reading:
    def __init__(self, sensor, time_ms, quality, now_ms):
        self.sensor, self.time_ms, self.quality, self.now_ms = sensor, time_ms, quality, now_ms
        self.reason, self.fields, self.extras, self.has_q = None, {}, {}, False

    def put(self, act, *args):
        """The first thing that is wrong with a reading is the one that is told."""
        try:
            act(self, *args)
        except Wrong as wrong:
            self.reason = self.reason or str(wrong)

    def line(self, index):
        if self.reason:
            return {"refused": index, "sensor": self.sensor, "code": "4.22", "reason": self.reason}
        out = {"v": 1, "sensor": self.sensor, "time_ms": self.time_ms, "received_ms": self.now_ms, "quality": self.quality}
        out.update({name: self.fields[name] for name in FIELDS if name in self.fields})
        if self.extras:
            out["x"] = self.extras
        return out


def text_fits(text, most):
    return len(text.encode("utf-8")) <= most and "\0" not in text


def set_quantity(reading, name, value, unit):
    number = isinstance(value, float)
    fields = reading.fields
    if name in ("motion", "smoke", "ok", "alive"):
        if not isinstance(value, bool):
            raise Wrong("value-type")
        if name in ("ok", "alive") and not value:
            raise Wrong("false")
    elif name in ("temperature", "max_temperature"):
        if not number:
            raise Wrong("value-type")
        if unit not in (None, "Cel"):
            raise Wrong("unit")
        if not math.isfinite(value):
            raise Wrong("value-range")
    elif name in EVENTS:
        if not isinstance(value, str):
            raise Wrong("value-type")
        if not text_fits(value, 95):
            raise Wrong("text")
    elif name == "q":
        return set_quality(reading, value)
    else:
        return set_extra(reading, name, value)
    if name in fields:
        raise Wrong("twice")
    if name in EVENTS and any(event in fields for event in EVENTS):
        raise Wrong("event-alone")
    fields[name] = value


def set_quality(reading, value):
    if not isinstance(value, str):
        raise Wrong("value-type")
    if reading.has_q:
        raise Wrong("twice")
    reading.has_q = True
    if value in ("unsynced", "stale", "warming-up", "fault"):
        reading.quality = value
    elif value != "good":
        raise Wrong("quality")


def set_extra(reading, name, value):
    if name in RESERVED:
        raise Wrong("reserved")
    if len(name) > 31:
        raise Wrong("name-long")
    if name in reading.extras:
        raise Wrong("twice")
    if len(reading.extras) == 8:
        raise Wrong("extras")
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong("value-range")
    if isinstance(value, str) and not text_fits(value, 39):
        raise Wrong("text")
    if not isinstance(value, (bool, float, str)):
        raise Wrong("value-type")
    reading.extras[name] = value


def check_whole(reading):
    quantities = [name for name in FIELDS[1:5] if name in reading.fields]
    events = [name for name in EVENTS if name in reading.fields]
    told = reading.quality in ("stale", "warming-up", "fault")
    if "ok" in reading.fields:
        if quantities or events or told or reading.extras:
            raise Wrong("ok-alone")
    elif events:
        if quantities or told:
            raise Wrong("event-alone")
    elif not (quantities or told or reading.extras):
        raise Wrong("no-value")


def split_name(whole):
    if not NAME.match(whole):
        raise Wrong("name")
    if len(whole) > 95:
        raise Wrong("name-long")
    sensor, separator, quantity = whole.rpartition("/" if "/" in whole else ":")
    if not separator or not quantity:
        raise Wrong("name-parts")
    if len(sensor) > 63 or len(quantity) > 31:
        raise Wrong("name-long")
    return sensor, quantity


def resolve_time(seconds, now_ms):
    relative = seconds < RELATIVE_BELOW
    ms = seconds * 1000 + (now_ms if relative else 0)
    if not 0 <= ms <= TIME_MS_MAX:
        raise Wrong("time")
    return math.floor(ms + 0.5), "unsynced" if relative else "synced"


def record_value(record, base):
    if "s" in record or "bs" in base:
        raise Wrong("sum")
    values = [name for name in ("v", "vs", "vb", "vd") if name in record]
    if len(values) != 1:
        raise Wrong("values" if values else "no-value")
    value = record[values[0]]
    if values[0] == "vd":
        raise Wrong("value-type")
    return value + base.get("bv", 0.0) if values[0] == "v" else value


def check_labels(pairs):
    seen = set()
    for count, (name, _) in enumerate(pairs, 1):
        if len(name.encode("utf-8")) > LABEL_LENGTH_MAX or (count > LABELS_MAX and name not in seen):
            raise Refused("labels")
        if name not in LABELS and name.endswith("_"):
            raise Refused("must-know")
        if name in seen:
            raise Refused("label-twice")
        seen.add(name)


def decode_senml(records, now_ms):
    readings, by_key, base, count = [], {}, {}, 0

    def add(reading):
        if len(readings) == READINGS_MAX:
            raise Refused("too-many")
        readings.append(reading)
        return reading

    for pairs in records:
        count += 1
        check_labels(pairs)
        record = dict(pairs)
        if "bver" in record and (record["bver"] not in range(1, 11)):
            raise Refused("version")
        base.update({name: value for name, value in record.items() if name in LABELS and LABELS[name] < 0})
        sensor, own = "", Reading("", -1, "unsynced", now_ms)
        try:
            sensor, quantity = split_name(base.get("bn", "") + record.get("n", ""))
            time_ms, quality = resolve_time(base.get("bt", 0.0) + record.get("t", 0.0), now_ms)
        except Wrong as wrong:
            own.sensor, own.reason = sensor, str(wrong)
            add(own)
            continue
        reading = by_key.get((sensor, time_ms))
        if reading is None:
            reading = by_key[sensor, time_ms] = add(Reading(sensor, time_ms, quality, now_ms))

        def take(target):
            set_quantity(target, quantity, record_value(record, base), record.get("u", base.get("bu")))
        reading.put(take)
    if count == 0:
        raise Refused("empty")
    return readings


# ---------------------------------------------------------------- plain JSON, OKs
def decode_plain(body, now_ms):
    value = json_body(body)
    objects = [value] if isinstance(value, Members) else value
    if not isinstance(objects, list):
        raise Refused("shape")
    readings = []
    for members in objects:
        if not isinstance(members, Members):
            raise Refused("shape")
        if len(readings) == READINGS_MAX:
            raise Refused("too-many")
        readings.append(plain_reading(members, now_ms))
    if not readings:
        raise Refused("empty")
    return readings


def plain_reading(members, now_ms):
    reading = Reading("", now_ms, "unsynced", now_ms)
    has_id = False

    def set_id(target, value):
        if has_id:
            raise Wrong("twice")
        if not isinstance(value, str):
            raise Wrong("value-type")
        if len(value.encode("utf-8")) > 63:
            raise Wrong("name-long")
        if not NAME.match(value):
            raise Wrong("name")
        target.sensor = value

    def set_member(target, name, value):
        if not re.match(r"[-A-Za-z0-9:._]+\Z", name):
            raise Wrong("name")
        set_quantity(target, name, value, None)

    for name, value in members:
        if name == "id":
            reading.put(set_id, value)
            has_id = True
        else:
            reading.put(set_member, name, value)
    if not has_id:
        reading.reason = reading.reason or "name-parts"
    return reading


def decode_ok(body, now_ms):
    ids = json_body(body)
    if isinstance(ids, Members) or not isinstance(ids, list):
        raise Refused("shape")
    readings = []
    for sensor in ids:
        if not isinstance(sensor, str):
            raise Refused("shape")
        if len(readings) == READINGS_MAX:
            raise Refused("too-many")
        reading = Reading("", now_ms, "unsynced", now_ms)
        reading.fields["ok"] = True
        if len(sensor.encode("utf-8")) > 63:
            reading.reason = "name-long"
        elif NAME.match(sensor):
            reading.sensor = sensor
        else:
            reading.reason = "name"
        readings.append(reading)
    if not readings:
        raise Refused("empty")
    return readings


def decode(fmt, body, now_ms):
    """The lines of a body; Refused when it is refused as a whole."""
    if fmt == "senml-cbor":
        readings = decode_senml(cbor_records(body), now_ms)
    elif fmt == "senml-json":
        readings = decode_senml(json_records(body), now_ms)
    else:
        readings = {"json": decode_plain, "ok": decode_ok}[fmt](body, now_ms)
    for reading in readings:
        reading.put(check_whole)
    return [reading.line(index) for index, reading in enumerate(readings)]


def check(fmt, now_ms, vector):
    """None when the vector holds, else what was found."""
    body = bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode("utf-8")
    try:
        found = decode(fmt, body, now_ms)
    except Refused as refused:
        found = str(refused)
    wanted = vector["refused"] if "refused" in vector else vector["lines"]
    same = typed(found) == typed(wanted) and vector.get("offset", 0) <= len(body)
    return None if same else found


def typed(value):
    """The same value with booleans told from numbers (True == 1 in Python)."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return {name: typed(v) for name, v in value.items()}
    if isinstance(value, list):
        return [typed(v) for v in value]
    return value


def main():
    folder = pathlib.Path(__file__).resolve().parent / "wire"
    total = wrong = 0
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        results = [(v["name"], check(document["format"], document["now_ms"], v)) for v in document["vectors"]]
        for name, found in results:
            total += 1
            if found is not None:
                wrong += 1
                print(f"{path.name}: {name}\n  found {found}", file=sys.stderr)
        print(f"{path.name}: {len(results)} vectors")
    print(f"{total} vectors, {wrong} wrong")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())

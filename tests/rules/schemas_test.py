#!/usr/bin/env python3
"""Holds what is written against docs/schemas: events and states of every transcript and of random sequences, the records that the
random test makes, and the examples of the manual. Each schema is itself checked first."""
import json
import os
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/rules"))
import random_test  # noqa: E402

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed (cross/setup test)")
    sys.exit(77)

EXAMPLES = {
    "commands": ['{"v":1,"command":"acknowledge","alarm_id":"42959:smoke:3","sensor":"42959","who":"ana","why":"seen","time_ms":1793194820123}'],
    "readings": ['{"v":1,"sensor":"42959","device":"pi-42","store":"9f3c1b22a0d47e15","lane":"u","seq":1812,"time_ms":1793194820123,'
                 '"received_ms":1793194820180,"quality":"synced","motion":false,"smoke":true,"temperature":25.5,"max_temperature":30.0,'
                 '"x":{"battery":91}}',
                 '{"v":1,"heartbeat":"collector-1","time_ms":1793194820000,"received_ms":1793194820000}'],
    "rejected": ['{"v":1,"device":"pi-42","time_ms":1,"resource":"v1/readings","format":112,"code":"4.22","reason":"unknown unit",'
                 '"bytes":2,"body_hex":"80ff"}'],
    "devices": ['{"v":1,"device":"pi-42","version":3,"state":"active","sensors":["42959","hall-*"],"period_ms":60000,"class":"home",'
                '"credential":{"kid":"9f3c1b22","nonce":"%s","data":"%s","tag":"%s"}}' % ("0" * 24, "0" * 64, "0" * 32)],
    "alarms": [], "alarm-state": [],
}
WRONG = {
    "readings": '{"v":1,"sensor":"s","lane":"u","time_ms":1,"received_ms":1}',
    "alarms": '{"v":1,"event":"fire","alarm_id":"s:smoke:1","sensor":"s","activation":1,"priority":"low","late":false,"time_ms":1}',
    "alarm-state": '{"v":1,"sensor":"s","device":"d","period_ms":-1,"alarms":[],"stores":[]}',
    "commands": '{"v":1,"command":"dance","alarm_id":"s:smoke:1","time_ms":1}',
    "devices": '{"v":1,"device":"pi","version":0}',
    "rejected": '{"v":1}',
}


def lengths(schemas):
    """A device's name has at most 63 bytes everywhere (VG_DEVICE_NAME_MAX)."""
    for name, example in {"alarms": '{"v":1,"event":"raised","alarm_id":"s:smoke:1","sensor":"s","type":"smoke","activation":1,'
                                    '"priority":"low","late":false,"time_ms":1}',
                          "alarm-state": '{"v":1,"sensor":"s","device":"d","period_ms":0,"seen_ms":null,"since_ms":null,'
                                         '"clock_ms":null,"ok_ms":null,"newest_ms":null,"alarms":[],"stores":[]}',
                          **{n: EXAMPLES[n][0] for n in ("readings", "rejected", "devices")}}.items():
        for length, fits in ((63, True), (64, False)):
            record = {k: v for k, v in json.loads(example).items() if v is not None} | {"device": "d" * length}
            if schemas[name].is_valid(record) is not fits:
                sys.exit(f"{name}: a device of {length} characters is {'refused' if fits else 'accepted'}: "
                         f"{[e.message for e in schemas[name].iter_errors(record)]}")


def main():
    schemas = {}
    for name in EXAMPLES:
        schema = json.loads((ROOT / f"docs/schemas/{name}.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        schemas[name] = jsonschema.Draft202012Validator(schema)
    lengths(schemas)
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}")
    program = pathlib.Path(os.environ.get("VIGIA_BINARY_DIR", ROOT / "build/host")) / "tests/rules_transcript"
    inputs = [path.read_text() for path in sorted((ROOT / "tests/vectors/rules").glob("*.txt"))]
    for i in range(100):
        lines = random_test.sequence(random.Random(f"{seed}/{i}"))
        inputs.append("\n".join(lines) + "\n")
        EXAMPLES["readings"] += [random_test.record(line) for line in lines if line.split()[0] in ("r", "beat")]
    for text in inputs:
        text = "".join(line + "\n" for line in text.splitlines() if not line.startswith((">", "=")))
        done = subprocess.run([program, "--print"], input=text, capture_output=True, text=True, check=True, timeout=60)
        for line in done.stdout.splitlines():
            EXAMPLES["alarms" if "event" in json.loads(line) else "alarm-state"].append(line)
    failed = 0
    for name, examples in EXAMPLES.items():
        assert examples, name
        for example in examples:
            for error in schemas[name].iter_errors(json.loads(example)):
                print(f"{name}: {error.message}\n  {example}")
                failed += 1
        if schemas[name].is_valid(json.loads(WRONG[name])):
            print(f"{name}: accepts {WRONG[name]}")
            failed += 1
        print(f"{name}: {len(examples)} checked")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""The agent with a real collector: edge_test.py NAME runs one of the tests below; each name is a sentence."""
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time

from rig import EDGE, FAULTY_EDGE, FIXTURE, FLEET, PSK, Rig, check_whole, figures, free_port, identity, wait_for
from udp_proxy import UdpProxy

SEED = int(os.environ.get("VIGIA_SEED", "7"))
STORY = """seed %d
stamp on
sensor s-01..s-10  period 200ms  temperature sine 21 3 10s  max_temperature 30  motion off
at 500ms  s-03  motion
at 1s     s-05  smoke 3 times every 100ms
at 2s     s-05  ok
end 4s
""" % SEED


def told_all(rig):
    """The story is over, every sample that was read is in the ledger, and the agent has sent it."""
    def over():
        ledger = rig.ledger()
        return ledger and max(s["at"] for s in ledger) >= 3800 and rig.drained()
    return wait_for("the story is told", over)


def every_reading_arrives_once(rig):
    collector = rig.collector()
    rig.agent(STORY, "127.0.0.1:%d" % collector.port)
    told_all(rig)
    rig.edge.stop()
    assert rig.edge.process.returncode == 0, rig.edge.process.returncode
    ledger, stored, unique = check_whole(rig)
    assert stored == unique, "delivered again without need"
    print("ledger %d, stored %d" % (ledger, stored))
    alive = [r for r in rig.stored() if r.get("event") == "alive" or r.get("alive")]
    assert alive and alive[0]["sensor"] == "pi-42", alive
    assert all(r["quality"] == "synced" for r in rig.stored() if "at" in r.get("x", {}))


def an_unsynchronised_clock_sends_ages(rig):
    collector = rig.collector()
    rig.agent(STORY, "127.0.0.1:%d" % collector.port, device__clock="unsynced")
    told_all(rig)
    check_whole(rig)
    readings = [r for r in rig.stored() if "at" in r.get("x", {})]
    assert all(r["quality"] == "unsynced" for r in readings)
    ages = [r["received_ms"] - r["time_ms"] for r in readings]
    assert all(-50 <= age <= 20000 for age in ages), (min(ages), max(ages))


def a_changing_address_costs_no_handshake_and_no_reading(rig):
    collector = rig.collector()
    with UdpProxy(("127.0.0.1", collector.port), seed=SEED, rebind=2, rebind_after=3) as proxy:
        rig.agent(STORY, "127.0.0.1:%d" % proxy.port, uplink__batch="1")
        m = told_all(rig)
        counts = dict(proxy.counts)
    check_whole(rig)
    assert counts["rebound"] > 50, counts
    assert m["vigia_edge_handshakes_total"] == 1, m["vigia_edge_handshakes_total"]
    assert m["vigia_edge_sessions_lost_total"] == 0
    print("source ports used %d, handshakes 1, requests %d" % (counts["rebound"] + 1, m["vigia_edge_requests_total"]))


def a_bad_network_loses_nothing(rig):
    collector = rig.collector()
    with UdpProxy(("127.0.0.1", collector.port), seed=SEED, loss=0.05, dup=0.1, reorder=0.1, corrupt=0.03,
                  delay_ms=(1, 30)) as proxy:
        rig.agent(STORY, "127.0.0.1:%d" % proxy.port, uplink__response_timeout="2s")
        told_all(rig)
        counts = dict(proxy.counts)
    ledger, stored, unique = check_whole(rig)
    assert counts["lost"] > 0 and counts["duplicated"] > 0 and counts["corrupted"] > 0, counts
    print("seed %d, %s; ledger %d, stored %d, unique %d" % (SEED, counts, ledger, stored, unique))


def a_silent_network_ends_the_session_and_a_new_one_sends_the_rest(rig):
    collector = rig.collector()
    with UdpProxy(("127.0.0.1", collector.port), seed=SEED) as proxy:
        rig.agent(STORY, "127.0.0.1:%d" % proxy.port)
        wait_for("some readings are stored", lambda: len(rig.stored()) > 20)
        proxy.blackhole = True  # nothing answers, and no ICMP tells why
        wait_for("the session is given up", lambda: "reason=unanswered" in rig.edge.log())
        proxy.blackhole = False
        m = told_all(rig)
    check_whole(rig)
    assert m["vigia_edge_sessions_total"] == 2 and m["vigia_edge_sessions_lost_total"] == 1, m


def a_collector_killed_in_the_middle_loses_nothing(rig):
    collector = rig.collector()
    rig.agent(STORY, "127.0.0.1:%d" % collector.port)
    wait_for("some readings are stored", lambda: len(rig.stored()) > 20)
    collector.kill()
    collector.start()
    told_all(rig)
    check_whole(rig)


def an_agent_killed_in_the_middle_loses_only_what_was_not_yet_on_the_card(rig):
    collector = rig.collector()
    edge = rig.agent(STORY, "127.0.0.1:%d" % collector.port)
    wait_for("some readings are stored", lambda: len(rig.stored()) > 20)
    edge.kill()
    killed_ms = time.time() * 1000
    edge.start()
    told_all(rig)
    # Routine readings are written in groups of 200 ms here; an urgent one is on the card before it is sent.
    check_whole(rig, lambda s: s["wall_ms"] <= killed_ms + 5 and s["wall_ms"] >= killed_ms - 700)
    assert len({r["store"] for r in rig.stored()}) == 2


def the_next_collector_takes_over(rig):
    first, second = rig.collector("first"), rig.collector("second")
    rig.agent(STORY, "127.0.0.1:%d,127.0.0.1:%d" % (first.port, second.port))
    wait_for("some readings are stored", lambda: len(rig.stored()) > 20)
    first.kill()
    m = told_all(rig)
    check_whole(rig)
    assert m["vigia_edge_failovers_total"] >= 1


def readings_of_a_foreign_sensor_are_parked_and_the_others_arrive(rig):
    collector = rig.collector()
    story = STORY + "sensor foreign period 300ms motion off\n"
    rig.agent(story, "127.0.0.1:%d" % collector.port, uplink__park="2s")
    wait_for("something is parked", lambda: (figures(rig.edge) or {}).get("vigia_edge_parked_readings_total", 0) > 0)
    rig.fixture("device", rig.url, rig.path("kek"), "pi-42", "2", "active",
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "s-*", "foreign")
    told_all(rig)
    check_whole(rig)
    seqs = [r["seq"] for r in rig.stored() if r["sensor"] == "foreign"]
    assert seqs and seqs == sorted(seqs), "out of order: %s" % seqs


def a_fleet_gets_every_reading_acknowledged(rig):
    collector = rig.collector()
    with open(os.open(rig.path("fleet.keys"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        for i in range(5):
            key = "%064x" % (i + 1)
            f.write("fleet-%d %s\n" % (i, key))
            rig.fixture("device", rig.url, rig.path("kek"), "fleet-%d" % i, "1", "active", key, "fleet-%d.*" % i)
    # A device that the collector does not know yet is refused, and shakes hands again.
    wait_for("the devices are known", lambda: (figures(collector) or {}).get("vigia_collector_devices", 0) >= 6)
    sets = {"fleet.collectors": "127.0.0.1:%d" % collector.port, "fleet.credentials": rig.path("fleet.keys"),
            "fleet.rate": "200", "fleet.batch": "10", "fleet.duration": "2s"}
    r = subprocess.run([FLEET, *[x for k, v in sets.items() for x in ("--set", "%s=%s" % (k, v))]], timeout=90,
                       capture_output=True, text=True)
    assert r.returncode == 0, (r.returncode, r.stdout, r.stderr)
    told = json.loads(r.stdout)
    assert told["devices"] == 5 and told["handshakes"] == 5, told
    assert told["acknowledged"] == told["readings"] >= 380, told
    assert told["requests"] * 10 == told["readings"], told
    stored = {identity(x) for x in rig.stored()}
    assert len(stored) == told["acknowledged"], (len(stored), told)


def refuse(rig, edit, *expected, sets=()):
    """The agent ends with 78 and one line that has every text of `expected`."""
    with open(rig.path("story.scenario"), "w") as f:
        f.write(STORY)
    lines = {"device.name": "pi-42", "uplink.collectors": "127.0.0.1:5684", "uplink.psk_file": "psk",
             "buffer.path": "edge.db", "source sim.scenario": "story.scenario"}
    lines.update(edit)
    with open(rig.path("edge.ini"), "w") as f:
        for name, value in lines.items():
            section, _, key = name.rpartition(".")
            if value is not None:
                f.write("[%s]\n%s = %s\n" % (section, key, value))
    r = subprocess.run([EDGE, "--config", rig.path("edge.ini"), *sets], timeout=20, capture_output=True, text=True)
    assert r.returncode == 78, (r.returncode, r.stderr)
    complaints = [x for x in r.stderr.splitlines() if all(e in x for e in expected)]
    assert complaints, "%s not in: %s" % (expected, r.stderr)


def bad_configuration_is_refused_with_one_line(rig):
    key = rig.path("psk")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write("00112233445566778899aabbccddeeff\n")
    refuse(rig, {"uplink.colectors": "x:1"}, "edge.ini:", "colectors")
    refuse(rig, {"uplink.batch": "65"}, "edge.ini:", "uplink.batch", "65", "64")
    refuse(rig, {"uplink.collectors": "collector.example:99999"}, "uplink.collectors", "99999")
    refuse(rig, {"uplink.collectors": None}, "edge.ini: uplink.collectors", "missing")
    refuse(rig, {"device.name": "pi 42"}, "device.name", "pi 42", "accepted")
    refuse(rig, {"uplink.psk_file": "nowhere"}, "nowhere")
    refuse(rig, {"uplink.psk_file": None}, "no key", "provisioning")
    refuse(rig, {"uplink.psk_file": None, "uplink.psk": "0011"}, "uplink.psk", "4 characters")
    refuse(rig, {"source sim.scenario": None, "source sim.kind": "sim"}, "scenario")
    refuse(rig, {"source sim.scenario": "nowhere.scenario"}, "nowhere.scenario")
    refuse(rig, {"buffer.path": "nowhere/edge.db"}, "nowhere/edge.db")
    os.chmod(key, 0o644)
    refuse(rig, {}, "psk", "644")
    with open(key) as f:
        assert f.read() == "00112233445566778899aabbccddeeff\n"


def a_provisioning_file_is_enough_and_its_mode_is_checked(rig):
    path = rig.path("pi-42.ini")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write("[device]\nname = pi-42\n[uplink]\ncollectors = 127.0.0.1:5684\n"
                "psk = 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n")
    bare = {"device.name": None, "uplink.collectors": None, "uplink.psk_file": None,
            "device.provisioning": "pi-42.ini"}
    os.chmod(path, 0o640)
    refuse(rig, bare, "pi-42.ini", "640")
    os.chmod(path, 0o600)
    refuse(rig, {**bare, "device.name": "other"}, "device.name", "provisioning")
    # Its key would stay where it was included from, and the path would be another once the file is moved.
    with open(os.open(rig.path("elsewhere.ini"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write("include = pi-42.ini\n")
    refuse(rig, {**bare, "device.provisioning": "elsewhere.ini"}, "elsewhere.ini:1", "include")
    # An empty key is found everywhere: wiping it would never end.
    with open(rig.path("elsewhere.ini"), "w") as f:
        f.write("[device]\nname = pi-42\n[uplink]\ncollectors = 127.0.0.1:5684\npsk =\n")
    refuse(rig, {**bare, "device.provisioning": "elsewhere.ini", "uplink.psk_file": "psk"}, "elsewhere.ini:5: uplink.psk")
    with open(rig.path("edge.ini"), "w") as f:
        f.write("[device]\nprovisioning = pi-42.ini\n[source sim]\nscenario = story.scenario\n")
    r = subprocess.run([EDGE, "--config", rig.path("edge.ini"), "--check-config"], timeout=20, capture_output=True,
                       text=True)
    assert r.returncode == 0, r.stderr
    dump = subprocess.run([EDGE, "--config", rig.path("edge.ini"), "--dump-config"], timeout=20, capture_output=True,
                          text=True).stdout
    assert "1e1f" not in dump, "a key was printed"


def a_boot_file_is_moved_to_its_place_and_its_key_wiped(rig):
    boot, place = rig.path("boot.ini"), rig.path("place.ini")
    key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    text = "[device]\nname = pi-42\n[uplink]\ncollectors = 127.0.0.1:%d\npsk = %s\n" % (free_port(), key)
    with open(boot, "w") as f:
        f.write(text)
    with open(rig.path("story.scenario"), "w") as f:
        f.write(STORY)
    with open(rig.path("edge.ini"), "w") as f:
        f.write("[device]\nprovisioning = place.ini\nboot_file = boot.ini\n[buffer]\npath = edge.db\n"
                "[source sim]\nscenario = story.scenario\n")
    for _ in range(2):  # the second start finds nothing left to take
        edge = rig.program("edge", [EDGE, "--config", rig.path("edge.ini")]).start()
        wait_for("the agent is up", lambda: "msg=ready" in edge.log())
        edge.stop()
        with open(boot) as f:
            assert f.read() == text.replace(key, "-" * len(key))
        with open(place) as f:
            assert f.read() == text
        assert os.stat(place).st_mode & 0o777 == 0o600
        os.remove(edge.log_path)


def a_collector_that_cannot_be_resolved_is_told_and_the_agent_keeps_sampling(rig):
    rig.agent(STORY, "no..such..collector:%d" % free_port())
    wait_for("the line is there", lambda: "reason=unresolved" in rig.edge.log())
    assert 'collector=no..such..collector' in rig.edge.log(), rig.edge.log()
    wait_for("readings wait on the card",
             lambda: (figures(rig.edge) or {}).get('vigia_edge_waiting_readings{lane="routine"}', 0) > 20)


def stopping_waits_for_no_name_server(rig):
    rig.agent(STORY, "silent.example:%d" % free_port(), program=FAULTY_EDGE)
    wait_for("a look-up is under way", lambda: "look-up of silent.example" in rig.edge.log())
    wait_for("readings wait on the card",
             lambda: (figures(rig.edge) or {}).get('vigia_edge_waiting_readings{lane="routine"}', 0) > 20)
    rig.edge.stop()
    assert rig.edge.process.returncode == 0 and "msg=stopped" in rig.edge.log(), rig.edge.log()
    # What was taken is on the card, and goes out once there is a collector.
    collector = rig.collector()
    rig.agent("sensor nothing period 1d motion off\nend 1s\n", "127.0.0.1:%d" % collector.port, source_sim__ledger="")
    wait_for("everything is sent", rig.drained)
    check_whole(rig)


def readings_wait_for_their_own_device_when_another_is_provisioned(rig):
    rig.agent(STORY, "127.0.0.1:%d" % free_port())
    wait_for("readings wait on the card",
             lambda: (figures(rig.edge) or {}).get('vigia_edge_waiting_readings{lane="routine"}', 0) > 20)
    rig.edge.stop()
    rig.fixture("device", rig.url, rig.path("kek"), "pi-43", "1", "active", PSK, "s-*")
    collector = rig.collector()
    quiet = "sensor nothing period 1d motion off\nend 1s\n"
    rig.agent(quiet, "127.0.0.1:%d" % collector.port, device__name="pi-43", source_sim__ledger="")
    wait_for("the new device speaks", lambda: [r for r in rig.stored() if r["sensor"] == "pi-43"] and
             (figures(rig.edge) or {}).get('vigia_edge_waiting_readings{lane="routine"}') == 0)
    heard = rig.stored()
    assert {r["device"] for r in heard} == {"pi-43"}, heard
    assert {r["sensor"] for r in heard} == {"pi-43"}, "under another device's name: %s" % heard
    assert any("other devices, count=1" in r.get("storage", "") for r in heard), heard
    assert figures(rig.edge)["vigia_edge_other_buffers"] == 1
    line = [x for x in rig.edge.log().splitlines() if "msg=buffer-set-aside" in x]
    assert len(line) == 1 and "edge.db.of-pi-42" in line[0], rig.edge.log()
    rig.edge.stop()
    # Provisioned back, the device sends what it had.
    rig.agent(quiet, "127.0.0.1:%d" % collector.port, source_sim__ledger="")
    wait_for("the first device speaks", lambda: [r for r in rig.stored() if r["device"] == "pi-42"] and rig.drained())
    assert {r["device"] for r in rig.stored() if r["sensor"].startswith("s-")} == {"pi-42"}
    assert figures(rig.edge)["vigia_edge_other_buffers"] == 0
    assert "msg=buffer-taken-back" in rig.edge.log()
    check_whole(rig)


def what_waits_on_the_card_is_told_from_the_first_look(rig):
    rig.agent(STORY, "127.0.0.1:%d" % free_port())
    waiting = 'vigia_edge_waiting_readings{lane="routine"}'
    wait_for("readings wait on the card", lambda: (figures(rig.edge) or {}).get(waiting, 0) > 20)
    rig.edge.kill()
    rig.edge.start()
    told = wait_for("the first look", lambda: figures(rig.edge))
    assert told[waiting] > 20, "%d readings wait, told by an agent with at least 20" % told[waiting]


def readings_that_cannot_be_written_at_the_end_are_told(rig):
    rig.agent(STORY.replace("end 4s", "end 600s"), "127.0.0.1:%d" % free_port(), buffer__group="5s")
    wait_for("the agent answers", lambda: figures(rig.edge))
    rig.edge.stop()
    assert rig.edge.process.returncode == 0, rig.edge.log()
    # Its lines go into a pipe, which the limit on files does not touch; a ledger would end the story.
    args = [*rig.edge.args, "--set", "source sim.ledger="]
    edge = rig.edge.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                               restore_signals=False)  # SIGXFSZ stays ignored: a write fails instead
    wait_for("the agent answers", lambda: figures(rig.edge))
    resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (0, 0))
    # Newer than the first page, which has what was taken at the start and is written by now.
    routine = 'vigia_edge_readings_total{lane="routine"}'
    taken = figures(rig.edge)[routine]
    wait_for("readings wait for the card", lambda: figures(rig.edge)[routine] > taken)
    edge.terminate()
    out, _ = edge.communicate(timeout=20)
    assert edge.returncode == 1, out
    lines = [line for line in out.splitlines() if "msg=readings-lost" in line]
    assert len(lines) == 1 and "count=" in lines[0] and "rows are not on the card" in lines[0], out


def lines_of(rig, message):
    return [line for line in rig.edge.log().splitlines() if "msg=%s " % message in line]


ROUTINE_WAITS = 'vigia_edge_waiting_readings{lane="routine"}'


def a_full_card_is_told_once_and_so_is_room_again(rig):
    os.environ["VIGIA_TEST_CARD_FULL"] = full = rig.path("card.full")
    rig.agent(STORY.replace("end 4s", "end 600s"), "127.0.0.1:%d" % free_port(), program=FAULTY_EDGE)
    wait_for("readings wait on the card", lambda: (figures(rig.edge) or {}).get(ROUTINE_WAITS, 0) > 20)
    begun = time.monotonic()
    with open(full, "w"):
        pass
    wait_for("the card is tried again", lambda: figures(rig.edge)["vigia_edge_buffer_commit_failures_total"] >= 3)
    wait_for("the line is there", lambda: lines_of(rig, "card-full"))
    assert not lines_of(rig, "card-has-room"), rig.edge.log()
    os.remove(full)
    wait_for("there is room again", lambda: lines_of(rig, "card-has-room"))
    assert figures(rig.edge)["vigia_edge_disk_full"] == 0
    # Full again at once: within the minute it is one and the same trouble.
    with open(full, "w"):
        pass
    wait_for("the card is full again", lambda: figures(rig.edge)["vigia_edge_disk_full"] == 1)
    os.remove(full)
    wait_for("the card has room", lambda: figures(rig.edge)["vigia_edge_disk_full"] == 0)
    told, room = lines_of(rig, "card-full"), lines_of(rig, "card-has-room")
    assert len(room) <= len(told) <= 1 + (time.monotonic() - begun) // 60, rig.edge.log()
    assert all("edge.db" in line.split("file=")[1] for line in told + room), (told, room)
    rig.edge.stop()
    assert rig.edge.process.returncode == 0, rig.edge.log()
    # What was kept back for its pace is told at the end.
    assert len(lines_of(rig, "card-full")) == len(lines_of(rig, "card-has-room")) == 2, rig.edge.log()


def a_damaged_buffer_and_damaged_rows_are_told(rig):
    rig.agent(STORY, "127.0.0.1:%d" % free_port())
    wait_for("readings wait on the card", lambda: (figures(rig.edge) or {}).get(ROUTINE_WAITS, 0) > 20)
    rig.edge.stop()
    db = sqlite3.connect(rig.path("edge.db"))
    with db:
        assert db.execute("UPDATE queue SET row = x'00' WHERE place IN"
                          " (SELECT place FROM queue ORDER BY place DESC LIMIT 3)").rowcount == 3
    db.close()
    collector = rig.collector()
    quiet = "sensor nothing period 1d motion off\nend 1s\n"
    rig.agent(quiet, "127.0.0.1:%d" % collector.port, source_sim__ledger="")
    wait_for("everything is sent", rig.drained)
    rig.edge.stop()
    told = lines_of(rig, "rows-damaged")
    assert sum(int(line.split("rows=")[1].split()[0]) for line in told) == 3, rig.edge.log()
    assert not lines_of(rig, "buffer-damaged"), rig.edge.log()
    with open(rig.path("edge.db"), "r+b") as f:
        f.write(b"oops")
    rig.agent(quiet, "127.0.0.1:%d" % collector.port, source_sim__ledger="")
    wait_for("the agent is up", lambda: figures(rig.edge))
    told = lines_of(rig, "buffer-damaged")
    assert len(told) == 1 and "rows=unknown" in told[0], rig.edge.log()
    aside = told[0].split("set_aside=")[1].split()[0]
    assert os.path.basename(aside).startswith("edge.db.damaged-"), aside
    assert os.path.exists(os.path.join(rig.folder, aside)), aside


def readings_given_up_are_told(rig):
    story = "seed %d\n" % SEED + "sensor s-01..s-10  period 20ms  temperature sine 21 3 10s  motion off\nend 600s\n"
    rig.agent(story, "127.0.0.1:%d" % free_port(), buffer__max_bytes="65536", source_sim__ledger="")
    evicted = "vigia_edge_evicted_readings_total"
    wait_for("the line is there", lambda: lines_of(rig, "readings-evicted"))
    told = figures(rig.edge)[evicted]
    wait_for("more are given up", lambda: figures(rig.edge)[evicted] > told)
    assert len(lines_of(rig, "readings-evicted")) == 1, rig.edge.log()
    least = figures(rig.edge)[evicted]
    rig.edge.stop()
    counts = [int(line.split("rows=")[1].split()[0]) for line in lines_of(rig, "readings-evicted")]
    assert len(counts) == 2 and sum(counts) >= least, (counts, least)


def number(line, key):
    return int(line.split(key + "=")[1].split()[0])


def what_leaves_a_full_bound_of_the_buffer_is_told(rig):
    small = {"buffer__max_bytes": "65536"}
    rig.agent(STORY, "127.0.0.1:%d" % free_port(), **small)
    urgent_waits = 'vigia_edge_waiting_readings{lane="urgent"}'
    wait_for("alarms wait on the card", lambda: (figures(rig.edge) or {}).get(urgent_waits, 0) >= 3)
    rig.edge.stop()
    db = sqlite3.connect(rig.path("edge.db"))
    with db:  # as if years had passed: a boot without the anchors of its first week, refused readings, many starts
        db.execute("UPDATE boots SET id = 'earlier'")
        db.execute("UPDATE queue SET taken = 0")
        boot, = db.execute("SELECT max(boot) FROM boots").fetchone()
        db.execute("DELETE FROM anchors")
        db.executemany("INSERT INTO anchors VALUES(?, ?, ?)", [(boot, n * 600 * 10**9, 1793194820000 + n * 600000) for n in range(1100, 9292)])
        db.executemany("INSERT INTO quarantine VALUES(?, 1, 1, ?, 150, 0, zeroblob(1200))", [(n, n) for n in range(1, 1001)])
        db.executemany("INSERT INTO epochs VALUES(?, ?, ?, 'pi-42')", [(100 + n, n, boot) for n in range(600)])
        db.executemany("INSERT INTO queue VALUES(?, 0, zeroblob(600))", [(1 << 62 | (100 + n) << 38 | 1,) for n in range(600)])
    db.close()
    collector = rig.collector()
    quiet = "sensor nothing period 1d motion off\nend 1s\n"
    rig.agent(quiet, "127.0.0.1:%d" % collector.port, source_sim__ledger="", **small)
    for line, unit, metric in (("quarantine-trimmed", "rows", "quarantine_trimmed_total"), ("readings-undated", "times", "undated_readings_total"),
                               ("gaps-joined", "gaps", "gaps_joined_total")):
        told, = wait_for("the line " + line, lambda: lines_of(rig, line))
        assert 0 < number(told, unit) <= figures(rig.edge)["vigia_edge_" + metric], (told, figures(rig.edge))
        assert "edge.db" in told.split("file=")[1], told
    assert figures(rig.edge)["vigia_edge_set_aside_removed_total"] == 0
    rig.edge.stop()
    assert not lines_of(rig, "set-aside-removed"), rig.edge.log()
    for n in range(1, 4):
        with open(rig.path("edge.db.damaged-%010d" % n), "w"):
            pass
    with open(rig.path("edge.db"), "r+b") as f:
        f.write(b"oops")
    rig.agent(quiet, "127.0.0.1:%d" % collector.port, source_sim__ledger="", **small)
    removed = wait_for("the agent is up", lambda: figures(rig.edge))["vigia_edge_set_aside_removed_total"]
    told, = lines_of(rig, "set-aside-removed")
    assert number(told, "files") == removed == 2, told


def parked_sensors_that_are_forgotten_are_told(rig):
    os.environ["VIGIA_TEST_PARKED_SENSORS"] = "2"
    collector = rig.collector()
    rig.agent("seed %d\nsensor foreign-1..foreign-6  period 100ms  motion off\nend 600s\n" % SEED, "127.0.0.1:%d" % collector.port,
              program=FAULTY_EDGE, source_sim__ledger="")
    forgotten = "vigia_edge_parked_sensors_forgotten_total"
    wait_for("the line is there", lambda: lines_of(rig, "parked-sensors-forgotten"))
    told = figures(rig.edge)[forgotten]
    wait_for("more are forgotten", lambda: figures(rig.edge)[forgotten] > told)
    assert len(lines_of(rig, "parked-sensors-forgotten")) == 1, rig.edge.log()
    least = figures(rig.edge)[forgotten]
    rig.edge.stop()
    counts = [number(line, "sensors") for line in lines_of(rig, "parked-sensors-forgotten")]
    assert len(counts) == 2 and sum(counts) >= least, (counts, least)


def main():
    name = sys.argv[1]
    if not os.path.exists(FIXTURE):
        print("skipped: the collector side is not built")
        return 77
    with tempfile.TemporaryDirectory(prefix="vigia-edge-") as folder, Rig(folder) as rig:
        print("seed", SEED)
        globals()[name](rig)
    return 0


if __name__ == "__main__":
    sys.exit(main())

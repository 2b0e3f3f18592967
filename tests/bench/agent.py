#!/usr/bin/env python3
"""The agent's own figures, as one JSON object on standard output:

  tests/bench/agent.py [--build build/host] [--seconds 20] [--backlog 100000]

  rss_kib, rss_peak_kib        resident memory with 64 sensors at 100 readings/s, sending
  cpu_us_per_reading           user and system time of the agent in the same run
  first_sent_ms                from the start of the process to its first datagram of readings, with the backlog in its buffer
  drain_readings_per_s         how fast the backlog then leaves; the collector takes 50 requests/s of a device
Exit 1 when memory is above 8 MiB or the first reading leaves after 1 s or later."""
import argparse
import json
import os
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RSS_LIMIT_KIB, FIRST_LIMIT_MS = 8 * 1024, 1000


def status_kib(pid, key):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key + ":"))


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def steady(rig, seconds, rig_module):
    collector = rig.collector()
    rig.agent("sensor s-01..s-64 period 640ms temperature sine 21 3 60s max_temperature 30 motion off smoke off\n",
              "127.0.0.1:%d" % collector.port, buffer__group="1s", source_sim__ledger="")
    pid = rig.edge.process.pid
    acknowledged = "vigia_edge_acknowledged_readings_total"
    rig_module.wait_for("sending", lambda: (rig_module.figures(rig.edge) or {}).get(acknowledged, 0) > 200)
    first, cpu, at = rig_module.figures(rig.edge)[acknowledged], cpu_s(pid), time.monotonic()
    rig_module.wait_for("the measuring time", lambda: time.monotonic() - at >= seconds, seconds + 10)
    readings = rig_module.figures(rig.edge)[acknowledged] - first
    result = {"rss_kib": status_kib(pid, "VmRSS"), "rss_peak_kib": status_kib(pid, "VmHWM"),
              "readings_per_s": round(readings / (time.monotonic() - at), 1),
              "cpu_us_per_reading": round((cpu_s(pid) - cpu) * 1e6 / readings, 1)}
    rig.edge.stop()
    return result


def backlog(rig, rows, rig_module, proxy_class):
    class Watch(proxy_class):
        """Notes when the first record of application data passes upwards (DTLS content type 23, or 25 with CID)."""
        first = None

        def _pass(self, client, direction, data):
            if direction == "up" and self.first is None and data[:1] in (b"\x17", b"\x19"):
                self.first = time.monotonic()
            super()._pass(client, direction, data)

    def waiting():
        m = rig_module.figures(rig.edge) or {}
        return m.get('vigia_edge_waiting_readings{lane="routine"}', 0)

    rig.agent("sensor s-0001..s-2000 period 500ms temperature sine 21 3 60s max_temperature 30\n", "127.0.0.1:9",
              buffer__path=rig.path("backlog.db"), buffer__routine_ring="4M", source_sim__ledger="", uplink__backoff_max="1h")
    rig_module.wait_for("a backlog of %d" % rows, lambda: waiting() >= rows, 120)
    rig.edge.stop()
    collector = rig.collector("drain")
    with Watch(("127.0.0.1", collector.port)) as proxy:
        started = time.monotonic()
        rig.agent("sensor s-0001 period 1h motion off\n", "127.0.0.1:%d" % proxy.port, buffer__path=rig.path("backlog.db"),
                  source_sim__ledger="", uplink__rate="0")
        rig_module.wait_for("the first reading", lambda: proxy.first)
        first = proxy.first - started
        acknowledged = "vigia_edge_acknowledged_readings_total"
        begin = rig_module.wait_for("figures", lambda: rig_module.figures(rig.edge))[acknowledged]
        at = time.monotonic()
        rig_module.wait_for("a measuring time of 3 s", lambda: time.monotonic() - at >= 3)
        drained = (rig_module.figures(rig.edge)[acknowledged] - begin) / (time.monotonic() - at)
    peak = status_kib(rig.edge.process.pid, "VmHWM")
    rig.edge.stop()
    return {"backlog": rows, "first_sent_ms": round(first * 1000, 1), "drain_readings_per_s": round(drained),
            "backlog_rss_peak_kib": peak}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default=os.path.join(ROOT, "build", "host"))
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--backlog", type=int, default=100000)
    a = p.parse_args()
    os.environ["VIGIA_BINARY_DIR"] = os.path.abspath(a.build)
    sys.path.insert(0, os.path.join(ROOT, "tests", "integration", "edge"))
    import rig as rig_module
    from udp_proxy import UdpProxy
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder, rig_module.Rig(folder) as rig:
        result = steady(rig, a.seconds, rig_module)
        result.update(backlog(rig, a.backlog, rig_module, UdpProxy))
    print(json.dumps(result))
    return 0 if result["rss_peak_kib"] <= RSS_LIMIT_KIB and result["first_sent_ms"] < FIRST_LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long the soak lets things take, for each log and set of faults, in milliseconds, and why.

late    from the receipt of a reading until another reader of the log sees the alarm that it raises. The sum of

                 what                                                                                            SQLite    Kafka
        always   commit, processor, commit, that reader's own look (100 ms, p99, where nothing is hurt), on
                 a machine that others use too; with Kafka the processor's group begins at the same time           2000     4000
        kill     SQLite: a processor is away for up to 150 ms and reads its states again                           1000
                 Kafka: its successor waits for its session to end (6 s); if that one dies while it joins, it is
                 in the next generation with a session of its own (6 s); then the states are read again                    14000
        disk     the log is full for up to 4 s, is free for 2 s or more, and may be full again                     6000
        broker   a call of the Kafka client that never returns when its coordinator goes away is ended with its
                 program after [log] call_deadline (45 s); then a session (6 s), and 5 s to take over                      56000

        A bad network and an agent's wrong clock come before the receipt and cost nothing here; where a collector's clock is wrong, the
        wait counts from when another reader saw the reading. With Kafka each further kill of a processor during a wait begins it anew:
        there are sessions more to wait for. How many alarms needed that is a figure of its own.

slack   a reading this near to the end of a pre-alarm by the clock may come before or after it: the processor's clock stands still while it
        is away, or its log is
window  of the pre-alarms: at least twice the slack, so that their ends mean something
"""
GROUP_MS = 1000  # [buffer] group: what a killed agent may lose
URGENT_MS = 500  # and the commit under way; of urgent readings, that alone
ROUTINE_MS = GROUP_MS + URGENT_MS
LATE_MS = {"sqlite": {"always": 2000, "kill": 1000, "disk": 6000}, "kafka": {"always": 4000, "kill": 14000, "broker": 56000}}


def late_ms(log, faults):
    return sum(ms for fault, ms in LATE_MS[log].items() if fault == "always" or fault in faults)


def begins_anew(log, faults):
    """Whether the kill of a processor begins a wait anew."""
    return log == "kafka" and "kill" in faults


def slack_ms(log, faults):
    return 25000 if "broker" in faults else 8000 if log == "kafka" or "disk" in faults else 2000


def window_ms(log, faults):
    return 60000 if "broker" in faults else 20000 if log == "kafka" else 16000 if "disk" in faults else 6000

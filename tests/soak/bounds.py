"""How long the soak lets things take, for each log and set of faults, in milliseconds, and why.

late    from the receipt of a reading until another reader of the log sees the alarm that it raises. The sum of

                 what                                                                                            SQLite    Kafka
        always   commit, processor, commit, that reader's own look (100 ms, p99, where nothing is hurt), on
                 a machine that others use too; with Kafka the processor's group begins at the same time           2000     4000
        kill     SQLite: a processor is away for up to 150 ms and reads its states again. Kafka: see pauses        1000
        disk     the log is full for up to 4 s, is free for 2 s or more, and may be full again                     6000
        broker   a call of the Kafka client that never returns when its coordinator goes away is ended with its
                 program after [log] call_deadline (45 s); then a session (6 s), and 5 s to take over                      56000

        A bad network and an agent's wrong clock come before the receipt and cost nothing here; where a collector's clock is wrong, the
        wait counts from when another reader saw the reading.

pauses  do not count in that wait: while the disk stands still nothing is stored, and with Kafka no partition is served while the
        group waits for the session of a killed processor, without_group() below. No more than these: a processor that hangs is late
        also when it is killed again and again. What was longer than `late` is counted, and the longest wait allowed is told; none may
        be longer than `worst`: the longest standstill seen was 6 s; of 300 seeds of 500 kills the longest chain of without_group() took 80 s.

slack   a reading this near to the end of a pre-alarm by the clock may come before or after it: the processor's clock stands still while it
        is away, or its log is
window  of the pre-alarms: at least twice the slack, so that their ends mean something
resume  in which what was killed must have brought something forth again; nearer to the end of the stories it need not
"""
GROUP_MS = 1000  # [buffer] group: what a killed agent may lose
URGENT_MS = 500  # and the commit under way; of urgent readings, that alone
ROUTINE_MS = GROUP_MS + URGENT_MS
NOTICE_MS = 250  # a standstill of the disk may have begun so long before it was noticed (disk_watch.EACH_S)
LATE_MS = {"sqlite": {"always": 2000, "kill": 1000, "disk": 6000}, "kafka": {"always": 4000, "broker": 56000}}
SESSION_MS = 6000    # of a processor in its group
TAKE_OVER_MS = 2000  # assignment, the positions and states read again, a first commit
WORST_MS = {"sqlite": 30_000, "kafka": 120_000}
RESUME_MS = {"sqlite": 20_000, "kafka": 60_000}


def late_ms(log, faults):
    return sum(ms for fault, ms in LATE_MS[log].items() if fault == "always" or fault in faults)


def slack_ms(log, faults):
    return 25000 if "broker" in faults else 8000 if log == "kafka" or "disk" in faults else 2000


def window_ms(log, faults):
    return 60000 if "broker" in faults else 20000 if log == "kafka" else 16000 if "disk" in faults else 6000


def without_group(kills, patience=1):
    """(begin, end) of the times in which Kafka's group may have served no partition. `kills`: (killed, started again) of processors.

    A dead member keeps the next generation from forming until its session has ended. One that dies while it waits for that generation is
    in it, dead, with a session that begins there: so it costs a second one, whenever it died. The range assignor takes every partition
    from every member meanwhile: so it matters not whose partitions the dead one had."""
    out, forming = [], 0  # until when the next generation cannot form
    for killed, again in sorted(kills):
        if killed >= forming:
            forming = served = killed + SESSION_MS
        else:
            served = forming + SESSION_MS
        out.append((killed, max(served, again) + patience * TAKE_OVER_MS))
    return out


def windows_ms(killed, stills):
    """What a kill may cost, (routine, urgent): an urgent reading may be lost that had less than URGENT_MS in which the disk did not stand
    still; a routine one has as much after its group."""
    left, at = URGENT_MS, killed
    for begin, end in sorted(stills, reverse=True):
        begin, end = begin - NOTICE_MS, min(end, at)
        if begin >= at:
            continue
        if at - end >= left:
            break
        left -= at - end
        at = begin
    urgent = killed - (at - left)
    return GROUP_MS + urgent, urgent

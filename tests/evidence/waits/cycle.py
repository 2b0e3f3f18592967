"""What a processor's commits on Kafka are made of, from the requests that capture.py saw.

Times are seconds since 1970. Requests of a transaction: AddOffsetsToTxn, TxnOffsetCommit, AddPartitionsToTxn, Produce, EndTxn, in that order
but for AddPartitionsToTxn, which the client sends when it likes. The first and the third are asked again while the broker still writes the
marks of the transaction before (CONCURRENT_TRANSACTIONS).
"""
import bisect
import collections
import csv

PRODUCE, FETCH, ADD_PARTITIONS, ADD_OFFSETS, END, POSITIONS = 0, 1, 24, 25, 26, 28
STEPS = ("before its first request", "until the broker has ended the commit before", "positions", "partitions announced", "records, synced by the broker",
         "the end decided")
# Which request's answer ends each step but the first; the last of its kind, as it may be asked again.
ENDS = (ADD_OFFSETS, POSITIONS, ADD_PARTITIONS, PRODUCE, END)

Request = collections.namedtuple("Request", "sent answered client api")
Commit = collections.namedtuple("Commit", "begun decided answered asked steps")


def requests(path):
    """All of the file, by when they were sent. Raises ValueError where it is not whole."""
    with open(path) as f:
        *lines, last = f.read().splitlines()
    if last != "#lost 0":
        raise ValueError(f"the listener lost packets, or did not end well: {last[:80]}")
    return sorted(Request(float(r["sent"]), float(r["answered"]), r["client"], int(r["api"])) for r in csv.DictReader(lines))


def commits(all_requests, client):
    """The commits of the processor `client`, but the first, with seconds of each step since the one before was answered. `asked`: how many
    requests each took. One without positions or records (an abort, a commit of positions only) has no such step."""
    out, mine, before = [], [], None
    for r in all_requests:
        if r.client != client or r.api not in ENDS:
            continue
        mine.append(r)
        if r.api != END:
            continue
        if before is not None:
            at, steps = max(before, mine[0].sent), [max(0.0, mine[0].sent - before)]
            for api in ENDS:
                ends = max((x.answered for x in mine if x.api == api), default=at)
                steps.append(max(0.0, ends - at))
                at = max(at, ends)
            out.append(Commit(mine[0].sent, r.sent, r.answered, len(mine), tuple(steps)))
        before, mine = r.answered, []
    return out


def ways(alarms, done):
    """Of each alarm (appended, seen): seconds until its commit began, from there until its end was asked for, from there until it was seen.
    Its commit is the last one whose end was asked for before it was seen; an alarm without one is left out."""
    decided = [c.decided for c in done]
    out = []
    for appended, seen in alarms:
        i = bisect.bisect_right(decided, seen) - 1
        if i >= 0 and decided[i] >= appended:
            begun = max(appended, done[i].begun)
            out.append((begun - appended, decided[i] - begun, seen - decided[i]))
    return out


def under_way(spans, since, until):
    """Shares of the time from `since` to `until` with 0, 1, 2 and more of the spans (sent, answered) under way."""
    changes = sorted([(max(since, a), 1) for a, b in spans if b > since and a < until] + [(min(until, b), -1) for a, b in spans if b > since and a < until])
    shares, at, now = [0.0, 0.0, 0.0], since, 0
    for when, change in changes:
        shares[min(2, now)] += when - at
        at, now = when, now + change
    shares[min(2, now)] += until - at
    return [s / (until - since) for s in shares]

"""What a processor's commits on Kafka are made of, from the requests that capture.py saw.

Times are seconds since 1970. A commit's requests: AddOffsetsToTxn, TxnOffsetCommit, AddPartitionsToTxn, Produce, EndTxn, in that order but for
AddPartitionsToTxn, which the client sends as soon as there is a record, also before the commit. The first and the third are asked again
while the broker still writes the marks of the commit before (CONCURRENT_TRANSACTIONS).
"""
import bisect
import collections
import csv

PRODUCE, FETCH, ADD_PARTITIONS, ADD_OFFSETS, END, POSITIONS = 0, 1, 24, 25, 26, 28
STEPS = ("before it begins", "until the broker has ended the commit before", "positions", "partitions announced", "records (synced)",
         "the end decided")
# Which request's answer ends each step but the first; the last of its kind, as it may be asked again.
ENDS = (ADD_OFFSETS, POSITIONS, ADD_PARTITIONS, PRODUCE, END)

Request = collections.namedtuple("Request", "sent answered client api")
Commit = collections.namedtuple("Commit", "begun decided answered asked steps")  # asked: api -> requests


def requests(path):
    """All of the file, by when they were sent. Raises ValueError where it is not whole."""
    with open(path) as f:
        *lines, last = f.read().splitlines()
    if last != "#lost 0":
        raise ValueError(f"the listener lost packets, or did not end well: {last[:80]}")
    return sorted(Request(float(r["sent"]), float(r["answered"]), r["client"], int(r["api"])) for r in csv.DictReader(lines))


def commits(all_requests, client):
    """The commits of the processor `client`, but the first, with seconds of each step since the one before was answered. It begins when positions
    are first announced. One without positions or records (an abort, a commit of positions only) has no such step."""
    out, mine, before = [], [], None
    for r in all_requests:
        if r.client != client or r.api not in ENDS:
            continue
        mine.append(r)
        if r.api != END:
            continue
        if len(mine) == 1 and out:  # the end asked for again
            last = out.pop()
            out.append(last._replace(answered=r.answered, steps=(*last.steps[:-1], last.steps[-1] + r.answered - before)))
        elif before is not None:
            begun = next((x.sent for x in mine if x.api == ADD_OFFSETS), mine[0].sent)
            at, steps = max(before, begun), [max(0.0, begun - before)]
            for api in ENDS:
                ends = max((x.answered for x in mine if x.api == api), default=at)
                steps.append(max(0.0, ends - at))
                at = max(at, ends)
            out.append(Commit(begun, r.sent, r.answered, collections.Counter(x.api for x in mine), tuple(steps)))
        before, mine = r.answered, []
    return out


def ways(alarms, done, reads):
    """Of each alarm (appended, seen): seconds until its commit began, from there until its end was asked for, from there until it was seen; and
    whether it may be the commit before's. `reads`: when its follower's requests were answered, sorted. Its commit is the last one whose end was
    asked for before the answer that brought it, the last before it was seen; that answer may bring the commit before's, too. An alarm without
    a commit is left out."""
    decided = [c.decided for c in done]
    out = []
    for appended, seen in alarms:
        r = bisect.bisect_right(reads, seen) - 1
        i = bisect.bisect_right(decided, reads[r]) - 1 if r >= 0 else -1
        if i >= 0 and decided[i] >= appended:
            begun = max(appended, done[i].begun)
            two = i > 0 and decided[i - 1] >= appended and (r == 0 or decided[i - 1] > reads[r - 1])
            out.append((begun - appended, decided[i] - begun, seen - decided[i], two))
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

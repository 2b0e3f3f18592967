"""Which OK of the log is which of those that were said."""
from collections import defaultdict


class OkMatch:
    """An OK travels alone, without a stamp: it is known by its time, and by its place among the others of its sensor.

    The log has a sensor's OKs in the order in which they were said (or the check of order blames it). So of all ways to lay the two
    lists beside each other without crossing, the one that matches most is taken, and of these the one whose times differ least: an OK
    whose time fits two that were said, because a clock was stepping, goes where it leaves the other one its place."""

    def __init__(self, lines, values, true_ms, clocks, tolerance_ms):
        self.lines = sorted(lines, key=lambda line: line["at"])
        self.values, self.true_ms, self.clocks, self.tolerance_ms = values, true_ms, clocks, tolerance_ms

    def off_ms(self, value, line):
        """How far the value's time is from the line's; None: it cannot be that one."""
        said, latest = self.true_ms(line), value["received_ms"] + self.clocks.reach_ms
        if value.get("quality") != "synced":  # without a time of its own
            return 0 if said <= latest else None
        ahead = value["time_ms"] - said
        if all(abs(ahead - offset) > self.tolerance_ms for offset in self.clocks.ever(value["device"])):
            return None
        off = min(abs(ahead - offset) for offset in self.clocks.in_force(value["device"], said, latest))
        return off if off <= self.tolerance_ms else None

    def match(self):
        """{id(line): values}, and the values that no line explains."""
        out, rest, taken = defaultdict(list), [], set()
        for value, line in self.longest():
            out[id(line)].append(value)
            taken.add(id(value))
        for value in (v for v in self.values if id(v) not in taken):  # said once, stored twice?
            fits = [(off, n) for n, line in enumerate(self.lines) if (off := self.off_ms(value, line)) is not None]
            if fits and value.get("quality") == "synced":
                out[id(self.lines[min(fits)[1]])].append(value)
            else:
                rest.append(value)
        return out, rest

    def longest(self):
        offs = [[self.off_ms(value, line) for line in self.lines] for value in self.values]
        best = [(0, 0)] * (len(self.lines) + 1)  # of what follows: how many match, less how far they are off
        choices = []
        for row in reversed(offs):
            now, choice = [(0, 0)], []
            for j in range(len(self.lines) - 1, -1, -1):
                ways = [(best[j], "value"), (now[-1], "line")]
                if row[j] is not None:
                    ways.append(((best[j + 1][0] + 1, best[j + 1][1] - row[j]), "both"))
                score, what = max(ways, key=lambda way: way[0])
                now.append(score)
                choice.append(what)
            best = now[::-1]
            choices.append(choice[::-1])
        i = j = 0
        while i < len(self.values) and j < len(self.lines):
            what = choices[len(self.values) - 1 - i][j]
            if what == "both":
                yield self.values[i], self.lines[j]
            i += what != "line"
            j += what != "value"

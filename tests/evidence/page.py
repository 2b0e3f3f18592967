"""docs/measurements.md, made from the results of the parts: the same results and the same sources give the same page, byte for byte."""
import json
import pathlib
import sys

import result as evidence

INTRODUCTION = """<!-- Written by `make measurements` from docs/measurements/*.json; edit those who measure, not this page. -->
# Measurements

What Vigía promises, and what was seen when the promise was put to the test. Every figure was written here by the command beside it:
`make evidence` runs them all, leaves alone what has a good result for the present sources, and can be interrupted at any time;
`tests/evidence/run PART` builds and runs one. Each part says what it does not show. Raw figures lie in the folder
[measurements](measurements). A result is *older* when it was measured on other sources of the product, by another command or by another
form of its tool than those that lie here: it says what was true then.
"""
SUMMARY_MOST = 8  # rows of one part in the summary; of more, those that are met are counted only
NOISY_PCT = 10    # of the machine's CPU time, taken by others while a part ran: named in the summary
FIELDS = {"part": str, "title": str, "command": str, "method": str, "not_covered": str, "started": str, "seconds": (int, float),
          "ok": bool, "figures": list, "raw": list}


def check(data):
    """Raises ValueError where `data` is no result, or claims more than its figures say."""
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    for name, kind in FIELDS.items():
        if not isinstance(data.get(name), kind):
            raise ValueError(f"'{name}' is missing or of the wrong type")
    if not data["figures"]:
        raise ValueError("no figures")
    for figure in data["figures"]:
        if not isinstance(figure, dict) or not isinstance(figure.get("name"), str) or "value" not in figure:
            raise ValueError("a figure without name or value")
        if (figure.get("target") is None) != (figure.get("ok") is None):
            raise ValueError(f"figure '{figure['name']}': a target and its verdict belong together")
        if figure.get("speed") and figure.get("ok") is False and not str(data.get("next_step") or "").strip():
            raise ValueError(f"figure '{figure['name']}': a speed target is missed, and 'next_step' does not say what to do about it")
    if not isinstance(data.get("load", {}), dict) or not isinstance(data.get("next_step", ""), str):
        raise ValueError("'load' or 'next_step' is of the wrong type")
    for name in data["raw"]:
        if not isinstance(name, str) or "/" in name or not name.startswith(data["part"] + "."):
            raise ValueError(f"raw file '{name}' is not named {data['part']}.…")
    if data["ok"] and any(f.get("ok") is False for f in data["figures"]):
        raise ValueError("it says ok, but a figure misses its target")


def missed(data):
    """What a part missed, as sentences."""
    told = [f"{f['name']} {value(f)}, target {target(f)}" for f in data["figures"] if f.get("ok") is False]
    return told + list(data.get("failures", [])) or ["it says so without a reason"]


def value(figure):
    v, unit = figure["value"], figure.get("unit") or ""
    if isinstance(v, bool):
        text = "yes" if v else "no"
    elif isinstance(v, int):
        text = f"{v:,}"
    elif isinstance(v, float):
        v += 0.0  # no minus zero
        text = f"{v:,.{0 if abs(v) >= 1000 else 1 if abs(v) >= 100 else 2}f}" if abs(v) >= 1 else f"{v:.3g}"
    else:
        text = str(v)
    return f"{text} {unit}".strip()


def target(figure):
    return "" if figure.get("target") is None else value({"value": figure["target"]})


def cell(text):
    return " ".join(str(text).replace("|", "\\|").split())


def verdict(figure):
    return {None: "", True: "met", False: "**missed**"}[figure.get("ok")]


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(cell, r)) + " |" for r in rows)]


def describe_machine(m):
    return (f"{m.get('cpu', '?')}, {m.get('cores', '?')} cores, {m.get('memory_mib', 0) / 1024:.1f} GiB, {m.get('system', '?')}, "
            f"kernel {m.get('kernel', '?')}, {m.get('file_system', '?')}")


def load(parts, folder):
    """name -> result, of the parts that have one. A result of no part, or one that is none, ends the program."""
    results = {}
    names = [p["name"] for p in parts]
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        try:
            data = json.loads(path.read_text())
            check(data)
        except ValueError as error:
            sys.exit(f"evidence: {path}: {error}")
        if data["part"] not in names or path.name != f"{data['part']}.json":
            sys.exit(f"evidence: {path}: result of '{data['part']}', which is no part of the list by that name")
        results[data["part"]] = data
    return results


def age(part, data):
    """What of a result is not of the present; empty: nothing."""
    now = {"sources": (data.get("sources"), evidence.sources(), "on other sources of the product"),
           "part_command": (data.get("part_command"), part["command"], "by another command"),
           "tools": (data.get("tools"), evidence.tools(part["command"]), "by another form of its tool")}
    return [why for was, is_now, why in now.values() if was != is_now]


def is_zero(figure):
    """A promise of none, and kept."""
    return figure["ok"] and figure["value"] == 0 and str(figure["target"]) == "0"


def excused(data):
    """What a rule excused, if anything, in one row; it is no target, but zeros beside it would say too much."""
    told = [f for f in data["figures"] if f.get("target") is None and f["name"].startswith("excused: ") and f["value"]]
    return [{"name": "; ".join(f["name"] for f in told), "value": "; ".join(value(f) for f in told)}] if told else []


def rows_of(data):
    """What the summary says of a part: its targets, those that promise none and keep it in one row, which names them all; with them what was excused."""
    told = [f for f in data["figures"] if f.get("target") is not None] or data["figures"][:1]
    zeros = [f for f in told if f.get("ok") is not None and is_zero(f)]
    if len(zeros) > 1:
        at = told.index(zeros[0])
        one = {"name": "; ".join(f["name"] for f in zeros), "value": 0, "unit": "of each", "target": "0", "ok": True}
        told = [f for f in told[:at] if f not in zeros] + [one] + [f for f in told[at:] if f not in zeros]
    else:
        one = None
    if len(told) <= SUMMARY_MOST:
        return told + excused(data)
    met = [f for f in told if f.get("ok") and f is not one]
    spare = max(0, SUMMARY_MOST - 1 - (len(told) - len(met)))
    kept = [f for f in told if f not in met[spare:]]
    return kept + excused(data) + [{"name": count(len(met) - spare, "further target"), "value": "", "target": None, "ok": True}]


def summary(parts, results, ages):
    rows = []
    for p in parts:
        data = results.get(p["name"])
        link = f"[{p['name']}](#{p['name']})"
        if data is None:
            rows.append((link, p["title"], "", "", "not measured yet"))
            continue
        older, told = ", older" if ages[p["name"]] else "", rows_of(data)
        for n, f in enumerate(told):
            rows.append((link if n == 0 else "", f["name"], value(f), target(f), (verdict(f) or "no target") + older))
        if not data["ok"] and not any(f.get("ok") is False for f in told):
            rows.append(("", "the part as a whole", "", "", "**failed**" + older))
    return table(("part", "figure", "value", "target", "verdict"), rows)


def count(n, one, many=None):
    return f"{n} {one if n == 1 else many or one + 's'}"


def counts(parts, results, ages):
    """What of the evidence is for the present sources; what is older is never counted among it."""
    now = [d for name, d in results.items() if not ages[name]]
    good = sum(1 for d in now if d["ok"])
    old, none = len(results) - len(now), len(parts) - len(results)
    line = f"{count(len(parts), 'part')}. On the present sources: {len(now)} measured"
    if now:
        line += f", {good} with every target met, " + (f"**{len(now) - good} with a target missed**" if good < len(now) else "none with a target missed")
    line += "."
    if old:
        bad = sum(1 for name, d in results.items() if ages[name] and not d["ok"])
        line += f" **Older: {old}**, {old - bad} with every target met then" + (f", **{bad} with a target missed**." if bad else ".")
    line += f" Not measured yet: {none}." if none else ""
    noisy = [name for name, d in results.items() if d.get("load", {}).get("other_pct", 0) > NOISY_PCT or d.get("beside")]
    if noisy:
        line += f" Not alone on the machine (others took more than {NOISY_PCT} % of it, or other parts were let run beside): {', '.join(noisy)}."
    return line


def describe_load(data):
    load = data.get("load")
    if load is None:
        return "; what others took of it meanwhile was not recorded"
    return (f"; others took {load['other_pct']:g} % of all cores meanwhile, {load['steal_pct']:g} % were stolen"
            + (", other parts were let run beside" if data.get("beside") else ""))


def section(p, data, old):
    lines = [f"### {p['name']}", ""]
    if data is None:
        return lines + [f"{p['title']}: not measured yet. `{p['command']}`, about {p['minutes']:g} min.", ""]
    revision = data.get("revision", {})
    lines += [data["title"] + ".", ""]
    if old:
        lines += [f"**Older:** measured {' and '.join(old)}.", ""]
    if not data["ok"]:
        lines += ["**Missed:** " + "; ".join(cell(m) for m in missed(data)) + ".", ""]
    if data.get("next_step"):
        lines += ["**Where the time goes, and the next step:** " + cell(data["next_step"]), ""]
    lines += table(("figure", "value", "target", "verdict"),
                   [(f["name"], value(f), target(f), verdict(f)) for f in data["figures"]])
    lines += ["", f"- Command: `{data['command']}`",
              f"- When: {data['started']}, {data['seconds']:,.0f} s; revision {revision.get('commit', '?')}"
              + (" with local changes" if revision.get("dirty") else "") + f"; sources {data.get('sources', '?')}"
              + ("" if data.get("seed") is None else f"; seed {data['seed']}"),
              f"- Machine: {describe_machine(data.get('machine', {}))}{describe_load(data)}", f"- Method: {cell(data['method'])}",
              f"- Does not show: {cell(data['not_covered'])}"]
    texts = [f"[{name}](measurements/{name})" for name in data["raw"]]
    if texts:
        lines += ["- Raw: " + ", ".join(texts)]
    lines += [""]
    for name in data["raw"]:
        if name.endswith(".svg"):
            lines += [f"![{data['title']}](measurements/{name})", ""]
    return lines


def render(parts, results):
    ages = {p["name"]: age(p, results[p["name"]]) for p in parts if p["name"] in results}
    lines = [INTRODUCTION, "## Summary", "", counts(parts, results, ages), "", *summary(parts, results, ages), ""]
    for before, p in zip([{"heading": ""}, *parts], parts):
        if p["heading"] != before["heading"]:
            lines += [f"## {p['heading'] or 'The parts'}", ""]
        lines += section(p, results.get(p["name"]), ages.get(p["name"]))
    return "\n".join(lines).rstrip() + "\n"


def write(parts, folder, path, check=False):
    """Writes the page, or with `check` says whether it is as it should be. Returns an exit status."""
    text = render(parts, load(parts, folder))
    now = path.read_text() if path.is_file() else ""
    if check:
        if now != text:
            print(f"evidence: {path.name} is not what the results and the sources say; run: make measurements", file=sys.stderr)
        return 0 if now == text else 1
    if now != text:
        evidence.write_atomically(path, text)
    return 0

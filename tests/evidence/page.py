"""docs/measurements.md, made from the results of the parts: the same results give the same page, byte for byte."""
import json
import pathlib
import sys

INTRODUCTION = """<!-- Written by `make measurements` from docs/measurements/*.json; edit those who measure, not this page. -->
# Measurements

What Vigía promises, and what was seen when the promise was put to the test. Every figure was written here by the command beside it:
`make evidence` runs them all, leaves alone what has a good result for the present sources, and can be interrupted at any time;
`tests/evidence/run PART` runs one. Each part says what it does not show. Raw figures lie in the folder [measurements](measurements).
"""
SUMMARY_MOST = 8  # figures of one part in the summary; of more, those that are met are counted only
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
    for name in data["raw"]:
        if not isinstance(name, str) or "/" in name or not name.startswith(data["part"] + "."):
            raise ValueError(f"raw file '{name}' is not named {data['part']}.…")
    if data["ok"] and any(f.get("ok") is False for f in data["figures"]):
        raise ValueError("it says ok, but a figure misses its target")


def missed(data):
    """What a part missed, as sentences."""
    told = [f"{f['name']} {value(f)}, target {f['target']}" for f in data["figures"] if f.get("ok") is False]
    return told + list(data.get("failures", [])) or ["it says so without a reason"]


def value(figure):
    v, unit = figure["value"], figure.get("unit") or ""
    if isinstance(v, bool):
        text = "yes" if v else "no"
    elif isinstance(v, int):
        text = f"{v:,}"
    elif isinstance(v, float):
        text = f"{v:,.{0 if abs(v) >= 1000 else 1 if abs(v) >= 100 else 2}f}" if abs(v) >= 1 else f"{v:.3g}"
    else:
        text = str(v)
    return f"{text} {unit}".strip()


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


def summary(parts, results):
    rows = []
    for p in parts:
        data = results.get(p["name"])
        link = f"[{p['name']}](#{p['name']})"
        if data is None:
            rows.append((link, p["title"], "", "", "not measured yet"))
            continue
        told = [f for f in data["figures"] if f.get("target") is not None] or data["figures"][:1]
        met = [f for f in told if f.get("ok")]
        if len(told) > SUMMARY_MOST and met:
            told = [f for f in told if not f.get("ok")] + [{"name": f"{data['title']}: {count(len(met), 'target')}", "value": "", "ok": True}]
        for n, f in enumerate(told):
            rows.append((link if n == 0 else "", f["name"], value(f), f.get("target") or "", verdict(f) or "no target"))
        if not data["ok"] and not any(f.get("ok") is False for f in told):
            rows.append(("", "the part as a whole", "", "", "**failed**"))
    return table(("part", "figure", "value", "target", "verdict"), rows)


def count(n, one, many=None):
    return f"{n} {one if n == 1 else many or one + 's'}"


def counts(parts, results):
    good = sum(1 for d in results.values() if d["ok"])
    bad, none = len(results) - good, len(parts) - len(results)
    line = f"{count(len(parts), 'part')}: {good} with every target met"
    line += f", **{bad} with a target missed**" if bad else ", none with a target missed"
    return line + (f", {none} not measured yet." if none else ".")


def section(p, data):
    lines = [f"### {p['name']}", ""]
    if data is None:
        return lines + [f"{p['title']}: not measured yet. `{p['command']}`, about {p['minutes']:g} min.", ""]
    revision = data.get("revision", {})
    lines += [data["title"] + ".", ""]
    if not data["ok"]:
        lines += ["**Missed:** " + "; ".join(cell(m) for m in missed(data)) + ".", ""]
    lines += table(("figure", "value", "target", "verdict"),
                   [(f["name"], value(f), f.get("target") or "", verdict(f)) for f in data["figures"]])
    lines += ["", f"- Command: `{data['command']}`",
              f"- When: {data['started']}, {data['seconds']:,.0f} s; revision {revision.get('commit', '?')}"
              + (" with local changes" if revision.get("dirty") else "") + f"; sources {data.get('sources', '?')}"
              + ("" if data.get("seed") is None else f"; seed {data['seed']}"),
              f"- Machine: {describe_machine(data.get('machine', {}))}", f"- Method: {cell(data['method'])}",
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
    lines = [INTRODUCTION, "## Summary", "", counts(parts, results), "", *summary(parts, results), ""]
    for before, p in zip([{"heading": ""}, *parts], parts):
        if p["heading"] != before["heading"]:
            lines += [f"## {p['heading'] or 'The parts'}", ""]
        lines += section(p, results.get(p["name"]))
    return "\n".join(lines).rstrip() + "\n"


def write(parts, folder, target, check=False):
    """Writes the page, or with `check` says whether it is as it should be. Returns an exit status."""
    text = render(parts, load(parts, folder))
    now = target.read_text() if target.is_file() else ""
    if check:
        if now != text:
            print(f"evidence: {target.name} is not what the results say; run: make measurements", file=sys.stderr)
        return 0 if now == text else 1
    if now != text:
        from result import write_atomically
        write_atomically(target, text)
    return 0

"""Small SVG plots: bars, and lines over linear or logarithmic axes. Light background, text as text, no script."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 92, 24, 64, 62
COLOURS = ("#0b6e99", "#d9730d", "#4a7c3a", "#9b3d6a", "#6b6b6b", "#b8860b")
FONT = 'font-family="Helvetica,Arial,sans-serif"'


class _Svg:
    def __init__(self, title):
        self.out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
                    f'aria-label="{escape(title)}">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
        self.text(LEFT, 24, title, size=15, weight="bold", colour="#1a1a1a")

    def text(self, x, y, what, size=12, anchor="start", colour="#333333", weight="normal", turn=0):
        move = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.out.append(f'<text x="{x:.1f}" y="{y:.1f}" {FONT} font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
                        f'fill="{colour}"{move}>{escape(str(what))}</text>')

    def line(self, x1, y1, x2, y2, colour="#333333", width=1.0, dash=""):
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{extra}/>')

    def legend(self, names, colours, dashed=()):
        x = LEFT
        for name, colour in zip(names, colours):
            self.out.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{colour}"/>')
            self.text(x + 17, 48.5, name)
            x += 30 + 7 * len(name)

    def done(self):
        return "\n".join([*self.out, "</svg>", ""])


def tell(v):
    """A number on an axis."""
    if v >= 1e6:
        return f"{v / 1e6:g} M"
    return f"{v:,.0f}" if v >= 1000 else f"{v:g}"


def _ticks(top):
    """Round numbers from 0 to at least `top`."""
    step = 10 ** math.floor(math.log10(top / 4)) if top > 0 else 1
    step = next(step * f for f in (1, 2, 2.5, 5, 10) if step * f * 5 >= top)
    return [step * i for i in range(int(math.ceil(top / step - 1e-9)) + 1)]


def _frame(svg, ticks, unit, y):
    for t in ticks:
        svg.line(LEFT, y(t), WIDTH - RIGHT, y(t), "#e2e2e2")
        svg.text(LEFT - 8, y(t) + 4, tell(t), anchor="end")
    svg.line(LEFT, TOP, LEFT, HEIGHT - BOTTOM)
    svg.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM)
    svg.text(18, (TOP + HEIGHT - BOTTOM) / 2, unit, anchor="middle", turn=-90)


def bars(title, names, values, unit, marks=None, spread=None, series=None):
    """One bar for each name, which may have several lines. `values`: numbers, or with `series` one list of numbers for each of them, stacked. `marks`: a target across
    each bar; `spread`: (lowest, highest) of each."""
    svg = _Svg(title)
    stacks = values if series else [values]
    totals = [sum(s[i] for s in stacks) for i in range(len(names))]
    ticks = _ticks(max([*totals, *(marks or [0]), *(high for _, high in spread or [(0, 0)])]) * 1.06)
    span = HEIGHT - BOTTOM - TOP
    def y(v):
        return HEIGHT - BOTTOM - v / ticks[-1] * span
    _frame(svg, ticks, unit, y)
    slot = (WIDTH - LEFT - RIGHT) / len(names)
    for i, name in enumerate(names):
        x, base = LEFT + slot * (i + 0.22), 0.0
        for s, colour in zip(stacks, COLOURS):
            svg.out.append(f'<rect x="{x:.1f}" y="{y(base + s[i]):.1f}" width="{slot * 0.56:.1f}" height="{y(base) - y(base + s[i]):.1f}" '
                           f'fill="{colour}"/>')
            base += s[i]
        middle = x + slot * 0.28
        if spread:
            low, high = spread[i]
            svg.line(middle, y(low), middle, y(high), "#1a1a1a", 1.5)
            for v in spread[i]:
                svg.line(middle - 6, y(v), middle + 6, y(v), "#1a1a1a", 1.5)
        top = max(base, spread[i][1] if spread else 0)
        text = f"{base:,.0f}" if base >= 100 else f"{base:.2f}"
        near = marks and abs(y(top) - 7 - y(marks[i])) < 14
        svg.text(middle, min(y(top), y(marks[i])) - 7 if near else y(top) - 7, text, anchor="middle", weight="bold", colour="#1a1a1a")
        if marks:
            svg.line(LEFT + slot * (i + 0.1), y(marks[i]), LEFT + slot * (i + 0.9), y(marks[i]), "#c0392b", 2, "6 4")
        for n, part in enumerate(name.split("\n")):
            svg.text(middle, HEIGHT - BOTTOM + 18 + 14 * n, part, anchor="middle")
    if series:
        svg.legend(series, COLOURS)
    elif marks:
        svg.legend(["median", "target"], [COLOURS[0], "#c0392b"])
    return svg.done()


def _log_axis(low, high):
    """Decades that hold both."""
    return math.floor(math.log10(low) + 1e-9), max(math.ceil(math.log10(high) - 1e-9), math.floor(math.log10(low) + 1e-9) + 1)


def lines(title, series, x_unit, y_unit, x_log=False, y_log=False, y_mark=None, points=True, y_top=None):
    """`series`: name -> [(x, y), …]. `y_mark`: a target across the plot."""
    svg = _Svg(title)
    xs = [p[0] for s in series.values() for p in s]
    ys = [p[1] for s in series.values() for p in s] + ([y_mark] if y_mark else [])
    if x_log:
        a, b = _log_axis(min(xs), max(xs))
        x_ticks = [10.0 ** e for e in range(a, b + 1)]
        fx = lambda v: (math.log10(v) - a) / (b - a)  # noqa: E731
    else:
        x_ticks = _ticks(max(xs))
        fx = lambda v: v / x_ticks[-1]  # noqa: E731
    if y_log:
        c, d = _log_axis(min(ys), max(ys))
        y_ticks = [10.0 ** e for e in range(c, d + 1)]
        fy = lambda v: (math.log10(v) - c) / (d - c)  # noqa: E731
    else:
        y_ticks = _ticks(y_top or max(ys) * 1.08)
        fy = lambda v: v / y_ticks[-1]  # noqa: E731
    def x(v):
        return LEFT + fx(v) * (WIDTH - LEFT - RIGHT)
    def y(v):
        return HEIGHT - BOTTOM - fy(v) * (HEIGHT - BOTTOM - TOP)
    _frame(svg, y_ticks, y_unit, y)
    for t in x_ticks:
        svg.line(x(t), HEIGHT - BOTTOM, x(t), HEIGHT - BOTTOM + 5)
        svg.text(x(t), HEIGHT - BOTTOM + 20, tell(t), anchor="middle")
    svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x_unit, anchor="middle")
    if y_mark:
        svg.line(LEFT, y(y_mark), WIDTH - RIGHT, y(y_mark), "#c0392b", 2, "6 4")
        svg.text(WIDTH - RIGHT, y(y_mark) - 6, f"target {tell(y_mark)}", anchor="end", colour="#c0392b")
    for values, colour in zip(series.values(), COLOURS):
        path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in values)
        svg.out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for px, py in values if points else ():
            svg.out.append(f'<circle cx="{x(px):.1f}" cy="{y(py):.1f}" r="4" fill="{colour}"/>')
    svg.legend(list(series), COLOURS)
    return svg.done()

"""The picture of the group `crowd`, as SVG: ratios to the peers beside their targets, figures beside their bounds, and the nested counts one by one."""
import html
import math

WIDTH, LABELS, LINE, MARGIN = 860, 250, 20, 16
OURS, MISSED, PEER, TARGET = "#2f6f4f", "#b5482f", "#8a8a8a", "#222"


def crowd(rows, gain):
    rows = [row for row in rows if row["id"].split(".")[0] in ("crowd", "dictionary")]
    peers = [(row["id"], row["ratio"], row.get("target", 1)) for row in rows if "ratio" in row]
    bounds = [(row["id"], gain(row["unit"], row["ours"], row["bound"]), 1) for row in rows if "bound" in row]
    parts, y = [], MARGIN
    for title, bars in (("times better than the peer (line: the target)", peers), ("times better than the bound (line: the bound)", bounds)):
        if bars:
            drawn, y = panel(title, bars, y)
            parts += drawn
    nested = next((row["detail"] for row in rows if row["id"] == "crowd.nested_median" and "detail" in row), None)
    if nested:
        drawn, y = scatter("nested counts: ms by number of leaves (green: ours, grey: chdb)", nested, y)
        parts += drawn
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="{WIDTH}" height="{y}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


class Scale:
    """Positions on a logarithmic axis over whole powers of ten."""

    def __init__(self, values, low, high):
        values = [value for value in values if value > 0]
        self.first, self.last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.last = max(self.last, self.first + 1)
        self.low, self.high = low, high

    def __call__(self, value):
        return self.low + (math.log10(max(value, 10 ** self.first)) - self.first) / (self.last - self.first) * (self.high - self.low)

    def ticks(self):
        return [10 ** power for power in range(self.first, self.last + 1)]


def text(x, y, words, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(words)}</text>'


def stroke(x1, y1, x2, y2, colour, width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def panel(title, bars, y):
    """Bars of (label, value, target); the lines, and where the next panel begins."""
    x = Scale([1, *(value for _, value, _ in bars), *(target for _, _, target in bars)], LABELS, WIDTH - MARGIN - 60)
    bottom = y + LINE * (len(bars) + 1)
    parts = [text(MARGIN, y + 12, title, weight="bold")]
    for tick in x.ticks():
        parts += [stroke(x(tick), y + LINE, x(tick), bottom, "#ddd"), text(x(tick), bottom + 14, f"{tick:g}", "middle")]
    for i, (label, value, target) in enumerate(bars):
        top = y + LINE * (i + 1) + 3
        left, right = sorted((x(1), x(value)))
        colour = OURS if value >= target else MISSED
        parts += [text(LABELS - 8, top + 11, label, "end"),
                  f'<rect x="{left:.1f}" y="{top}" width="{max(right - left, 1):.1f}" height="{LINE - 6}" fill="{colour}"/>',
                  stroke(x(target), top - 2, x(target), top + LINE - 4, TARGET, 2), text(max(right, x(target)) + 5, top + 11, f"{value:.3g}")]
    return parts, bottom + 2 * LINE


def scatter(title, points, y, height=220):
    """Points of [leaves, our ms, the peer's ms]."""
    times = Scale([time for point in points for time in point[1:]], y + height, y + LINE)
    most = max(point[0] for point in points)
    parts = [text(MARGIN, y + 12, title, weight="bold")]
    for tick in times.ticks():
        parts += [stroke(60, times(tick), WIDTH - MARGIN, times(tick), "#ddd"), text(54, times(tick) + 4, f"{tick:g}", "end")]
    for leaves in range(2, most + 1, 2):
        parts.append(text(60 + (WIDTH - MARGIN - 80) * leaves / most, y + height + 16, str(leaves), "middle"))
    for leaves, ours, peer in points:
        x = 60 + (WIDTH - MARGIN - 80) * leaves / most
        parts += [f'<circle cx="{x:.1f}" cy="{times(value):.1f}" r="3.5" fill="{colour}" fill-opacity="0.8"/>' for value, colour in ((peer, PEER), (ours, OURS))]
    return parts, y + height + 2 * LINE

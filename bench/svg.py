"""Line charts as SVG, with nothing but text: two axes, logarithmic where wanted, a legend beside the lines."""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 400
# Room around the plotted area for title, axes and legend.
LEFT, RIGHT, TOP, BOTTOM = 72, 190, 44, 56
# Seen well on white and on black, and told apart by those who see no red or green; each also has its own mark.
COLOURS = ["#0077bb", "#ee7733", "#009988", "#cc3311", "#ee3377", "#888888", "#aa8800", "#7755bb"]
MARKS = ["circle", "square", "diamond", "triangle"]
GREY = "#808080"


@dataclass
class Line:
    name: str
    # Pairs of x and y.
    points: list


@dataclass
class Axis:
    title: str
    # Values that have a tick, and how each is written.
    ticks: list
    label: object = str
    log: bool = False
    # Distance of the first tick to the edge of the plotted area, as a share of it; 0 is at the edge.
    margin: float = 0.0

    def at(self, value):
        """Where a value is between the first tick (0) and the last (1)."""
        first, last = self.scaled(self.ticks[0]), self.scaled(self.ticks[-1])
        share = (self.scaled(value) - first) / (last - first)
        return self.margin + share * (1 - 2 * self.margin)

    def scaled(self, value):
        return math.log(value) if self.log else value


def log_ticks(low, high):
    """Powers of ten and their double and fivefold, from the last one below `low` to the first one above `high`."""
    steps = [factor * 10**power for power in range(-3, 8) for factor in (1, 2, 5)]
    first = max(step for step in steps if step <= low)
    last = min(step for step in steps if step >= high)
    return [step for step in steps if first <= step <= last]


def mark(kind, x, y, colour):
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
    corners = {"square": [(-3, -3), (3, -3), (3, 3), (-3, 3)], "diamond": [(0, -4.5), (4.5, 0), (0, 4.5), (-4.5, 0)],
               "triangle": [(0, -4.5), (4.2, 3), (-4.2, 3)]}[kind]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def spread_out(heights, least):
    """The same heights, moved so that neighbours are at least so far apart, in the same order."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for above, below in zip(order, order[1:]):
        placed[below] = max(placed[below], placed[above] + least)
    # Whatever went out at the bottom pushes the others up.
    limit = HEIGHT - BOTTOM
    for i in reversed(order):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - least
    return placed


def chart(title, x_axis, y_axis, lines):
    """The whole picture. Neither it nor its text has a background: both suit light and dark pages."""
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x, y):
        return LEFT + x_axis.at(x) * width, TOP + (1 - y_axis.at(y)) * height

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'font-family="sans-serif" font-size="12" fill="{GREY}" role="img">',
           f"<title>{escape(title)}</title>",
           text(LEFT, 24, title, "start", 'font-size="15"')]
    for tick in y_axis.ticks:
        y = TOP + (1 - y_axis.at(tick)) * height
        out.append(f'<path d="M{LEFT} {y:.1f}H{LEFT + width}" stroke="{GREY}" stroke-opacity="0.25"/>')
        out.append(text(LEFT - 8, y + 4, y_axis.label(tick), "end"))
    for tick in x_axis.ticks:
        x = LEFT + x_axis.at(tick) * width
        out.append(f'<path d="M{x:.1f} {TOP + height}v5" stroke="{GREY}"/>')
        out.append(text(x, TOP + height + 20, x_axis.label(tick)))
    out.append(f'<path d="M{LEFT} {TOP}V{TOP + height}H{LEFT + width}" fill="none" stroke="{GREY}"/>')
    out.append(text(LEFT + width / 2, HEIGHT - 14, x_axis.title))
    middle = TOP + height / 2
    out.append(text(18, middle, y_axis.title, more=f'transform="rotate(-90 18 {middle:.1f})"'))

    ends = [place(*line.points[-1]) for line in lines]
    names = spread_out([y for _, y in ends], 16)
    for i, line in enumerate(lines):
        colour, kind = COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]
        placed = [place(x, y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [mark(kind, x, y, colour) for x, y in placed]
        edge, y = LEFT + width + 12, names[i]
        out.append(f'<path d="M{ends[i][0] + 6:.1f} {ends[i][1]:.1f}L{edge} {y:.1f}" stroke="{colour}" '
                   'stroke-opacity="0.4"/>')
        out.append(text(edge + 4, y + 4, line.name, "start", f'fill="{colour}"'))
    return "\n".join([*out, "</svg>", ""])

"""The picture: milliseconds until something can be shown to the right, dollars upwards, both logarithmic.

Each variant is a line from its first token (a ring) to its first validated part (a dot) at what 1,000 requests cost on
Lambda. Many variants lie on each other, so their names stand in a column beside the plot, a line each, in the order of
the dots, and a thin line leads from each name to its dot: no name can cover another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10

WIDTH, PLOT_WIDTH = 960, 520
LEFT, TOP, PLOT_HEIGHT = 78, 64, 360
LINE_PX = 22
COLORS = {"the article": "#b4442e", "what people pick": "#5a6472", "ours": "#0a7d4b"}


@dataclass(frozen=True, slots=True)
class Point:
    """One variant. `validated_ms` None: its server validates nothing."""

    name: str
    group: str
    ttft_ms: float
    validated_ms: float | None
    usd: float

    @property
    def end_ms(self) -> float:
        """Where its dot is."""
        return self.validated_ms if self.validated_ms is not None else self.ttft_ms


@dataclass(frozen=True, slots=True)
class Label:
    """A name's place: the text's left end and baseline, and the dot that it belongs to."""

    point: Point
    x: float
    y: float
    dot_x: float
    dot_y: float


class Scale:
    """A logarithmic axis from values to pixels, in whole steps of 1, 2 and 5."""

    def __init__(self, values: Sequence[float], begin_px: float, end_px: float) -> None:
        # A little room on both sides, so that no dot lies on the frame.
        self.low, self.high = min(values) / 1.35, max(values) * 1.35
        self._begin, self._per_decade = begin_px, (end_px - begin_px) / log10(self.high / self.low)

    def __call__(self, value: float) -> float:
        return self._begin + log10(value / self.low) * self._per_decade

    def ticks(self) -> list[float]:
        """Those of 1, 2, 5 times a power of ten that lie within."""
        powers = range(-6, 8)
        steps = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return [step for step in steps if self.low <= step <= self.high]


def place(points: Sequence[Point], across: Scale, upwards: Scale, height: float) -> list[Label]:
    """Names in one column, in the order of their dots from the top, as near to them as there is room.

    Names that would touch are pushed down; the column then moves up until its end is inside. Needs `height` for
    all of them.
    """
    if len(points) * LINE_PX > height:
        raise ValueError(f"names: expected room for {len(points)}, got {height:g} px")
    ordered = sorted(points, key=lambda point: (-point.usd, point.end_ms))
    labels: list[Label] = []
    below = float(TOP)
    for point in ordered:
        dot_y = upwards(point.usd)
        y = max(dot_y + 4, below + LINE_PX - 8)
        labels.append(Label(point, LEFT + PLOT_WIDTH + 46, y, across(point.end_ms), dot_y))
        below = y + 8
    # From the end: nobody below the frame, nobody nearer than a line to the next.
    limit = TOP + height - 4
    placed: list[Label] = []
    for label in reversed(labels):
        y = min(label.y, limit)
        placed.append(Label(label.point, label.x, y, label.dot_x, label.dot_y))
        limit = y - LINE_PX
    return placed[::-1]


def draw(points: Sequence[Point], missing: Sequence[str], subtitle: str) -> str:
    """The SVG."""
    if not points:
        raise ValueError("points: expected at least one variant that was measured, got none")
    height = max(PLOT_HEIGHT, len(points) * LINE_PX + 8)
    times = [ms for point in points for ms in (point.ttft_ms, point.end_ms)]
    across = Scale(times, LEFT, LEFT + PLOT_WIDTH)
    upwards = Scale([point.usd for point in points], TOP + height, TOP)
    bottom, right = TOP + height, LEFT + PLOT_WIDTH
    total = bottom + 66 + (18 if missing else 0)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" font-family="sans-serif" font-size="12"'
        ' role="img" aria-label="Milliseconds until the first token and the first validated part, against dollars">',
        f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold">Until something can be shown, and what it costs</text>',
        f'<text x="{LEFT}" y="42" fill="#555555">{escape(subtitle)}</text>',
        f'<rect x="{LEFT}" y="{TOP}" width="{PLOT_WIDTH}" height="{height}" fill="none" stroke="#999999"/>',
    ]
    for tick in across.ticks():
        x = across(tick)
        out.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#eeeeee"/>')
        out.append(
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555555">{tick:,.0f}</text>'
        )
    for tick in upwards.ticks():
        y = upwards(tick)
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#eeeeee"/>')
        out.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">${tick:.3g}</text>'
        )
    for label in place(points, across, upwards, height):
        out += _drawn(label, across, right)
    middle = LEFT + PLOT_WIDTH / 2
    out += [
        f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">ms; ring: first token, dot: first validated part</text>',
        f'<text x="16" y="{TOP + height / 2}" text-anchor="middle" transform="rotate(-90 16 {TOP + height / 2})">'
        "USD of Lambda, 1,000 requests</text>",
    ]
    for index, (group, color) in enumerate(COLORS.items()):
        x = LEFT + index * 150
        out.append(f'<circle cx="{x + 5}" cy="{bottom + 52}" r="5" fill="{color}"/>')
        out.append(f'<text x="{x + 16}" y="{bottom + 56}">{group}</text>')
    if missing:
        text = escape("not measured: " + ", ".join(missing))
        out.append(f'<text x="{LEFT}" y="{bottom + 76}" fill="#b4442e">{text}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _drawn(label: Label, across: Scale, right: float) -> list[str]:
    point, color = label.point, COLORS[label.point.group]
    ring_x, text_y = across(point.ttft_ms), label.y - 4
    out = [
        # To the frame at the dot's height, then to the name.
        f'<polyline points="{label.dot_x:.1f},{label.dot_y:.1f} {right + 4},{label.dot_y:.1f} {label.x - 6:.1f},{text_y:.1f}"'
        ' fill="none" stroke="#cccccc"/>',
        f'<line x1="{ring_x:.1f}" y1="{label.dot_y:.1f}" x2="{label.dot_x:.1f}" y2="{label.dot_y:.1f}" stroke="{color}"'
        ' stroke-width="2" stroke-opacity="0.5"/>',
        f'<circle cx="{ring_x:.1f}" cy="{label.dot_y:.1f}" r="4.5" fill="#ffffff" stroke="{color}" stroke-width="1.5"/>',
    ]  # fmt: skip
    if point.validated_ms is not None:
        out.append(f'<circle cx="{label.dot_x:.1f}" cy="{label.dot_y:.1f}" r="5" fill="{color}"/>')
    weight = ' font-weight="bold"' if point.group == "ours" else ""
    out.append(
        f'<text x="{label.x:.1f}" y="{label.y:.1f}" fill="{color}"{weight}>{escape(point.name)}</text>'
    )
    return out

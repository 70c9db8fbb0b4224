"""Power over time as an SVG that stands by itself: steps, gaps, shaded windows, labels at the lines' ends.

Pure. Drawn by pygal, coloured by the style sheet within, which follows the reader's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import pygal
from pygal.etree import etree
from pygal.style import Style

from dispatch.reading import words

Stretch = tuple[datetime, datetime, Decimal]
"""From, until, kW."""

LINE_HEIGHT: Final = 15
"""Pixels between labels."""

LEVELS: Final = 4
HEADROOM: Final = Decimal("1.1")
NARROW: Final = 500
"""Pixels up to which labels have no figures and fewer hours are written."""
LABEL_PIXELS: Final = 7
"""As wide as a letter of a label, nearly."""

_STYLE: Final = Style(
    background="transparent",
    plot_background="transparent",
    font_family='Inter, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif',
    label_font_size=12,
    major_label_font_size=12,
    value_font_size=3,  # how far from its point a label stands
    value_label_font_size=12,
)
# The portal's own colours, light and dark; as in portal.css.
_CSS: Final = """inline:
svg { --ink-3: #5c677c; --line: #e2e5eb; --edge: #868fa0; --live: #dcf3ee;
  --coming: #eaedfb; --band: #c9d1f6; --now: #b3261e;
  --award: #2d3f9f; --nomination: #2d3f9f; --plan: #434e63; --actual: #00594e; }
@media (prefers-color-scheme: dark) {
  svg { --ink-3: #939eb0; --line: #252d3a; --edge: #6d788b; --live: #0f302b;
    --coming: #1d2547; --band: #2c3768; --now: #ff8d84;
    --award: #aab8ff; --nomination: #aab8ff; --plan: #b8c1cf; --actual: #62dfc2; }
}
text { fill: var(--ink-3); font-variant-numeric: tabular-nums; }
.background { fill: none; }
.axis .guide.line { stroke: var(--line); stroke-dasharray: none; }
.axis.x path { stroke: none; }
.axis path.major { stroke: var(--edge); }
path.line { fill: none; }
.text-overlay text { font-weight: 620; text-anchor: start; }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of steps; what touches is one stroke, else there is a gap.

    `name` is award, nomination, plan or actual.
    `label` stands at the right, with its `figure` where there is room. A line that `falls` is zero outside
    its steps, so it stands on the axis.
    """

    name: str
    label: str
    figure: str
    steps: tuple[Stretch, ...]
    falls: bool = False

    @property
    def label_kw(self) -> Decimal:
        """Where the label stands: at the line's end, or at the top of a line that falls."""
        return max(kw for _, _, kw in self.steps) if self.falls else self.steps[-1][2]


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn over `[start, end)`: shaded windows behind lines. kW may lie below zero.

    `band` is the power that counts as met, from and to; `now` is drawn where the window shows it.
    """

    start: datetime
    end: datetime
    zone: tzinfo
    lines: tuple[Line, ...]
    shaded: tuple[tuple[datetime, datetime], ...]
    now: datetime
    is_live: bool = True
    band: tuple[Decimal, Decimal] | None = None


_DASHES: Final = {"plan": "2 3", "nomination": "6 4"}


def draw(plot: Plot, *, width: int, height: int) -> bytes:
    """Return the SVG."""
    lines = [line for line in plot.lines if line.steps]
    values = [kw for line in lines for _, _, kw in line.steps]
    levels = _levels(values)
    low, high = float(min([levels[0], *(kw * HEADROOM for kw in values)])), float(levels[-1])
    is_wide = width > NARROW
    texts = [f"{line.label} {line.figure}".strip() if is_wide else line.label for line in lines]
    labels = _apart(lines, texts, least=Decimal((high - low) * LINE_HEIGHT / (height - 60)))
    series = _series(plot, lines, low=low, high=high)
    series += [
        (f"text {{ fill: var(--{line.name}); }}", [{"value": (plot.end, float(kw)), "label": text}], True)
        for line, text, kw in labels
    ]
    rules = "inline:" + "\n".join(f".serie-{number} {rule}" for number, (rule, _, _) in enumerate(series))
    chart = pygal.DateTimeLine(
        js=[],
        css=["file://graph.css", _CSS, rules],
        style=_STYLE,
        no_prefix=True,
        width=width,
        height=height,
        margin_top=20,
        margin_bottom=4,
        margin_left=4,
        margin_right=12 + LABEL_PIXELS * max((len(text) for text in texts), default=0),
        show_legend=False,
        show_dots=False,
        dots_size=0,
        print_labels=True,
        allow_interruptions=True,
        range=(low, high),
        xrange=(plot.start.timestamp(), plot.end.timestamp()),
        y_labels=[float(level) for level in levels],
        y_labels_major=[0.0],
        value_formatter=lambda value: _level(value, top=high),
        x_labels=_hours(plot, most=12 if is_wide else 5),
        x_value_formatter=lambda at: words.clock(at, zone=plot.zone),
        truncate_label=-1,
    )
    for _, points, has_label in series:
        chart.add("", points, show_dots=has_label)
    return _without_script(chart)


Series = tuple[str, list[Any], bool]
"""The rule of its style, its points, whether a label is written."""


def _series(plot: Plot, lines: Sequence[Line], *, low: float, high: float) -> list[Series]:
    """Return what is drawn, from the back: windows, band, lines, and the present."""
    area = "path.line {{ fill: var(--{}); stroke: none; }}"
    found: list[Series] = []
    for start, end in plot.shaded:
        shown = max(start, plot.start), min(end, plot.end)
        found.append((area.format("live" if plot.is_live else "coming"), _box(*shown, low, high), False))
        if plot.band is not None:
            least, most = (float(kw) for kw in plot.band)
            found.append((area.format("band"), _box(*shown, least, min(most, high)), False))
    for line in lines:
        width = 1.5 if line.name == "plan" else 2
        stroke = f"stroke: var(--{line.name}); stroke-width: {width}"
        rule = f"path.line {{ {stroke}; stroke-dasharray: {_DASHES.get(line.name, 'none')}; }}"
        found.append((rule, _points(line.steps, falls=line.falls), False))
    if plot.start <= plot.now < plot.end:
        rule = "path.line { stroke: var(--now); stroke-width: 2; }"
        found.append((rule, [(plot.now, low), (plot.now, high)], False))
        clock = words.clock(plot.now, zone=plot.zone)
        rule = "text { fill: var(--now); text-anchor: middle; transform: translateY(-7px); }"
        found.append((rule, [{"value": (plot.now, high), "label": clock}], True))
    return found


def _without_script(chart: Any) -> bytes:
    """Return the drawing without what pygal adds for a script that is not there, and without tooltips."""
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {"script", "title"}:
                parent.remove(child)
    text: bytes = etree.tostring(root, encoding="utf-8")
    return text


def _levels(values: Sequence[Decimal]) -> list[Decimal]:
    """Return round levels, zero among them, the highest above all; the lowest need not be below all."""
    known = [*values, Decimal(0)]
    least, greatest = min(known), max(known)
    rough = max(greatest - least, Decimal("0.4")) / LEVELS
    steps = [Decimal(factor).scaleb(rough.adjusted()) for factor in ("1", "2", "2.5", "5", "10")]
    step = next(each for each in steps if each >= rough)
    first = (least / step).to_integral_value(rounding=ROUND_CEILING)
    last = max((greatest / step).to_integral_value(rounding=ROUND_CEILING), first + 1)
    return [step * number for number in range(int(first), int(last) + 1)]


def _level(value: float, *, top: float) -> str:
    text = words.number(Decimal(str(round(value, 3)))).replace("-", "−")
    return f"{text} kW" if value == top else text


def _hours(plot: Plot, *, most: int) -> list[datetime]:
    """Return the round local times to write under the axis."""
    for hours in (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 96):
        every = timedelta(hours=hours)
        if (plot.end - plot.start) / every <= most:
            break
    at = plot.start.replace(minute=0, second=0, microsecond=0)
    found = []
    while at <= plot.end:
        local = at.astimezone(plot.zone)
        past = timedelta(hours=local.hour, minutes=local.minute)
        if at >= plot.start and past % min(every, timedelta(days=1)) == timedelta():
            found.append(at)
        at += min(every, timedelta(hours=1))
    return found


def _box(start: datetime, end: datetime, low: float, high: float) -> list[tuple[datetime, float]]:
    return [(start, low), (start, high), (end, high), (end, low)]


def _points(steps: Iterable[Stretch], *, falls: bool) -> list[tuple[datetime, float | None]]:
    points: list[tuple[datetime, float | None]] = []
    for start, end, kw in steps:
        if points and points[-1][0] != start:
            points.append((points[-1][0], 0.0 if falls else None))
        if falls and (not points or points[-1][0] != start):
            points.append((start, 0.0))
        points += [(start, float(kw)), (end, float(kw))]
    if falls and points:
        points.append((points[-1][0], 0.0))
    return points


def _apart(lines: Sequence[Line], texts: Sequence[str], *, least: Decimal) -> list[tuple[Line, str, Decimal]]:
    """Return at which height each line's label stands: its end's, and no nearer to another than `least`."""
    placed: list[tuple[Line, str, Decimal]] = []
    for line, text in sorted(zip(lines, texts, strict=True), key=lambda pair: -pair[0].label_kw):
        kw = line.label_kw
        placed.append((line, text, min(kw, placed[-1][2] - least) if placed else kw))
    return placed

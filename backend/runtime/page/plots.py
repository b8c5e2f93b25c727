"""Small plots as SVG. Colours are the page's, by class, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 44
_NAMES, _ROW = 146, 26  # of plots with a name a row: where these end, and how high a row is
_NAME_LETTERS = 21


@dataclass(frozen=True)
class Series:
    """`side`: the class of its colour, 'a' or 'b'; `dashed`: a second line of the same side."""

    name: str
    side: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """`low` and `high` are its ends."""

    title: str
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """The quartiles and the median of a group."""

    low: float
    middle: float
    high: float


def line_plot(
    title: str, x: Axis, y: Axis, series: Sequence[Series], *, points: bool = False
) -> str:
    """Lines through points; `points` shows these, too, for few of them at whole numbers of x."""
    drawn = [
        f'<path class="line {each.side}{" dashed" if each.dashed else ""}" d="{_line(each, x, y)}">'
        f"<title>{escape(each.name)}</title></path>"
        for each in series
    ]
    if points:
        drawn += [
            f'<circle class="dot {each.side}" cx="{_x(a, x):.1f}" cy="{_y(b, y):.1f}" r="4">'
            f"<title>{escape(each.name)}: {b:.2f}</title></circle>"
            for each in series
            for a, b in zip(each.x, each.y, strict=True)
        ]
    return _frame(title, x, y, drawn, whole_x=points)


def histogram(
    title: str,
    x: Axis,
    edges: Sequence[float],
    counts: dict[str, Sequence[int]],
    counted: str = "images",
) -> str:
    """Steps of one side over those of the other; `counts` by side, of what is `counted`."""
    most = max((max(values) for values in counts.values() if len(values)), default=0)
    y = Axis(counted, 0, _nice(most or 1))
    drawn = []
    for side, values in counts.items():
        xs = np.repeat(edges, 2)
        ys = np.concatenate([[0], np.repeat(values, 2), [0]])
        path = _line(Series(side, side, xs.tolist(), ys.tolist()), x, y)
        drawn.append(f'<path class="area {side}" d="{path}"><title>{escape(side)}</title></path>')
    return _frame(title, x, y, drawn)


def dots(title: str, y: Axis, rounds: dict[str, Sequence[float]]) -> str:
    """One dot a round, sides next to each other."""
    x = Axis("round", 0.5, max((len(v) for v in rounds.values()), default=1) + 0.5)
    drawn = []
    for side, values in rounds.items():
        points = list(enumerate(values, start=1))
        series = Series(side, side, [p[0] for p in points], [p[1] for p in points])
        drawn.append(f'<path class="line {side}" d="{_line(series, x, y)}"/>')
        drawn += [
            f'<circle class="dot {side}" cx="{_x(i, x):.1f}" cy="{_y(v, y):.1f}" r="4">'
            f"<title>{side.upper()}, round {i}: {v:.2f}</title></circle>"
            for i, v in points
        ]
    return _frame(title, x, y, drawn, whole_x=True)


def stacked_bars(title: str, x: Axis, rows: Sequence[tuple[str, dict[str, int]]]) -> str:
    """One bar a row, made of its counts; sides are classes of colours, in their order."""
    height = _TOP + _ROW * len(rows) + _BOTTOM
    parts = [_svg(title, height)]
    base = height - _BOTTOM
    for value in _ticks(x):
        at = _across(value, x)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{base}"/>'
            f'<text class="tick" x="{at:.1f}" y="{base + 16}" text-anchor="middle">{value:g}</text>'
        )
    for number, (name, counts) in enumerate(rows):
        top = _TOP + _ROW * number
        parts.append(_row_name(name, top))
        begin = 0.0
        for side, count in counts.items():
            if count:
                left, right = _across(begin, x), _across(begin + count, x)
                parts.append(
                    f'<rect class="part {side}" x="{left:.1f}" y="{top + 4}" '
                    f'width="{right - left:.1f}" height="{_ROW - 8}">'
                    f"<title>{escape(name)}: {count} {escape(side)}</title></rect>"
                )
            begin += count
    parts.append(_x_name(x, height))
    return "".join(parts)


def spreads(title: str, x: Axis, rows: Sequence[tuple[str, str, Spread]]) -> str:
    """One line a row, from the lower to the upper quartile, with a dot at the median.

    `rows`: name, class of the colour, spread.
    """
    height = _TOP + _ROW * len(rows) + _BOTTOM
    parts = [_svg(title, height)]
    base = height - _BOTTOM
    for value in _ticks(x):
        at = _across(value, x)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{base}"/>'
            f'<text class="tick" x="{at:.1f}" y="{base + 16}" text-anchor="middle">{value:g}</text>'
        )
    for number, (name, side, spread) in enumerate(rows):
        top = _TOP + _ROW * number
        middle = top + _ROW / 2
        low, high = (_across(value, x) for value in (spread.low, spread.high))
        parts += [
            _row_name(name, top),
            f'<line class="line {side} spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" '
            f'y2="{middle:.1f}"/>',
            f'<circle class="dot {side}" cx="{_across(spread.middle, x):.1f}" cy="{middle:.1f}" '
            f'r="5"><title>{escape(name)}: {spread.middle:.3g}</title></circle>',
        ]
    parts.append(_x_name(x, height))
    return "".join(parts)


def nice_top(values: Sequence[float]) -> float:
    """A round number at or above all values, and not far above."""
    return _round(max(values, default=1.0), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10))


def _frame(title: str, x: Axis, y: Axis, drawn: Sequence[str], *, whole_x: bool = False) -> str:
    parts = [_svg(title, _HEIGHT)]
    for value in _ticks(y):
        at = _y(value, y)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">'
            f"{value:g}</text>"
        )
    ticks = range(1, math.floor(x.high) + 1) if whole_x else _ticks(x)
    for value in ticks:
        parts.append(
            f'<text class="tick" x="{_x(value, x):.1f}" y="{_HEIGHT - _BOTTOM + 16}" '
            f'text-anchor="middle">{value:g}</text>'
        )
    middle_y = (_HEIGHT - _BOTTOM + _TOP) / 2
    parts += [
        *drawn,
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_HEIGHT - _BOTTOM}" '
        f'y2="{_HEIGHT - _BOTTOM}"/>',
        f'<text class="name" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" '
        f'text-anchor="middle">{escape(x.title)}</text>',
        f'<text class="name" transform="translate(13 {middle_y}) rotate(-90)" '
        f'text-anchor="middle">{escape(y.title)}</text></svg>',
    ]
    return "".join(parts)


def _svg(title: str, height: int) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>'
    )


def _row_name(name: str, top: float) -> str:
    short = name if len(name) <= _NAME_LETTERS else f"{name[: _NAME_LETTERS - 1]}…"
    return (
        f'<text class="row" x="{_NAMES - 8}" y="{top + _ROW / 2 + 4:.1f}" text-anchor="end">'
        f"{escape(short)}<title>{escape(name)}</title></text>"
    )


def _x_name(x: Axis, height: int) -> str:
    return (
        f'<text class="name" x="{(_NAMES + _WIDTH - _RIGHT) / 2}" y="{height - 8}" '
        f'text-anchor="middle">{escape(x.title)}</text></svg>'
    )


def _across(value: float, axis: Axis) -> float:
    share = (value - axis.low) / ((axis.high - axis.low) or 1)
    return _NAMES + share * (_WIDTH - _NAMES - _RIGHT)


def _line(series: Series, x: Axis, y: Axis) -> str:
    points = [f"{_x(a, x):.1f} {_y(b, y):.1f}" for a, b in zip(series.x, series.y, strict=True)]
    return "M" + "L".join(points) if points else ""


def _x(value: float, axis: Axis) -> float:
    share = (value - axis.low) / ((axis.high - axis.low) or 1)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, axis: Axis) -> float:
    share = (value - axis.low) / ((axis.high - axis.low) or 1)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _ticks(axis: Axis) -> list[float]:
    step = _nice((axis.high - axis.low) / 5 or 1)
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _nice(value: float) -> float:
    """1, 2, 2.5, 5 or 10 times a power of ten, at or above `value`."""
    return _round(value, (1, 2, 2.5, 5, 10))


def _round(value: float, steps: Sequence[float]) -> float:
    """The least of the steps times a power of ten, at or above a positive `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in steps if step * power >= value * (1 - 1e-9))

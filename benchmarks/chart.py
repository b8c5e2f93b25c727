"""A bar chart as SVG, for the documentation."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

_ROW, _LEFT, _WIDTH, _TOP = 26, 250, 760, 52
Bar = tuple[str, float, float, float]
"""Name, value, least and most of it."""
_OURS, _LIMIT, _OTHER = "#2563eb", "#9ca3af", "#d97706"


def write_bars(
    target: Path,
    title: str,
    bars: list[Bar],
    unit: str = "",
    ours: str = "labelvino",
    limit: str = "",
) -> None:
    """Names that begin with `ours` have our colour, and `limit` one that stands back."""
    scale = (_WIDTH - _LEFT - 110) / max(most for *_, most in bars)
    height = _TOP + _ROW * len(bars) + 16
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for row, (name, value, least, most) in enumerate(bars):
        y = _TOP + row * _ROW
        colour = _OURS if name.startswith(ours) else _LIMIT if name == limit else _OTHER
        middle = y + _ROW / 2 - 3
        out += [
            f'<text x="{_LEFT - 10}" y="{middle + 5}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{value * scale:.1f}" height="{_ROW - 7}" '
            f'fill="{colour}"/>',
            f'<path d="M{_LEFT + least * scale:.1f} {middle}H{_LEFT + most * scale:.1f}" '
            'stroke="#111827" stroke-width="1.5"/>',
            f'<text x="{_LEFT + most * scale + 8:.1f}" y="{middle + 5}">{value:.2f}{unit}</text>',
        ]
    out.append("</svg>\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(out), encoding="utf-8")

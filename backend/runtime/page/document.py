"""A report as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from backend.runtime.page.pictures import Drawn

Section = dict[str, Any]
Column = dict[str, Any]


def render_page(title: str, sections: Sequence[Section], pictures: Sequence[Drawn]) -> str:
    """The whole page as HTML. `sections`: see `cards`, `table`, `plots`, `note`."""
    shown = {
        "sections": list(sections),
        "pictures": [
            {
                "name": each.name,
                "width": each.width,
                "height": each.height,
                "panels": list(each.panels),
                "image": "data:image/jpeg;base64," + base64.b64encode(each.image).decode("ascii"),
            }
            for each in pictures
        ],
    }
    return _html(title, shown)


def cards(*entries: tuple[str, str, str, str]) -> Section:
    """Figures at a glance: name, figure, what it rests on, and 'good', 'bad' or ''."""
    keys = ("name", "figure", "rests_on", "tone")
    return {"kind": "cards", "cards": [dict(zip(keys, e, strict=True)) for e in entries]}


def column(key: str, title: str, digits: int | None = None, about: str = "") -> Column:
    """`digits`: of a number behind the point; None is text."""
    return {"key": key, "title": title, "digits": digits, "about": about}


def table(
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    **more: Any,
) -> Section:
    """Sorts and filters. Rows with a true `differs` are what 'only differences' leaves.

    `more`: `about`, a sentence above it; `tabs`, the name under which tables share a place;
    `picture`, the key of a column whose value names a picture; `link`, the key of one whose value
    is an address, and `link_text`, what stands for it.
    """
    return {
        "kind": "table",
        "name": name,
        "title": title,
        "columns": list(columns),
        "rows": [dict(row) for row in rows],
        **more,
    }


def heading(title: str, about: str = "") -> Section:
    """Begins a part of the page."""
    return {"kind": "heading", "title": title, "about": about}


def plot(title: str, svg: str, key: Mapping[str, str]) -> dict[str, Any]:
    """One drawing of several with keys of their own: see `plots`."""
    return {"title": title, "svg": svg, "key": dict(key)}


def plots(key: Mapping[str, str], *entries: tuple[str, str] | dict[str, Any]) -> Section:
    """SVG drawings next to each other, each under its title. `key`: what each side's colour is."""
    drawings = [
        entry if isinstance(entry, dict) else plot(entry[0], entry[1], key) for entry in entries
    ]
    return {"kind": "plots", "plots": drawings}


def note(text: str, tone: str = "") -> Section:
    """A paragraph; `tone`: 'bad' warns."""
    return {"kind": "note", "text": text, "tone": tone}


def viewer(title: str, about: str, **more: Any) -> Section:
    """Where the pictures are shown.

    `more`: `key`, what each state of an instance is called, by state; `toggle`, the text of the
    button that leaves only instances that are not plain.
    """
    return {"kind": "viewer", "title": title, "about": about, **more}


def _html(title: str, shown: Mapping[str, Any]) -> str:
    parts = files("backend.runtime.page")
    style, script = ((parts / name).read_text("utf-8") for name in ("style.css", "script.js"))
    # '</' would end the script, whatever it stands in.
    data = strict_json(shown).replace("</", "<\\/")
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<header><h1>{escape(title)}</h1></header>\n<main></main>\n"
        f'<script type="application/json" id="data">{data}</script>\n'
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def strict_json(value: Any, indent: int | None = None) -> str:
    """Without NaN, which is no JSON: what cannot be said is null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value

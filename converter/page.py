"""A report as one HTML file, and the JSON that it is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.runtime.errors import MeasurementError
from backend.runtime.page.document import Section, render_page, strict_json
from backend.runtime.page.pictures import Drawn


def write_report(
    folder: Path,
    report: Mapping[str, Any],
    title: str,
    sections: Sequence[Section],
    pictures: Sequence[Drawn],
) -> Path:
    """`report.json` and `index.html`; returns the page. Raises MeasurementError.

    `sections`: what the page shows, made of `report`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(strict_json(report, indent=1) + "\n", encoding="utf-8")
        page = folder / "index.html"
        page.write_text(render_page(title, sections, pictures), encoding="utf-8")
    except OSError as error:
        raise MeasurementError(
            f"the report cannot be written to {folder}: {error.strerror}."
        ) from error
    return page

"""Outlines, plots and the page's data, without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.runtime.detections import MaskCrop
from backend.runtime.errors import MeasurementError
from backend.runtime.page import document
from backend.runtime.page.pictures import mask_path
from backend.runtime.page.plots import Axis, Series, dots, histogram, line_plot, nice_top
from converter import page


def crop(x: int, y: int, *rows: str) -> MaskCrop:
    return MaskCrop(x, y, np.array([[c == "#" for c in row] for row in rows], np.bool_))


def area(path: str) -> float:
    """Signed area of an SVG path of M, h, v, l and z, by its own steps."""
    total = 0.0
    for ring in path.split("z")[:-1]:
        x, y = (float(v) for v in re.match(r"M(\S+) ([\d.]+)", ring).groups())  # type: ignore[union-attr]
        points = [(x, y)]
        for kind, step in re.findall(r"([hv])(-?\d+)", ring):
            x, y = (x + int(step), y) if kind == "h" else (x, y + int(step))
            points.append((x, y))
        pairs = zip(points, points[1:] + points[:1], strict=True)
        total += sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs) / 2
    return abs(total)


def test_an_empty_mask_has_no_outline() -> None:
    assert mask_path(MaskCrop(0, 0, np.zeros((2, 2), np.bool_))) == ""


def test_an_outline_runs_along_pixel_edges() -> None:
    path = mask_path(crop(5, 7, "##", "##"))
    assert re.fullmatch(r"M\d+ \d+([hv]-?2){3}z", path)
    assert area(path) == 4


def test_a_hole_is_left_out() -> None:
    path = mask_path(crop(0, 0, "####", "#..#", "####"))
    assert path.count("z") == 2
    assert area(path) == 10


def test_plots_are_whole_without_any_value() -> None:
    for drawn in (
        histogram("t", Axis("score", 0, 1), [0, 1], {"a": [0], "b": [0]}),
        dots("t", Axis("y", 0, 1), {"a": [], "b": []}),
        line_plot("t", Axis("x", 0, 1), Axis("y", 0, 1), [Series("s", "a", [], [])]),
    ):
        assert drawn.startswith("<svg")
        assert drawn.endswith("</svg>")
        assert "nan" not in drawn


@pytest.mark.parametrize(("value", "top"), [(0.3, 0.3), (1, 1), (1.1, 1.5), (240, 250), (700, 800)])
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert nice_top([value / 2, value]) == pytest.approx(top)


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = '</script><script>alert("x")</script>'
    sections = [
        document.note(evil),
        document.table("t", evil, [document.column("a", evil)], [{"a": evil}]),
    ]
    path = page.write_report(tmp_path, {"name": evil}, evil, sections, [])
    text = path.read_text()
    assert evil not in text
    assert text.count("</script>") == 2
    (data,) = re.findall(r'id="data">(.*?)</script>', text)
    assert json.loads(data)["sections"][0]["text"] == evil
    assert json.loads((tmp_path / "report.json").read_text()) == {"name": evil}


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    report: dict[str, Any] = {"a": float("nan"), "b": [float("inf"), 1.5]}
    page.write_report(tmp_path, report, "t", [], [])
    assert json.loads((tmp_path / "report.json").read_text()) == {"a": None, "b": [None, 1.5]}


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MeasurementError, match="cannot be written"):
        page.write_report(tmp_path / "file", {}, "t", [], [])

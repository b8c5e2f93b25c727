"""The page of a comparison in a real Chromium, opened from its file: sort, filter, look, zoom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import broken_ir
import pytest
from broken_ir import save_broken
from offline_page import column, offline_page
from playwright.sync_api import Page, Playwright
from quantization.scene_set import write_scenes

from backend.demo import MODEL_PATH
from converter.cli import run

SCENES = 16


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model and one with mistakes, on scenes with their truth."""
    folder = tmp_path_factory.mktemp("report")
    truth = write_scenes(folder / "scenes", 80, SCENES)
    lost = save_broken(MODEL_PATH, folder / "lost.xml", broken_ir.lose_the_best)
    other = save_broken(lost, folder / "other.xml", broken_ir.shift_masks_by_half_a_cell)
    arguments = [MODEL_PATH, other, "--images", truth, "--annotations", truth]
    assert run(["compare", *map(str, arguments), "--report", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def page(driver: Playwright, report: Path) -> Iterator[Page]:
    with offline_page(driver, report / "index.html") as opened:
        yield opened


def test_the_page_shows_what_the_json_says(page: Page, report: Path, artifacts: Path) -> None:
    found: dict[str, Any] = json.loads((report / "report.json").read_text())
    assert column(page, "images", 1) == [row["image"] for row in found["predictions"]["images"]]
    share = f"{100 * found['predictions']['total']['share']:.1f} %"
    assert page.locator(".card .figure").first.inner_text() == share
    ap = {of: a for of, figure, a in zip(*(column(page, "ap", n) for n in (1, 2, 3)), strict=True)
          if figure == "AP"}  # fmt: skip
    metrics = found["accuracy"]["metrics"]
    assert ap["masks"] == f"{metrics['mask']['a']['ap']:.4f}"
    assert ap["mask boundaries"] == f"{metrics['boundary']['a']['ap']:.4f}"
    page.wait_for_selector("#viewer .panel svg path")
    page.screenshot(path=artifacts / "comparison-light.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=artifacts / "comparison-dark.png", full_page=True)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == "rgb(17, 22, 29)"


def test_columns_sort(page: Page) -> None:
    head = page.locator('[data-table="images"] thead').get_by_role("button")
    detections = head.filter(has_text="A's detections")
    detections.click()
    rising = [int(text) for text in column(page, "images", 2)]
    assert rising == sorted(rising)
    assert len(set(rising)) > 1
    assert page.locator('[data-table="images"] th[aria-sort="ascending"]').count() == 1
    detections.click()
    assert [int(text) for text in column(page, "images", 2)] == sorted(rising, reverse=True)
    head.filter(has_text="image").first.click()
    names = column(page, "images", 1)
    assert names == sorted(names)


def test_what_is_missing_stands_last(page: Page) -> None:
    page.get_by_role("tab", name="Advanced mode", exact=True).click()
    button = page.locator('[data-table="classes"] thead button').filter(has_text="precision of B")
    for _ in range(2):
        button.click()
        texts = column(page, "classes", 7)
        assert "–" not in texts[: len([text for text in texts if text != "–"])]


def test_rows_filter(page: Page) -> None:
    table = page.locator('[data-table="images"]')
    assert len(column(page, "images", 1)) == SCENES
    table.get_by_role("searchbox").fill("SCENE-083")
    assert column(page, "images", 1) == ["scene-083.jpg"]
    assert table.locator(".count").inner_text() == f"1 of {SCENES} rows"
    table.get_by_role("searchbox").fill("nothing like that")
    assert column(page, "images", 1) == []
    table.get_by_role("searchbox").fill("")
    table.get_by_role("checkbox").check()
    shares = [float(text) for text in column(page, "images", 5)]
    assert 0 < len(shares) < SCENES
    assert max(shares) < 1


def test_modes_take_turns(page: Page) -> None:
    assert page.locator('[data-table="images"]').is_visible()
    assert not page.locator('[data-table="classes"]').is_visible()
    page.get_by_role("tab", name="Advanced mode", exact=True).click()
    assert not page.locator('[data-table="images"]').is_visible()
    assert "stop sign" in column(page, "classes", 1)
    page.get_by_role("tab", name="Advanced mode, by image").click()
    assert len(column(page, "image-classes", 1)) > SCENES


def test_a_row_leads_to_its_picture(page: Page) -> None:
    row = page.locator('[data-table="images"] tbody tr[data-picture]').nth(2)
    name = row.locator("td").first.inner_text()
    row.click()
    pressed = page.locator('#viewer .strip button[aria-pressed="true"]')
    assert pressed.get_attribute("data-name") == name
    assert page.locator("#viewer .panel").count() == 3
    heads = page.locator("#viewer .panel h4").all_inner_texts()
    assert [head.split()[0] for head in heads] == ["A", "B", "ground"]
    assert page.locator("#viewer .p0 path.alone").count() > 0
    page.locator("#viewer .p0 path.alone").last.hover()
    assert "no partner: the other has it below the threshold" in page.locator(".why").inner_text()


def test_panels_zoom_and_move_together(page: Page, artifacts: Path) -> None:
    canvas = page.locator("#viewer .panel svg")
    canvas.first.scroll_into_view_if_needed()
    whole = canvas.first.get_attribute("viewBox")
    page.get_by_role("button", name="Zoom in").click()
    closer = canvas.first.get_attribute("viewBox")
    assert closer is not None
    assert whole is not None
    assert float(closer.split()[2]) == pytest.approx(float(whole.split()[2]) / 1.5)
    box = canvas.nth(1).bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 40, middle[1], steps=4)
    page.mouse.up()
    moved = canvas.first.get_attribute("viewBox")
    assert moved is not None
    assert float(moved.split()[0]) > float(closer.split()[0])
    page.mouse.wheel(0, -240)
    page.wait_for_timeout(100)
    boxes = {each.get_attribute("viewBox") for each in canvas.all()}
    assert len(boxes) == 1
    page.locator("#viewer").screenshot(path=artifacts / "comparison-viewer.png")
    page.get_by_role("button", name="Whole picture").click()
    assert canvas.first.get_attribute("viewBox") == whole

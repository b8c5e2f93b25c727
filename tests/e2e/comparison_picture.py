"""The documentation's picture of a comparison's page, on drawn scenes."""

from __future__ import annotations

from pathlib import Path

import broken_ir
from playwright.sync_api import Playwright
from quantization.scene_set import write_scenes
from studio_browser import chromium_command

from backend.demo import MODEL_PATH
from converter.cli import run

_SCENES = 10
_MARGIN = 24


def take_comparison_picture(playwright: Playwright, folder: Path, target: Path) -> None:
    """Write a PNG to `target`: predictions and pictures of the demo's model and one that lost some.

    `folder`: for what is needed meanwhile.
    """
    truth = write_scenes(folder / "scenes", 120, _SCENES)
    other = broken_ir.save_broken(MODEL_PATH, folder / "other.xml", broken_ir.lose_the_best)
    arguments = [str(MODEL_PATH), str(other), "--images", str(truth), "--annotations", str(truth)]
    if run(["compare", *arguments, "--no-speed", "--report", str(folder / "report")]) != 0:
        raise RuntimeError("the comparison of the picture failed")
    browser = playwright.chromium.launch(
        executable_path=chromium_command(), args=["--no-sandbox", "--disable-gpu"]
    )
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="light")
    page.goto(f"file://{folder / 'report' / 'index.html'}")
    page.wait_for_selector("#viewer .panel svg path")
    page.locator("#viewer .strip button").nth(1).click()
    page.evaluate("scrollTo(0, 0)")
    first = page.locator('[data-table="images"]').bounding_box()
    last = page.locator("#viewer").bounding_box()
    if first is None or last is None:
        raise RuntimeError("the page shows no table or no picture")
    clip = {
        "x": first["x"] - _MARGIN,
        "y": first["y"] - 3 * _MARGIN,
        "width": first["width"] + 2 * _MARGIN,
        "height": last["y"] + last["height"] - first["y"] + 4 * _MARGIN,
    }
    page.screenshot(path=target, full_page=True, clip=clip)  # type: ignore[arg-type]
    browser.close()

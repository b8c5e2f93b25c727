"""The documentation's pictures of a report's page, on drawn scenes that a script corrected."""

from __future__ import annotations

from pathlib import Path

from corrected_project import CONFIG, make_corrected
from playwright.sync_api import Playwright
from queue_processes import BulkCommands
from studio_api import LabelStudio
from studio_browser import chromium_command
from studio_server import LEGACY_TOKEN, StudioServer

_SCENES = 40
_WIDTH_PX = 960  # of a scene
_HEAD_PX = 950  # of the page: cards and plots


def take_corrections_pictures(playwright: Playwright, folder: Path) -> tuple[Path, Path]:
    """PNGs in `folder`: the page's head, and the task with most corrections."""
    studio = StudioServer(folder, folder)
    api = LabelStudio(studio.url, f"Token {LEGACY_TOKEN}")
    env = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY_TOKEN}
    commands = BulkCommands(folder, env)
    page = folder / "report.html"
    try:
        project = api.create_project("Street and table", CONFIG)
        make_corrected(api, project, commands, _SCENES, _WIDTH_PX)
        ran = commands.run("report", "report", "--project", str(project.id), "--html", str(page))
        if ran.ended() != 0:
            raise RuntimeError(f"the report of the picture failed: {ran.talk}")
    finally:
        commands.close()
        api.close()
        studio.stop()
    return _screenshots(playwright, page, folder)


def _screenshots(playwright: Playwright, report: Path, folder: Path) -> tuple[Path, Path]:
    browser = playwright.chromium.launch(
        executable_path=chromium_command(), args=["--no-sandbox", "--disable-gpu"]
    )
    page = browser.new_page(viewport={"width": 1280, "height": _HEAD_PX}, color_scheme="light")
    page.goto(f"file://{report}")
    page.wait_for_selector("#viewer .panel svg path")
    head, task = folder / "head.png", folder / "task.png"
    page.screenshot(path=head)
    page.locator("#viewer").screenshot(path=task)
    browser.close()
    return head, task

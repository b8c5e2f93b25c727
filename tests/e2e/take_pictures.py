"""Takes the pictures of the documentation anew: `make pictures`.

They show a fresh demo, so that everybody can see the same.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from comparison_picture import take_comparison_picture
from corrections_picture import take_corrections_pictures
from demo_process import DemoProcess
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from review_picture import take_review_pictures
from rich.console import Console
from rich.text import Text
from studio_api import Project
from studio_browser import StudioBrowser

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
COLOURS = 256
JPEG_QUALITY = 88
WIDTH, HEIGHT = 1280, 800
TERMINAL_COLUMNS = 92
UMBRELLA = (290, 160)  # in the picture of the third task


def take_pictures(target: Path) -> None:
    """Write all pictures into the folder `target`."""
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        page = folder / "comparison.png"
        take_comparison_picture(playwright, folder, page)
        _write(page.read_bytes(), target / "comparison.jpg")
        head, task = take_corrections_pictures(playwright, _new(folder / "corrections"))
        _write(head.read_bytes(), target / "corrections.png")
        _write(task.read_bytes(), target / "corrections-task.jpg")
        sheet, columns = take_review_pictures(playwright, _new(folder / "review"))
        _write(sheet.read_bytes(), target / "review-sheet.jpg")
        _write(columns.read_bytes(), target / "review-tasks.png")
        demo = DemoProcess(folder / "demo", folder)
        try:
            account = (demo.user, demo.password)
            profile = folder / "profile"
            browser = StudioBrowser(playwright, demo.url, profile, folder, account)
            try:
                _label_studio(browser, demo, target)
                _terminal(browser.page, demo, folder, target)
            finally:
                browser.close()
        finally:
            demo.end()


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _label_studio(browser: StudioBrowser, demo: DemoProcess, target: Path) -> None:
    page = browser.page
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    project = Project(1, "labelvino demo")
    page.goto(f"{demo.url}/projects/1/data")
    page.wait_for_selector("[data-testid=table-row], .dm-table__row, .dm-row", timeout=20_000)
    page.wait_for_timeout(2500)
    _keep(page, target / "demo-tasks.png")
    page.locator("input[type=checkbox]").first.check(force=True)
    page.locator("button", has_text="Task").first.click()  # "16 Tasks"
    page.wait_for_timeout(1500)
    _keep(page, target / "retrieve-predictions.png")
    browser.open_task(project, 3)
    page.wait_for_timeout(1000)
    _keep(page, target / "demo-task.jpg")
    _prompt(browser, demo, target)
    page.goto(f"{demo.url}/projects/1/settings/ml")
    page.wait_for_timeout(2500)
    _keep(page, target / "settings-model.png")
    page.goto(f"{demo.url}/user/account")
    page.get_by_text("Personal Access Token").first.click()
    page.wait_for_timeout(2000)
    _keep(page, target / "account-token.png")


def _prompt(browser: StudioBrowser, demo: DemoProcess, target: Path) -> None:
    """A click with the smart point where no region is in the way."""
    page = browser.page
    page.evaluate(
        "() => window.Htx.annotationStore.selected.regions"
        ".filter(region => region.labels.includes('umbrella'))"
        ".forEach(region => region.deleteRegion())"
    )
    page.wait_for_timeout(500)
    browser.pick_smart_tool("key-point-tool", "umbrella", 1)
    browser.click_photo(*UMBRELLA)
    browser.suggestions()
    page.wait_for_timeout(500)
    _keep(page, target / "prompt.jpg")


def _terminal(page: Page, demo: DemoProcess, folder: Path, target: Path) -> None:
    """What the demo has written, as a terminal shows it."""
    console = Console(record=True, width=TERMINAL_COLUMNS, file=io.StringIO())
    console.print(Text("$ make demo", style="bold"))
    written = (demo.talk + demo.printed).rstrip()
    console.print(Text(written.replace(str(folder / "demo"), ".cache/demo")), soft_wrap=False)
    drawing = folder / "terminal.svg"
    console.save_svg(str(drawing), title="labelvino")
    # The page's guard lets data addresses pass only.
    page.set_content(drawing.read_text(encoding="utf-8"))
    shown = page.locator("svg").first
    _write(shown.screenshot(), target / "demo-terminal.png")


def _keep(page: Page, path: Path) -> None:
    _write(page.screenshot(), path)


def _write(screenshot: bytes, path: Path) -> None:
    """As a small file: JPEG for pictures of pictures, few colours for those of pages."""
    with Image.open(io.BytesIO(screenshot)) as picture:
        shown = picture.convert("RGB")
    if path.suffix == ".jpg":
        shown.save(path, quality=JPEG_QUALITY, optimize=True)
    else:
        shown.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    take_pictures(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES)

"""A report's page in a real browser, without any network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Playwright
from studio_browser import chromium_command


@contextmanager
def offline_page(driver: Playwright, file: Path) -> Iterator[Page]:
    """Opened from its file. An error in the page, or a request for anything else, fails the test
    at the end."""
    browser = driver.chromium.launch(
        executable_path=chromium_command(), args=["--no-sandbox", "--disable-gpu"]
    )
    try:
        context = browser.new_context(offline=True, viewport={"width": 1360, "height": 1000})
        opened = context.new_page()
        asked: list[str] = []
        errors: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on(
            "console", lambda said: errors.append(said.text) if said.type == "error" else None
        )
        opened.goto(f"file://{file}")
        yield opened
        assert errors == []
        assert all(url.startswith(("file://", "data:")) for url in asked), asked
    finally:
        browser.close()


def column(page: Page, table: str, number: int) -> list[str]:
    """The texts of a table's column, counted from 1, as they stand."""
    cells = page.locator(f'[data-table="{table}"] tbody tr td:nth-child({number})')
    return [text.strip() for text in cells.all_inner_texts()]

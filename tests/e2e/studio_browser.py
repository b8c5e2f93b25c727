"""Label Studio's page in a real, headless Chromium."""

from __future__ import annotations

import base64
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from expected_paint import Painting
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Playwright, Route
from playwright.sync_api import TimeoutError as PageTimeoutError
from studio_api import Project
from studio_server import PASSWORD, USER

LOAD_TIMEOUT_S = 20.0
# About one page load in fifteen opens an empty annotation although Label Studio's API has sent
# the prediction: its page loads the task twice and now and then keeps the wrong copy.
LOADS = 4
FAINTEST_FILL = 20  # alpha of 255; a polygon is filled with a fifth of it or more

_REGIONS = """() => window.Htx.annotationStore.selected.regions.map(region => ({
  id: region.cleanId, type: region.type, labels: [...(region.labels || [])],
  results: region.results.map(result => [result.from_name.name, result.type]),
}))"""
_STATE = """() => {
  const store = window.Htx && window.Htx.annotationStore;
  return {
    predictions: store ? store.predictions.length : 0,
    regions: store && store.selected ? store.selected.regions.length : 0,
    canvas: document.querySelectorAll('.konvajs-content canvas').length,
  };
}"""
_SUGGESTIONS = """() => {
  const drawn = window.Htx.annotationStore.selected.suggestions;
  return drawn ? [...drawn.values()].map(region => region.type) : [];
}"""
_SHOW_ONLY = """wanted => {
  for (const region of window.Htx.annotationStore.selected.regions)
    if (region.hidden !== (region.type !== wanted)) region.toggleHidden();
}"""
# The first canvas holds the photo; each brush region has one of its own.
_DRAWN = """() => {
  const layers = [...document.querySelectorAll('.konvajs-content canvas')].slice(1);
  const all = document.createElement('canvas');
  all.width = layers[0].width; all.height = layers[0].height;
  for (const layer of layers)
    if (layer.style.display !== 'none') all.getContext('2d').drawImage(layer, 0, 0);
  return all.toDataURL('image/png');
}"""
_PHOTO_SIZE = """() => {
  const entity = window.Htx.annotationStore.selected.objects[0].currentImageEntity;
  return [entity.naturalWidth, entity.naturalHeight];
}"""
# Label Studio often opens a photo a little larger than its canvas.
_PHOTO_PLACE = """() => {
  const photo = window.Konva.stages[0].findOne('Image');
  const [scaleX, , , scaleY, left, top] = photo.getAbsoluteTransform().m;
  return [left, top, scaleX * photo.width(), scaleY * photo.height()];
}"""


def chromium_command() -> Path:
    """CHROMIUM, else /usr/bin/chromium; skips where there is none, fails on CI."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(found).exists():
        reason = f"no Chromium at {found}: install it (apt-get install chromium), or set CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)


@dataclass(frozen=True)
class ShownRegion:
    """A region as the page holds it: its id, its kind, its labels, its (from_name, type) pairs."""

    id: str
    type: str
    labels: tuple[str, ...]
    results: tuple[tuple[str, str], ...]


class StudioBrowser:
    """One signed-in browser; it reaches nothing but this Label Studio.

    blocked: addresses of other hosts that a page asked for
    """

    def __init__(
        self,
        playwright: Playwright,
        url: str,
        profile: Path,
        artifacts: Path,
        account: tuple[str, str] = (USER, PASSWORD),
    ) -> None:
        self.url = url
        self.blocked: list[str] = []
        self._artifacts = artifacts
        self._context: BrowserContext = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium_command(),
            headless=True,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
            viewport={"width": 1600, "height": 1000},
            # Requests of a service worker would pass the guard below.
            service_workers="block",
        )
        self._context.route("**/*", self._guard)
        self.page: Page = self._context.pages[0]
        self._sign_in(*account)

    def close(self) -> None:
        self._context.close()

    def open_task(self, project: Project, task_id: int) -> list[ShownRegion]:
        """Open a task that has a prediction, as an annotator does, and wait until it is drawn."""
        for _ in range(LOADS):
            self.page.goto(f"{self.url}/projects/{project.id}/data?task={task_id}")
            if self._wait_for_regions():
                self.page.wait_for_timeout(500)  # the canvas is painted a frame later
                return self.regions()
        raise AssertionError(f"no prediction is shown for task {task_id}: {self._state()}")

    def open_empty_task(self, project: Project, task_id: int) -> None:
        """Open a task whose prediction has no regions, and wait until its photo is drawn."""
        self.page.goto(f"{self.url}/projects/{project.id}/data?task={task_id}")
        self.page.wait_for_selector(".konvajs-content canvas", timeout=LOAD_TIMEOUT_S * 1000)
        self.page.wait_for_timeout(3000)  # the tools come later

    def regions(self) -> list[ShownRegion]:
        """The regions of the selected annotation."""
        return [
            ShownRegion(
                found["id"],
                found["type"],
                tuple(found["labels"]),
                tuple((name, kind) for name, kind in found["results"]),
            )
            for found in self.page.evaluate(_REGIONS)
        ]

    def pick_smart_tool(self, name: str, label: str, control: int) -> None:
        """Choose a smart tool by Label Studio's name of it, and the label to draw with.

        `control`: which of the config's controls with that label it is.
        """
        switch = self.page.locator("[data-testid=bottombar-auto-annotation-toggle]")
        if not switch.is_checked():
            switch.click(force=True)
            self.page.wait_for_timeout(500)
        self.page.locator(".lsf-tool_smart").first.hover()
        self.page.wait_for_timeout(600)  # the other tools slide out
        named = self.page.locator(f".lsf-tool_smart[aria-label={name}]")
        # A single smart tool stands alone, without a name.
        (named if named.count() else self.page.locator(".lsf-tool_smart")).first.click(force=True)
        self.page.locator(".lsf-label", has_text=label).nth(control).click()
        self.page.wait_for_timeout(300)

    def click_photo(self, x: float, y: float) -> None:
        """Click on a pixel of the photo."""
        self.page.mouse.click(*self._on_page(x, y))

    def drag_photo(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw from one pixel of the photo to another."""
        self.page.mouse.move(*self._on_page(x1, y1))
        self.page.mouse.down()
        self.page.mouse.move(*self._on_page(x2, y2), steps=8)
        self.page.mouse.up()

    def suggestions(self) -> list[str]:
        """The kinds of the regions that a prompt was answered with."""
        for _ in range(50):
            found: list[str] = self.page.evaluate(_SUGGESTIONS)
            if found:
                return found
            self.page.wait_for_timeout(200)
        return []

    def accept_suggestions(self) -> None:
        """Press the button that makes them regions of the annotation."""
        self.page.click("[data-testid=bottombar-accept-suggestions-button]")
        self.page.wait_for_timeout(400)

    def _on_page(self, x: float, y: float) -> tuple[float, float]:
        canvas = self.page.locator(".konvajs-content canvas").first.bounding_box()
        assert canvas is not None
        left, top, width, height = self.page.evaluate(_PHOTO_PLACE)
        across, down = self.photo_size()
        return canvas["x"] + left + x / across * width, canvas["y"] + top + y / down * height

    def photo_size(self) -> tuple[int, int]:
        """Width and height of the photo as the browser displays it (EXIF applied)."""
        width, height = self.page.evaluate(_PHOTO_SIZE)
        return int(width), int(height)

    def painted(self, region_type: str) -> Painting:
        """The canvas when only regions of this type are shown."""
        self.page.evaluate(_SHOW_ONLY, region_type)
        self.page.wait_for_timeout(400)
        encoded = self.page.evaluate(_DRAWN).split(",", 1)[1]
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        left, top, width, height = self.page.evaluate(_PHOTO_PLACE)
        return Painting(alpha > FAINTEST_FILL, (left, top, width, height))

    def show_all(self) -> None:
        """Undo what `painted` hid."""
        self.page.evaluate(
            "() => window.Htx.annotationStore.selected.regions"
            ".forEach(region => region.hidden && region.toggleHidden())"
        )
        self.page.wait_for_timeout(400)

    def submit(self) -> None:
        """Press Submit and wait until Label Studio has stored the annotation."""
        with self.page.expect_response(
            lambda response: response.request.method == "POST" and "/annotations" in response.url
        ) as stored:
            self.page.click("[data-testid=bottombar-submit-button]")
        assert stored.value.status == 201, stored.value.text()

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the page among the artefacts."""
        path = self._artifacts / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def _sign_in(self, user: str, password: str) -> None:
        self.page.goto(f"{self.url}/user/login/")
        self.page.fill("input[name=email]", user)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(f"{self.url}/**")

    def _guard(self, route: Route) -> None:
        address = route.request.url
        if address.startswith((f"{self.url}/", "data:", "blob:")):
            route.continue_()
        else:
            self.blocked.append(address)
            route.abort()

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.page.evaluate(_STATE)
        return state

    def _wait_for_regions(self) -> bool:
        try:
            self.page.wait_for_selector(".konvajs-content canvas", timeout=LOAD_TIMEOUT_S * 1000)
        except PageTimeoutError:
            return False
        for _ in range(20):
            state = self._state()
            if state["predictions"] and state["regions"]:
                return True
            self.page.wait_for_timeout(200)
        return False

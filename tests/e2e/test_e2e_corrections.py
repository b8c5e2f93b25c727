"""`labelvino report` on a real Label Studio: its figures are what a script did, and what a person
does in the browser is seen as it was meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from corrected_project import CONFIG, FIRST_SEED, OLD_VERSION, Corrected, make_corrected
from offline_page import column, offline_page
from playwright.sync_api import Page, Playwright
from queue_processes import BulkCommands
from studio_api import LabelStudio, Project
from studio_browser import StudioBrowser
from studio_server import LEGACY_TOKEN, StudioServer

from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import draw_scene

SCENES = 14
PICTURES = 4
FATES = ("kept", "reshaped", "relabelled", "deleted", "added")


@dataclass(frozen=True)
class Run:
    """A project, what was done to it, and what was reported of it."""

    project: Project
    done: Corrected
    report: dict[str, Any]
    table: str
    page: Path


@pytest.fixture(scope="module")
def commands(
    studio: StudioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BulkCommands]:
    env = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY_TOKEN, "COLUMNS": "200"}
    started = BulkCommands(tmp_path_factory.mktemp("corrections"), env)
    yield started
    started.close()


@pytest.fixture(scope="module")
def run(api: LabelStudio, commands: BulkCommands, tmp_path_factory: pytest.TempPathFactory) -> Run:
    project = api.create_project("What people changed", CONFIG)
    done = make_corrected(api, project, commands, SCENES)
    page = tmp_path_factory.mktemp("page") / "report.html"
    given = ["report", "--project", str(project.id)]
    said = commands.run("json", *given, "--json", "--html", str(page), "--pictures", str(PICTURES))
    assert said.ended() == 0, said.talk
    table = commands.run("table", *given)
    assert table.ended() == 0, table.talk
    return Run(project, done, said.answer, table.printed, page)


def test_the_script_has_done_a_bit_of_everything(run: Run) -> None:
    fates = {done.fate for done in run.done.log.done}
    assert fates == set(FATES)
    assert run.done.blank


def test_each_label_has_the_counts_of_the_script(run: Run) -> None:
    rows = {row["label"]: row for row in run.report["labels"]}
    assert set(rows) == run.done.log.labels
    for label, row in rows.items():
        wanted = run.done.log.counts(label)
        assert {name: row[name] for name in wanted} == wanted, label


def test_the_totals_are_those_of_the_script(run: Run) -> None:
    done, total = run.done.log.done, run.report["total"]
    predicted = [each for each in done if each.predicted]
    final = [each for each in done if each.final]
    right = [each for each in done if each.predicted == each.final and (each.iou or 0) >= 0.5]
    assert (total["predicted"], total["final"], total["right"]) == tuple(
        map(len, (predicted, final, right))
    )
    assert total["precision"] == pytest.approx(len(right) / len(predicted))
    assert total["recall"] == pytest.approx(len(right) / len(final))
    ious = [each.iou for each in done if each.fate in ("kept", "reshaped")]
    assert total["mean_iou"] == pytest.approx(np.mean(ious), abs=1e-9)


def test_shapes_were_changed_as_far_as_pycocotools_counts(run: Run) -> None:
    ious = [each.iou for each in run.done.log.done if each.fate == "reshaped"]
    found = run.report["reshaped_iou"]
    assert found["number"] == len(ious)
    assert found["median"] == pytest.approx(median(ious), abs=1e-9)
    assert found["counts"] == np.histogram(ious, found["edges"])[0].tolist()


def test_bands_of_score_hold_what_the_predictions_said(run: Run) -> None:
    done = run.done.log.done
    for row in run.report["scores"]:
        band = [d for d in done if d.score is not None and row["low"] <= d.score < row["high"]]
        assert row["predicted"] == len(band)
        for fate in FATES[:4]:
            assert row[fate] == sum(each.fate == fate for each in band)
    assert sum(row["predicted"] for row in run.report["scores"]) == run.report["total"]["predicted"]


def test_tasks_are_counted_by_what_they_began_with(run: Run) -> None:
    done, tasks = run.done, run.report["tasks"]
    assert tasks["annotations"] == SCENES - 1  # one was skipped
    assert tasks["left_blank"] == len(done.blank)
    assert tasks["compared_with_current_version"] == len(done.without_parent) == 1
    began = SCENES - 1 - len(done.blank)
    assert (tasks["began_with_prediction"], tasks["without_prediction"]) == (began, 0)
    assert (tasks["current_version"], tasks["unread_regions"]) == (done.version, 0)


def test_times_are_those_of_the_groups(run: Run) -> None:
    log, groups = run.done.log, run.report["time"]["groups"]
    wanted = {"only_kept", "edited", "added", "not_known", "left_blank"}
    assert wanted == set(log.kinds.values())
    for kind in set(log.kinds.values()):
        times_s = [log.times_s[task_id] for task_id, own in log.kinds.items() if own == kind]
        assert (groups[kind]["tasks"], groups[kind]["median_s"]) == (len(times_s), median(times_s))
    began = [log.times_s[i] for i, kind in log.kinds.items() if kind != "left_blank"]
    blank = [log.times_s[i] for i, kind in log.kinds.items() if kind == "left_blank"]
    share = 1 - median(began) / median(blank)
    assert run.report["time"]["saved"]["share"] == pytest.approx(share)


def test_versions_are_those_that_annotations_began_with(run: Run) -> None:
    tasks = {row["model_version"]: row["tasks"] for row in run.report["versions"]}
    others = SCENES - 1 - len(run.done.blank) - len(run.done.of_old_version)
    assert tasks == {run.done.version: others, OLD_VERSION: len(run.done.of_old_version)}


def test_the_table_says_the_same(run: Run) -> None:
    (total,) = [line.split() for line in run.table.splitlines() if line.startswith("all ")]
    names = ("predicted", "final", *FATES)
    assert total[1:8] == [str(run.report["total"][name]) for name in names]
    assert "Label Studio does not say" in run.table


@pytest.fixture
def page(driver: Playwright, run: Run) -> Iterator[Page]:
    with offline_page(driver, run.page) as opened:
        yield opened


def test_the_page_shows_what_the_json_says(page: Page, run: Run, artifacts: Path) -> None:
    rows = run.report["labels"]
    assert column(page, "labels", 1) == [row["label"] for row in rows]
    for number, name in enumerate(FATES, start=4):
        assert column(page, "labels", number) == [str(row[name]) for row in rows]
    kept = f"{100 * run.report['total']['kept_share']:.0f} %"
    assert page.locator(".card .figure").first.inner_text() == kept
    titles = page.locator(".plots h3").all_inner_texts()
    assert titles == ["Changes by label", "How far shapes were changed", "By score",
                      "Time a task: median, middle half", "By model version"]  # fmt: skip
    for fate in FATES:
        widths = page.locator(f".plot rect.part.{fate}").evaluate_all(
            "parts => parts.map(part => part.width.baseVal.value)"
        )
        assert len(widths) == sum(row[fate] > 0 for row in rows)
    page.wait_for_selector("#viewer .panel svg path")
    page.screenshot(path=artifacts / "corrections-light.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=artifacts / "corrections-dark.png", full_page=True)


def test_the_worst_tasks_have_pictures(page: Page, run: Run) -> None:
    page.wait_for_selector("#viewer .panel svg path")
    shown = page.locator("#viewer .strip button")
    assert shown.count() == PICTURES
    worst = run.report["worst"][0]
    assert shown.first.get_attribute("data-name") == (
        f"task {worst['task']}, annotation {worst['annotation']}"
    )
    predicted, final = (page.locator(f"#viewer .p{side} path.shape") for side in (0, 1))
    left_in = worst["kept"] + worst["reshaped"] + worst["relabelled"]
    assert predicted.count() == left_in + worst["deleted"]
    assert final.count() == left_in + worst["added"]
    for fate in FATES[3:]:
        assert page.locator(f"#viewer path.{fate}").count() == worst[fate]
    page.get_by_role("button", name="Only what changed").click()
    assert page.locator("#viewer path.kept:visible").count() == 0
    assert page.locator("#viewer path.added:visible").count() == worst["added"]
    link = page.locator('[data-table="worst"] tbody a').first.get_attribute("href")
    assert link is not None
    assert link.endswith(f"/projects/{run.project.id}/data?task={worst['task']}")


def test_a_picture_that_cannot_be_had_is_said(
    api: LabelStudio, commands: BulkCommands, tmp_path: Path
) -> None:
    project = api.create_project("A picture is gone", CONFIG)
    (task_id,) = api.import_tasks(project, [{"data": {"image": "http://127.0.0.1:9/gone.jpg"}}])
    value = {"points": [[10, 10], [30, 10], [30, 30]], "closed": True, "polygonlabels": ["kite"]}
    region = {"id": "0-0", "type": "polygonlabels", "from_name": "polygon", "to_name": "image",
              "original_width": 100, "original_height": 100, "image_rotation": 0, "score": 0.9,
              "value": value}  # fmt: skip
    body = {"task": task_id, "model_version": "m", "score": 0.9, "result": [region]}
    parent = api.call("POST", "/api/predictions/", json=body)["id"]
    body = {"result": [], "lead_time": 3.0, "parent_prediction": parent}
    api.call("POST", f"/api/tasks/{task_id}/annotations/", json=body)
    page = tmp_path / "page.html"
    ran = commands.run("gone", "report", "--project", str(project.id), "--html", str(page))
    assert ran.ended() == 0, ran.talk
    assert f"The picture of task {task_id}, annotation" in ran.talk
    assert "cannot be shown" in page.read_text(encoding="utf-8")


def test_what_a_person_does_in_the_browser(
    api: LabelStudio, commands: BulkCommands, browser: StudioBrowser
) -> None:
    """All controls: nothing is done to one task; in the other a polygon is moved, one relabelled
    and one deleted."""
    project = api.create_project("In the browser", CONFIG)
    images = [(f"s{n}.jpg", encode_jpeg(draw_scene(FIRST_SEED + n))) for n in (0, 4)]
    untouched, edited = api.upload(project, images)
    ran = commands.prelabel("browser", project.id, "--controls", "all")
    assert ran.ended() == 0, ran.talk
    browser.open_task(project, untouched)
    browser.submit()
    browser.open_task(project, edited)
    (prediction,) = api.predictions(edited)
    by_instance: dict[str, list[dict[str, Any]]] = {}
    for region in prediction["result"]:
        by_instance.setdefault(region["id"].split("-")[0].split(".")[0], []).append(region)
    moved, relabelled, deleted, *kept = by_instance.values()
    assert kept
    page = browser.page
    _select(page, relabelled[0]["id"])
    page.locator(".lsf-label", has_text="kite").first.click()
    page.wait_for_timeout(300)
    page.keyboard.press("Escape")
    page.evaluate(_DELETE, [region["id"] for region in (*relabelled[1:], *deleted)])
    # Nothing must lie over the polygon that is moved.
    page.evaluate(_DELETE, [region["id"] for region in moved[1:]])
    points = np.array(moved[0]["value"]["points"]) / 100 * browser.photo_size()
    x, y = ((points.min(axis=0) + points.max(axis=0)) / 2).tolist()
    browser.click_photo(x, y)
    page.wait_for_timeout(300)
    browser.drag_photo(x, y, x + 20, y + 4)
    page.wait_for_timeout(300)
    browser.submit()
    said = commands.run("person", "report", "--project", str(project.id), "--json")
    assert said.ended() == 0, said.talk
    total = said.answer["total"]
    (other,) = api.predictions(untouched)
    alone = {region["id"].split("-")[0].split(".")[0] for region in other["result"]}
    assert total["kept"] == len(alone) + len(kept)
    assert (total["reshaped"], total["relabelled"], total["deleted"], total["added"]) == (
        1,
        1,
        1,
        0,
    )
    assert said.answer["tasks"]["began_with_prediction"] == 2
    assert said.answer["time"]["groups"]["pre_annotated"]["tasks"] == 2


_DELETE = """ids => window.Htx.annotationStore.selected.regions
  .filter(region => ids.includes(region.cleanId)).forEach(region => region.deleteRegion())"""


def _select(page: Page, region_id: str) -> None:
    page.evaluate(
        """id => { const shown = window.Htx.annotationStore.selected;
        shown.selectArea(shown.regions.find(region => region.cleanId === id)); }""",
        region_id,
    )
    page.wait_for_timeout(300)

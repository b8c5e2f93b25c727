"""What the page of a validation shows, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.runtime.page import document as page
from backend.runtime.page.pictures import Drawn
from converter.pictures import draw_file, panel
from converter.validate import ImageParity, Validation

Json = Mapping[str, Any]
_SHOWN_EQUAL = 3
WHY = {
    "score": "the other has it below the threshold",
    "label": "the other gives another label there",
    "box": "the other has one near, but not at this place",
    "missing": "the other has nothing there",
}


def validation_sections(report: Json) -> list[page.Section]:
    """All of the page, from `validation_json.validation_json`."""
    source, model = report["source"], report["model"]
    sections = [
        page.note(f"Source: {source['path']}, {source['family']}, run in {source['runs_in']}"),
        page.note(f"Model: {model['path']}, {model['weights']} weights"),
    ]
    if source["note"]:
        sections.append(page.note(f"{source['note'][0].upper()}{source['note'][1:]}.", "bad"))
    tone = "good" if report["passed"] else "bad"
    exact, default = report["f32"], report["default"]
    sections += [
        page.cards(
            ("Verdict", "the same" if report["passed"] else "not the same", "at f32", tone),
            _matched("Matched at f32", exact),
            _matched(f"Matched at {model['default_precision']}, the default", default),
        ),
        page.heading(
            "Checks", "Three of four matched detections must keep to the limits of differences."
        ),
        page.table("checks", "Checks", _CHECK_COLUMNS, [_check(c) for c in report["checks"]]),
        _differences(report),
    ]
    if report["tensors"]:
        sections.append(
            page.table("tensors", "Tensors before selection", _TENSORS, report["tensors"])
        )
    else:
        sections.append(page.note("Source and model share no tensor before selection by name."))
    return [*sections, *_images(report)]


def _matched(name: str, agreement: Json) -> tuple[str, str, str, str]:
    rests = (
        f"{agreement['matches']} of the source's {agreement['source']} and the model's "
        f"{agreement['model']}"
    )
    return name, f"{100 * agreement['share']:.1f} %", rests, ""


_CHECK_COLUMNS = [
    page.column("name", "what"),
    page.column("found", "found", 4),
    page.column("limit", "limit", 4),
    page.column("verdict", "verdict"),
]
_TENSORS = [
    page.column("name", "tensor"),
    page.column("elements", "elements", 0),
    page.column("range", "largest value", 3),
    page.column("largest", "largest difference", 5),
    page.column("typical", "99.9 % within", 5),
    page.column("relative", "share of range", 5),
]


def _check(check: Json) -> dict[str, Any]:
    holds = check["holds"]
    return {
        **check,
        "verdict": "holds" if holds else "does not hold",
        "tones": {"verdict": "good" if holds else "bad"},
    }


def _differences(report: Json) -> page.Section:
    names = {
        "box_px": "box, px",
        "score": "score",
        "mask": "raw mask",
        "mask_iou": "mask IoU (at least)",
    }
    default = report["model"]["default_precision"]
    rows = [
        {"name": title, "at": at, **report[key][name]}
        for key, at in (("f32", "f32"), ("default", f"{default}, the default"))
        for name, title in names.items()
    ]
    columns = [
        page.column("at", "at"),
        page.column("name", "of matched detections"),
        page.column("p50", "half within", 4),
        page.column("p75", "three of four", 4),
        page.column("p90", "90 % within", 4),
        page.column("p99", "99 % within", 4),
        page.column("p100", "all within", 4),
    ]
    return page.table("differences", "Differences", columns, rows)


def _images(report: Json) -> list[page.Section]:
    rows = [
        {
            **image,
            "at_default": image["default"]["share"],
            "differs": image["share"] < 1,
            "tones": {"share": "bad"} if image["share"] < 0.9 else {},
        }
        for image in sorted(report["images"], key=lambda image: image["share"])
    ]
    columns = [
        page.column("image", "image"),
        page.column("source", "source's", 0),
        page.column("model", "model's", 0),
        page.column("matches", "matches", 0),
        page.column("share", "matched share", 3),
        page.column("largest_box_px", "largest box shift, px", 2),
        page.column("largest_score", "largest score gap", 4),
        page.column("least_mask_iou", "least mask IoU", 3),
        page.column("at_default", "share at the default", 3),
    ]
    differing = [
        {"image": image["image"], **each, "why": WHY[each["why"]]}
        for image in report["images"]
        for each in image["differing"]
    ]
    shown = [
        page.column("image", "image"),
        page.column("only", "only in the"),
        page.column("label", "label"),
        page.column("score", "score", 3),
        page.column("why", "why"),
    ]
    return [
        page.heading("Images", f"Detections with a score of at least {report['min_score']:g}."),
        page.table("images", "By image", columns, rows, tab="Images", picture="image"),
        page.table(
            "differing", "Without a partner", shown, differing, tab="Detections", picture="image"
        ),
        page.viewer(
            "Where they differ most", "Solid: matched. Dashed and pink: without a partner."
        ),
    ]


def validation_pictures(found: Validation, most: int) -> list[Drawn]:
    """Source, model at f32 and model at the default precision, worst first."""
    ordered = sorted(found.images, key=_worst_first)
    differing = [each for each in ordered if _worst_first(each) < (1.0, 0.98)]
    names = [label.name for label in found.contract.labels]
    drawn = []
    for each in (differing or ordered[:_SHOWN_EQUAL])[:most]:
        panels = [
            panel("source", each.source, names, each.matching, first=True),
            panel("model at f32", each.exact, names, each.matching, first=False),
            panel(
                f"model at {found.default_precision}",
                each.default,
                names,
                each.default_matching,
                first=False,
            ),
        ]
        drawn.append(draw_file(each.path, each.path.name, panels))
    return drawn


def _worst_first(image: ImageParity) -> tuple[float, float]:
    ious = [pair.mask_iou for pair in image.matching.pairs if pair.mask_iou is not None]
    return image.matching.share, min(ious, default=1.0)

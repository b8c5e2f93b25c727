"""A validation on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converter.validation_page import WHY

_SHOWN = 12


def validation_text(report: Mapping[str, Any]) -> str:
    """Verdict, checks, what differs."""
    source, model, machine = report["source"], report["model"], report["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = [
        f"source  {source['path']}: {source['family']}, run in {source['runs_in']}",
        f"model   {model['path']}: {model['weights']} weights, on {', '.join(model['devices'])}",
        f"{machine['date']}, {versions}, {len(report['images'])} images",
        "",
    ]
    if source["note"]:
        lines[3:3] = [f"note    {source['note']}"]
    for check in report["checks"]:
        sign = "ok " if check["holds"] else "NOT"
        lines.append(
            f"  {sign} {check['name']:45}{check['found']:10.4f}   limit {check['limit']:g}"
        )
    if not report["tensors"]:
        lines.append("      source and model share no tensor before selection by name")
    default = report["default"]
    lines += [
        "",
        f"at {model['default_precision']}, the device's default: {default['matches']} matches, "
        f"{100 * default['share']:.1f} % of the source's {default['source']} and the model's "
        f"{default['model']}",
    ]
    differing = [(i["image"], each) for i in report["images"] for each in i["differing"]]
    for image, each in differing[:_SHOWN]:
        lines.append(
            f"  {image}: {each['label']} {each['score']:.3f} only in the {each['only']}: "
            f"{WHY[each['why']]}"
        )
    if len(differing) > _SHOWN:
        lines.append(f"  ... and {len(differing) - _SHOWN} more")
    return "\n".join([*lines, "", "the same" if report["passed"] else "NOT the same"])

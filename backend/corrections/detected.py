"""What a model found in one image -> instances, as annotations have them."""

from __future__ import annotations

from backend.corrections.instances import Instance, View
from backend.corrections.regions import Box, Frame, Kind
from backend.labelstudio.region_plan import RegionPlan
from backend.runtime.detections import Detections


def detected_instances(
    found: Detections, plan: RegionPlan, to_name: str, item_index: int = 0
) -> list[Instance]:
    """One for each label of the config that a detection becomes, whatever the threshold.

    In the order of the detections, best first; those without a target or a pixel are left out.
    """
    frame = Frame(to_name, item_index, found.width, found.height)
    instances = []
    for i in range(len(found)):
        labels = dict.fromkeys(t.tag.written for t in plan.targets[int(found.labels[i])])
        if not labels:
            continue
        mask = found.masks[i].trimmed() if found.masks is not None else None
        if mask is not None and not mask.pixels.size:
            continue
        x1, y1, x2, y2 = (float(v) for v in found.boxes_xyxy_px[i])
        box: Box = (x1, y1, x2, y2)
        if mask is not None:
            rows, columns = mask.pixels.shape
            box = float(mask.x), float(mask.y), float(mask.x + columns), float(mask.y + rows)
        kind: Kind = "rectangle" if mask is None else "polygon"
        for k, label in enumerate(labels):
            region_id = f"{i}.{k}"
            view = View(kind, "", mask, box, (region_id,), "prediction")
            score = float(found.scores[i])
            instances.append(Instance(label, score, frame, region_id, (view,)))
    return instances

"""From one row a candidate to the rows that count: best class, non-maximum suppression, top k."""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from converter import graph


def xyxy_from_centres(boxes: ov.Output) -> ov.Output:
    """[N,4] centre x, centre y, width, height -> [N,4] x1, y1, x2, y2."""
    halves = ops.variadic_split(boxes, ops.constant(1, graph.I64), ops.constant([2, 2], graph.I64))
    half = ops.multiply(halves.output(1), ops.constant(0.5, np.float32))
    corners = [ops.subtract(halves.output(0), half), ops.add(halves.output(0), half)]
    return ops.concat(corners, 1).output(0)


def select_anchors(
    corners: ov.Output, scores: ov.Output, least_score: float, iou: float, most: int
) -> tuple[ov.Output, ov.Output, ov.Output]:
    """Boxes [N,5], labels i64 [N] and which anchors they are i64 [N], best first.

    `corners` f32 [A,4] x1, y1, x2, y2; `scores` f32 [C,A]. An anchor counts for its best class, if
    that is above `least_score`; anchors of one class suppress each other above `iou`; `most` stay.
    """
    best = ops.topk(scores, ops.constant(1, graph.I64), 0, "max", "none", "i64")
    classes = ops.range(
        ops.constant(0, graph.I64),
        ops.gather(
            ops.shape_of(scores, "i64"), ops.constant(0, graph.I64), ops.constant(0, graph.I64)
        ),
        ops.constant(1, graph.I64),
        "i64",
    )
    is_best = ops.equal(ops.unsqueeze(classes, ops.constant(1, graph.I64)), best.output(1))
    counted = ops.select(is_best, scores, ops.constant(0.0, np.float32))
    zero = ops.constant(0, graph.I64)
    suppressed = ops.non_max_suppression(
        ops.unsqueeze(corners, zero),
        ops.unsqueeze(counted, zero),
        ops.constant(most, graph.I64),
        ops.constant(iou, np.float32),
        ops.constant(least_score, np.float32),
        box_encoding="corner",
        sort_result_descending=True,
        output_type="i64",
    )
    # Some devices fill the rows up to a fixed number; those behind the valid ones say nothing.
    valid = ops.range(
        zero,
        ops.squeeze(suppressed.output(2), zero),
        ops.constant(1, graph.I64),
        "i64",
    )
    rows = graph.rows(suppressed.output(0), valid.output(0))
    anchors = graph.column(rows, 2)
    chosen_scores = graph.rows(ops.squeeze(best.output(0), zero).output(0), anchors)
    order = top_rows(chosen_scores, most)
    anchors = graph.rows(anchors, order)
    labels = graph.rows(ops.squeeze(best.output(1), zero).output(0), anchors)
    scored = ops.unsqueeze(graph.rows(chosen_scores, order), ops.constant(1, graph.I64))
    return ops.concat([graph.rows(corners, anchors), scored], 1).output(0), labels, anchors


def top_rows(scores: ov.Output, most: int) -> ov.Output:
    """Indices i64 [K] of the `most` best of f32 [N], best first; K is the smaller of both."""
    n = ops.gather(
        ops.shape_of(scores, "i64"), ops.constant(0, graph.I64), ops.constant(0, graph.I64)
    )
    k = ops.minimum(n, ops.constant(most, graph.I64))
    return ops.topk(scores, k, 0, "max", "value", "i64", stable=True).output(1)

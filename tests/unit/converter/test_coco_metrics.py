"""Average precision against the tests' own evaluation, and the interval against itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coco_eval import average_precision, coco_results

from backend.runtime.contract import Label
from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.errors import MeasurementError
from converter.bootstrap import Interval, difference, drawn_average
from converter.boundary import boundary, boundary_width_px
from converter.coco_metrics import AveragePrecision, Evaluation, Kind, evaluate
from converter.ground_truth import GroundTruth, category_ids, read_ground_truth

WIDTH, HEIGHT = 160, 120
LABELS = (Label(1, "traffic_light"), Label(2, "Kite"), Label(3, "unicorn"))
CATEGORIES = [{"id": 10, "name": "traffic light"}, {"id": 38, "name": "kite"}]
Box = tuple[int, int, int, int]


def truth_file(path: Path, boxes: dict[int, list[tuple[Box, int]]], **more: object) -> Path:
    """Rectangles by image id, each with its category id."""
    annotations = [
        {
            "id": number,  # from 0 on, as some tools export
            "image_id": image_id,
            "category_id": category,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
            **more,
        }
        for number, (image_id, ((x1, y1, x2, y2), category)) in enumerate(
            (image_id, each) for image_id, rows in boxes.items() for each in rows
        )
    ]
    images = [
        {"id": i, "file_name": f"some/{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in boxes
    ]
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    path.write_text(json.dumps(content))
    return path


def found(rows: list[tuple[Box, float, int]], *, masks: bool = True) -> Detections:
    rows = sorted(rows, key=lambda row: -row[1])
    return Detections(
        WIDTH,
        HEIGHT,
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int64),
        tuple(
            MaskCrop(x1, y1, np.ones((y2 - y1, x2 - x1), np.bool_))
            for (x1, y1, x2, y2), _, _ in rows
        )
        if masks
        else None,
    )


ONE_BOX = {1: [((10, 10, 60, 60), 38)], 2: [], 3: [((20, 20, 40, 50), 10)]}


def random_set(seed: int, path: Path, images: int = 12) -> tuple[Path, dict[int, Detections]]:
    """Rectangles, and a model that sees most of them a little moved, and some that are not."""
    noise = np.random.default_rng(seed)
    boxes: dict[int, list[tuple[Box, int]]] = {}
    answers = {}
    for image_id in range(1, images + 1):
        boxes[image_id], rows = [], []
        for _ in range(noise.integers(0, 5)):
            x, y = noise.integers(0, 80), noise.integers(0, 60)
            w, h = noise.integers(5, 75, 2)
            label = int(noise.integers(0, 2))
            box = (int(x), int(y), int(x + w), int(min(HEIGHT, y + h)))
            boxes[image_id].append((box, (10, 38)[label]))
            if noise.random() < 0.8:
                dx, dy = noise.integers(-3, 4, 2)
                moved = (max(0, box[0] + dx), max(0, box[1] + dy), box[2] + dx, box[3])
                rows.append((tuple(int(v) for v in moved), float(noise.random()), label))
        if noise.random() < 0.5:
            rows.append(((1, 1, 30, 30), float(noise.random()), 1))
        answers[image_id] = found(rows)
    return truth_file(path, boxes), answers


def measured(path: Path, answers: dict[int, Detections], kind: Kind) -> Evaluation:
    truth = read_ground_truth(path)
    return evaluate(truth, answers, category_ids(LABELS, truth), kind)


def test_nothing_found(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", ONE_BOX)
    result = measured(path, {i: found([]) for i in ONE_BOX}, "mask")
    assert result.overall == AveragePrecision(0, 0, 0, 0, 0, None)
    assert result.precision50.tolist() == [0] * 101


def test_nothing_to_be_found(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", {1: []})
    result = measured(path, {1: found([((0, 0, 9, 9), 0.9, 0)])}, "box")
    assert result.overall == AveragePrecision(None, None, None)
    assert result.per_category == {}
    with pytest.raises(MeasurementError, match="no instance"):
        difference(result, result)


def test_all_found(tmp_path: Path) -> None:
    """An annotation with the id 0 counts too."""
    path = truth_file(tmp_path / "t.json", ONE_BOX)
    answers = {
        1: found([((10, 10, 60, 60), 0.9, 1)]),
        2: found([]),
        3: found([((20, 20, 40, 50), 0.8, 0)]),
    }
    for kind in ("box", "mask", "boundary"):
        result = measured(path, answers, kind)
        assert result.overall == AveragePrecision(1, 1, 1, 1, 1, None)
        assert result.per_category[38].ap == 1.0
        assert set(result.per_category) == {10, 38}


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_as_the_evaluation_of_the_tests(kind: Kind, seed: int, tmp_path: Path) -> None:
    path, answers = random_set(seed, tmp_path / "t.json")
    renumbered = json.loads(path.read_text())
    for annotation in renumbered["annotations"]:
        annotation |= {"id": annotation["id"] + 1, "iscrowd": 0}
    (tmp_path / "from1.json").write_text(json.dumps(renumbered))
    results = coco_results(answers, [10, 38])
    result = measured(path, answers, kind)
    for figure, iou in (("ap", "0.50:0.95"), ("ap50", "0.50")):
        expected = average_precision(
            results, tmp_path / "from1.json", "bbox" if kind == "box" else "segm", iou
        )
        assert 0.1 < expected < 1
        assert getattr(result.overall, figure) == pytest.approx(expected, abs=1e-8)


def test_sizes_of_masks_are_those_of_masks(tmp_path: Path) -> None:
    """A thin cross in a large box is a small object."""
    cross = np.zeros((100, 100), np.bool_)
    cross[50], cross[:, 50] = True, True
    path = truth_file(tmp_path / "t.json", {1: [((30, 10, 50, 30), 38)]})
    answer = found([((30, 10, 50, 30), 0.5, 1), ((10, 10, 110, 110), 0.9, 1)])
    assert answer.masks is not None
    with_cross = Detections(
        WIDTH,
        HEIGHT,
        answer.boxes_xyxy_px,
        answer.scores,
        answer.labels,
        (MaskCrop(10, 10, cross), answer.masks[1]),
    )
    assert measured(path, {1: with_cross}, "mask").overall.small == pytest.approx(0.5)
    assert measured(path, {1: with_cross}, "box").overall.small == 1.0


def test_boundary_ap_sees_edges_that_mask_ap_does_not(tmp_path: Path) -> None:
    """A large rectangle two pixels too small on each side: 0.94 of the area, less of the edge."""
    path = truth_file(tmp_path / "t.json", {1: [((10, 10, 150, 110), 38)]})
    answer = {1: found([((12, 12, 148, 108), 0.9, 1)])}
    masks, edges = (measured(path, answer, kind).overall for kind in ("mask", "boundary"))
    assert masks.ap == pytest.approx(0.9)  # IoU 0.9326: thresholds 0.50 to 0.90
    assert edges.ap == pytest.approx(0.0)  # IoU of the 4 px edges: 0.3
    assert boundary_width_px(WIDTH, HEIGHT) == 4


def test_boundary_of_a_square() -> None:
    mask = np.zeros((8, 9), np.uint8)
    mask[1:7, 2:8] = 1
    expected = mask.copy()
    expected[3:5, 4:6] = 0
    assert boundary(mask, 2).tolist() == expected.tolist()
    assert boundary(mask, 3).tolist() == mask.tolist()
    assert boundary(np.zeros((3, 3), np.uint8), 1).sum() == 0


def test_the_edge_of_the_image_is_a_boundary() -> None:
    assert boundary(np.ones((5, 5), np.uint8), 1).tolist() == [
        [1, 1, 1, 1, 1],
        [1, 0, 0, 0, 1],
        [1, 0, 0, 0, 1],
        [1, 0, 0, 0, 1],
        [1, 1, 1, 1, 1],
    ]


def test_an_image_without_result_fails_the_metric(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", ONE_BOX)
    with pytest.raises(MeasurementError, match=r"1 of 3 images have no result \(some/3.jpg\)"):
        measured(path, {1: found([]), 2: found([])}, "box")


def test_an_image_of_another_size_fails_the_metric(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", {1: []})
    turned = Detections(
        HEIGHT, WIDTH, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    )
    with pytest.raises(MeasurementError, match="120x160 pixels as it is displayed"):
        measured(path, {1: turned}, "box")


def test_a_detector_has_box_ap_only(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", {1: [((10, 10, 60, 60), 38)]})
    answer = {1: found([((10, 10, 60, 60), 0.9, 1)], masks=False)}
    assert measured(path, answer, "box").overall.ap == 1.0
    with pytest.raises(MeasurementError, match="boxes without masks"):
        measured(path, answer, "mask")


def test_crowds_are_no_false_alarms(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", {1: [((10, 10, 60, 60), 38)]}, iscrowd=1)
    truth = read_ground_truth(path)
    extra = dict(truth.annotations[0]) | {"id": 9, "iscrowd": 0, "bbox": [80, 80, 20, 20]}
    extra["segmentation"] = [[80, 80, 100, 80, 100, 100, 80, 100]]
    both = GroundTruth(truth.images, truth.categories, (*truth.annotations, extra))
    answer = {1: found([((10, 10, 40, 40), 0.9, 1), ((80, 80, 100, 100), 0.5, 1)])}
    for kind in ("box", "mask", "boundary"):
        assert evaluate(both, answer, (10, 38, None), kind).overall.ap == 1.0


def test_labels_are_found_by_name(tmp_path: Path) -> None:
    truth = read_ground_truth(truth_file(tmp_path / "t.json", {1: []}))
    assert category_ids(LABELS, truth) == (10, 38, None)
    with pytest.raises(MeasurementError, match="none of the model's 1 labels"):
        category_ids((Label(38, "dragon"),), truth)


def test_files_that_are_no_annotations(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for text in ("", "[]", '{"images": [{}]}'):
        path.write_text(text)
        with pytest.raises(MeasurementError, match="not a COCO instances file"):
            read_ground_truth(path)
    with pytest.raises(MeasurementError, match="cannot be read"):
        read_ground_truth(tmp_path / "missing.json")
    truth_file(path, ONE_BOX)
    path.write_text(path.read_text().replace('"image_id": 3', '"image_id": 4'))
    with pytest.raises(MeasurementError, match=r"images \[4\]"):
        read_ground_truth(path)


def test_images_are_found_by_their_last_name() -> None:
    truth = GroundTruth({}, {}, ())
    assert truth.image_ids_by_name() == {}


def test_equal_models_differ_by_nothing(tmp_path: Path) -> None:
    path, answers = random_set(4, tmp_path / "t.json")
    result = measured(path, answers, "mask")
    assert difference(result, result, draws=50) == Interval(0, 0, 0, 0.95, 50)


@pytest.mark.parametrize("figure", ["ap", "ap50", "ap75"])
def test_the_difference_is_that_of_the_figures(figure: str, tmp_path: Path) -> None:
    path, answers = random_set(5, tmp_path / "t.json")
    _, others = random_set(5, tmp_path / "t.json")
    worse = {i: each.above(0.5) for i, each in others.items()}
    one, other = measured(path, answers, "mask"), measured(path, worse, "mask")
    gap = difference(one, other, figure, draws=300)
    expected = getattr(other.overall, figure) - getattr(one.overall, figure)
    assert gap.value == pytest.approx(expected, abs=1e-8)
    assert gap.low <= gap.value <= gap.high < 0
    assert difference(other, one, figure, draws=300).low == pytest.approx(-gap.high)


def test_drawing_an_image_twice_is_having_it_twice(tmp_path: Path) -> None:
    """The interval's arithmetic against pycocotools, on a set with doubled images."""
    path, answers = random_set(6, tmp_path / "t.json", images=6)
    result = measured(path, answers, "box")
    times = np.array([2, 0, 1, 3, 1, 0])
    truth = read_ground_truth(path)
    images, annotations, copies = {}, [], {}
    for image_id, count in zip(truth.images, times.tolist(), strict=True):
        for _ in range(count):
            new = len(images) + 1
            images[new] = truth.images[image_id]
            copies[new] = answers[image_id]
            for each in truth.annotations:
                if each["image_id"] == image_id:
                    annotations.append(each | {"image_id": new, "id": len(annotations) + 1})
    doubled = GroundTruth(images, truth.categories, tuple(annotations))
    expected = evaluate(doubled, copies, (10, 38, None), "box").overall
    (by_threshold,) = drawn_average(result, times[None])
    assert by_threshold.mean() == pytest.approx(expected.ap, abs=1e-8)
    assert by_threshold[0] == pytest.approx(expected.ap50, abs=1e-8)


def test_figures_of_different_images_are_not_compared(tmp_path: Path) -> None:
    path, answers = random_set(7, tmp_path / "t.json")
    truth = read_ground_truth(path)
    part = evaluate(truth.subset([1, 2]), answers, (10, 38, None), "box")
    whole = evaluate(truth, answers, (10, 38, None), "box")
    assert part.image_ids == (1, 2)
    with pytest.raises(MeasurementError, match="different images"):
        difference(part, whole)

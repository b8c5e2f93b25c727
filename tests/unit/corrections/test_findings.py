"""What a model doubts of an image's annotations."""

from __future__ import annotations

from dataclasses import replace

import pytest
from corrected import Row, brush, polygon, rectangle

from backend.corrections.instances import Instance, read_instances
from backend.corrections.review.findings import Finding, review_image
from backend.corrections.review.overlooked import Overlooked

KNOWN = ("car", "bus")


def instances(*result: Row) -> list[Instance]:
    return list(read_instances(result).instances)


def detected(*scored: tuple[float, Row]) -> list[Instance]:
    return [replace(instances(item)[0], score=score) for score, item in scored]


def found(found_: list[Instance], annotated: list[Instance], least: float = 0.5) -> list[Finding]:
    return list(review_image(found_, annotated, KNOWN, least).findings)


def kinds(findings: list[Finding]) -> list[tuple[str, float, str]]:
    return [(each.kind, round(each.confidence, 3), each.label) for each in findings]


def test_nothing_on_either_side() -> None:
    review = review_image([], [], KNOWN, 0.5)
    assert (review.findings, review.seen) == ((), ())


def test_what_agrees_is_no_finding() -> None:
    annotated = instances(polygon("a", 10, 10, 20, 20), rectangle("b", 60, 10, 20, 20, "bus"))
    seen = detected((0.9, polygon("1", 11, 10, 20, 20)), (0.8, polygon("2", 60, 10, 20, 20, "bus")))
    assert found(seen, annotated) == []


def test_missing_from_the_wanted_confidence_on() -> None:
    seen = detected((0.9, polygon("1", 10, 10, 20, 20)), (0.4, polygon("2", 60, 10, 20, 20)))
    assert kinds(found(seen, [])) == [("missing", 0.9, "car")]
    assert kinds(found(seen, [], 0.3)) == [("missing", 0.9, "car"), ("missing", 0.4, "car")]


def test_an_object_seen_twice_is_missing_once() -> None:
    seen = detected((0.9, polygon("1", 10, 10, 20, 20)), (0.8, polygon("2", 12, 10, 20, 20, "bus")))
    assert kinds(found(seen, [])) == [("missing", 0.9, "car")]


def test_a_part_of_what_is_annotated_is_not_missing() -> None:
    annotated = instances(brush("a", 10, 10, 60, 30))
    part = polygon("1", 10, 10, 20, 20)
    assert found(detected((0.9, part)), annotated) == []
    other = polygon("1", 10, 10, 20, 20, "bus")  # a bus on the car is another object
    assert kinds(found(detected((0.9, other)), annotated)) == [("missing", 0.9, "bus")]


def test_mislabelled_by_how_much_the_other_label_is_likelier() -> None:
    annotated = instances(polygon("a", 10, 10, 20, 20))
    bus, car = polygon("1", 10, 10, 20, 20, "bus"), polygon("2", 10, 10, 20, 21)
    (finding,) = found(detected((0.9, bus), (0.3, car)), annotated)
    assert kinds([finding]) == [("mislabelled", 0.6, "car")]
    assert finding.seen is not None
    assert finding.seen.label == "bus"
    assert found(detected((0.9, bus), (0.6, car)), annotated) == []


def test_labels_that_the_model_does_not_know_are_not_judged() -> None:
    annotated = instances(polygon("a", 10, 10, 20, 20, "tram"))
    seen = detected((0.9, polygon("1", 10, 10, 20, 20, "bus")))
    review = review_image(seen, annotated, KNOWN, 0.5)
    assert (review.findings, review.seen) == ((), ())


def test_seen_at_any_score_with_any_label() -> None:
    annotated = instances(polygon("a", 10, 10, 20, 20), polygon("b", 60, 10, 20, 20))
    seen = detected((0.06, polygon("1", 10, 10, 8, 8, "bus")))
    review = review_image(seen, annotated, KNOWN, 0.5)
    assert [(each.key, is_seen) for each, is_seen in review.seen] == [("a", True), ("b", False)]


def test_sure_of_what_is_never_overlooked() -> None:
    car = instances(polygon("a", 0, 0, 50, 50))[0]
    bus = replace(car, label="bus")
    always, never = Overlooked([(car, True)] * 30), Overlooked([(car, False)] * 30)
    assert Overlooked([]).share_seen(car) == 0.5
    assert always.share_seen(car) > 0.95
    assert never.share_seen(car) < 0.05
    # A label without examples leans on the others of its size, and less so on its own few.
    assert always.share_seen(bus) == pytest.approx(31 / 32)
    mixed = Overlooked([(car, True)] * 30 + [(bus, False)] * 4)
    assert 0.3 < mixed.share_seen(bus) < 0.6
    small = instances(polygon("s", 0, 0, 2, 2))[0]
    assert always.share_seen(small) == 0.5


def test_of_several_controls_the_corrected_one_counts() -> None:
    left = polygon("3-0", 10, 10, 20, 20, origin="prediction", score=0.5)
    corrected = brush("3.1-0", 60, 10, 20, 20, origin="prediction-changed", score=0.5)
    annotated = instances(left, corrected)
    assert found(detected((0.9, polygon("1", 60, 10, 20, 20))), annotated) == []
    assert kinds(found(detected((0.9, polygon("1", 10, 10, 20, 20))), annotated)) == [
        ("missing", 0.9, "car")
    ]

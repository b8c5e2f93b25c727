"""Ratios and turns, on figures written out."""

from __future__ import annotations

import pytest

from converter.performance import Latency, Ratio, Throughput, turns


def test_equal_figures_have_the_ratio_1() -> None:
    ratio = Ratio.of_pairs([0.2, 0.3, 0.1], [0.2, 0.3, 0.1])
    assert (ratio.middle, ratio.low, ratio.high, ratio.count) == (1, 1, 1, 3)


def test_ratios_are_those_of_pairs_not_of_sums() -> None:
    """Each image is compared with itself, so that slow images do not hide fast ones."""
    ratio = Ratio.of_pairs([1.0, 10.0, 100.0], [2.0, 20.0, 100.0])
    assert ratio.middle == 2.0
    assert ratio.low == pytest.approx(1.2)


def test_of_a_few_rounds_all_count() -> None:
    ratio = Ratio.of_rounds([10.0, 10.0, 10.0], [9.0, 12.0, 10.0])
    assert (ratio.low, ratio.middle, ratio.high) == (0.9, 1.0, 1.2)
    assert ratio.to_json()["spread"] == "all rounds"


def test_who_goes_first_changes() -> None:
    assert [list(turns(2, index)) for index in range(3)] == [[0, 1], [1, 0], [0, 1]]
    assert list(turns(1, 1)) == [0]


def test_latency_in_milliseconds() -> None:
    found = Latency(tuple(i / 1000 for i in range(1, 102))).to_json()
    assert (found["p50_ms"], found["p95_ms"], found["p99_ms"]) == pytest.approx((51, 96, 100))
    assert found["images"] == 101
    assert found["values_ms"][0] == 1.0


def test_throughput_is_the_median_of_its_rounds() -> None:
    assert Throughput((3.0, 9.0, 4.0), 2).to_json()["images_per_s"] == 4.0

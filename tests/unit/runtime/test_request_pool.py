"""Requests are shared, and a second way is compiled when images meet."""

from __future__ import annotations

from typing import Any

import openvino as ov
import pytest
from openvino import opset13 as op

from backend.runtime.request_pool import AdaptingPool, RequestPool


@pytest.fixture(scope="module")
def model() -> ov.Model:
    x = op.parameter([1, 2], ov.Type.f32)
    return ov.Model([op.relu(x)], [x])


def compiled(model: ov.Model, hint: str) -> ov.CompiledModel:
    return ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": hint})


def test_one_image_after_the_other_needs_no_second_way(model: ov.Model) -> None:
    pool = AdaptingPool(RequestPool(compiled(model, "LATENCY")), lambda: pytest.fail("compiled"))
    with pool.request() as first:
        pass
    with pool.request() as second:
        assert second is first
    assert pool.size == 1


def test_images_that_meet_are_inferred_the_second_way(model: ov.Model) -> None:
    made: list[Any] = []

    def many() -> ov.CompiledModel:
        made.append(compiled(model, "THROUGHPUT"))
        return made[-1]

    first_way = RequestPool(compiled(model, "LATENCY"))
    first_way._idle.put(first_way._idle.queue[0])  # a second place, so that nobody waits here
    pool = AdaptingPool(first_way, many)
    with pool.request(), pool.request():
        pool.wait_until_compiled()
        with pool.request() as third:
            name = third.get_compiled_model().get_property("PERFORMANCE_HINT")
    assert name == "THROUGHPUT"
    assert len(made) == 1
    with pool.request() as alone:
        name = alone.get_compiled_model().get_property("PERFORMANCE_HINT")
    assert name == "LATENCY"


def test_what_cannot_be_compiled_a_second_time_goes_on_as_before(
    model: ov.Model, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> ov.CompiledModel:
        raise RuntimeError("no memory")

    first_way = RequestPool(compiled(model, "LATENCY"))
    first_way._idle.put(first_way._idle.queue[0])
    pool = AdaptingPool(first_way, fail)
    with pool.request(), pool.request():
        pool.wait_until_compiled()
    with pool.request():
        pass
    assert "no memory" in caplog.text

"""What a converted IR says of itself, and which of it changes what it is."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
from dataclasses import replace
from pathlib import Path

import openvino as ov
import pytest
from toy_sources import od_api_model

from backend.runtime.contract import Label, ResizeRule, ir_digest, read_contract, write_contract
from backend.runtime.engine import Engine, read_ir
from converter.cli import run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.xml"
    ov.save_model(od_api_model([((0.0, 0.5, 1.0, 1.0), 0.9, 90.0)]), path, compress_to_fp16=False)
    return path


@pytest.fixture
def converted(source: Path, tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "m.xml"
    command = ["convert", str(source), "-o", str(target), "--labels", "coco91"]
    assert run([*command, "--no-compress-to-fp16"]) == 0
    return target


def test_every_fact_is_there(source: Path, converted: Path) -> None:
    contract = read_contract(ov.Core().read_model(converted))
    content = source.read_bytes() + source.with_suffix(".bin").read_bytes()
    assert contract.source_format == "openvino-ir"
    assert contract.source_digest == hashlib.sha256(content).hexdigest()
    assert contract.framework_version.startswith("2026.")
    assert contract.family == "od-api"
    assert contract.labels[79] == Label(90, "toothbrush")
    assert contract.resize == ResizeRule("none")
    assert contract.mask_frame == "box"
    assert contract.precision == "f32"
    assert contract.converter_version == importlib.metadata.version("labelvino")
    made = datetime.datetime.fromisoformat(contract.converted_at)
    assert made.utcoffset() == datetime.timedelta(0)
    assert abs(made - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(hours=1)


def rewritten(converted: Path, name: str, **facts: object) -> Path:
    model = read_ir(converted)
    write_contract(model, replace(read_contract(model), **facts))  # type: ignore[arg-type]
    path = converted.with_name(name)
    ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize(
    "facts",
    [
        {"converted_at": "2031-01-01T00:00:00+00:00"},
        {"converter_version": "9.9"},
        {"framework_version": "1.0", "source_digest": "0" * 64},
    ],
)
def test_facts_that_change_no_results_change_no_version(
    facts: dict[str, object], converted: Path
) -> None:
    other = rewritten(converted, "other.xml", **facts)
    assert ir_digest(other) == ir_digest(converted)
    assert Engine(other).model_digest == Engine(converted).model_digest


def test_facts_that_change_results_change_the_version(converted: Path) -> None:
    other = rewritten(converted, "other.xml", resize=ResizeRule("stretch", width=64, height=64))
    assert ir_digest(other) == ir_digest(converted)
    assert Engine(other).model_digest != Engine(converted).model_digest


def test_no_path_of_the_machine_is_kept(source: Path, converted: Path) -> None:
    text = converted.read_text()
    for path in (source.parent, Path.home(), Path.cwd()):
        assert str(path) not in text

"""`labelvino-model compare` and `benchmark`, through the commands. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import broken_ir
import numpy as np
import pytest
from broken_ir import save_broken
from quantization.scene_set import write_scenes
from toy_model import save_toy_model, toy_contract

from backend.demo import MODEL_PATH
from backend.runtime.overlay import encode_png
from converter.cli import run

SCENES = 6


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The annotations; the pictures lie beside them."""
    return write_scenes(tmp_path_factory.mktemp("scenes") / "scenes", 40, SCENES)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model with masks off by half a cell and its clearest detections lost."""
    folder = tmp_path_factory.mktemp("models")
    lost = save_broken(MODEL_PATH, folder / "lost.xml", broken_ir.lose_the_best)
    return save_broken(lost, folder / "shifted.xml", broken_ir.shift_masks_by_half_a_cell)


def compare(*arguments: object) -> int:
    return run(["compare", *map(str, arguments)])


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Any:
    def read() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return read


def test_equal_models(truth: Path, tmp_path: Path, report: Any) -> None:
    """All detections match, and no ratio says that one is faster."""
    code = compare(
        MODEL_PATH, MODEL_PATH, "--images", truth, "--annotations", truth, "--json",
        "--report", tmp_path, "--min-matched", 1, "--max-drop", 0,
    )  # fmt: skip
    found = report()
    assert code == 0
    total = found["predictions"]["total"]
    assert total["matches"] == total["a"] == total["b"] > 10
    assert (total["share"], total["mask_iou"]) == (1.0, 1.0)
    for name in ("latency", "throughput_latency", "throughput_throughput"):
        ratio = found["performance"]["ratios"][name]
        assert ratio["low"] <= 1 <= ratio["high"], name
        assert ratio["count"] >= 3
    for kind in ("box", "mask", "boundary"):
        metric = found["accuracy"]["metrics"][kind]
        assert metric["a"] == metric["b"]
        assert metric["a"]["ap50"] > 0.5
        gap = metric["difference"]["ap"]
        assert (gap["value"], gap["low"], gap["high"]) == (0, 0, 0)
    assert json.loads((tmp_path / "report.json").read_text()) == found


def test_a_report_says_what_it_was_measured_on(truth: Path, report: Any) -> None:
    assert compare(MODEL_PATH, MODEL_PATH, "--images", truth, "--json") == 0
    found = report()
    machine = found["machine"]
    assert machine["cores"] >= 1
    assert machine["versions"]["OpenVINO"].startswith("2026.")
    assert machine["devices"][0][0] == "CPU"
    for side in "ab":
        model, speed = found["models"][side], found["performance"][side]
        size = sum(MODEL_PATH.with_suffix(end).stat().st_size for end in (".xml", ".bin"))
        assert model["size_bytes"] == size
        assert model["computes_in"] in ("f32", "bf16", "f16")
        assert model["devices"] == ["CPU"]
        assert speed["latency"]["images"] >= SCENES
        assert (
            speed["latency"]["p50_ms"] <= speed["latency"]["p95_ms"] <= speed["latency"]["p99_ms"]
        )
        start = speed["start"]
        assert 0 < start["own_bytes"] < start["peak_bytes"]
        assert all(start[name] > 0 for name in ("load_s", "load_cached_s", "first_s"))
        assert {h: t["requests"] >= 1 for h, t in speed["throughput"].items()} == {
            "latency": True,
            "throughput": True,
        }
    assert found["accuracy"] is None


def test_models_that_differ(
    truth: Path, shifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], report: Any
) -> None:
    arguments = (MODEL_PATH, shifted, "--images", truth, "--no-speed", "--report", tmp_path)
    assert compare(*arguments, "--json", "--annotations", truth) == 0  # no gate, no judgement
    found = report()
    total = found["predictions"]["total"]
    assert total["b"] < total["a"]
    assert total["share"] < 0.9
    images, classes = found["predictions"]["images"], found["predictions"]["classes"]
    assert [row["share"] for row in images] == sorted(row["share"] for row in images)
    assert sum(row["a"] for row in images) == sum(row["a"] for row in classes) == total["a"]
    assert sum(row["matches"] for row in classes) == total["matches"]
    assert all(row["precision_b"] == 1 for row in classes if row["b"])
    assert min(row["precision_a"] for row in classes) < 1
    by_both = found["predictions"]["image_classes"]
    assert sum(row["matches"] for row in by_both) == total["matches"]
    metrics = found["accuracy"]["metrics"]
    assert metrics["mask"]["difference"]["ap"]["high"] < 0
    # A shift of masks costs more on their edges.
    lost = {k: 1 - m["b"]["ap"] / m["a"]["ap"] for k, m in metrics.items()}
    assert lost["boundary"] > lost["mask"]
    assert set(found["performance"]["ratios"]) == {"latency"}
    page = (tmp_path / "index.html").read_text()
    assert '"state": "alone"' in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    ("gate", "code", "said"),
    [
        (("--min-matched", 0.99), 3, "of the detections match, less than 0.99"),
        (("--max-time-ratio", 0.0001), 3, "times A's time"),
        (("--max-drop", 0.001), 4, "mask AP is lower by"),
        (("--max-drop", 0.001, "--min-matched", 0.99), 4, "less than 0.99"),
    ],
)
def test_gates(
    gate: tuple[object, ...],
    code: int,
    said: str,
    truth: Path,
    shifted: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = (MODEL_PATH, shifted, "--images", truth, "--annotations", truth, "--no-speed")
    assert compare(*arguments, *gate) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert "class, worst first" in captured.out
    assert "mask AP50" in captured.out


def test_a_failed_image_fails_the_metric(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for photo in sorted(truth.parent.glob("*.jpg")):
        (images / photo.name).write_bytes(photo.read_bytes())
    victim = sorted(images.iterdir())[2]
    victim.write_bytes(victim.read_bytes()[:500])
    code = compare(
        MODEL_PATH, MODEL_PATH, "--images", images, "--annotations", truth, "--no-speed", "--json"
    )
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert code == 1
    assert f"{victim.name} failed" in captured.err
    assert "for all images or not at all" in found["accuracy"]["failed"]
    assert "metrics" not in found["accuracy"]
    assert len(found["predictions"]["images"]) == SCENES - 1
    assert [failure["image"] for failure in found["failures"]] == [victim.name]


def test_labels_go_by_name(tmp_path: Path, report: Any) -> None:
    """The same instance under the same name, though the lists order their names otherwise."""
    box = (10.0, 10.0, 40.0, 40.0)
    one = save_toy_model(tmp_path / "a.xml", [(box, 0.9, 1)], toy_contract(["cat", "dog"]))
    other = save_toy_model(
        tmp_path / "b.xml", [(box, 0.9, 0), (box, 0.8, 1)], toy_contract(["dog", "emu"])
    )
    (tmp_path / "p.png").write_bytes(encode_png(np.zeros((60, 60, 3), np.uint8)))
    assert compare(one, other, "--images", tmp_path, "--no-speed", "--json") == 0
    rows = {row["label"]: row for row in report()["predictions"]["classes"]}
    assert (rows["dog"]["a"], rows["dog"]["b"], rows["dog"]["matches"]) == (1, 1, 1)
    assert (rows["emu"]["a"], rows["emu"]["b"]) == (0, 1)
    assert rows["emu"]["precision_a"] is None


def test_models_without_a_common_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = (10.0, 10.0, 40.0, 40.0)
    one = save_toy_model(tmp_path / "a.xml", [(box, 0.9, 0)], toy_contract(["cat"]))
    other = save_toy_model(tmp_path / "b.xml", [(box, 0.9, 0)], toy_contract(["dog"]))
    (tmp_path / "p.png").write_bytes(encode_png(np.zeros((60, 60, 3), np.uint8)))
    assert compare(one, other, "--images", tmp_path, "--no-speed") == 1
    assert "no label in common" in capsys.readouterr().err


def test_detectors_have_boxes_only(tmp_path: Path, report: Any) -> None:
    box = (10.0, 10.0, 40.0, 40.0)
    model = save_toy_model(tmp_path / "a.xml", [(box, 0.9, 0)], toy_contract(mask_frame=None))
    (tmp_path / "p.png").write_bytes(encode_png(np.zeros((60, 60, 3), np.uint8)))
    out = tmp_path / "out"
    assert compare(model, model, "--images", tmp_path, "--no-speed", "--json", "--report", out) == 0
    assert report()["predictions"]["total"]["mask_iou"] is None
    assert "M10 10H40V40H10Z" in (out / "index.html").read_text()


def test_max_drop_needs_annotations(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(MODEL_PATH, MODEL_PATH, "--images", ".", "--max-drop", 0.1) == 2
    assert "--max-drop needs --annotations" in capsys.readouterr().err


def test_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", str(MODEL_PATH), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "benchmark"
    speed = found["performance"]["a"]
    assert speed["latency"]["images"] >= 20
    assert set(speed["throughput"]) == {"latency", "throughput"}
    assert len(speed["start"]["cold"]) == len(speed["start"]["warm"]) >= 2

"""Keras, Keras 3's variables, TensorFlow Lite, archives and lost names, against TensorFlow at f32.

The models are made in TensorFlow's environment (tests/oracles/tensorflow_models.py); the two rows
that need TensorFlow to be read are converted there too, by the same command.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from matching import Agreement, agreement
from sdk import environment_python

from backend.demo.scenes import draw_scene
from backend.runtime.contract import ir_digest
from backend.runtime.engine import Engine, RawOutputs
from backend.runtime.image import DecodedImage, decode_image
from converter.cli import run

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("labelvino-model")
MAKER = ROOT / "tests" / "oracles" / "tensorflow_models.py"
ORACLE = ROOT / "tests" / "integration" / "tensorflow_oracle.py"
DEMO = ROOT / "training" / "saved_model"
DEMO_LABELS = ROOT / "training" / "labels.txt"
REAL_ROWS = 8
Pictures = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tensorflow() -> Path:
    return environment_python("tensorflow", "LABELVINO_TENSORFLOW_PYTHON")


@pytest.fixture(scope="module")
def pictures(photos_dir: Path) -> Pictures:
    """A photo at three sizes, one that 32 divides, and three scenes of 320x240."""
    photo = decode_image((photos_dir / "000000062554.jpg").read_bytes()).pixels
    found = {
        f"photo {width}x{height}": np.asarray(cv2.resize(photo, (width, height)), np.uint8)
        for width, height in ((640, 480), (427, 331), (250, 500))
    }
    for seed in range(3):
        scene = draw_scene(seed, 320, 240)
        found[f"scene {seed}"] = scene.pixels
    return found


@pytest.fixture(scope="module")
def made(tensorflow: Path, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all models and TensorFlow's answers."""
    folder = tmp_path_factory.mktemp("tensorflow")
    np.savez(folder / "pixels.npz", **pictures)
    command = [tensorflow, MAKER, folder, folder / "pixels.npz", DEMO]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (folder / "ten.txt").write_text("\n".join(f"class {i}" for i in range(1, 11)))
    return folder


def convert(command: Path, source: Path, *options: object) -> Engine:
    """By the real command, with f32 weights."""
    target = source.with_name(f"{source.name}.xml")
    arguments = [command, "convert", source, "-o", target, "--no-compress-to-fp16", "--force"]
    done = subprocess.run(
        [*arguments, *options], check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert all(line.startswith("labelvino-model: ") for line in done.stderr.splitlines())
    return Engine(target, device="CPU", precision="f32")


def compared(engine: Engine, answers: Path, model: str, pictures: Pictures) -> Agreement:
    index_of = {label.id: index for index, label in enumerate(engine.contract.labels)}
    total = Agreement()
    with np.load(answers) as answered:
        for name, pixels in pictures.items():
            found = {
                output: answered[f"{model}/{name}/{output}"]
                for output in ("detection_boxes", "detection_scores", "detection_classes")
            }
            count = int(np.ravel(answered[f"{model}/{name}/num_detections"])[0])
            height, width = pixels.shape[:2]
            size = np.float32([width, height] * 2)
            boxes = found["detection_boxes"][:count, [1, 0, 3, 2]] * size
            scores = found["detection_scores"][:count]
            masks = f"{model}/{name}/detection_masks"
            expected = RawOutputs(
                np.column_stack([boxes, scores]).astype(np.float32),
                np.array([index_of[round(c)] for c in found["detection_classes"][:count].tolist()]),
                answered[masks][:count] if engine.contract.mask_frame else None,
            )
            raw, _ = engine.infer(DecodedImage(pixels, 1, ""))
            assert len(raw.boxes) == count
            total += agreement(raw, expected, 0.0)
    return total


def check(total: Agreement, pairs: int) -> None:
    print(total)
    assert total.pairs == pairs
    assert total.share == 1.0
    assert total.box_px <= 0.05
    assert total.score <= 1e-4
    assert total.mask <= 1e-4


@pytest.mark.parametrize(
    ("file", "source_format"), [("toy.keras", "keras-keras"), ("toy.h5", "keras-h5")]
)
def test_keras_files(
    file: str, source_format: str, made: Path, tensorflow: Path, pictures: Pictures
) -> None:
    command = tensorflow.with_name("labelvino-model")
    engine = convert(command, made / file, "--labels", made / "ten.txt")
    assert (engine.contract.family, engine.contract.mask_frame) == ("od-api", "box")
    assert engine.contract.source_format == source_format
    assert engine.contract.framework_version.startswith("keras 3.")
    check(compared(engine, made / "answers.npz", "toy", pictures), REAL_ROWS * len(pictures))


def test_keras_3_variables(made: Path, tensorflow: Path, pictures: Pictures) -> None:
    """OpenVINO alone does not find them; TensorFlow makes constants of them."""
    command = tensorflow.with_name("labelvino-model")
    engine = convert(command, made / "keras3", "--labels", made / "ten.txt")
    assert engine.contract.source_format == "tensorflow-saved-model"
    check(compared(engine, made / "answers.npz", "keras3", pictures), REAL_ROWS * len(pictures))


def test_an_export_of_keras_needs_no_tensorflow(made: Path, pictures: Pictures) -> None:
    engine = convert(COMMAND, made / "exported", "--labels", made / "ten.txt")
    check(compared(engine, made / "answers.npz", "exported", pictures), REAL_ROWS * len(pictures))


def test_tensorflow_lite(made: Path, pictures: Pictures) -> None:
    """Its signature says the names."""
    engine = convert(COMMAND, made / "toy.tflite", "--labels", made / "ten.txt")
    assert engine.contract.source_format == "tensorflow-lite"
    check(compared(engine, made / "answers.npz", "toy", pictures), REAL_ROWS * len(pictures))


def test_the_demo_as_tensorflow_lite(made: Path, pictures: Pictures) -> None:
    engine = convert(COMMAND, made / "demo.tflite", "--labels", DEMO_LABELS)
    assert str(engine.contract.resize) == "stretch:320x240"
    assert engine.contract.mask_frame is None
    scenes = {name: pixels for name, pixels in pictures.items() if name.startswith("scene")}
    total = compared(engine, made / "answers.npz", "demo", scenes)
    assert total.pairs >= 9
    check(total, total.pairs)


def test_names_that_were_lost(made: Path, pictures: Pictures) -> None:
    """A frozen graph whose outputs are Identity to Identity_4: their values tell."""
    engine = convert(COMMAND, made / "demo_frozen.pb", "--labels", DEMO_LABELS)
    assert (engine.contract.family, engine.contract.mask_frame) == ("od-api", "box")
    scenes = {name: pixels for name, pixels in pictures.items() if name.startswith("scene")}
    total = compared(engine, made / "answers.npz", "demo", scenes)
    assert total.pairs >= 9
    check(total, total.pairs)


def test_names_that_the_command_says(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without TensorFlow's names, boxes and scores could be told; here the user tells all."""
    names = "detection_scores=Identity_3,detection_boxes=Identity,num_detections=Identity_4"
    target = made / "said.xml"
    command = ["convert", str(made / "demo_frozen.pb"), "-o", str(target), "--labels",
               str(DEMO_LABELS), "--force", "--json"]  # fmt: skip
    assert run([*command, "--output", f"{names},detection_classes=Identity_1"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["family"] == "od-api"
    assert summary["mask_frame"] is None  # the masks were not among them
    assert run([*command, "--family", "od-api"]) == 0  # found by value then too
    summary = json.loads(capsys.readouterr().out)
    assert (summary["family_reason"], summary["mask_frame"]) == ("--family says so", "box")
    assert run([*command, "--output", f"{names},detection_classes=Identity_9"]) == 1
    assert "has no output 'Identity_9'" in capsys.readouterr().err


def test_a_real_export_that_lost_its_names(
    shared_dir: Path, pictures: Pictures, tensorflow: Path, tmp_path: Path
) -> None:
    """HandTrack, exported by the TF2 Object Detection API, against TensorFlow on photos.

    Of its outputs Identity to Identity_7 the classes come as 1.988, and anchor indices look like
    classes.
    """
    graph = shared_dir / "models" / "handtrack_ssd320_tf" / "frozen_inference_graph.pb"
    names = ["open", "closed", "pinch", "point", "face", "tip", "pinchtip"]
    (tmp_path / "hands.txt").write_text("\n".join(names))
    source = tmp_path / "frozen_inference_graph.pb"
    source.write_bytes(graph.read_bytes())
    engine = convert(COMMAND, source, "--labels", tmp_path / "hands.txt")
    assert (engine.contract.family, engine.contract.mask_frame) == ("od-api", None)

    np.savez(tmp_path / "pixels.npz", **pictures)
    roles = ["image=input_tensor:0", "boxes=Identity_1:0", "scores=Identity_4:0",
             "classes=Identity_2:0", "count=Identity_5:0"]  # fmt: skip
    files = [graph, tmp_path / "pixels.npz", tmp_path / "answers.npz"]
    done = subprocess.run(
        [tensorflow, ORACLE, *files, *roles],
        check=False, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    total = Agreement()
    with np.load(tmp_path / "answers.npz") as answered:
        for name, pixels in pictures.items():
            size = np.float32([pixels.shape[1], pixels.shape[0]] * 2)
            boxes = answered[f"{name}/boxes"][:, [1, 0, 3, 2]] * size
            expected = RawOutputs(
                np.column_stack([boxes, answered[f"{name}/scores"]]).astype(np.float32),
                np.round(answered[f"{name}/classes"]).astype(np.int64) - 1,
                None,
            )
            raw, _ = engine.infer(DecodedImage(pixels, 1, ""))
            total += agreement(raw, expected, 0.05)
    print(f"handtrack: {total}")
    assert total.pairs >= 10
    assert total.share == 1.0
    assert total.box_px <= 0.1
    assert total.score <= 1e-4


# --- archives


def archive(folder: Path, *more: tuple[tarfile.TarInfo, bytes]) -> Path:
    """As TF Hub gives it: the SavedModel's content at the top of a .tar.gz."""
    path = folder / "mask_rcnn.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(DEMO.rglob("*")):
            tar.add(file, file.relative_to(DEMO), recursive=False)
        for member, content in more:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_of_tf_hub(tmp_path: Path, made: Path, pictures: Pictures) -> None:
    engine = convert(COMMAND, archive(tmp_path), "--labels", DEMO_LABELS)
    plain = tmp_path / "plain.xml"
    command = ["convert", str(DEMO), "-o", str(plain), "--labels", str(DEMO_LABELS)]
    assert run([*command, "--no-compress-to-fp16"]) == 0
    assert ir_digest(plain) == ir_digest(tmp_path / "mask_rcnn.tar.gz.xml")
    assert engine.contract.source_format == "tensorflow-saved-model"
    scenes = {name: pixels for name, pixels in pictures.items() if name.startswith("scene")}
    total = compared(engine, made / "answers.npz", "demo", scenes)
    check(total, total.pairs)


def test_a_damaged_model_in_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the archive, not the temporary folder."""
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("saved_model/saved_model.pb")
        member.size = 9
        tar.addfile(member, io.BytesIO(b"\x08\x01\x12\xff\x10abcd"))
    assert run(["convert", str(path), "-o", str(tmp_path / "m.xml"), "--labels", "coco80"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert f"{path}: saved_model/saved_model.pb is not a SavedModel, or was cut off" in err


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("member", "content", "reason"),
    [
        (tarfile.TarInfo("../evil.txt"), b"x", "leads out of its folder"),
        (tarfile.TarInfo("/tmp/evil.txt"), b"x", "absolute path"),
        (link("assets/passwd", tarfile.SYMTYPE), b"", "link"),
        (link("assets/passwd", tarfile.LNKTYPE), b"", "link"),
        (link("assets/device", tarfile.CHRTYPE), b"", "device"),
        (tarfile.TarInfo("bomb"), b"\0" * (300 << 20), "times its size"),
    ],
    ids=["up", "absolute", "symbolic link", "hard link", "device", "bomb"],
)
def test_a_bad_archive(
    member: tarfile.TarInfo, content: bytes, reason: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    source = archive(tmp_path, (member, content))
    (tmp_path / "out").mkdir()
    target = str(tmp_path / "out" / "m.xml")
    assert run(["convert", str(source), "-o", target, "--labels", str(DEMO_LABELS)]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert reason in err[0]
    assert list((tmp_path / "out").iterdir()) == []
    assert list((tmp_path / "temporary").iterdir()) == []


# --- what is refused


@pytest.mark.parametrize(
    ("file", "options", "reason"),
    [
        ("lambda.keras", [], "Lambda layer.*--trust"),
        ("lambda.h5", [], "Lambda layer.*--trust"),
        ("lambda.keras", ["--trust"], "no detector or instance segmentation"),
        ("custom.keras", [], "the layer Halve, which is not Keras' own"),
        ("broken.keras", [], "cannot be loaded by Keras"),
        ("text.keras", [], "is not a Keras file"),
        ("toy.keras", ["--weights", "x"], "--weights only goes with"),
    ],
)
def test_keras_files_that_are_refused(
    file: str, options: list[str], reason: str, made: Path, tensorflow: Path, tmp_path: Path
) -> None:
    (made / "broken.keras").write_bytes((made / "toy.keras").read_bytes()[:5000])
    (made / "text.keras").write_text("hello")
    command = [tensorflow.with_name("labelvino-model"), "convert", made / file, "-o",
               tmp_path / "m.xml", "--labels", made / "ten.txt", *options]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("labelvino-model: ")
    assert re.search(reason, lines[0]), lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["toy.keras", "toy.h5", "keras3"])
def test_without_tensorflow_a_sentence_says_so(
    file: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "m.xml")
    assert run(["convert", str(made / file), "-o", target, "--labels", "coco80"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert "needs TensorFlow, and there is none here: pip install labelvino[tensorflow]" in err[0]

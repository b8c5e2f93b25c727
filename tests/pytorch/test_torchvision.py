"""torchvision's detectors through the real command, against torchvision itself at f32."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matching import Agreement, agreement
from torchvision.models import detection
from well_behaved import background_ahead, settle, take_statistics

from backend.runtime.engine import Engine, RawOutputs
from backend.runtime.image import DecodedImage
from converter.cli import run

CLASSES = 5
LABELS = "ant\nbee\ncat\ndog\neel\n"
# Largest differences of boxes in px, scores and masks: three to five times what was measured
LIMITS = {
    "maskrcnn_resnet50_fpn": (0.04, 1e-3, 8e-3),
    "maskrcnn_resnet50_fpn_v2": (0.3, 2e-2, 0.15),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (0.02, 5e-4, 0.0),
}


def seeded(name: str, photos: list[DecodedImage]) -> detection.FasterRCNN:
    torch.manual_seed(7)
    model = getattr(detection, name)(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1
    ).eval()
    take_pixels_as_they_are(model)
    images = [tensor_of(photo) for photo in photos[:1]]

    def look() -> None:
        for image in images:
            model([image])

    head, predictor = model.rpn.head, model.roi_heads.box_predictor
    take_statistics(model, look)
    settle(look, [(head.cls_logits, 2.0, 0.0), (head.bbox_pred, 0.3, 0.0)])
    lead = background_ahead(CLASSES, first=True)
    settle(look, [(predictor.cls_score, 2.0, lead), (predictor.bbox_pred, 0.5, 0.0)])
    if model.roi_heads.has_mask():
        settle(look, [(model.roi_heads.mask_predictor.mask_fcn_logits, 3.0, 0.0)])
    return model


def take_pixels_as_they_are(model: detection.FasterRCNN) -> None:
    """No resize: the sizes of the test's photos go in."""
    model.transform.min_size = (1,)
    model.transform.max_size = 10_000

    def resize(image: torch.Tensor, target: object) -> tuple[torch.Tensor, object]:
        return image, target

    model.transform.resize = resize


def tensor_of(photo: DecodedImage) -> torch.Tensor:
    return torch.from_numpy(photo.pixels).permute(2, 0, 1).float() / 255


def answer_of(model: detection.FasterRCNN, photo: DecodedImage) -> RawOutputs:
    """torchvision's own forward; the masks are caught before they are pasted into the image."""
    caught: list[dict[str, torch.Tensor]] = []
    hook = model.roi_heads.register_forward_hook(lambda _m, _i, out: caught.append(dict(out[0][0])))
    with torch.no_grad():
        model([tensor_of(photo)])
    hook.remove()
    (found,) = caught
    boxes = torch.cat([found["boxes"], found["scores"][:, None]], 1).numpy()
    masks = found["masks"][:, 0].numpy() if "masks" in found else None
    return RawOutputs(boxes, found["labels"].numpy() - 1, masks)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state dict of the smallest detector, with random weights."""
    torch.manual_seed(0)
    model = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1
    )
    folder = tmp_path_factory.mktemp("torchvision")
    torch.save(model.state_dict(), folder / "small.pth")
    (folder / "labels.txt").write_text(LABELS)
    return folder / "small.pth"


@pytest.mark.timeout(900)  # seconds on an idle machine
@pytest.mark.parametrize("name", LIMITS)
def test_parity(
    name: str,
    photos: list[DecodedImage],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    model = seeded(name, photos)
    torch.save(model.state_dict(), tmp_path / "state.pth")
    (tmp_path / "labels.txt").write_text(LABELS)
    options = ["--resize", "none", "--no-compress-to-fp16", "--labels", tmp_path / "labels.txt"]
    command = ["convert", f"torchvision:{name}", "--weights", tmp_path / "state.pth", *options]
    assert run([str(part) for part in (*command, "-o", tmp_path / "m.xml")]) == 0
    engine = Engine(tmp_path / "m.xml", device="CPU", precision="f32")
    assert engine.contract.mask_frame == ("box" if name.startswith("mask") else None)
    total = Agreement()
    for photo in photos:
        expected = answer_of(model, photo)
        total += agreement(engine.infer(photo)[0], expected, 0.05)
    print(name, total)
    record_property("agreement", str(total))
    assert total.pairs >= 10
    assert total.share >= 0.99
    box_px, score, mask = LIMITS[name]
    assert total.box_px <= box_px
    assert total.score <= score
    assert total.mask <= mask


def test_the_resize_rule_and_the_classes_are_the_models_own(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.xml"
    command = ["convert", "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn", "-o", str(target)]
    labels = str(small.with_name("labels.txt"))
    assert run([*command, "--weights", str(small), "--labels", labels]) == 0
    contract = Engine(target, device="CPU").contract
    assert str(contract.resize) == "shortest-edge:320:640"
    assert contract.label_names == ("ant", "bee", "cat", "dog", "eel")
    assert (contract.family, contract.source_format) == ("torchvision", "torchvision")
    assert contract.framework_version.startswith("torch 2.")


def test_nothing_found_is_no_row(photos: list[DecodedImage], small: Path, tmp_path: Path) -> None:
    """Scores of random weights stay below the model's own threshold."""
    state = torch.load(small, weights_only=True)
    state["roi_heads.box_predictor.cls_score.bias"][0] = 100.0
    torch.save(state, tmp_path / "none.pth")
    target = tmp_path / "m.xml"
    command = ["convert", "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn", "-o", str(target)]
    labels = str(small.with_name("labels.txt"))
    assert run([*command, "--weights", str(tmp_path / "none.pth"), "--labels", labels]) == 0
    raw, _ = Engine(target, device="CPU").infer(photos[0])
    assert raw.boxes.shape == (0, 5)
    assert raw.labels.shape == (0,)


def test_a_checkpoint_of_a_training_run(small: Path, tmp_path: Path) -> None:
    """{'model': ..} with the names that DistributedDataParallel gives."""
    from converter.sources.torch_weights import read_state

    state = torch.load(small, weights_only=True)
    wrapped = {"model": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "checkpoint.pth")
    found = read_state(tmp_path / "checkpoint.pth")
    assert list(found) == list(state)
    assert all(torch.equal(found[name], state[name]) for name in state)


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("unpickled"),)


NAME = "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn"


def test_an_unknown_name(refused: Callable[..., str], small: Path) -> None:
    line = refused("torchvision:maskrcnn_resnet51_fpn", "--weights", small)
    assert "torchvision has no model maskrcnn_resnet51_fpn: use one of fasterrcnn_" in line


def test_a_classifier(refused: Callable[..., str], small: Path) -> None:
    line = refused("torchvision:resnet50", "--weights", small)
    assert "resnet50 is no Faster R-CNN or Mask R-CNN: use one of" in line


def test_no_weights(refused: Callable[..., str]) -> None:
    assert "is only an architecture: give its --weights" in refused(NAME)


def test_weights_that_are_not_there(refused: Callable[..., str]) -> None:
    assert "there is no file gone.pth" in refused(NAME, "--weights", "gone.pth")


def test_weights_of_another_model(refused: Callable[..., str], small: Path) -> None:
    line = refused("torchvision:maskrcnn_resnet50_fpn", "--weights", small)
    assert "has the weights of another model than torchvision:maskrcnn_resnet50_fpn" in line
    assert "tensors are missing, such as" in line


def test_weights_that_are_cut_off(refused: Callable[..., str], small: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pth").write_bytes(small.read_bytes()[:100_000])
    line = refused(NAME, "--weights", tmp_path / "cut.pth")
    assert "is no PyTorch file, or was cut off" in line


def test_weights_with_code(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    line = refused(NAME, "--weights", tmp_path / "evil.pth")
    assert "holds more than weights and would run code" in line
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("protocol", "function"), [(2, "__builtin__.getattr"), (5, "pathlib.Path.touch")]
)
def test_a_pickle_with_code(
    protocol: int,
    function: str,
    refused: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the shape of Detectron2's model zoo, whose .pkl the same reader takes."""
    monkeypatch.chdir(tmp_path)
    content = {"model": {"weight": np.zeros(2), "evil": Evil()}, "__author__": "A Model Zoo"}
    Path("zoo.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    line = refused(NAME, "--weights", "zoo.pkl")
    assert f"zoo.pkl holds more than arrays ({function}) and would run code" in line
    assert not Path("unpickled").exists()


def test_a_pickle_of_arrays_that_hold_no_numbers(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    content = {"model": {"weight": np.array([None])}}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps(content))
    assert "zoo.pkl holds no tensors" in refused(NAME, "--weights", tmp_path / "zoo.pkl")


def test_labels_of_another_number(refused: Callable[..., str], small: Path) -> None:
    line = refused(NAME, "--weights", small, "--labels", "coco91")
    assert "the list goes up to the id 90, but the model's classes up to 5" in line


def test_no_labels(refused: Callable[..., str], small: Path) -> None:
    assert "the model does not name its labels" in refused(NAME, "--weights", small)


def test_the_coco_weights_are_known_by_their_digest() -> None:
    from converter.sources.torchvision import _own_labels

    names = [label.name for label in _own_labels("maskrcnn_resnet50_fpn", "bf2d0c1e" + "0" * 56)]
    assert (len(names), names[0], names[-1]) == (80, "person", "toothbrush")
    assert _own_labels("maskrcnn_resnet50_fpn", "0" * 64) == ()


def test_frozen_batch_norms_of_the_first_coco_weights() -> None:
    """Their checkpoints count no batches, and torchvision divides without an epsilon."""
    from converter.sources.torchvision import _freeze_as_trained

    state = {"backbone.body.bn1.running_var": torch.ones(1)}
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    assert _freeze_as_trained(model, state, "fasterrcnn_resnet50_fpn_v2") == ()
    assert model[0].eps == 1e-5
    assert _freeze_as_trained(model, state, "fasterrcnn_resnet50_fpn")[0].startswith("batch norms")
    assert model[0].eps == 0.0
    assert np.isfinite(model.eval()(torch.ones(1, 2, 1, 1)).detach().numpy()).all()

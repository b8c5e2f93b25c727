"""Detectron2's models through the real command, against Detectron2 itself at f32.

Detectron2 is on no package index. Where its sources are on PYTHONPATH these tests run; the figures
of such a run are in docs/sources/detectron2.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matching import Agreement, agreement
from well_behaved import background_ahead, settle

from backend.runtime.engine import Engine, RawOutputs
from backend.runtime.errors import ConversionError
from backend.runtime.image import DecodedImage
from converter.cli import run
from converter.sources.detectron2 import read_config

detectron2 = pytest.importorskip(
    "detectron2", reason="Detectron2 is on no package index: put its sources on PYTHONPATH"
)
# Its sources use what newer releases of torch call deprecated.
pytestmark = pytest.mark.filterwarnings("ignore")

CLASSES = 80
ZOO = Path(str(detectron2.__file__)).parent
MODELS = (
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x",
    "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x",
    "COCO-Detection/faster_rcnn_R_50_FPN_1x",
    "COCO-Detection/retinanet_R_50_FPN_3x",
    "Misc/cascade_mask_rcnn_R_50_FPN_3x",
)


def quick_config(name: str, folder: Path) -> str:
    """A config file on top of the zoo's: fewer proposals, which an untrained C4 head needs most."""
    for root in (ZOO / "model_zoo" / "configs", ZOO.parent / "configs"):
        if (root / f"{name}.yaml").is_file():
            text = f"_BASE_: {root / name}.yaml\nMODEL:\n  RPN:\n    POST_NMS_TOPK_TEST: 200\n"
            (folder / "quick.yaml").write_text(text)
    return str(folder / "quick.yaml")


def seeded(config: str, photos: list[DecodedImage]) -> Any:
    from detectron2.modeling import build_model

    torch.manual_seed(7)
    model = build_model(read_config(config, trust=True)).eval()

    def look() -> None:
        for photo in photos[:1]:
            answer_of(model, photo)

    if not hasattr(model, "roi_heads"):
        settle(look, [(model.head.cls_score, 1.2, -6.0), (model.head.bbox_pred, 0.3, 0.0)])
        return model
    head = model.proposal_generator.rpn_head
    settle(look, [(head.objectness_logits, 2.0, 0.0), (head.anchor_deltas, 0.3, 0.0)])
    predictors = model.roi_heads.box_predictor
    stages = predictors if isinstance(predictors, torch.nn.ModuleList) else [predictors]
    lead = background_ahead(CLASSES, first=False)
    for stage in stages:
        settle(look, [(stage.cls_score, 2.0, lead), (stage.bbox_pred, 0.3, 0.0)])
    if getattr(model.roi_heads, "mask_on", False):
        settle(look, [(model.roi_heads.mask_head.predictor, 3.0, 0.0)])
    return model


def answer_of(model: Any, photo: DecodedImage) -> RawOutputs:
    """Detectron2's own inference, BGR as it reads images, without rescaling and pasting."""
    bgr = np.ascontiguousarray(photo.pixels[..., ::-1].transpose(2, 0, 1), np.float32)
    inputs = [{"image": torch.from_numpy(bgr)}]
    with torch.no_grad():
        if hasattr(model, "roi_heads"):
            found = model.inference(inputs, do_postprocess=False)[0]
        else:
            found = model(inputs)[0]["instances"]
    boxes = torch.cat([found.pred_boxes.tensor, found.scores[:, None]], 1).numpy()
    masks = found.pred_masks[:, 0].numpy() if found.has("pred_masks") else None
    return RawOutputs(boxes, found.pred_classes.numpy(), masks)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MODELS)
def test_parity(
    name: str,
    photos: list[DecodedImage],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    config = quick_config(name, tmp_path)
    model = seeded(config, photos)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    command = ["convert", f"detectron2:{config}", "--weights", tmp_path / "model.pth"]
    options = ["--trust", "--resize", "none", "--no-compress-to-fp16", "-o", tmp_path / "m.xml"]
    assert run([str(part) for part in (*command, *options)]) == 0
    engine = Engine(tmp_path / "m.xml", device="CPU", precision="f32")
    assert engine.contract.label_names[0] == "person"
    total = Agreement()
    for photo in photos:
        total += agreement(engine.infer(photo)[0], answer_of(model, photo), 0.05)
    print(name, total, total.share)
    record_property("agreement", str(total))
    assert total.pairs >= 5
    assert total.share >= 0.99
    assert total.box_px <= 0.1
    assert total.score <= 2e-3
    assert total.mask <= 2e-2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a RetinaNet with three classes, as a state dict."""
    from detectron2.modeling import build_model

    cfg = read_config("COCO-Detection/retinanet_R_50_FPN_1x")
    cfg.MODEL.RETINANET.NUM_CLASSES = 3
    path = tmp_path_factory.mktemp("detectron2") / "small.pth"
    torch.save(build_model(cfg).state_dict(), path)
    path.with_name("labels.txt").write_text("ant\nbee\ncat\n")
    return path


def test_facts_are_the_configs_and_classes_the_weights(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.xml"
    command = ["convert", "detectron2:COCO-Detection/retinanet_R_50_FPN_1x", "-o", str(target)]
    labels = str(small.with_name("labels.txt"))
    assert run([*command, "--weights", str(small), "--labels", labels]) == 0
    contract = Engine(target, device="CPU").contract
    assert str(contract.resize) == "shortest-edge:800:1333"
    assert contract.label_names == ("ant", "bee", "cat")
    assert (contract.family, contract.mask_frame) == ("detectron2", None)


def test_coco_labels_need_coco_classes(refused: Callable[..., str], small: Path) -> None:
    line = refused("detectron2:COCO-Detection/retinanet_R_50_FPN_1x", "--weights", small)
    assert "the model does not name its labels" in line


def test_labels_of_another_number(refused: Callable[..., str], small: Path) -> None:
    line = refused(
        "detectron2:COCO-Detection/retinanet_R_50_FPN_1x", "--weights", small, "--labels", "coco80"
    )
    assert "the list has 80 labels, but the model has 3 classes: give a list of 3" in line


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("COCO-PanopticSegmentation/panoptic_fpn_R_50_3x", "is a PanopticFPN, whose semantic"),
        ("COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x", "finds keypoints"),
        ("COCO-Detection/fast_rcnn_R_50_FPN_1x", "wants proposals from a file"),
        ("COCO-Detection/rpn_R_50_FPN_1x", "is a ProposalNetwork, which cannot be converted"),
        ("COCO-Detection/no_such_model", "model zoo has none of that name"),
        ("COCO-Detection/fcos_R_50_FPN_1x.py", "is a program (LazyConfig)"),
    ],
)
def test_what_cannot_be_converted(
    name: str, says: str, refused: Callable[..., str], small: Path
) -> None:
    assert says in refused(f"detectron2:{name}", "--weights", small)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("MODEL:\n  POINT_HEAD:\n    NUM_CLASSES: 80\n", "a config of PointRend, which OpenVINO"),
        ("MODEL:\n  ROI_MASK_HEAD:\n    NAME: PointRendMaskHead\n", "is a PointRend"),
        ("MODEL:\n  FANCY_HEAD: 1\n", "a project outside Detectron2's core"),
        ("INPUT:\n  FORMAT: L\n", "wants L images"),
        ("hello", "is no config of Detectron2"),
        ("X: !!python/object/apply:os.system ['touch unpickled']\n", "holds Python code"),
    ],
)
def test_config_files(
    text: str,
    says: str,
    refused: Callable[..., str],
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    head = "MODEL:\n  META_ARCHITECTURE: RetinaNet\n" if text.startswith("INPUT") else ""
    Path("config.yaml").write_text(head + text)
    assert says in refused("detectron2:config.yaml", "--weights", small)
    assert not Path("unpickled").exists()


def test_a_backbone_that_pads_to_a_square() -> None:
    from converter.sources.detectron2 import refuse_square_padding

    model = torch.nn.Module()
    model.backbone = torch.nn.Module()
    model.backbone.padding_constraints = {"square_size": 1024}
    with pytest.raises(ConversionError, match="pads its images to a square"):
        refuse_square_padding(model, "detectron2:x")


@pytest.mark.parametrize("protocol", [2, 5])
def test_the_zoos_pickle_of_arrays(protocol: int, tmp_path: Path, small: Path) -> None:
    """As the model zoo writes its .pkl."""
    import pickle

    from converter.sources.torch_weights import read_state

    state = torch.load(small, weights_only=True)
    arrays = {name: value.numpy() for name, value in state.items()}
    content = {"model": arrays, "__author__": "Detectron2 Model Zoo"}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_state(tmp_path / "zoo.pkl")
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_zoo_pickle_with_code(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    content = {"model": {"weight": np.zeros(2), "evil": Evil()}, "__author__": "A Model Zoo"}
    Path("zoo.pkl").write_bytes(pickle.dumps(content, protocol=2))
    line = refused("detectron2:COCO-Detection/retinanet_R_50_FPN_1x", "--weights", "zoo.pkl")
    assert "zoo.pkl holds more than arrays (" in line
    assert "and would run code when it is loaded" in line
    assert not Path("unpickled").exists()


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("unpickled"),)
